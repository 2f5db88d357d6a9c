//! Makes a backup.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    BackupError, Contents, DATABASE, Entry, FORMAT, HEADER, MEDIA, Progress, SUMS, Scope, TRANSIENT,
};
use crate::disk::{self, failed};
use crate::store::{newest_schema, schema_of, snapshot};

/// Where what goes into the archive is held while it is written, below the data folder.
const STAGE: &str = ".backup";
const LEVEL: i32 = 3;

/// A backup that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    pub file: PathBuf,
    pub size_bytes: u64,
    pub schema: i64,
    pub created_at: Timestamp,
    pub files: usize,
    pub content_bytes: u64,
    pub left_out: Vec<String>,
}

/// Writes a backup of the data folder to the new file `to`; a server may run on the folder. Everything that was
/// acknowledged before this was called is in it.
pub async fn create(
    data: &Path,
    to: &Path,
    scope: Scope,
    now: Timestamp,
    progress: &Progress,
) -> Result<Created, BackupError> {
    if !data.join(DATABASE).is_file() {
        return Err(BackupError::NoData(data.to_owned()));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let stage = Stage::make(data)?;
    let media: &[&str] = match scope {
        Scope::Everything => &MEDIA,
        Scope::WithoutMedia => &[],
    };
    // A row may lose its file before it is read here, and may name one that came only just now. So files are held by a
    // link before the database's instant, and once more after it.
    stage.hold(data, media)?;
    let store = |source| BackupError::Store {
        folder: data.to_owned(),
        source,
    };
    let copy = stage.folder.join(DATABASE);
    snapshot(&data.join(DATABASE), &copy).await.map_err(store)?;
    let schema = schema_of(&copy).await.map_err(store)?;
    if schema > newest_schema() {
        return Err(BackupError::Newer {
            file: data.join(DATABASE),
            version: "of a newer version".to_owned(),
            schema,
            newest: newest_schema(),
        });
    }
    stage.hold(data, media)?;
    let contents = Contents {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: now,
        schema,
        left_out: match scope {
            Scope::Everything => Vec::new(),
            Scope::WithoutMedia => MEDIA.map(str::to_owned).to_vec(),
        },
        files: stage.entries()?,
    };
    progress.begin(contents.size_bytes());
    let written = write(&stage.folder, to, &contents, progress);
    progress.end();
    Ok(Created {
        file: to.to_owned(),
        size_bytes: written?,
        schema,
        created_at: now,
        files: contents.files.len(),
        content_bytes: contents.size_bytes(),
        left_out: contents.left_out,
    })
}

/// Links to what is being backed up; gone when the backup is done, or has failed.
struct Stage {
    folder: PathBuf,
    _lock: File,
}

impl Stage {
    fn make(data: &Path) -> Result<Self, BackupError> {
        let folder = data.join(STAGE);
        let lock = data.join(".backup-lock");
        let file = File::create(&lock).map_err(failed("create", &lock))?;
        // A second one waits until the first is done.
        file.lock().map_err(failed("lock", &lock))?;
        // What a crash left behind.
        let _ = fs::remove_dir_all(&folder);
        disk::create_folder(&folder)?;
        Ok(Self {
            folder,
            _lock: file,
        })
    }

    /// Holds what is there now and was not held yet.
    fn hold(&self, data: &Path, media: &[&str]) -> Result<(), BackupError> {
        for name in names(data)? {
            let skipped = MEDIA.contains(&name.as_str()) && !media.contains(&name.as_str());
            if !skipped && !TRANSIENT.contains(&name.as_str()) {
                hold(&data.join(&name), &self.folder.join(&name))?;
            }
        }
        Ok(())
    }

    /// All that is held: the database first, then by name.
    fn entries(&self) -> Result<Vec<Entry>, BackupError> {
        let mut entries = Vec::new();
        collect(&self.folder, "", &mut entries)?;
        entries.sort_by(|a, b| (a.path != DATABASE, &a.path).cmp(&(b.path != DATABASE, &b.path)));
        Ok(entries)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Names in a folder, but for what is only on its way there.
fn names(folder: &Path) -> Result<Vec<String>, BackupError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let name = entry.map_err(failed("list", folder))?.file_name();
        if let Some(name) = name.to_str()
            && !name.starts_with('.')
            && Path::new(name).extension().is_none_or(|e| e != "new")
            && name != "lost+found"
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Every file here is replaced by renaming, so a link holds it as it is.
fn hold(from: &Path, to: &Path) -> Result<(), BackupError> {
    let Some(kind) = found(fs::symlink_metadata(from), from)?.map(|m| m.file_type()) else {
        return Ok(());
    };
    if kind.is_dir() {
        disk::create_folder(to)?;
        for name in names(from)? {
            hold(&from.join(&name), &to.join(&name))?;
        }
    } else if kind.is_file() && !to.exists() {
        let linked = fs::hard_link(from, to);
        if linked
            .as_ref()
            .is_err_and(|e| e.kind() != io::ErrorKind::NotFound)
        {
            // Some file systems have no links.
            found(fs::copy(from, to), from)?;
        }
    }
    Ok(())
}

/// `None` if it went meanwhile.
fn found<T>(result: io::Result<T>, path: &Path) -> Result<Option<T>, BackupError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("read", path)(e).into()),
    }
}

