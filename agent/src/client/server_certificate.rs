//! Whether a server is the control plane, judged without a clock.
//!
//! A chain is accepted if there is an instant, not before what has certainly passed, at which all of
//! it is valid. So a certificate is refused when it has ended for certain; one that begins later than
//! this device thinks it is shows only that the device's clock is behind, since the fleet's own CA
//! signed it. No clock of the device, right or wrong, has a say
//! ([decision 0009](../../../docs/decisions/0009-clock-floor.md)).

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::tls::{TimeFloor, TlsConfigError};
use crate::core::certificate::Validity;

/// Checks the chain that a server presents.
#[derive(Debug)]
pub struct ServerCertificates {
    webpki: Arc<WebPkiServerVerifier>,
    floor: TimeFloor,
}

impl ServerCertificates {
    /// `roots`: the fleet's own CA.
    ///
    /// # Errors
    /// When there is no root.
    pub fn new(
        roots: RootCertStore,
        provider: &Arc<CryptoProvider>,
        floor: &TimeFloor,
    ) -> Result<Self, TlsConfigError> {
        let webpki =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        Ok(Self {
            webpki: webpki.map_err(|e| TlsConfigError::Ca(e.to_string()))?,
            floor: floor.clone(),
        })
    }

    /// The first instant that is possible at which the whole chain has begun.
    fn judged_at<'a>(
        &self,
        chain: impl Iterator<Item = &'a CertificateDer<'a>>,
    ) -> Result<UnixTime, Error> {
        let mut at = self.floor.certain();
        for certificate in chain {
            at = at.max(validity(certificate)?.not_before.as_second());
        }
        let seconds = u64::try_from(at).unwrap_or(0);
        Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, Error> {
    Validity::of_der(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

impl ServerCertVerifier for ServerCertificates {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let at = self.judged_at(std::iter::once(end_entity).chain(intermediates))?;
        self.webpki
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signature)
    }

    /// Comes after the chain; only here the server has shown that the certificate is its own.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let valid = self
            .webpki
            .verify_tls13_signature(message, certificate, signature)?;
        self.floor.met(&validity(certificate)?);
        Ok(valid)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
