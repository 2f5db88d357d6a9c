//! The cache's folder: whole files under `assets/`, begun ones under `partial/`, each by its SHA-256.
//!
//! A file comes into `assets/` by one rename, after its content was checked and is on the medium. So
//! whatever lies there was whole once; whether it still is, [`Files::check`] says. What bears no digest
//! as its name is not the cache's and is removed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use fleet_device::files::{FileError, at, sync_folder};
use fleet_device::limit::Limiter;
use fleet_protocol::Sha256;
use nix::errno::Errno;
use sha2::Digest as _;

use crate::core::cache::{Fault, Verdict};

/// What is read or written at once.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

/// When a file can't be read: that it is gone or damaged, rather than that the player lacks something.
pub(super) fn means_damage(error: &FileError) -> bool {
    let errno = error.source.raw_os_error().map(Errno::from_raw);
    error.is_missing() || matches!(errno, Some(Errno::EIO | Errno::EUCLEAN | Errno::EBADMSG))
}

/// Whether it is about one file or about the medium.
pub(super) fn fault(error: &FileError) -> Fault {
    match error.source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Fault::Full,
        io::ErrorKind::ReadOnlyFilesystem => Fault::ReadOnly,
        _ => Fault::Medium,
    }
}

/// The two folders.
#[derive(Debug, Clone)]
pub(super) struct Files {
    assets: PathBuf,
    partial: PathBuf,
}

impl Files {
    /// Makes the folders where they are missing.
    pub(super) fn open(folder: &Path) -> Result<Self, FileError> {
        let files = Self {
            assets: folder.join("assets"),
            partial: folder.join("partial"),
        };
        for folder in [&files.assets, &files.partial] {
            fs::create_dir_all(folder).map_err(at("create", folder))?;
        }
        Ok(files)
    }

    pub(super) fn asset_path(&self, sha256: &Sha256) -> PathBuf {
        self.assets.join(sha256.to_string())
    }

    pub(super) fn partial_path(&self, sha256: &Sha256) -> PathBuf {
        self.partial.join(sha256.to_string())
    }

    /// Beside a partial file: by what its server told that content from others.
    pub(super) fn etag_path(&self, sha256: &Sha256) -> PathBuf {
        self.partial.join(format!("{sha256}{ETAG_SUFFIX}"))
    }

    /// The whole files with their sizes.
    pub(super) fn assets(&self) -> Result<BTreeMap<Sha256, u64>, FileError> {
        list(&self.assets)
    }

    pub(super) fn partials(&self) -> Result<BTreeMap<Sha256, u64>, FileError> {
        list(&self.partial)
    }

    /// Its size, or 0.
    pub(super) fn partial_bytes(&self, sha256: &Sha256) -> u64 {
        fs::metadata(self.partial_path(sha256)).map_or(0, |found| found.len())
    }

    /// A file that is not there is no error. One that comes back after a power cut is found at the start.
    pub(super) fn remove(&self, sha256: &Sha256) -> Result<(), FileError> {
        remove(&self.asset_path(sha256))
    }

    pub(super) fn drop_partial(&self, sha256: &Sha256) -> Result<(), FileError> {
        remove(&self.partial_path(sha256))?;
        remove(&self.etag_path(sha256))
    }

    /// Puts a checked partial file in its place; returns when that will survive a power cut.
    pub(super) fn adopt(&self, sha256: &Sha256) -> Result<(), FileError> {
        let path = self.asset_path(sha256);
        fs::rename(self.partial_path(sha256), &path).map_err(at("replace", &path))?;
        sync_folder(&self.assets)?;
        sync_folder(&self.partial)?;
        remove(&self.etag_path(sha256))
    }

    /// Reads all of it, at the limiter's pace.
    pub(super) fn check(
        &self,
        sha256: &Sha256,
        size_bytes: u64,
        pace: &Limiter,
    ) -> Result<Verdict, FileError> {
        let path = self.asset_path(sha256);
        let file = File::open(&path).map_err(at("open", &path))?;
        let found = file.metadata().map_err(at("read", &path))?;
        if found.len() != size_bytes {
            return Ok(Verdict::Damaged);
        }
        let hasher = hash(file, size_bytes, Some(pace)).map_err(at("read", &path))?;
        Ok(if digest(hasher) == *sha256 {
            Verdict::Whole
        } else {
            Verdict::Damaged
        })
    }
}

const ETAG_SUFFIX: &str = ".etag";

pub(super) fn digest(hasher: sha2::Sha256) -> Sha256 {
    Sha256::from_bytes(hasher.finalize().into())
}

/// Of the first so many bytes.
pub(super) fn hash(file: File, bytes: u64, pace: Option<&Limiter>) -> io::Result<sha2::Sha256> {
    let mut hasher = sha2::Sha256::new();
    let mut rest = file.take(bytes);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = match rest.read(&mut chunk) {
            Ok(0) => return Ok(hasher),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&chunk[..length]);
        if let Some(pace) = pace
            && pace.pass(length).is_err()
        {
            return Err(io::Error::other("the player ends"));
        }
    }
}

fn list(folder: &Path) -> Result<BTreeMap<Sha256, u64>, FileError> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(at("list", folder))? {
        let entry = entry.map_err(at("list", folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let known = name.strip_suffix(ETAG_SUFFIX).unwrap_or(&name);
        let Ok(facts) = entry.metadata() else {
            continue;
        };
        match known.parse::<Sha256>() {
            Ok(_) if *known != *name => {}
            Ok(sha256) if facts.is_file() && sha256.to_string() == *name => {
                found.insert(sha256, facts.len());
            }
            _ => remove_stranger(&entry.path()),
        }
    }
    Ok(found)
}

/// It would take room that nobody counts.
fn remove_stranger(path: &Path) {
    log::warn!(path:% = path.display(); "a file in the cache's folder is not the cache's; it is removed");
    if let Err(error) = fs::remove_file(path) {
        log::warn!(path:% = path.display(), error:%; "it cannot be removed");
    }
}

fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(errno: Errno) -> FileError {
        at("write", Path::new("x"))(errno.into())
    }

    #[test]
    fn what_is_wrong_with_the_medium_is_told_apart_from_one_file() {
        let check = |errno, expected| assert_eq!(fault(&error(errno)), expected);
        check(Errno::ENOSPC, Fault::Full);
        check(Errno::EDQUOT, Fault::Full);
        check(Errno::EROFS, Fault::ReadOnly);
        check(Errno::EIO, Fault::Medium);
    }

    #[test]
    fn a_file_is_not_given_up_because_the_player_lacks_something() {
        let check = |errno, damage| assert_eq!(means_damage(&error(errno)), damage, "{errno}");
        check(Errno::EIO, true);
        check(Errno::ENOENT, true);
        check(Errno::EMFILE, false);
        check(Errno::EACCES, false);
    }
}
