//! Uploads that go on where a broken connection left them.
//!
//! What has arrived of a file waits beside the finished ones, under a name of its own; its length is how far the
//! upload got. Invariants:
//! - One writer for each file: whoever comes later is right (the earlier connection may be dead
//!   without our knowing), so it waits until the earlier one has let go. One that another control plane receives is
//!   left to that one: the file is locked.
//! - A file gets its final name only whole, synced, with the right digest, and before the next writer's turn.

use std::collections::HashMap;
use std::fs::TryLockError;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fleet_protocol::Sha256;
use futures_util::{Stream, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use sha2::Digest as _;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{OwnedMutexGuard, watch};

use super::error::{Error, Kind, Refusal};
use super::upload::{BodyError, too_large};
use crate::disk::{self, DiskError, failed};

const PREFIX: &str = ".partial-";
/// How long a file is waited for that another control plane is receiving.
const ELSEWHERE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// What nobody went on with for this long is thrown away.
const KEPT: SignedDuration = SignedDuration::from_hours(48);

/// Which bytes of the whole a request's body brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub first: u64,
    /// Of the whole file, if the sender says so.
    pub total: Option<u64>,
}

impl Part {
    pub const WHOLE: Self = Self {
        first: 0,
        total: None,
    };
}

/// How an upload ended without an error.
#[derive(Debug)]
pub(super) enum Progress {
    /// As announced, there is more to come.
    Partial,
    /// All of it is on disk, with this size, at [`partial_path`]. Nobody else writes there until the turn is dropped:
    /// after the file has its name.
    Whole(u64, Turn),
}

/// Who writes which file.
#[derive(Debug, Default)]
pub(super) struct Writers(Mutex<HashMap<PathBuf, Arc<Writer>>>);

#[derive(Debug, Default)]
struct Writer {
    /// Held while writing.
    pen: Arc<tokio::sync::Mutex<()>>,
    /// Counts who asked for the pen; the last one gets to keep it.
    asked: watch::Sender<u64>,
}

/// The right to write a file.
#[derive(Debug)]
pub(super) struct Turn {
    writer: Arc<Writer>,
    number: u64,
    _pen: OwnedMutexGuard<()>,
    /// Against other control planes that share the folder.
    lock: Option<std::fs::File>,
}

impl Writers {
    async fn turn(&self, path: &Path) -> Turn {
        let writer = {
            let mut writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody holds are done with.
            writers.retain(|_, w| Arc::strong_count(w) > 1);
            Arc::clone(writers.entry(path.to_owned()).or_default())
        };
        let mut number = 0;
        writer.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        let pen = Arc::clone(&writer.pen).lock_owned().await;
        Turn {
            writer,
            number,
            _pen: pen,
            lock: None,
        }
    }
}

/// `name`: the upload's own.
pub(super) fn partial_path(folder: &Path, name: impl std::fmt::Display) -> PathBuf {
    folder.join(format!("{PREFIX}{name}"))
}

/// How many bytes are here already.
pub(super) async fn received(path: &Path) -> Result<u64, Error> {
    match tokio::fs::metadata(path).await {
        Ok(metadata) => Ok(metadata.len()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
        Err(e) => Err(failed("look at", path)(e).into()),
    }
}

/// Appends the body to the partial file at `path`; what came before it breaks off is kept.
///
/// # Errors
/// 409 when the part does not begin where the file ends, or a later upload took over; 413 when the
/// whole is longer than `max_bytes`; 400 when the body breaks off; 422 (and the file is gone) when
/// the whole has another digest.
pub(super) async fn receive<S>(
    writers: &Writers,
    path: &Path,
    sha256: &Sha256,
    part: Part,
    max_bytes: u64,
    mut body: S,
) -> Result<Progress, Error>
where
    S: Stream<Item = Result<Bytes, BodyError>> + Unpin,
{
    disk::create_folder(path.parent().unwrap_or(Path::new(".")))?;
    if part.total.is_some_and(|total| total > max_bytes) {
        return Err(too_large(max_bytes));
    }
    let mut turn = writers.turn(path).await;
    turn.lock = Some(lock(path).await?);
    let mut size = check_offset(path, part).await?;
    let mut digest = digest_of(path, size).await?;
    let mut file = open(path, size).await?;
    let mut asked = turn.writer.asked.subscribe();
    loop {
        let chunk = tokio::select! {
            chunk = body.next() => chunk,
            () = taken(&mut asked, turn.number) => {
                keep(&mut file, path).await?;
                return Err(taken_over());
            }
        };
        let Some(chunk) = chunk else { break };
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                keep(&mut file, path).await?;
                return Err(broken_off(&error));
            }
        };
        size += chunk.len() as u64;
        if size > part.total.unwrap_or(max_bytes) {
            drop(file);
            forget(path).await;
            return Err(too_large(part.total.unwrap_or(max_bytes)));
        }
        digest.update(&chunk);
        file.write_all(&chunk)
            .await
            .map_err(failed("write", path))?;
    }
    // A write that an earlier connection left in flight may have come after our beginning.
    file.flush().await.map_err(failed("write", path))?;
    file.set_len(size).await.map_err(failed("truncate", path))?;
    keep(&mut file, path).await?;
    if part.total.is_some_and(|total| size < total) {
        return Ok(Progress::Partial);
    }
    let found = Sha256::from_bytes(digest.finalize().into());
    if found != *sha256 {
        forget(path).await;
        return Err(Refusal::new(
            Kind::Unprocessable,
            "DIGEST_MISMATCH",
            format!("the body's SHA-256 is {found}, not {sha256}"),
            "the file changed or was damaged on the way: compute its SHA-256 and send it again",
        )
        .into());
    }
    Ok(Progress::Whole(size, turn))
}

