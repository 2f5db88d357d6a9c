//! TLS 1.3 alone, with the fleet's own CA on both sides. A client certificate is optional here:
//! enrolment has none yet, and operators have tokens. Routes for devices demand one.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::CertificateDer;
use tokio_rustls::TlsAcceptor;

use super::certificate::LiveCertificate;
use crate::pki::{Authority, PkiError};

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("the server's certificate or key does not parse: {0}")]
    Pem(String),
    #[error("the TLS library refuses certificate or key")]
    Rustls(#[from] rustls::Error),
    #[error("the CA can't verify clients: {0}")]
    Verifier(String),
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(super) fn acceptor(
    authority: &Authority,
    certificate: &Arc<LiveCertificate>,
) -> Result<TlsAcceptor, TlsError> {
    let provider = provider();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.certificate_der().to_vec()))?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|e| TlsError::Verifier(e.to_string()))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(certificate) as _);
    // A device asks once a minute, on a connection of its own each time: without a ticket it would prove each time anew who it
    // is, which costs more than its question. Whether it is still let in, the gate says, each time.
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
