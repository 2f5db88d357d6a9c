//! The journal's file: its tables, how it is opened, and what is done when it is damaged.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction};

/// Nobody else writes; a backup or a person with `sqlite3` may read.
const BUSY: Duration = Duration::from_secs(2);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS entry (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        stream INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        batch TEXT,
        json TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS entry_by_stream ON entry (stream, seq);
    CREATE INDEX IF NOT EXISTS entry_by_age ON entry (stream, at_ms);
    CREATE INDEX IF NOT EXISTS entry_by_batch ON entry (stream, batch) WHERE batch IS NOT NULL;
    CREATE TABLE IF NOT EXISTS tally (
        stream INTEGER PRIMARY KEY,
        dropped INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, json TEXT NOT NULL) STRICT;
";

/// What has to be safe from a power cut when a transaction returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// This one, and with it all before.
    Now,
    /// With the next that is, or the next checkpoint: spares an SD card.
    Soon,
}

pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // The log is cut back to this after a checkpoint.
    db.pragma_update(None, "journal_size_limit", 4 * 1024 * 1024)?;
    prepared(db)
}

pub(super) fn in_memory() -> rusqlite::Result<Connection> {
    prepared(Connection::open_in_memory()?)
}

fn prepared(db: Connection) -> rusqlite::Result<Connection> {
    db.execute_batch(TABLES)?;
    // Reads the index, and so finds most damage at once.
    db.query_row("SELECT count(*) FROM entry", [], |_| Ok(()))?;
    Ok(db)
}

pub(super) fn transact<T>(
    db: &mut Connection,
    durability: Durability,
    act: impl Fn(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let synchronous = match durability {
        Durability::Now => "FULL",
        Durability::Soon => "NORMAL",
    };
    db.pragma_update(None, "synchronous", synchronous)?;
    let tx = db.transaction()?;
    let value = act(&tx)?;
    tx.commit()?;
    Ok(value)
}

pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Kept for whoever looks into it, in the place of an earlier one. Its log belongs to it.
pub(super) fn set_aside(path: &Path) {
    let with = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name
    };
    log::warn!(path:% = path.display(); "the journal is damaged and set aside");
    for suffix in ["", "-wal", "-shm"] {
        let from = with(path, suffix);
        let to = with(path, &format!(".damaged{suffix}"));
        // What cannot be moved must go: a foreign log would damage the new file too.
        if std::fs::rename(&from, &to).is_err() {
            let _ = std::fs::remove_file(&from);
        }
    }
}
