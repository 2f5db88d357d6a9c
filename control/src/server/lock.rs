//! Who may use the data folder: one control plane, or with PostgreSQL any number of them.
//!
//! The folder's `lock` is held alone or together for as long as a control plane runs. Those that share it come in one
//! by one, behind `starting`: the first of them makes keys and throws away what a crash left.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::StartError;
use crate::disk;

/// Starting takes a moment, and longer when the database has to be migrated.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Whether there may be others in the same folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    Allowed,
    Refused,
}

/// A place in the data folder, of a control plane that starts.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    lock: File,
    alone: bool,
    others: Others,
    /// Let go of when the start is over.
    _starting: Option<File>,
}

impl Place {
    pub(super) async fn take(data: &Path, others: Others) -> Result<Self, StartError> {
        let locked = || StartError::Locked {
            data: data.to_owned(),
        };
        let starting = match others {
            Others::Refused => None,
            Others::Allowed => {
                let waited = tokio::time::timeout(PATIENCE, queue(&data.join("starting"))).await;
                Some(waited.map_err(|_| locked())??)
            }
        };
        let path = data.join("lock");
        let lock = open(&path)?;
        let alone = match lock.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => {
                let shared = others == Others::Allowed && is_free(lock.try_lock_shared(), &path)?;
                if !shared {
                    return Err(locked());
                }
                false
            }
            Err(TryLockError::Error(e)) => return Err(disk::failed("lock", &path)(e).into()),
        };
        Ok(Self {
            path,
            lock,
            alone,
            others,
            _starting: starting,
        })
    }

    /// Nobody else uses the folder before this start is over.
    pub(super) const fn is_alone(&self) -> bool {
        self.alone
    }

    /// The start is over: others may come, if they may. Keep what this gives for as long as the folder is used.
    pub(super) fn settle(self) -> Result<File, StartError> {
        if self.others == Others::Allowed && self.alone {
            self.lock
                .lock_shared()
                .map_err(disk::failed("lock", &self.path))?;
        }
        Ok(self.lock)
    }
}

/// Holds the folder alone, for work that no control plane may see half done.
pub(super) fn alone(data: &Path) -> Result<File, StartError> {
    let path = data.join("lock");
    let lock = open(&path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked {
            data: data.to_owned(),
        }),
        Err(TryLockError::Error(e)) => Err(disk::failed("lock", &path)(e).into()),
    }
}

fn open(path: &Path) -> Result<File, StartError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path);
    Ok(file.map_err(disk::failed("open", path))?)
}

fn is_free(locked: Result<(), TryLockError>, path: &Path) -> Result<bool, StartError> {
    match locked {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(disk::failed("lock", path)(e).into()),
    }
}

async fn queue(path: &Path) -> Result<File, StartError> {
    let file = open(path)?;
    while !is_free(file.try_lock(), path)? {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_for_one_or_for_those_that_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let first = Place::take(data, Others::Allowed).await.unwrap();
        assert!(first.is_alone());
        let first = first.settle().unwrap();
        let second = Place::take(data, Others::Allowed).await.unwrap();
        assert!(!second.is_alone());
        let second = second.settle().unwrap();
        let alone = Place::take(data, Others::Refused).await;
        assert!(matches!(alone, Err(StartError::Locked { .. })));
        drop((first, second));

        let alone = Place::take(data, Others::Refused).await.unwrap();
        let _alone = alone.settle().unwrap();
        let shared = Place::take(data, Others::Allowed).await;
        assert!(matches!(shared, Err(StartError::Locked { .. })));
    }
}