fn collect(folder: &Path, below: &str, entries: &mut Vec<Entry>) -> Result<(), BackupError> {
    for name in names(folder)? {
        let path = folder.join(&name);
        let metadata = path.metadata().map_err(failed("look at", &path))?;
        let relative = format!("{below}{name}");
        if metadata.is_dir() {
            collect(&path, &format!("{relative}/"), entries)?;
        } else {
            entries.push(Entry {
                path: relative,
                size_bytes: metadata.len(),
            });
        }
    }
    Ok(())
}

fn write(
    stage: &Path,
    to: &Path,
    contents: &Contents,
    progress: &Progress,
) -> Result<u64, BackupError> {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = to.with_file_name(name);
    let _ = fs::remove_file(&part);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .map_err(failed("create", &part))?;
    let result = pack(stage, &file, contents, progress)
        .and_then(|()| file.sync_all())
        .map_err(failed("write", &part))
        .and_then(|()| disk::rename(&part, to));
    if let Err(error) = result {
        let _ = fs::remove_file(&part);
        return Err(error.into());
    }
    Ok(to.metadata().map_err(failed("look at", to))?.len())
}

fn pack(stage: &Path, file: &File, contents: &Contents, progress: &Progress) -> io::Result<()> {
    let mut zstd = zstd::Encoder::new(BufWriter::new(file), LEVEL)?;
    zstd.include_checksum(true)?;
    let mut tar = tar::Builder::new(zstd);
    let mtime = u64::try_from(contents.created_at.as_second()).unwrap_or(0);
    let header = serde_json::to_vec_pretty(contents)?;
    let mut sums = vec![sum(Sha256::digest(&header), HEADER)];
    append(
        &mut tar,
        HEADER,
        header.len() as u64,
        mtime,
        header.as_slice(),
    )?;
    for entry in &contents.files {
        let mut digest = Sha256::new();
        let file = File::open(stage.join(&entry.path))?;
        let reader = Hashed(progress.watch(file), &mut digest);
        append(&mut tar, &entry.path, entry.size_bytes, mtime, reader)?;
        sums.push(sum(digest.finalize(), &entry.path));
    }
    let sums = sums.concat();
    append(&mut tar, SUMS, sums.len() as u64, mtime, sums.as_bytes())?;
    tar.into_inner()?.finish()?.flush()
}

/// A line as `sha256sum` writes it.
fn sum(digest: impl AsRef<[u8]>, path: &str) -> String {
    format!("{}  {path}\n", hex::encode(digest))
}

fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    path: &str,
    size: u64,
    mtime: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header.set_mtime(mtime);
    header.set_entry_type(tar::EntryType::Regular);
    // A file that is shorter than announced would shift all that follows.
    let mut content = content.take(size);
    tar.append_data(&mut header, path, &mut content)?;
    if content.limit() > 0 {
        return Err(io::Error::other(format!(
            "{path} became shorter while it was read"
        )));
    }
    Ok(())
}

/// Takes the digest of what is read.
struct Hashed<'a, R>(R, &'a mut Sha256);

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.update(&buffer[..read]);
        Ok(read)
    }
}
