//! The way back from a backup.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::archive::{Archive, sync_folders};
use super::{BackupError, Contents, DATABASE, Progress, place};
use crate::disk::{self, failed};
use crate::server;
use crate::store::schema_of;

/// A data folder that is as it was when the backup was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    pub data: PathBuf,
    pub created_at: Timestamp,
    pub schema: i64,
    pub files: usize,
    pub content_bytes: u64,
    /// Folders that the backup does not have.
    pub left_out: Vec<String>,
    /// Where what was there before is.
    pub replaced: Option<PathBuf>,
}

/// What to do with data that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Present {
    Refuse,
    /// Put it aside.
    Replace,
}

/// Makes `data` what it was when the backup `file` was made, or leaves it as it is.
pub async fn restore(
    file: &Path,
    data: &Path,
    present: Present,
    progress: &Progress,
) -> Result<Restored, BackupError> {
    let archive = Archive::open(file)?;
    disk::create_folder(data)?;
    let _lock = server::lock(data).map_err(|e| BackupError::InUse(Box::new(e)))?;
    place::finish(data)?;
    if !place::names(data)?.is_empty() {
        if present == Present::Refuse {
            return Err(BackupError::NotEmpty(data.to_owned()));
        }
        let kept = data.join(place::BEFORE);
        if kept.exists() {
            return Err(BackupError::Kept(kept));
        }
    }
    let unpacked = data.join(place::UNPACKED);
    remove(&unpacked)?;
    disk::create_folder(&unpacked)?;
    let room = |contents: &Contents| has_room(data, contents);
    let checked = match archive.unpack(&unpacked, progress, room) {
        Ok(contents) => check_database(file, &unpacked, contents).await,
        Err(error) => Err(error),
    };
    progress.end();
    let contents = match checked.and_then(|c| sync_folders(&unpacked).map(|()| c)) {
        Ok(contents) => contents,
        Err(error) => {
            remove(&unpacked)?;
            return Err(error);
        }
    };
    place::decide(data)?;
    let replaced = data.join(place::BEFORE);
    Ok(Restored {
        data: data.to_owned(),
        created_at: contents.created_at,
        schema: contents.schema,
        files: contents.files.len(),
        content_bytes: contents.size_bytes(),
        left_out: contents.left_out,
        replaced: replaced.exists().then_some(replaced),
    })
}

fn remove(folder: &Path) -> Result<(), BackupError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed("remove", folder))?;
    }
    Ok(())
}

fn has_room(data: &Path, contents: &Contents) -> Result<(), BackupError> {
    let (needed, free) = (contents.size_bytes(), disk::Space::of(data));
    match free.map(|space| space.free_bytes) {
        Some(free) if free < needed => Err(BackupError::NoRoom {
            folder: data.to_owned(),
            needed,
            free,
        }),
        _ => Ok(()),
    }
}

/// The header may say what it likes: what counts is the database.
async fn check_database(
    file: &Path,
    unpacked: &Path,
    contents: Contents,
) -> Result<Contents, BackupError> {
    let tampered = |reason| BackupError::Tampered {
        file: file.to_owned(),
        within: DATABASE.to_owned(),
        reason,
    };
    let schema = schema_of(&unpacked.join(DATABASE)).await;
    let schema = schema.map_err(|error| tampered(error.to_string()))?;
    if schema == contents.schema {
        return Ok(contents);
    }
    Err(tampered(format!(
        "its schema is {schema} and not {}",
        contents.schema
    )))
}
