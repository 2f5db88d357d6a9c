//! Reads a backup from its beginning to its end, believing nothing that it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{
    BackupError, Contents, DATABASE, FORMAT, HEADER, MEDIA, Progress, SUMS, TRANSIENT, is_plain,
    top,
};
use crate::disk::{self, failed};
use crate::store::newest_schema;

/// Longest header or list of digests: some hundred thousand files.
const MAX_DOCUMENT_BYTES: u64 = 128 << 20;
/// How zstd begins.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const BUFFER_BYTES: usize = 1 << 20;

/// An archive whose header made sense.
pub struct Archive {
    tar: tar::Archive<zstd::Decoder<'static, io::BufReader<File>>>,
    path: PathBuf,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Archive {
    /// # Errors
    /// When it can't be read, or is no backup.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let mut file = File::open(path).map_err(failed("open", path))?;
        let mut begin = Vec::new();
        let read = (&mut file).take(MAGIC.len() as u64).read_to_end(&mut begin);
        read.and_then(|_| file.rewind())
            .map_err(failed("read", path))?;
        if begin != MAGIC {
            return Err(BackupError::NoBackup(path.to_owned()));
        }
        let zstd = zstd::Decoder::new(file).map_err(failed("read", path))?;
        Ok(Self {
            tar: tar::Archive::new(zstd),
            path: path.to_owned(),
        })
    }

    /// Unpacks everything into the empty folder `into`, once `accept` has agreed to what is to come. When this is done,
    /// every file has the digest that it was backed up with.
    ///
    /// # Errors
    /// When it is damaged, incomplete, or not what a backup holds; `into` may then hold a part of it.
    pub fn unpack(
        mut self,
        into: &Path,
        progress: &Progress,
        accept: impl FnOnce(&Contents) -> Result<(), BackupError>,
    ) -> Result<Contents, BackupError> {
        let path = self.path.clone();
        let reader = Reading { file: &path };
        let unreadable = |error| reader.broken(Some(HEADER), Some(error));
        let mut entries = self.tar.entries().map_err(unreadable)?;
        let first = entries.next().transpose().map_err(unreadable)?;
        let mut first = first
            .filter(|e| is_file(e, HEADER))
            .ok_or_else(|| BackupError::NoBackup(path.clone()))?;
        let header = reader.document(&mut first, HEADER)?;
        let contents: Contents = serde_json::from_slice(&header)
            .map_err(|e| reader.tampered(HEADER, format!("it does not parse: {e}")))?;
        reader.check(&contents)?;
        accept(&contents)?;
        progress.begin(contents.size_bytes());

        let mut digests = BTreeMap::from([(HEADER, hex::encode(Sha256::digest(&header)))]);
        let kept = into.join(HEADER);
        disk::write(&kept, &header, disk::Access::Owner)?;
        for file in &contents.files {
            let mut entry = reader.next(&mut entries, &file.path)?;
            if entry.size() != file.size_bytes {
                let reason = format!("{} bytes instead of {}", entry.size(), file.size_bytes);
                return Err(reader.tampered(&file.path, reason));
            }
            let to = into.join(&file.path);
            let digest =
                reader.store(progress.watch(&mut entry), &to, &file.path, file.size_bytes)?;
            digests.insert(&file.path, digest);
        }
        let mut sums = reader.next(&mut entries, SUMS)?;
        let sums = reader.document(&mut sums, SUMS)?;
        reader.compare(&sums, &digests)?;
        match entries.next() {
            None => {}
            Some(Err(error)) => return Err(reader.broken(Some(SUMS), Some(error))),
            Some(Ok(more)) => {
                let name = String::from_utf8_lossy(&more.path_bytes()).into_owned();
                return Err(reader.tampered(&name, "it follows the end".to_owned()));
            }
        }
        // The archive's own checksum is at its very end.
        let mut rest = self.tar.into_inner();
        io::copy(&mut rest, &mut io::sink()).map_err(|e| reader.broken(Some(SUMS), Some(e)))?;
        Ok(contents)
    }
}

fn is_file(entry: &tar::Entry<'_, impl Read>, name: &str) -> bool {
    entry.header().entry_type() == tar::EntryType::Regular
        && *entry.path_bytes() == *name.as_bytes()
}

/// Errors that name the backup.
struct Reading<'a> {
    file: &'a Path,
}

