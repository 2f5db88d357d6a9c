//! How each database is opened, and brought up to date.

use std::fmt;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _};

use super::dialect::Dialect;
use super::{Store, StoreError};

/// The oldest PostgreSQL that this is tested with, by its first number.
pub(super) const OLDEST_SERVER: u32 = 14;

/// Readers of SQLite, each with a snapshot of its own.
const READERS: u32 = 8;
/// Connections to PostgreSQL of one control plane. Ten of these fit into what a server takes by default.
const CONNECTIONS: u32 = 8;
/// Until a server that does not answer counts as unreachable.
const CONNECT: Duration = Duration::from_secs(10);
/// Until a request is told that the database is busy or gone. The longest that SQLite's writer is away is for a
/// rollout of all devices.
const ACQUIRE: Duration = Duration::from_secs(30);
const ACQUIRE_SERVER: Duration = Duration::from_secs(5);

/// A commit is on disk before it is answered. The other settings that matter are the driver's own: foreign keys are
/// enforced.
const WRITER: &str = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA cache_size = -65536";
const READER: &str = "PRAGMA busy_timeout = 10000";
/// No request is worth more than this, and nobody is kept waiting for a lock by one that hangs.
const SESSION: &str = "SET application_name = 'fleet-control'; SET statement_timeout = '60s'; \
    SET lock_timeout = '20s'";

/// `postgres://[user[:password]@][host][:port][/database][?…]`. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    text: String,
    shown: String,
}

impl FromStr for ServerUrl {
    type Err = String;

    /// The error never repeats what was given: it may hold a password.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "is no postgres://[USER[:PASSWORD]@][HOST][:PORT]/DATABASE".to_owned();
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(wrong());
        }
        let options = AnyConnectOptions::from_str(text).map_err(|_| wrong())?;
        let mut url = options.database_url;
        // A password may be in there too.
        url.set_query(None);
        // Refused of an address without a host, which has no password either.
        let _ = url.set_password(None);
        Ok(Self {
            text: text.to_owned(),
            shown: url.to_string(),
        })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({})", self.shown)
    }
}

impl Store {
    /// Opens or makes SQLite's file at `path` and migrates it.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        sqlx::any::install_default_drivers();
        let options = file(path, "rwc").map_err(opened)?;
        // A pool would try until its time is over what can't ever succeed.
        let mut first = connect(&options, WRITER).await.map_err(opened)?;
        sqlx::migrate!("migrations/sqlite").run(&mut first).await?;
        first.close().await?;
        let write = pool(options, WRITER, 1, ACQUIRE).await.map_err(opened)?;
        let options = file(path, "ro").map_err(opened)?;
        let read = pool(options, READER, READERS, ACQUIRE)
            .await
            .map_err(opened)?;
        let dialect = Dialect::Sqlite;
        Ok(Self {
            read,
            write,
            dialect,
            server: None,
            beats: Arc::default(),
            known: Arc::default(),
        })
    }

    /// Connects to PostgreSQL and migrates its database. Control planes that start at once do that one by one.
    pub async fn connect(server: &ServerUrl) -> Result<Self, StoreError> {
        let mut first = reach(server).await?;
        sqlx::migrate!("migrations/postgres")
            .run(&mut first)
            .await?;
        first.close().await?;
        let failed = |source| unreachable(server, source);
        let options = server.options().map_err(failed)?;
        let pool = pool(options, SESSION, CONNECTIONS, ACQUIRE_SERVER)
            .await
            .map_err(failed)?;
        Ok(Self {
            read: pool.clone(),
            write: pool,
            dialect: Dialect::Postgres,
            server: Some(server.clone()),
            beats: Arc::default(),
            known: Arc::default(),
        })
    }

    /// Whether [`Self::connect`] would succeed, as far as can be said without changing anything.
    pub async fn check(server: &ServerUrl) -> Result<(), StoreError> {
        reach(server).await?.close().await?;
        Ok(())
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

impl ServerUrl {
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    fn options(&self) -> Result<AnyConnectOptions, sqlx::Error> {
        AnyConnectOptions::from_str(&self.text)
    }
}

/// A path may hold anything; what an address gives a meaning to is written as %XX.
fn file(path: &Path, mode: &str) -> Result<AnyConnectOptions, sqlx::Error> {
    let path = std::path::absolute(path).map_err(sqlx::Error::Io)?;
    let mut url = "sqlite://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                url.push(char::from(*byte));
            }
            other => write!(url, "%{other:02X}").expect("a String takes everything"),
        }
    }
    AnyConnectOptions::from_str(&format!("{url}?mode={mode}"))
}

async fn connect(
    options: &AnyConnectOptions,
    setup: &'static str,
) -> Result<AnyConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    sqlx::raw_sql(setup).execute(&mut connection).await?;
    Ok(connection)
}

async fn pool(
    options: AnyConnectOptions,
    setup: &'static str,
    connections: u32,
    patience: Duration,
) -> Result<AnyPool, sqlx::Error> {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(setup).execute(connection).await?;
                Ok(())
            })
        })
        .connect_with(options)
        .await
}

pub(super) fn unreachable(server: &ServerUrl, source: sqlx::Error) -> StoreError {
    StoreError::Unreachable {
        server: server.to_string(),
        source,
    }
}

/// A connection to a server that is new enough, as a user that may make tables.
async fn reach(server: &ServerUrl) -> Result<AnyConnection, StoreError> {
    sqlx::any::install_default_drivers();
    let failed = |source| unreachable(server, source);
    let options = server.options().map_err(failed)?;
    let connecting = tokio::time::timeout(CONNECT, options.connect());
    let mut connection = match connecting.await {
        Ok(connected) => connected.map_err(failed)?,
        Err(_) => return Err(failed(sqlx::Error::PoolTimedOut)),
    };
    let number: String = sqlx::query_scalar("SELECT current_setting('server_version_num')")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    let version = number.parse::<u32>().unwrap_or(0) / 10_000;
    if version < OLDEST_SERVER {
        return Err(StoreError::OldServer {
            server: server.to_string(),
            version,
        });
    }
    // Null: no schema of the search path is there.
    let may: Option<bool> =
        sqlx::query_scalar("SELECT has_schema_privilege(current_schema(), 'CREATE')")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
    if may != Some(true) {
        let user = sqlx::query_scalar("SELECT current_user::text")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        return Err(StoreError::NoPrivilege {
            server: server.to_string(),
            user,
        });
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let shown = |text: &str| {
            let url: ServerUrl = text.parse().unwrap();
            assert!(!format!("{url:?}").contains("secret"));
            url.to_string()
        };
        for (given, expected) in [
            (
                "postgres://a:secret@db:5433/fleet",
                "postgres://a@db:5433/fleet",
            ),
            (
                "postgresql://db/fleet?user=a&password=secret",
                "postgresql://db/fleet",
            ),
            (
                "postgres://a@%2Frun%2Fpostgresql/fleet",
                "postgres://a@%2Frun%2Fpostgresql/fleet",
            ),
        ] {
            assert_eq!(shown(given), expected);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_repeated() {
        for wrong in [
            "",
            "mysql://a:secret@db/x",
            "postgres:secret",
            "postgres://[secret/x",
        ] {
            let error = wrong.parse::<ServerUrl>().unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_may_have_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("50% of? #1 ä.db");
        let store = Store::open(&path).await.unwrap();
        store.ping().await.unwrap();
        store.close().await;
        assert!(path.exists());
    }
}
