//! Writing files so that they are there whole or not at all.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fleet_protocol::Sha256;
use sha2::Digest as _;

use crate::error::{CommandError, Result};

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Secrets: 0600.
    OwnerOnly,
    Everyone,
}

/// What to do when the file is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Keep,
    Replace,
}

/// Temp file, fsync, rename, fsync of the folder.
///
/// # Errors
/// Kind refused when it exists and is to be kept.
pub(crate) fn write(path: &Path, bytes: &[u8], access: Access, existing: Existing) -> Result<()> {
    let folder = folder_of(path);
    let fail = |source| CommandError::io(format!("cannot write {}", path.display()), source);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    let mode = match access {
        Access::OwnerOnly => 0o600,
        Access::Everyone => 0o644,
    };
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(mode))
        .map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    match existing {
        Existing::Replace => file.persist(path).map_err(|e| fail(e.error))?,
        Existing::Keep => file.persist_noclobber(path).map_err(|e| {
            if e.error.kind() == std::io::ErrorKind::AlreadyExists {
                already_there(path)
            } else {
                fail(e.error)
            }
        })?,
    };
    sync_folder(folder).map_err(fail)
}

pub(crate) fn already_there(path: &Path) -> CommandError {
    CommandError::refused(format!("{} exists already", path.display()))
        .hint("choose another name, or move the file away first: it is not overwritten")
}

pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A whole small file; more than `limit` bytes are refused before they are read.
pub(crate) fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let fail = |source| CommandError::io(format!("cannot read {}", path.display()), source);
    let size = fs::metadata(path).map_err(fail)?.len();
    if size > limit {
        return Err(CommandError::failed(format!(
            "{} has {size} bytes, more than the {limit} that make sense",
            path.display()
        ))
        .hint("check that this is the file you mean"));
    }
    fs::read(path).map_err(fail)
}

/// What a file of any size has in it, and how many bytes.
pub(crate) fn digest(path: &Path) -> Result<(Sha256, u64)> {
    let fail = |e| CommandError::io(format!("cannot read {}", path.display()), e);
    let mut file = File::open(path).map_err(fail)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).map_err(fail)?;
        if count == 0 {
            return Ok((Sha256::from_bytes(hasher.finalize().into()), size));
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}

/// A small JSON file; the error names the field.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path, what: &str) -> Result<T> {
    let bytes = read_small(path, 4 << 20)?;
    serde_json::from_slice(&bytes).map_err(|source| {
        CommandError::failed(format!("{} is no {what}", path.display()))
            .because(source)
            .hint("check that this is the file you mean, and that it is whole")
    })
}