/// Where the body is to be written; a part that begins at 0 begins anew. Whoever does not know that all of it came
/// may send the last byte again.
async fn check_offset(path: &Path, part: Part) -> Result<u64, Error> {
    let here = received(path).await?;
    let is_last_byte = part.total == Some(here) && part.first + 1 == here;
    if part.first == 0 || part.first == here || is_last_byte {
        return Ok(part.first);
    }
    Err(Refusal::new(
        Kind::Conflict,
        "UPLOAD_OFFSET",
        format!(
            "the part begins at byte {}, but {here} bytes are here",
            part.first
        ),
        "send from receivedBytes on, which stands in this answer",
    )
    .with("receivedBytes", here)
    .into())
}

async fn open(path: &Path, size: u64) -> Result<File, Error> {
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)
        .await
        .map_err(failed("open", path))?;
    file.set_len(size).await.map_err(failed("truncate", path))?;
    let mut file = file;
    tokio::io::AsyncSeekExt::seek(&mut file, std::io::SeekFrom::Start(size))
        .await
        .map_err(failed("seek in", path))?;
    file.set_max_buf_size(1 << 20);
    Ok(file)
}

/// The digest so far: that of what an earlier connection brought.
async fn digest_of(path: &Path, size: u64) -> Result<sha2::Sha256, Error> {
    if size == 0 {
        return Ok(sha2::Sha256::new());
    }
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        let read = || -> std::io::Result<sha2::Sha256> {
            let mut file = std::fs::File::open(&path)?.take(size);
            let (mut digest, mut buffer) = (sha2::Sha256::new(), vec![0; 1 << 20]);
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok(digest),
                    n => digest.update(&buffer[..n]),
                }
            }
        };
        read().map_err(failed("read", &path))
    });
    Ok(hashed.await.expect("hashing does not panic")?)
}

async fn keep(file: &mut File, path: &Path) -> Result<(), Error> {
    file.flush().await.map_err(failed("write", path))?;
    file.sync_all().await.map_err(failed("sync", path))?;
    Ok(())
}

/// Ends when somebody asked for the pen after `number`.
async fn taken(asked: &mut watch::Receiver<u64>, number: u64) {
    let _ = asked.wait_for(|asked| *asked > number).await;
}

async fn forget(path: &Path) {
    let _ = tokio::fs::remove_file(path).await;
}

fn broken_off(error: &BodyError) -> Error {
    let hint = "send the rest; whoever sends a part from a wrong place is told the right one";
    Refusal::new(Kind::BadRequest, "BODY_INCOMPLETE", error.to_string(), hint).into()
}

fn taken_over() -> Error {
    Refusal::new(
        Kind::Conflict,
        "UPLOAD_TAKEN_OVER",
        "another upload of the same file went on instead",
        "let one of them finish; a file is stored once",
    )
    .into()
}

/// Locks the file, which is made if it is not there.
async fn lock(path: &Path) -> Result<std::fs::File, Error> {
    let until = tokio::time::Instant::now() + ELSEWHERE;
    loop {
        let attempt = path.to_owned();
        let locked = tokio::task::spawn_blocking(move || try_lock(&attempt)).await;
        if let Some(file) = locked.expect("locking does not panic")? {
            return Ok(file);
        }
        if tokio::time::Instant::now() > until {
            return Err(Refusal::new(
                Kind::Conflict,
                "UPLOAD_ELSEWHERE",
                "another control plane is receiving this file",
                "send all parts of a file to one of them, or try again when that upload is over",
            )
            .into());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// `None`: somebody else has it, or had it until now and has given it its final name.
fn try_lock(path: &Path) -> Result<Option<std::fs::File>, DiskError> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).write(true).truncate(false).open(path);
    let file = file.map_err(failed("open", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(failed("lock", path)(error)),
    }
    let locked = file.metadata().map_err(failed("look at", path))?;
    let there = std::fs::metadata(path).is_ok_and(|there| there.ino() == locked.ino());
    Ok(there.then_some(file))
}

/// Throws away what nobody went on with.
pub(super) fn sweep(folder: &Path, now: Timestamp) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let modified = entry.metadata().and_then(|m| m.modified()).ok();
        let modified = modified.and_then(|at| Timestamp::try_from(at).ok());
        if modified.is_some_and(|at| now.duration_since(at) > KEPT) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
