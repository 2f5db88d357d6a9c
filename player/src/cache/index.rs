//! Which assets the files are, and in which order they were played: what their names don't say.
//!
//! An SQLite file beside the folders. It is a memory aid and never the truth: the files are. An index
//! that is damaged, or of a version that this player does not know, is set aside and begun anew; one
//! that can't be written is replaced by one in memory. Then the files have no assets' names until
//! they are asked for again, which costs a moment at the start and no download.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use fleet_protocol::{AssetId, Sha256};
use rusqlite::{Connection, ErrorCode, Transaction, params};

use crate::core::cache::StoredFile;
use crate::core::screen::AssetRef;

const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE file (
        sha256 BLOB PRIMARY KEY CHECK (length(sha256) = 32),
        size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
        last_played INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE asset (
        sha256 BLOB NOT NULL REFERENCES file ON DELETE CASCADE,
        asset_id TEXT NOT NULL,
        PRIMARY KEY (sha256, asset_id)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;";

#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} the cache's index {}: {source}", path.display())]
pub struct IndexError {
    pub operation: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: rusqlite::Error,
}

/// Why an index can't be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    /// What is in it.
    #[error("{0}")]
    Content(String),
    /// Where it is.
    #[error(transparent)]
    Place(rusqlite::Error),
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Content(error.to_string())
            }
            _ => Self::Place(error),
        }
    }
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// The file is there, and it is this asset.
    Put {
        asset: AssetRef,
        size_bytes: u64,
        last_played: u64,
    },
    Remove(Sha256),
    Played {
        sha256: Sha256,
        last_played: u64,
    },
}

#[derive(Debug)]
pub(super) struct Index {
    connection: Connection,
    path: PathBuf,
}

impl Index {
    /// # Errors
    /// Only when not even an index in memory can be had.
    pub(super) fn open(path: &Path) -> Result<Self, IndexError> {
        let opened = match open_file(path) {
            Err(Unusable::Content(reason)) => {
                log::warn!(path:% = path.display(), error:% = reason; "the cache's index is set aside and begun anew");
                set_aside(path);
                open_file(path)
            }
            opened => opened,
        };
        let connection = match opened {
            Ok(connection) => connection,
            Err(reason) => {
                log::warn!(path:% = path.display(), error:% = reason; "the cache's index is kept in memory only");
                in_memory().map_err(error(path, "replace"))?
            }
        };
        let path = path.to_owned();
        Ok(Self { connection, path })
    }

    pub(super) fn load(&self) -> Result<BTreeMap<Sha256, StoredFile>, IndexError> {
        read(&self.connection).map_err(error(&self.path, "read"))
    }

    /// All of it or nothing; on the medium when it returns.
    pub(super) fn write(&mut self, changes: &[Change]) -> Result<(), IndexError> {
        if changes.is_empty() {
            return Ok(());
        }
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for change in changes {
                apply(&transaction, change)?;
            }
            transaction.commit()
        };
        write(&mut self.connection).map_err(error(&self.path, "write"))
    }
}

fn error(path: &Path, operation: &'static str) -> impl FnOnce(rusqlite::Error) -> IndexError {
    let path = path.to_owned();
    move |source| IndexError {
        operation,
        path,
        source,
    }
}

fn in_memory() -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

fn open_file(path: &Path) -> Result<Connection, Unusable> {
    let connection = Connection::open(path)?;
    // Nobody else has business with it, and so WAL needs no shared memory.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;",
    )?;
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => connection.execute_batch(&format!("BEGIN EXCLUSIVE; {SCHEMA} COMMIT;"))?,
        SCHEMA_VERSION => {}
        other => return Err(Unusable::Content(format!("it is of version {other}"))),
    }
    let check: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if check != "ok" {
        return Err(Unusable::Content(check));
    }
    read(&connection)?;
    Ok(connection)
}

/// Replaces an earlier one. What can't be renamed is in the way, so it is removed.
fn set_aside(path: &Path) {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    if fs::rename(path, beside(".damaged")).is_err() {
        let _ = fs::remove_file(path);
    }
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(suffix));
    }
}

