//! What the control plane remembers: SQLite, and all of its SQL.
//!
//! Invariants:
//! - Every table carries `tenant_id`, and every query takes a [`TenantContext`] first. The only
//!   queries without one are in [`gate`]: they turn a secret into a context.
//! - One connection writes, so that no writer waits for another within SQLite; readers see a
//!   consistent snapshot (WAL). A commit is on disk before it is answered (`synchronous=FULL`).

mod bundles;
mod commands;
mod config;
mod context;
mod devices;
mod enrolment;
mod events;
mod gate;
mod members;
mod planning;
mod releases;
mod reports;
mod rollout_start;
mod rollouts;
mod support;
mod targets;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

pub use commands::QueuedCommand;
pub use context::TenantContext;
pub use devices::{DeviceFilter, DeviceRow, Presence};
pub use enrolment::{NewDevice, NewEnrolmentToken, TokenGrant};
pub use events::StoredEvent;
pub use members::MemberRow;
pub use planning::Planning;
pub use releases::{KeySetAdded, ReleaseRow};
pub use reports::ReportFacts;
pub use rollout_start::NewRollout;
pub use rollouts::{Applied, RolloutRow};
pub use targets::Assignment;

/// The tenant that exists from the first start.
pub const DEFAULT_TENANT: &str = "ten_default";

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("open the database {}", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error("bring the database up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("query the database")]
    Query(#[from] sqlx::Error),
    #[error("the database holds `{text}` as {what}, which does not parse: {reason}")]
    Corrupt {
        what: &'static str,
        text: String,
        reason: String,
    },
}

/// The open database.
#[derive(Debug, Clone)]
pub struct Store {
    read: SqlitePool,
    write: SqlitePool,
}

impl Store {
    /// Opens or makes the database at `path` and migrates it.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let opened = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            // KiB: a rollout's members are written without going out to the file in between.
            .connect_with(options.clone().pragma("cache_size", "-65536"))
            .await
            .map_err(opened)?;
        sqlx::migrate!().run(&write).await?;
        let read = SqlitePoolOptions::new()
            .max_connections(8)
            .connect_with(options.read_only(true))
            .await
            .map_err(opened)?;
        Ok(Self { read, write })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Finishes what runs and closes the files.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

fn ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

fn instant(ms: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(ms).map_err(|e| StoreError::Corrupt {
        what: "an instant",
        text: ms.to_string(),
        reason: e.to_string(),
    })
}

fn parse<T>(what: &'static str, text: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e: T::Err| StoreError::Corrupt {
        what,
        text: text.to_owned(),
        reason: e.to_string(),
    })
}

fn from_json<T: serde::de::DeserializeOwned>(
    what: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt {
        what,
        text: text.chars().take(200).collect(),
        reason: e.to_string(),
    })
}

fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("wire types are plain data")
}

/// SQLite counts in signed numbers; ours are counts, far from the end of either range.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
