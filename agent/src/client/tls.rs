//! TLS 1.3 and nothing older, to servers certified by the fleet's own CA and by no other.
//!
//! ureq's own rustls connector also offers TLS 1.2; this one doesn't. When a server's certificate is
//! valid is judged by what has certainly passed, and not by the clock ([`super::server_certificate`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use fleet_device::clock;
use jiff::Timestamp;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::server_certificate::ServerCertificates;
use crate::core::certificate::Validity;

/// What has certainly passed, and how long the server's certificate is valid. Shared by all
/// connections.
#[derive(Debug, Clone)]
pub struct TimeFloor(Arc<Instants>);

#[derive(Debug)]
struct Instants {
    certain: AtomicI64,
    peer_not_after: AtomicI64,
}

impl Default for TimeFloor {
    fn default() -> Self {
        Self(Arc::new(Instants {
            certain: AtomicI64::new(0),
            peer_not_after: AtomicI64::new(i64::MAX),
        }))
    }
}

impl TimeFloor {
    pub fn raise(&self, to: Timestamp) {
        self.0.certain.fetch_max(to.as_second(), Ordering::Relaxed);
    }

    pub(super) fn certain(&self) -> i64 {
        self.0.certain.load(Ordering::Relaxed)
    }

    /// The end of the certificate of the server that was spoken to last.
    pub fn peer_not_after(&self) -> Option<Timestamp> {
        let second = self.0.peer_not_after.load(Ordering::Relaxed);
        Timestamp::from_second(second).ok()
    }

    pub(super) fn met(&self, peer: &Validity) {
        let end = peer.not_after.as_second();
        self.0.peer_not_after.store(end, Ordering::Relaxed);
    }
}

/// For the age of session tickets alone.
impl TimeProvider for TimeFloor {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = clock::wall().as_second().max(self.certain());
        let seconds = u64::try_from(seconds).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// A device's client certificate with its key, both PEM.
#[derive(Clone)]
pub struct ClientIdentity {
    pub certificate_pem: String,
    pub key_pem: String,
}

impl std::fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientIdentity(..)")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    #[error("the fleet's CA certificate is no certificate in PEM: {0}")]
    Ca(String),
    #[error("the device's certificate or key is unusable: {0}")]
    Identity(String),
}

/// The connections' configuration. `ca_pem`: one or more certificates, of which each is trusted.
pub(super) fn client_config(
    ca_pem: &str,
    identity: Option<&ClientIdentity>,
    floor: &TimeFloor,
) -> Result<Arc<ClientConfig>, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate = certificate.map_err(|e| TlsConfigError::Ca(e.to_string()))?;
        roots
            .add(certificate)
            .map_err(|e| TlsConfigError::Ca(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(TlsConfigError::Ca("it holds none".to_owned()));
    }
    let provider = provider();
    let verifier = ServerCertificates::new(roots, &provider, floor)?;
    // "Dangerous" since it replaces rustls' verifier; it asks that same one, at an instant of its own.
    let builder = ClientConfig::builder_with_details(provider, Arc::new(floor.clone()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| TlsConfigError::Ca(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let bad = |e: &dyn std::fmt::Display| TlsConfigError::Identity(e.to_string());
            let chain: Vec<CertificateDer<'static>> =
                CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
                    .collect::<Result<_, _>>()
                    .map_err(|e| bad(&e))?;
            let key =
                PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(|e| bad(&e))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| bad(&e))?
        }
    };
    // One server only.
    config.resumption = Resumption::in_memory_sessions(4);
    Ok(Arc::new(config))
}

/// Without AES instructions (Raspberry Pi 4, old PCs) the `ChaCha20` suite is several times
/// faster, so it is
/// offered first there.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    if !has_aes_instructions() {
        provider.cipher_suites.sort_by_key(|suite| {
            suite.suite() != rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        });
    }
    Arc::new(provider)
}

#[cfg(target_arch = "x86_64")]
fn has_aes_instructions() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes_instructions() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes_instructions() -> bool {
    false
}

/// Wraps ureq's TCP connections.
#[derive(Debug)]
pub(super) struct TlsConnector(pub(super) Arc<ClientConfig>);

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = TlsTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<TlsTransport>, ureq::Error> {
        let transport = chained.ok_or(ureq::Error::ConnectionFailed)?;
        if !details.needs_tls() {
            return Err(ureq::Error::RequireHttpsOnly(details.uri.to_string()));
        }
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ureq::Error::Tls("the server's name is no host name"))?;
        let mut connection = ClientConnection::new(self.0.clone(), name)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(TlsTransport {
            buffers,
            stream: StreamOwned::new(connection, socket),
        }))
    }
}

pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl std::fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsTransport(..)")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        use std::io::Write as _;
        self.stream.get_mut().set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        use std::io::Read as _;
        self.stream.get_mut().set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
