//! Files that survive a power cut: temporary file, fsync, rename, fsync of the folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A file operation that failed, and where.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}", path.display())]
pub struct DiskError {
    pub action: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

impl DiskError {
    /// What to do next.
    pub fn hint(&self) -> String {
        let path = self.path.display();
        match self.source.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("let the user that fleet-control runs as read and write {path}")
            }
            io::ErrorKind::StorageFull => format!("make room on the file system of {path}"),
            io::ErrorKind::ReadOnlyFilesystem => {
                format!("{path} is on a read-only file system: choose another --data")
            }
            _ => format!("check {path} and its file system, or choose another --data"),
        }
    }
}

pub(crate) fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> DiskError + 'a {
    move |source| DiskError {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Who may read a file beside its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Owner,
    Everyone,
}

/// Makes a folder, readable by its owner only; fine if it is there.
pub fn create_folder(path: &Path) -> Result<(), DiskError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("make the folder", path))
}

/// Replaces the file at `path` as a whole, or leaves it as it was.
pub fn write(path: &Path, content: &[u8], access: Access) -> Result<(), DiskError> {
    let temporary = path.with_extension("new");
    let mode = match access {
        Access::Owner => 0o600,
        Access::Everyone => 0o644,
    };
    let _ = std::fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .map_err(failed("create", &temporary))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(failed("write", &temporary))?;
    rename(&temporary, path)
}

/// Renames and makes the new name durable.
pub fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    std::fs::rename(from, to).map_err(failed("rename to", to))?;
    // The parent of a bare name is an empty one.
    let folder = to.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(failed("sync the folder", folder))
}

/// Room on a file system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    pub(crate) free_bytes: u64,
    pub(crate) size_bytes: u64,
}

impl Space {
    /// `None` where the system does not say.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let found = nix::sys::statvfs::statvfs(path).ok()?;
        let block = found.fragment_size();
        Some(Self {
            free_bytes: found.blocks_available().saturating_mul(block),
            size_bytes: found.blocks().saturating_mul(block),
        })
    }
}

/// The file's text, or `None` if there is no such file.
pub fn read_text(path: &Path) -> Result<Option<String>, DiskError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("read", path)(e)),
    }
}
