//! Why there is no backup, or no way back from one, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::disk::DiskError;
use crate::server::StartError;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the database of {}", folder.display())]
    Store {
        folder: PathBuf,
        #[source]
        source: StoreError,
    },
    #[error("{} holds no control plane's data: it has no fleet.db", .0.display())]
    NoData(PathBuf),
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} still holds what an earlier restore replaced", .0.display())]
    Kept(PathBuf),
    #[error("{}: is no backup of a control plane", .0.display())]
    NoBackup(PathBuf),
    #[error("{}: ends early or is damaged{}", file.display(), at(within.as_deref()))]
    Broken {
        file: PathBuf,
        /// The file in it that was being read.
        within: Option<String>,
        #[source]
        source: Option<io::Error>,
    },
    #[error("{}: `{within}` is not what was backed up: {reason}", file.display())]
    Tampered {
        file: PathBuf,
        within: String,
        reason: String,
    },
    #[error(
        "{} was made by fleet-control {version}, with schema {schema}; this one knows schemas up to {newest}",
        file.display()
    )]
    Newer {
        file: PathBuf,
        version: String,
        schema: i64,
        newest: i64,
    },
    #[error("{} needs {needed} bytes, and {free} are free", folder.display())]
    NoRoom {
        folder: PathBuf,
        needed: u64,
        free: u64,
    },
    #[error(transparent)]
    InUse(Box<StartError>),
}

fn at(within: Option<&str>) -> String {
    within.map_or_else(String::new, |name| format!(", at `{name}`"))
}

impl BackupError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Disk(error) => error.hint(),
            Self::Store { .. } => {
                "make sure that its file system is whole and has room; `fleet-control serve` says \
                 whether the database itself can be opened"
                    .to_owned()
            }
            Self::NoData(_) => "name the folder that `serve` has, with --data".to_owned(),
            Self::Exists(_) => "choose another name; a backup is never written over".to_owned(),
            Self::NotEmpty(_) => {
                "restore into an empty folder with --data, or replace what is there with --force"
                    .to_owned()
            }
            Self::Kept(path) => {
                format!(
                    "look whether it is still needed, then remove {}",
                    path.display()
                )
            }
            Self::NoBackup(_) => "name a file that `fleet-control backup` made".to_owned(),
            Self::Broken { .. } | Self::Tampered { .. } => {
                "nothing was changed; take another backup, or fetch this one again from where it \
                 is kept"
                    .to_owned()
            }
            Self::Newer { version, .. } => {
                format!("nothing was changed; restore it with fleet-control {version} or newer")
            }
            Self::NoRoom { folder, .. } => {
                format!("make room on the file system of {}", folder.display())
            }
            Self::InUse(error) => error.hint(),
        }
    }
}