impl Reading<'_> {
    fn broken(&self, within: Option<&str>, source: Option<io::Error>) -> BackupError {
        BackupError::Broken {
            file: self.file.to_owned(),
            within: within.map(str::to_owned),
            source,
        }
    }

    fn tampered(&self, within: &str, reason: String) -> BackupError {
        BackupError::Tampered {
            file: self.file.to_owned(),
            within: within.to_owned(),
            reason,
        }
    }

    /// That it is one for this program, and names nothing but files below the folder, each once.
    fn check(&self, contents: &Contents) -> Result<(), BackupError> {
        if contents.format > FORMAT || contents.schema > newest_schema() {
            return Err(BackupError::Newer {
                file: self.file.to_owned(),
                version: contents.version.clone(),
                schema: contents.schema,
                newest: newest_schema(),
            });
        }
        let mut seen = BTreeSet::new();
        for file in &contents.files {
            let path = file.path.as_str();
            let foreign = path != DATABASE && TRANSIENT.contains(&top(path));
            let left_out = contents.left_out.iter().any(|name| name == top(path));
            let reason = if !is_plain(path) || matches!(path, HEADER | SUMS) {
                "it is no path of a file in a data folder"
            } else if foreign || left_out {
                "it does not belong into a backup"
            } else if !seen.insert(path) {
                "it is there twice"
            } else {
                continue;
            };
            return Err(self.tampered(path, reason.to_owned()));
        }
        if let Some(name) = contents
            .left_out
            .iter()
            .find(|n| !MEDIA.contains(&n.as_str()))
        {
            return Err(self.tampered(name, "it can't be left out".to_owned()));
        }
        if !seen.contains(DATABASE) {
            return Err(self.tampered(DATABASE, "it is missing".to_owned()));
        }
        Ok(())
    }

    /// The next file, which must be this one.
    fn next<'e, R: Read>(
        &self,
        entries: &mut tar::Entries<'e, R>,
        expected: &str,
    ) -> Result<tar::Entry<'e, R>, BackupError> {
        match entries.next() {
            None => Err(self.broken(Some(expected), None)),
            Some(Err(error)) => Err(self.broken(Some(expected), Some(error))),
            Some(Ok(entry)) if is_file(&entry, expected) => Ok(entry),
            Some(Ok(entry)) => {
                let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                Err(self.tampered(
                    &name,
                    format!("`{expected}` should be in its place, as a file"),
                ))
            }
        }
    }

    fn document(&self, entry: &mut impl Read, name: &str) -> Result<Vec<u8>, BackupError> {
        let mut text = Vec::new();
        let read = entry.take(MAX_DOCUMENT_BYTES).read_to_end(&mut text);
        read.map_err(|e| self.broken(Some(name), Some(e)))?;
        Ok(text)
    }

    /// Writes a file, and says the digest of what was written.
    fn store(
        &self,
        mut content: impl Read,
        to: &Path,
        name: &str,
        size: u64,
    ) -> Result<String, BackupError> {
        let folder = to.parent().unwrap_or(Path::new("."));
        disk::create_folder(folder)?;
        let mode = if name == "ca.pem" { 0o644 } else { 0o600 };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(to)
            .map_err(failed("create", to))?;
        let (mut digest, mut buffer, mut written) = (Sha256::new(), vec![0; BUFFER_BYTES], 0);
        loop {
            let read = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => return Err(self.broken(Some(name), Some(error))),
            };
            digest.update(&buffer[..read]);
            file.write_all(&buffer[..read])
                .map_err(failed("write", to))?;
            written += read as u64;
        }
        if written != size {
            return Err(self.broken(Some(name), None));
        }
        file.sync_all().map_err(failed("sync", to))?;
        Ok(hex::encode(digest.finalize()))
    }

    fn compare(&self, sums: &[u8], found: &BTreeMap<&str, String>) -> Result<(), BackupError> {
        let sums = String::from_utf8_lossy(sums);
        let mut expected: BTreeMap<&str, &str> = sums
            .lines()
            .filter_map(|line| line.split_once("  "))
            .map(|(digest, name)| (name, digest))
            .collect();
        for (name, digest) in found {
            match expected.remove(name) {
                Some(wanted) if wanted == digest => {}
                Some(_) => return Err(self.tampered(name, "its SHA-256 is another".to_owned())),
                None => return Err(self.tampered(name, format!("{SUMS} does not name it"))),
            }
        }
        match expected.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.tampered(name, "it is missing".to_owned())),
        }
    }
}

/// Makes all that was unpacked durable: a folder's names are its own to sync.
pub(super) fn sync_folders(folder: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let path = entry.map_err(failed("list", folder))?.path();
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    let synced = File::open(folder).and_then(|f| f.sync_all());
    Ok(synced.map_err(failed("sync the folder", folder))?)
}
