//! Why a control plane does not start, and what to do about it.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::tls::TlsError;
use crate::app;
use crate::disk::DiskError;
use crate::pki::PkiError;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("set up TLS")]
    Tls(#[from] TlsError),
    #[error("listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("clean up after the last run")]
    Sweep(#[source] app::Error),
    #[error("{} is in use by another fleet-control", data.display())]
    Locked { data: PathBuf },
}

impl StartError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Disk(error) | Self::Sweep(app::Error::Disk(error)) => error.hint(),
            Self::Store(error) | Self::Sweep(app::Error::Store(error)) => store_hint(error),
            Self::Pki(error) | Self::Tls(TlsError::Pki(error)) => pki_hint(error),
            Self::Tls(TlsError::Verifier(_)) => CA_HINT.to_owned(),
            Self::Tls(TlsError::Pem(_) | TlsError::Rustls(_)) => {
                "remove server.key.pem and server.cert.pem from the data folder's `pki`: the next \
                 start makes them anew"
                    .to_owned()
            }
            Self::Listen { .. } => {
                "end the program that has the address, or choose another with --listen".to_owned()
            }
            Self::Sweep(_) => "look at the data folder's `bundles`, then start again".to_owned(),
            Self::Locked { .. } => {
                "end the other one first, or give this one a folder of its own with --data"
                    .to_owned()
            }
        }
    }
}

const CA_HINT: &str =
    "restore the data folder's `pki` from a backup: devices believe this CA and no other";

fn pki_hint(error: &PkiError) -> String {
    match error {
        PkiError::Disk(error) => error.hint(),
        PkiError::Stored { .. } | PkiError::Certificate(_) | PkiError::Request { .. } => {
            CA_HINT.to_owned()
        }
    }
}

fn store_hint(error: &StoreError) -> String {
    match error {
        StoreError::Open { .. } => {
            "let the user that fleet-control runs as read and write it, or restore the data folder \
             from a backup"
        }
        StoreError::Migrate(_) => {
            "a newer fleet-control may have changed it: run that one, or restore the data folder \
             from a backup"
        }
        StoreError::Query(_) | StoreError::Corrupt { .. } => {
            "make sure that its file system is whole and has room, or restore the data folder from \
             a backup"
        }
    }
    .to_owned()
}
