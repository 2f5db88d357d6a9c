//! Files that survive a power cut, and what is done about those that did not.
//!
//! Writing: temporary file in the same folder, fsync, rename, fsync of the folder. So a reader finds
//! the old content or the new one. Reading: bounded, and a file that does not parse is moved aside to
//! `NAME.damaged`, so that the next start does not trip over it and a support bundle still has it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Keys and tokens: 0600.
    Secret,
    /// 0644.
    Public,
}

/// Something could not be done with a file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct FileError {
    pub operation: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free space on the data partition"
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "the data partition went read-only: check it with fsck, or replace the medium"
            }
            io::ErrorKind::PermissionDenied => "run the program as the user that owns the file",
            _ => "check the medium and the mount of the data partition",
        }
    }

    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// For `map_err`: which file, and what was to be done with it.
pub fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError {
        operation,
        path,
        source,
    }
}

/// Replaces `path` with `bytes`; returns when they are on the medium. Makes missing folders.
pub fn write_atomic(path: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(at("create the folder of", path))?;
    let temporary = path.with_file_name(format!(
        ".{}.new",
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    let mode = match access {
        Access::Secret => 0o600,
        Access::Public => 0o644,
    };
    // A left-over of an earlier crash could have another mode.
    match fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(at("remove", &temporary)(e));
        }
        _ => {}
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
    if let Err(error) = written {
        // A full disk must not be kept full by half a file.
        let _ = fs::remove_file(&temporary);
        return Err(at("write", &temporary)(error));
    }
    fs::rename(&temporary, path).map_err(at("replace", path))?;
    sync_folder(folder)
}

/// [`write_atomic`] of a value as JSON.
pub fn write_json(path: &Path, value: &impl Serialize, access: Access) -> Result<(), FileError> {
    let bytes = serde_json::to_vec_pretty(value)
        .map_err(io::Error::other)
        .map_err(at("encode", path))?;
    write_atomic(path, &bytes, access)
}

/// Removes `path` for good; a file that is not there is no error.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(path.parent().unwrap_or(Path::new("/"))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(at("remove", path)(e)),
    }
}

/// Returns when what was made, renamed or removed in the folder is so on the medium.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(at("sync", folder))
}

/// Reads at most `max_bytes`; a larger file is an error, a missing one is `None`.
pub fn read_limited(path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(at("open", path)(e)),
    };
    let mut bytes = Vec::new();
    file.take(max_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(at("read", path))?;
    if bytes.len() as u64 > max_bytes {
        let reason = format!("it is larger than {max_bytes} bytes");
        return Err(at("read", path)(io::Error::other(reason)));
    }
    Ok(Some(bytes))
}

/// Text of a small kernel file, trimmed; `None` if it is not there or can't be read.
pub fn read_trimmed(path: &Path) -> Option<String> {
    let bytes = read_limited(path, 64 * 1024).ok()??;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.trim_matches(['\0', '\n', ' ', '\t']).to_owned())
}

/// What was found where a JSON file was expected.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<T> {
    Value(T),
    Missing,
    /// It did not parse; it now lies at `moved_to`, if that worked.
    Damaged {
        reason: String,
        moved_to: Option<PathBuf>,
    },
}

impl<T> Found<T> {
    /// The value, with damage logged once and otherwise treated like absence.
    pub fn or_report(self, path: &Path) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing => None,
            Self::Damaged { reason, .. } => {
                log::warn!(
                    path:% = path.display(), error:% = reason;
                    "a damaged file was moved aside"
                );
                None
            }
        }
    }
}

/// Reads a JSON file of at most `max_bytes`. I/O errors count as damage that stays where it is.
pub fn read_json<T: DeserializeOwned>(path: &Path, max_bytes: u64) -> Found<T> {
    let bytes = match read_limited(path, max_bytes) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Found::Missing,
        Err(error) => {
            return Found::Damaged {
                reason: error.to_string(),
                moved_to: None,
            };
        }
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Found::Value(value),
        Err(error) => Found::Damaged {
            reason: error.to_string(),
            moved_to: move_aside(path),
        },
    }
}

/// Moves a damaged file to `NAME.damaged`, replacing an earlier one.
pub fn move_aside(path: &Path) -> Option<PathBuf> {
    let mut name = path.file_name()?.to_owned();
    name.push(".damaged");
    let aside = path.with_file_name(name);
    fs::rename(path, &aside).ok()?;
    Some(aside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_is_readable_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/key.pem");
        write_atomic(&path, b"secret", Access::Secret).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        write_atomic(&path, b"changed", Access::Secret).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"changed");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_left_over_of_a_power_cut_does_not_stop_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(folder.path().join(".state.json.new"), b"half").unwrap();
        write_json(&path, &4, Access::Public).unwrap();
        assert_eq!(read_json::<u8>(&path, 100), Found::Value(4));
    }

    #[test]
    fn a_damaged_file_is_moved_aside_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, b"{\"half\":").unwrap();
        let Found::<serde_json::Value>::Damaged { moved_to, .. } = read_json(&path, 100) else {
            panic!("damage was not seen")
        };
        assert!(moved_to.unwrap().ends_with("state.json.damaged"));
        assert_eq!(read_json::<u8>(&path, 100), Found::Missing);
    }

    #[test]
    fn a_file_beyond_its_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big");
        fs::write(&path, [b' '; 101]).unwrap();
        assert!(read_limited(&path, 100).is_err());
        assert_eq!(read_limited(&path, 101).unwrap().unwrap().len(), 101);
    }
}
