//! A whole copy of the embedded database, taken while others write to it, and what such a copy is.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Row as _};

use super::StoreError;

/// Copies the database at `from` to the new file `to`, as it stands at one instant; no writer waits for it.
pub async fn snapshot(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut connection = connect(from, false).await?;
    sqlx::query("VACUUM INTO ?")
        .bind(to.to_string_lossy().into_owned())
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(())
}

/// The schema that the database at `path` has, as the number of its newest migration.
///
/// # Errors
/// When it is no database of ours, or damaged.
pub async fn schema_of(path: &Path) -> Result<i64, StoreError> {
    let mut connection = connect(path, true).await?;
    let damage: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(&mut connection)
        .await?;
    if damage != "ok" {
        return Err(StoreError::Corrupt {
            what: "its own structure",
            text: path.display().to_string(),
            reason: damage,
        });
    }
    let row = sqlx::query("SELECT coalesce(max(version), 0) AS newest FROM _sqlx_migrations")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    Ok(row.try_get("newest")?)
}

/// The newest schema that this program knows.
pub fn newest_schema() -> i64 {
    let all = sqlx::migrate!("migrations/sqlite");
    all.iter().map(|m| m.version).max().unwrap_or(0)
}

async fn connect(path: &Path, read_only: bool) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(read_only)
        .busy_timeout(Duration::from_secs(30));
    SqliteConnection::connect_with(&options)
        .await
        .map_err(|source| StoreError::Open {
            path: path.to_owned(),
            source,
        })
}
