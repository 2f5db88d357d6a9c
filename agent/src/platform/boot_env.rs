//! GRUB's environment block as a file: read, changed and written as `grub-editenv` does it.
//!
//! The file lies on FAT, which has no safe rename under GRUB's eyes, and GRUB itself writes to the
//! very blocks that it read the file from: so the 1024 bytes are written in place, in one `pwrite`,
//! and synced. A block that a power cut tore is found at the next start and written anew from what is
//! booted.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::core::boot::grubenv::{GrubEnv, GrubEnvError, SIZE_BYTES};
use crate::core::boot::{BootEnv, BootEnvError};

#[derive(Debug, thiserror::Error)]
pub enum BootEnvFileError {
    #[error("cannot {operation} the boot environment {}: {source}", path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}: {source}", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: BootEnvError,
    },
    #[error("no boot environment is configured: system.conf has no `grubenv=`")]
    NotConfigured,
}

impl BootEnvFileError {
    /// What to do next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check that the boot partition is mounted and writable",
            Self::Damaged { .. } => "nothing: it is written anew from what is booted",
            Self::NotConfigured => "set `grubenv=` in the [system] section of RAUC's system.conf",
        }
    }
}

/// The environment of this device.
#[derive(Debug, Clone)]
pub struct BootEnvFile {
    path: Option<PathBuf>,
}

impl BootEnvFile {
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    fn path(&self) -> Result<&Path, BootEnvFileError> {
        self.path.as_deref().ok_or(BootEnvFileError::NotConfigured)
    }

    /// What it says now.
    pub fn read(&self) -> Result<BootEnv, BootEnvFileError> {
        let path = self.path()?;
        let block = read_block(path)?;
        BootEnv::parse(&block).map_err(|source| damaged(path, source))
    }

    /// Puts `env` in, leaving alone what others keep in the block; a damaged block is replaced whole.
    pub fn rewrite(&self, env: &BootEnv) -> Result<(), BootEnvFileError> {
        let path = self.path()?;
        let mut variables = read_block(path)
            .ok()
            .and_then(|block| GrubEnv::parse(&block).ok())
            .unwrap_or_default();
        env.write(&mut variables);
        let block = variables.to_block().or_else(|_| env.to_block());
        write_block(path, block)
    }

    /// Writes the block that the boot loader reads when the first one is damaged, `grubenv.bak`
    /// beside it; nothing is written if it says that already.
    pub fn write_backup(&self, env: &BootEnv) -> Result<(), BootEnvFileError> {
        let path = self.path()?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".bak");
        let backup = Self::new(Some(path.with_file_name(name)));
        if backup.read().is_ok_and(|found| found == *env) {
            return Ok(());
        }
        backup.rewrite(env)
    }

    /// Changes what is there, in one write; nothing is written if nothing changes.
    pub fn change(&self, change: impl FnOnce(&mut BootEnv)) -> Result<(), BootEnvFileError> {
        let before = self.read()?;
        let mut after = before;
        change(&mut after);
        if after == before {
            return Ok(());
        }
        self.rewrite(&after)
    }
}

fn damaged(path: &Path, source: BootEnvError) -> BootEnvFileError {
    BootEnvFileError::Damaged {
        path: path.to_owned(),
        source,
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BootEnvFileError {
    let path = path.to_owned();
    move |source| BootEnvFileError::Io {
        operation,
        path,
        source,
    }
}

fn read_block(path: &Path) -> Result<Vec<u8>, BootEnvFileError> {
    use std::io::Read as _;
    let file = File::open(path).map_err(failed("open", path))?;
    let mut block = Vec::new();
    file.take(SIZE_BYTES as u64 + 1)
        .read_to_end(&mut block)
        .map_err(failed("read", path))?;
    Ok(block)
}

fn write_block(path: &Path, block: Result<Vec<u8>, GrubEnvError>) -> Result<(), BootEnvFileError> {
    let block = block.map_err(|source| damaged(path, source.into()))?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed("open", path))?;
    let size = file.metadata().map_err(failed("read", path))?.len();
    file.write_all_at(&block, 0)
        .map_err(failed("write", path))?;
    if size > block.len() as u64 {
        file.set_len(block.len() as u64)
            .map_err(failed("shorten", path))?;
    }
    file.sync_all().map_err(failed("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_protocol::update::Slot;
    use std::os::unix::fs::MetadataExt as _;

    fn file(folder: &tempfile::TempDir) -> (BootEnvFile, PathBuf) {
        let path = folder.path().join("grubenv");
        (BootEnvFile::new(Some(path.clone())), path)
    }

    #[test]
    fn a_change_is_made_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let (env, path) = file(&folder);
        env.rewrite(&BootEnv::committed_to(Slot::A)).unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        env.change(|env| env.slot_mut(Slot::B).ok = true).unwrap();
        assert!(env.read().unwrap().b.ok);
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.ino(), metadata.len()), (inode, SIZE_BYTES as u64));
    }

    #[test]
    fn what_others_keep_in_the_block_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (env, path) = file(&folder);
        let mut variables = GrubEnv::default();
        BootEnv::committed_to(Slot::A).write(&mut variables);
        variables.set("recordfail", "0");
        std::fs::write(&path, variables.to_block().unwrap()).unwrap();
        env.change(|env| env.first = Slot::B).unwrap();
        let block = std::fs::read(&path).unwrap();
        assert_eq!(GrubEnv::parse(&block).unwrap().get("recordfail"), Some("0"));
    }

    #[test]
    fn a_torn_block_is_an_error_until_it_is_rewritten() {
        let folder = tempfile::tempdir().unwrap();
        let (env, path) = file(&folder);
        for torn in [vec![0; SIZE_BYTES], vec![b'#'; 2000], Vec::new()] {
            std::fs::write(&path, torn).unwrap();
            assert!(matches!(env.read(), Err(BootEnvFileError::Damaged { .. })));
            env.rewrite(&BootEnv::committed_to(Slot::B)).unwrap();
            assert_eq!(env.read().unwrap(), BootEnv::committed_to(Slot::B));
        }
    }
}
