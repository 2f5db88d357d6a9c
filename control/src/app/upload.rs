//! Files that arrive over HTTP: to disk as they come, hashed on the way, complete or not there.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use fleet_protocol::Sha256;
use futures_util::{Stream, StreamExt as _};
use sha2::Digest as _;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::error::{Error, Kind, Refusal};
use crate::clock::random_secret;
use crate::disk::{self, failed};

/// The sender went away, or sent no proper body.
#[derive(Debug, thiserror::Error)]
#[error("the body broke off: {0}")]
pub struct BodyError(pub String);

/// A whole file on disk that has no name yet; dropped, it is deleted.
#[derive(Debug)]
pub(super) struct Received {
    temporary: PathBuf,
    pub(super) sha256: Sha256,
    pub(super) size_bytes: u64,
}

impl Drop for Received {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.temporary);
    }
}

impl Received {
    /// Gives it its name, durably.
    pub(super) async fn keep_as(self, path: PathBuf) -> Result<(), Error> {
        let from = self.temporary.clone();
        let renamed = tokio::task::spawn_blocking(move || disk::rename(&from, &path)).await;
        Ok(renamed.expect("renaming does not panic")?)
    }
}

/// Writes the body into a temporary file in `folder`, synced.
///
/// # Errors
/// 413 as soon as it is longer than `max_bytes`; 400 when it breaks off. Nothing is left then.
pub(super) async fn receive<S>(folder: &Path, max_bytes: u64, body: S) -> Result<Received, Error>
where
    S: Stream<Item = Result<Bytes, BodyError>> + Unpin,
{
    disk::create_folder(folder)?;
    let temporary = folder.join(format!(".upload-{}", &random_secret()[..16]));
    let mut received = Received {
        temporary: temporary.clone(),
        sha256: Sha256::from_bytes([0; 32]),
        size_bytes: 0,
    };
    let file = File::create(&temporary).await;
    let mut file = file.map_err(failed("create", &temporary))?;
    file.set_max_buf_size(1 << 20);
    let mut digest = sha2::Sha256::new();
    let mut body = body;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|e| {
            let hint = "send it again as a whole";
            Refusal::new(Kind::BadRequest, "BODY_INCOMPLETE", e.to_string(), hint)
        })?;
        received.size_bytes += chunk.len() as u64;
        if received.size_bytes > max_bytes {
            return Err(too_large(max_bytes));
        }
        digest.update(&chunk);
        file.write_all(&chunk)
            .await
            .map_err(failed("write", &temporary))?;
    }
    file.flush().await.map_err(failed("write", &temporary))?;
    file.sync_all().await.map_err(failed("sync", &temporary))?;
    received.sha256 = Sha256::from_bytes(digest.finalize().into());
    Ok(received)
}

pub(super) fn too_large(max_bytes: u64) -> Error {
    Refusal::new(
        Kind::TooLarge,
        "TOO_LARGE",
        format!("the body is longer than {max_bytes} bytes"),
        "send less, or let the administrator raise the limit",
    )
    .into()
}

/// Throws away what a crash left behind in `folder`.
pub(super) fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(".upload-") {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
