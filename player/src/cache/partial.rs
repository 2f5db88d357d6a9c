//! A file that is being fetched: every byte is hashed on its way to the medium.
//!
//! It stays when a download breaks off, and is read once when that goes on. The server's name for the
//! content (its ETag) lies beside it, so that two contents are not patched together; without one the
//! checksum finds out at the end.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use fleet_device::files::{FileError, at};
use fleet_protocol::Sha256;
use sha2::Digest as _;

use super::files::{Files, digest, hash};

/// More than any server's.
const MAX_ETAG_BYTES: usize = 1_024;

#[derive(Debug)]
pub(super) struct Partial {
    files: Files,
    sha256: Sha256,
    path: PathBuf,
    file: File,
    hasher: sha2::Sha256,
    length: u64,
}

impl Partial {
    /// What is there of it, or nothing yet.
    pub(super) fn open(files: &Files, sha256: Sha256) -> Result<Self, FileError> {
        let path = files.partial_path(&sha256);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(at("open", &path))?;
        let length = file.metadata().map_err(at("read", &path))?.len();
        let reader = file.try_clone().map_err(at("read", &path))?;
        let hasher = hash(reader, length, None).map_err(at("read", &path))?;
        file.seek(SeekFrom::Start(length))
            .map_err(at("read", &path))?;
        Ok(Self {
            files: files.clone(),
            sha256,
            path,
            file,
            hasher,
            length,
        })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn digest(&self) -> Sha256 {
        digest(self.hasher.clone())
    }

    /// It is the file that was asked for.
    pub(super) fn is_whole(&self) -> bool {
        self.digest() == self.sha256
    }

    /// Of the content that it is part of.
    pub(super) fn etag(&self) -> Option<String> {
        let text = fs::read_to_string(self.files.etag_path(&self.sha256)).ok()?;
        (1..=MAX_ETAG_BYTES).contains(&text.len()).then_some(text)
    }

    /// Best effort: without it the next download asks for a range all the same.
    pub(super) fn set_etag(&self, etag: Option<&str>) {
        let path = self.files.etag_path(&self.sha256);
        let kept = match etag.filter(|etag| etag.len() <= MAX_ETAG_BYTES) {
            Some(etag) => fs::write(&path, etag),
            None => fs::remove_file(&path),
        };
        if kept.is_err() {
            // Another content's name must not stay.
            let _ = fs::remove_file(&path);
        }
    }

    /// From the first byte on.
    pub(super) fn restart(&mut self) -> Result<(), FileError> {
        if self.length > 0 {
            self.file.set_len(0).map_err(at("shorten", &self.path))?;
            self.file.rewind().map_err(at("shorten", &self.path))?;
            self.hasher = sha2::Sha256::new();
            self.length = 0;
        }
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file
            .write_all(bytes)
            .map_err(at("write", &self.path))?;
        self.hasher.update(bytes);
        self.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Into its place. It must be whole.
    pub(super) fn adopt(self) -> Result<u64, FileError> {
        self.file.sync_all().map_err(at("sync", &self.path))?;
        self.files.adopt(&self.sha256)?;
        Ok(self.length)
    }

    pub(super) fn discard(self) -> Result<(), FileError> {
        self.files.drop_partial(&self.sha256)
    }
}
