//! Queries of one shape: a row by its id, and a page of rows in the order in which they came.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Store, StoreError, TenantContext};

/// What was read, with its place in the order in which such rows came.
#[derive(Debug, Clone)]
pub struct Placed<T> {
    pub position: i64,
    pub item: T,
}

/// Rows that have a `position`.
pub(super) fn placed<T>(
    rows: &[AnyRow],
    read: impl Fn(&AnyRow) -> Result<T, StoreError>,
) -> Result<Vec<Placed<T>>, StoreError> {
    let one = |row: &AnyRow| {
        Ok(Placed {
            position: row.try_get("position")?,
            item: read(row)?,
        })
    };
    rows.iter().map(one).collect()
}

impl Store {
    /// The row that `sql` selects by the tenant ($1) and an id ($2).
    pub(super) async fn row<T>(
        &self,
        ctx: &TenantContext,
        sql: String,
        id: &str,
        read: fn(&AnyRow) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(id)
            .fetch_optional(&self.read)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The rows that `sql` selects by the tenant ($1) and whose they are ($2), below a number ($3), so many at the
    /// most ($4).
    pub(super) async fn rows_below(
        &self,
        ctx: &TenantContext,
        sql: String,
        of: &str,
        (below, limit): (Option<i64>, u32),
    ) -> Result<Vec<AnyRow>, StoreError> {
        Ok(sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(of)
            .bind(below)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?)
    }

    /// Runs `sql`, which changes or deletes the row of the tenant ($1) with an id ($2). False: there is none.
    pub(super) async fn change_row(
        &self,
        ctx: &TenantContext,
        sql: &'static str,
        id: &str,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(sql)
            .bind(ctx.key())
            .bind(id)
            .execute(&self.write)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}
