//! What the player has to tell, on disk until the control plane has it: events, proofs of play, and the
//! state of the conversation itself.
//!
//! SQLite with a write-ahead log. A row is one small append; what is sent next is fixed as a batch with an
//! id of its own before it is sent, and sent again under that id until it is acknowledged, also after a
//! power cut. The receiver drops a batch whose id it has, so each row arrives exactly once.
//!
//! Invariants:
//! - One batch of a stream is open at a time; rows never join a batch that exists.
//! - A row is deleted when its batch is acknowledged, when it is too old, or when there are too many; the
//!   oldest go first, and what goes undelivered is counted.
//! - A damaged file is set aside and begun anew; it stops nobody.

mod rows;
mod schema;

use std::path::{Path, PathBuf};

use fleet_protocol::BatchId;
use fleet_protocol::event::MAX_EVENTS_PER_BATCH;
use fleet_protocol::player::{MAX_PROOFS_PER_BATCH, PlayerEvent, ProofOfPlay};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use rows::{count, drop_batch, open_batch, read_batch, trim, unsigned};
use schema::Durability;

/// Rows that wait at most, each stream for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_rows: u64,
    pub max_age_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_rows: 20_000,
            max_age_s: 7 * 24 * 60 * 60,
        }
    }
}

/// One kind of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    Events,
    Proofs,
}

impl Stream {
    const fn number(self) -> i64 {
        match self {
            Self::Events => 0,
            Self::Proofs => 1,
        }
    }

    const fn max_rows_per_batch(self) -> usize {
        match self {
            Self::Events => MAX_EVENTS_PER_BATCH,
            Self::Proofs => MAX_PROOFS_PER_BATCH,
        }
    }
}

/// What can be written down.
pub trait Row: Serialize + DeserializeOwned {
    const STREAM: Stream;

    /// From when its age counts.
    fn at(&self) -> Timestamp;
}

impl Row for PlayerEvent {
    const STREAM: Stream = Stream::Events;

    fn at(&self) -> Timestamp {
        self.event_time_utc
    }
}

impl Row for ProofOfPlay {
    const STREAM: Stream = Stream::Proofs;

    fn at(&self) -> Timestamp {
        self.ended_at_utc
    }
}

/// What is to be sent next, oldest first. The same until it is acknowledged, but for rows that went by
/// their age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<R> {
    pub id: BatchId,
    pub rows: Vec<R>,
}

#[derive(Debug, thiserror::Error)]
#[error("{operation} in {}", path.display())]
pub struct JournalError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: rusqlite::Error,
}

impl JournalError {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self.source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => "make room on the data partition",
            _ => "check the data partition; the player goes on without the record",
        }
    }
}

/// The record. All calls block on the disk.
#[derive(Debug)]
pub struct Journal {
    db: Connection,
    /// Empty: in memory.
    path: PathBuf,
    limits: Limits,
}