fn read(connection: &Connection) -> Result<BTreeMap<Sha256, StoredFile>, rusqlite::Error> {
    let mut files = BTreeMap::new();
    let mut query = connection.prepare("SELECT sha256, size_bytes, last_played FROM file")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let file = StoredFile {
            size_bytes: row.get(1)?,
            last_played: row.get(2)?,
            names: BTreeSet::new(),
        };
        files.insert(Sha256::from_bytes(row.get(0)?), file);
    }
    let mut query = connection.prepare("SELECT sha256, asset_id FROM asset")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        if let Some(file) = files.get_mut(&Sha256::from_bytes(row.get(0)?))
            && let Ok(asset_id) = name.parse::<AssetId>()
        {
            file.names.insert(asset_id);
        }
    }
    Ok(files)
}

fn apply(transaction: &Transaction<'_>, change: &Change) -> Result<(), rusqlite::Error> {
    match change {
        Change::Put {
            asset,
            size_bytes,
            last_played,
        } => {
            let sha256 = asset.checksum_sha256.as_bytes();
            transaction
                .prepare(
                    "INSERT INTO file VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE
                     SET size_bytes = excluded.size_bytes, last_played = excluded.last_played",
                )?
                .execute(params![sha256, size_bytes, last_played])?;
            transaction
                .prepare("INSERT OR IGNORE INTO asset VALUES (?1, ?2)")?
                .execute(params![sha256, asset.asset_id.as_str()])?;
        }
        Change::Remove(sha256) => {
            transaction
                .prepare("DELETE FROM file WHERE sha256 = ?1")?
                .execute(params![sha256.as_bytes()])?;
        }
        Change::Played {
            sha256,
            last_played,
        } => {
            transaction
                .prepare(
                    "UPDATE file SET last_played = ?2 WHERE sha256 = ?1 AND last_played <> ?2",
                )?
                .execute(params![sha256.as_bytes(), last_played])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(name: &str, last_played: u64) -> Change {
        Change::Put {
            asset: AssetRef {
                asset_id: name.parse().unwrap(),
                checksum_sha256: Sha256::of("content"),
            },
            size_bytes: 7,
            last_played,
        }
    }

    fn names(index: &Index) -> Vec<String> {
        let files = index.load().unwrap();
        let names = files.values().flat_map(|file| &file.names);
        names.map(ToString::to_string).collect()
    }

    #[test]
    fn it_keeps_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.sqlite3");
        let mut index = Index::open(&path).unwrap();
        index.write(&[put("a", 1), put("b", 2)]).unwrap();
        let sha256 = Sha256::of("content");
        let played = Change::Played {
            sha256,
            last_played: 9,
        };
        index.write(&[played]).unwrap();
        drop(index);
        let mut index = Index::open(&path).unwrap();
        assert_eq!(names(&index), ["a", "b"]);
        assert_eq!(index.load().unwrap()[&sha256].last_played, 9);
        index.write(&[Change::Remove(sha256)]).unwrap();
        assert!(index.load().unwrap().is_empty());
        index.write(&[put("b", 2)]).unwrap();
        assert_eq!(names(&index), ["b"], "a's name went with its file");
    }

    #[test]
    fn one_that_is_no_index_is_set_aside() {
        let check = |spoil: fn(&Path)| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("index.sqlite3");
            Index::open(&path).unwrap().write(&[put("a", 1)]).unwrap();
            spoil(&path);
            let mut index = Index::open(&path).unwrap();
            assert_eq!(names(&index), [""; 0]);
            assert!(folder.path().join("index.sqlite3.damaged").exists());
            index.write(&[put("b", 1)]).unwrap();
            drop(index);
            assert_eq!(names(&Index::open(&path).unwrap()), ["b"]);
        };
        check(|path| fs::write(path, "no database at all, but some text ".repeat(99)).unwrap());
        check(|path| {
            let newer = Connection::open(path).unwrap();
            newer.pragma_update(None, "user_version", 2).unwrap();
        });
        // Pages in the middle, such as a worn card gives back.
        check(|path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[4_096..].fill(0xa5);
            fs::write(path, bytes).unwrap();
        });
    }

    #[test]
    fn where_nothing_can_be_written_it_is_kept_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::open(&folder.path().join("missing/index.sqlite3")).unwrap();
        index.write(&[put("a", 1)]).unwrap();
        assert_eq!(names(&index), ["a"]);
    }
}
