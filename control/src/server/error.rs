//! Why a control plane does not start, and what to do about it.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::tls::TlsError;
use crate::app;
use crate::disk::DiskError;
use crate::pki::PkiError;
use crate::store::StoreError;
use crate::tokens::RingError;

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
    #[error(transparent)]
    Tokens(#[from] RingError),
    #[error("{} is in use by another fleet-control", data.display())]
    Locked { data: PathBuf },
}

impl StartError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Disk(error)
            | Self::Sweep(app::Error::Disk(error))
            | Self::Tokens(RingError::Disk(error)) => error.hint(),
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
            Self::Tokens(RingError::Corrupt { path, .. }) => format!(
                "remove {}: the next start makes a new one, and everybody logs in again",
                path.display()
            ),
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
        StoreError::Unreachable { source, .. } => unreachable_hint(source),
        StoreError::OldServer { .. } => {
            "move the database to a newer PostgreSQL (pg_dump, pg_restore), and name that one"
        }
        StoreError::NoPrivilege { .. } => {
            "let the user own the database: ALTER DATABASE … OWNER TO …, or GRANT CREATE ON SCHEMA public TO …"
        }
        StoreError::Open { .. } => {
            "let the user that fleet-control runs as read and write it, or restore the data folder \
             from a backup"
        }
        StoreError::Migrate(_) => {
            "a newer fleet-control may have changed it: run that one, or restore the data folder \
             from a backup"
        }
        StoreError::Together(error) => return store_hint(error),
        StoreError::Crowded => "wait until the database has written what came before",
        StoreError::Query(_) | StoreError::Corrupt { .. } => {
            "make sure that its file system is whole and has room, or restore the data folder from \
             a backup"
        }
    }
    .to_owned()
}

/// By PostgreSQL's codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn unreachable_hint(error: &sqlx::Error) -> &'static str {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        Some("28P01" | "28000") => {
            "see that user and password in FLEET_DATABASE_URL are right, and that pg_hba.conf lets \
             this host in"
        }
        Some("3D000") => "make the database first: createdb --owner USER DATABASE",
        Some("53300") => {
            "the server has no connection left: raise its max_connections, or run fewer control \
             planes"
        }
        _ => {
            "see that the server runs and can be reached from here: psql with the same address says \
             the same"
        }
    }
}
