//! The server's certificate, made anew in time while the server runs.
//!
//! A handshake takes whatever is in force at that moment, so nothing restarts and no connection
//! ends when the certificate changes. A renewal that fails is tried again every minute; there are
//! weeks left for that.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use super::tls::TlsError;
use crate::clock::Clock;
use crate::pki::{Authority, ServerCertificate};

/// Looking costs nothing, and a clock that was wrong at the start may jump at any time.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// What a handshake presents, and what is needed to replace it.
pub(super) struct LiveCertificate {
    authority: Arc<Authority>,
    folder: PathBuf,
    names: Vec<String>,
    provider: Arc<CryptoProvider>,
    current: RwLock<Current>,
}

struct Current {
    certificate: ServerCertificate,
    key: Arc<CertifiedKey>,
}

impl std::fmt::Debug for LiveCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveCertificate")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for LiveCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current().key))
    }
}

impl LiveCertificate {
    pub(super) fn open(
        authority: Arc<Authority>,
        folder: PathBuf,
        names: Vec<String>,
        provider: Arc<CryptoProvider>,
        now: Timestamp,
    ) -> Result<Arc<Self>, TlsError> {
        let current = Current::load(&authority, &folder, &names, &provider, now)?;
        Ok(Arc::new(Self {
            authority,
            folder,
            names,
            provider,
            current: RwLock::new(current),
        }))
    }

    fn current(&self) -> std::sync::RwLockReadGuard<'_, Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the certificate if it is due. Says when the new one ends.
    fn renew(&self, now: Timestamp) -> Result<Option<Timestamp>, TlsError> {
        if !self.current().certificate.is_due(now) {
            return Ok(None);
        }
        let (authority, provider) = (&self.authority, &self.provider);
        let new = Current::load(authority, &self.folder, &self.names, provider, now)?;
        let not_after = new.certificate.not_after;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(Some(not_after))
    }

    /// Looks after the certificate until the control plane ends.
    pub(super) async fn keep(self: Arc<Self>, clock: Clock, mut shutdown: watch::Receiver<bool>) {
        loop {
            let (live, now) = (Arc::clone(&self), clock.now());
            let renewed = tokio::task::spawn_blocking(move || live.renew(now)).await;
            match renewed.expect("making a certificate does not panic") {
                Ok(None) => {}
                Ok(Some(not_after)) => {
                    tracing::info!(certificate.not_after = %not_after, "server certificate renewed");
                }
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the server's certificate could not be renewed"
                ),
            }
            tokio::select! {
                _ = shutdown.wait_for(|ended| *ended) => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

impl Current {
    fn load(
        authority: &Authority,
        folder: &std::path::Path,
        names: &[String],
        provider: &CryptoProvider,
        now: Timestamp,
    ) -> Result<Self, TlsError> {
        let certificate = authority.server_certificate(folder, names, now)?;
        let pem = |e: rustls_pki_types::pem::Error| TlsError::Pem(e.to_string());
        let der = CertificateDer::from_pem_slice(certificate.pem.as_bytes()).map_err(pem)?;
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).map_err(pem)?;
        // The CA comes along for operators at their first contact: they compare its fingerprint and pin it.
        let ca = CertificateDer::from(authority.certificate_der().to_vec());
        let key = CertifiedKey::from_der(vec![der, ca], key, provider)?;
        Ok(Self {
            certificate,
            key: Arc::new(key),
        })
    }
}

#[cfg(test)]
mod tests;
