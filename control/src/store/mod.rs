//! What the control plane remembers: SQLite or PostgreSQL, and all of the SQL.
//!
//! One text of each query serves both databases; what differs is in [`dialect`] and [`open`]
//! (docs/decisions/0015-two-stores.md has the rules for a query).
//!
//! Invariants:
//! - Every table carries `tenant_id`, and every query takes a [`TenantContext`] first. The only
//!   queries without one are in [`gate`] and [`known`]: they turn a secret into a context.
//! - With SQLite, one connection writes, so that no writer waits for another within SQLite; readers see a
//!   consistent snapshot (WAL). A commit is on disk before it is answered (`synchronous=FULL`).
//! - With PostgreSQL, whatever reads and then writes by what it read holds the rows first
//!   ([`dialect::Held`]): that is what the one writer gives with SQLite.

mod alert_rules;
mod alerting;
mod alerts;
mod api_keys;
mod assets;
mod audit;
mod bundles;
mod commands;
mod config;
mod context;
mod deliveries;
mod devices;
mod dialect;
mod enrolment;
mod events;
mod gate;
mod heartbeats;
mod known;
mod mail_recipients;
mod mails;
mod members;
mod notices;
mod open;
mod operations;
mod overrides;
mod pairings;
mod planning;
mod playback;
mod player;
mod playlists;
mod published;
mod releases;
mod removal;
mod reports;
mod rollout_start;
mod rollouts;
mod rows;
mod schedules;
mod second_factors;
mod sessions;
mod snapshot;
mod support;
mod targets;
mod tenants;
mod turns;
mod users;
mod venues;
mod vitals;
mod webhooks;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row as _};

use self::dialect::Dialect;
use self::heartbeats::Beats;
use self::known::Known;

pub use alerting::Alerting;
pub use alerts::AlertFilter;
pub use api_keys::NewApiKey;
pub use assets::{AssetFacts, AssetFilter, AssetRow, NewAsset};
pub(crate) use audit::BEGINNING;
pub use commands::QueuedCommand;
pub use context::{Actor, TenantContext};
pub use deliveries::ToDeliver;
pub use devices::{DeviceFilter, DeviceRow, Presence};
pub use enrolment::{NewDevice, NewEnrolmentToken, Revocation, TokenGrant};
pub use known::{Admitted, VenueEpoch};
pub use mails::ToMail;
pub use members::MemberRow;
pub use notices::{LONGEST_NOTICE, Notices};
pub use open::ServerUrl;
pub use overrides::NewOverride;
pub use pairings::{NewPairing, PairingDevice, PairingLimits};
pub use planning::Planning;
pub use player::QuarterRow;
pub use releases::{KeySetAdded, ReleaseRow};
pub use removal::Removal;
pub use reports::ReportFacts;
pub use rollout_start::NewRollout;
pub use rollouts::{Applied, RolloutRow};
pub use rows::Placed;
pub use schedules::ScheduleRow;
pub use sessions::{Client, NewSession, Rotated, Rotation};
pub use snapshot::{newest_schema, schema_of, snapshot};
pub use targets::{Assignment, Versioned};
pub use tenants::TenantRow;
pub use turns::{Due, Turn};
pub use users::{Accept, Accepted, ChangedUser, Login, NewUser, UserFilter};
pub use venues::{DEFAULT_VENUE, VenueFilter};
pub use webhooks::NewWebhook;

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
    #[error("reach the database {server}")]
    Unreachable {
        /// Without a password.
        server: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("the database {server} is PostgreSQL {version}; it has to be {needed} or newer", needed = open::OLDEST_SERVER)]
    OldServer { server: String, version: u32 },
    #[error("user {user} may not make tables in the database {server}")]
    NoPrivilege { server: String, user: String },
    #[error("bring the database up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("query the database")]
    Query(#[from] sqlx::Error),
    #[error("write what came at the same time")]
    Together(#[source] Arc<StoreError>),
    #[error("too much waits to be written")]
    Crowded,
    #[error("the database holds `{text}` as {what}, which does not parse: {reason}")]
    Corrupt {
        what: &'static str,
        text: String,
        reason: String,
    },
}

impl StoreError {
    /// The database can't be asked at the moment: it is gone, restarting or too busy. The same request may succeed later.
    pub fn is_passing(&self) -> bool {
        let source = match self {
            Self::Query(source) | Self::Unreachable { source, .. } => source,
            Self::Together(error) => return error.is_passing(),
            Self::Crowded => return true,
            _ => return false,
        };
        match source {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
            sqlx::Error::Database(error) => {
                error.code().is_some_and(|code| dialect::is_passing(&code))
            }
            _ => false,
        }
    }

    /// What was to be kept holds what PostgreSQL's text can't: a NUL.
    pub fn is_unfit_text(&self) -> bool {
        let Self::Query(sqlx::Error::Database(error)) = self else {
            return false;
        };
        matches!(error.code().as_deref(), Some("22021" | "22P05"))
    }
}

/// The open database.
#[derive(Debug, Clone)]
pub struct Store {
    /// Of PostgreSQL's, `read` and `write` are one pool.
    read: AnyPool,
    write: AnyPool,
    dialect: Dialect,
    /// PostgreSQL, which other control planes may use too.
    server: Option<ServerUrl>,
    beats: Arc<Beats>,
    known: Arc<Known>,
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

/// A whole number of a column that is not null.
fn number<T>(row: &AnyRow, column: &'static str) -> Result<T, StoreError>
where
    T: TryFrom<i64, Error = std::num::TryFromIntError>,
{
    fit(column, row.try_get(column)?)
}

/// A whole number, or null.
fn maybe<T>(row: &AnyRow, column: &'static str) -> Result<Option<T>, StoreError>
where
    T: TryFrom<i64, Error = std::num::TryFromIntError>,
{
    let value: Option<i64> = row.try_get(column)?;
    value.map(|value| fit(column, value)).transpose()
}

fn fit<T>(column: &'static str, value: i64) -> Result<T, StoreError>
where
    T: TryFrom<i64, Error = std::num::TryFromIntError>,
{
    T::try_from(value).map_err(|e| StoreError::Corrupt {
        what: column,
        text: value.to_string(),
        reason: e.to_string(),
    })
}

/// Flags are kept as 0 and 1: SQLite has nothing else.
fn flag(row: &AnyRow, column: &'static str) -> Result<bool, StoreError> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}

/// Databases count in signed numbers; ours are counts, far from the end of either range.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