impl Journal {
    /// Opens the file, or begins a new one.
    ///
    /// # Errors
    /// When the folder does not take one; [`Self::in_memory`] is left then.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, JournalError> {
        let db = schema::open(path).or_else(|error| {
            if !schema::is_damage(&error) {
                return Err(error);
            }
            schema::set_aside(path);
            schema::open(path)
        });
        Ok(Self {
            db: db.map_err(|source| JournalError {
                operation: "open the journal",
                path: path.to_owned(),
                source,
            })?,
            path: path.to_owned(),
            limits,
        })
    }

    /// As on a disk that takes nothing any more.
    #[cfg(test)]
    pub(crate) fn take_nothing(&self) {
        self.db
            .pragma_update(None, "query_only", "ON")
            .expect("it is known to SQLite");
    }

    /// Gone with the player; for a device whose disk takes nothing.
    pub fn in_memory(limits: Limits) -> Self {
        Self {
            db: schema::in_memory().expect("SQLite needs no more than memory for it"),
            path: PathBuf::new(),
            limits,
        }
    }

    /// Writes a row down and makes room for it. Not yet safe from a power cut.
    pub fn record<R: Row>(&mut self, row: &R, now: Timestamp) -> Result<(), JournalError> {
        let json = serde_json::to_string(row).expect("a row is plain data");
        let limits = self.limits;
        self.write("record a row", Durability::Soon, |tx| {
            tx.prepare("INSERT INTO entry (stream, at_ms, json) VALUES (?1, ?2, ?3)")?
                .execute(params![R::STREAM.number(), row.at().as_millisecond(), json])?;
            trim(tx, R::STREAM, limits, now)
        })
    }

    /// The open batch, or a new one of the oldest rows; `None` if nothing waits. On disk before it is
    /// given.
    pub fn draw<R: Row>(&mut self, now: Timestamp) -> Result<Option<Batch<R>>, JournalError> {
        let limits = self.limits;
        self.write("draw a batch", Durability::Now, |tx| {
            trim(tx, R::STREAM, limits, now)?;
            // Rows of another version of the player are dropped, and there may be others behind them.
            while let Some(id) = open_batch(tx, R::STREAM)? {
                let rows = read_batch(tx, R::STREAM, &id)?;
                match id.parse() {
                    Ok(id) if !rows.is_empty() => return Ok(Some(Batch { id, rows })),
                    _ => drop_batch(tx, R::STREAM, &id)?,
                }
            }
            Ok(None)
        })
    }

    /// The control plane has this batch, or will never take it. True if rows are left.
    pub fn acknowledge(&mut self, stream: Stream, id: &BatchId) -> Result<bool, JournalError> {
        self.write("delete a delivered batch", Durability::Soon, |tx| {
            tx.prepare("DELETE FROM entry WHERE stream = ?1 AND batch = ?2")?
                .execute(params![stream.number(), id.as_str()])?;
            Ok(count(tx, stream)? > 0)
        })
    }

    /// Rows that wait.
    pub fn waiting(&mut self, stream: Stream) -> Result<u64, JournalError> {
        self.write("count the rows", Durability::Soon, |tx| count(tx, stream))
    }

    /// Rows that went undelivered since the file was begun.
    pub fn dropped(&mut self, stream: Stream) -> Result<u64, JournalError> {
        self.write("count the dropped rows", Durability::Soon, |tx| {
            let dropped: Option<i64> = tx
                .prepare("SELECT dropped FROM tally WHERE stream = ?1")?
                .query_row([stream.number()], |row| row.get(0))
                .optional()?;
            Ok(unsigned(dropped.unwrap_or(0)))
        })
    }

    /// Keeps a state under a name; safe from a power cut when this returns.
    pub fn keep(&mut self, name: &str, state: &impl Serialize) -> Result<(), JournalError> {
        let json = serde_json::to_string(state).expect("a state is plain data");
        self.write("keep a state", Durability::Now, |tx| {
            tx.prepare("INSERT OR REPLACE INTO kept (name, json) VALUES (?1, ?2)")?
                .execute(params![name, json])
                .map(drop)
        })
    }

    /// What was kept; `None` if nothing was, or it is not understood.
    pub fn kept<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, JournalError> {
        let json: Option<String> = self.write("read a state", Durability::Soon, |tx| {
            tx.prepare("SELECT json FROM kept WHERE name = ?1")?
                .query_row([name], |row| row.get(0))
                .optional()
        })?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }

    /// One transaction. After damage once more, in a new file.
    fn write<T>(
        &mut self,
        operation: &'static str,
        durability: Durability,
        act: impl Fn(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let mut result = schema::transact(&mut self.db, durability, &act);
        if let Err(error) = &result
            && schema::is_damage(error)
            && !self.path.as_os_str().is_empty()
        {
            schema::set_aside(&self.path);
            result = schema::open(&self.path).and_then(|db| {
                self.db = db;
                schema::transact(&mut self.db, durability, &act)
            });
        }
        result.map_err(|source| JournalError {
            operation,
            path: self.path.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests;
