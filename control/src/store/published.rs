//! What is published in versions, a playlist or a venue's schedule: each version stays as it was, and screens follow the
//! one that was published last.

use fleet_protocol::{PlaylistId, VenueId};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::dialect::Held;
use super::venues::{bump, bump_all};
use super::{Store, StoreError, TenantContext, count, from_json, instant, ms, signed, to_json};

#[derive(Debug, Clone, Copy)]
pub(super) enum Publication<'a> {
    Playlist(&'a PlaylistId),
    Schedule(&'a VenueId),
}

/// Where its versions are.
struct Place {
    table: &'static str,
    /// The column that tells whose versions they are.
    of: &'static str,
    content: &'static str,
    /// Makes screens follow a version.
    follow: &'static str,
}

impl Publication<'_> {
    const fn place(self) -> Place {
        match self {
            Self::Playlist(_) => Place {
                table: "playlists_published",
                of: "playlist_id",
                content: "items",
                follow: "UPDATE playlists SET published = $3 WHERE tenant_id = $1 AND playlist_id = $2",
            },
            Self::Schedule(_) => Place {
                table: "schedules_published",
                of: "venue_id",
                content: "slots",
                follow: "UPDATE venues SET schedule_published = $3 WHERE tenant_id = $1 AND venue_id = $2",
            },
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::Playlist(id) => id.as_str(),
            Self::Schedule(venue) => venue.as_str(),
        }
    }

    fn held(&self) -> Held<'_> {
        match self {
            Self::Playlist(id) => Held::Playlist(id.as_str()),
            Self::Schedule(venue) => Held::Venue(venue.as_str()),
        }
    }
}

/// One version, as it was published.
#[derive(Debug)]
pub(super) struct Version<T> {
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) by: String,
    pub(super) content: Vec<T>,
}

fn version<T: DeserializeOwned>(row: &AnyRow) -> Result<Version<T>, StoreError> {
    Ok(Version {
        number: count(row.try_get("version")?),
        at: instant(row.try_get("published_ms")?)?,
        by: row.try_get("published_by")?,
        content: from_json("a published version", row.try_get("content")?)?,
    })
}

impl Store {
    /// Publishes `content` as the next version, and lets the screens look that follow it. The draft stays as it is.
    pub(super) async fn publish<T: Serialize + Sync>(
        &self,
        ctx: &TenantContext,
        what: Publication<'_>,
        content: &[T],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let place = what.place();
        let (table, of) = (place.table, place.of);
        let mut tx = self.write.begin().await?;
        self.hold(&mut tx, ctx, what.held()).await?;
        let sql = format!(
            "INSERT INTO {table} (tenant_id, {of}, version, {}, published_ms, published_by)
             SELECT $1, $2, coalesce(max(version), 0) + 1, $3, $4, $5 FROM {table}
             WHERE tenant_id = $1 AND {of} = $2
             RETURNING version",
            place.content
        );
        let version: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(what.id())
            .bind(to_json(&content))
            .bind(ms(now))
            .bind(ctx.actor_name())
            .fetch_one(&mut *tx)
            .await?;
        sqlx::query(place.follow)
            .bind(ctx.key())
            .bind(what.id())
            .bind(version)
            .execute(&mut *tx)
            .await?;
        match what {
            Publication::Playlist(_) => bump_all(&mut tx, ctx).await?,
            Publication::Schedule(venue) => bump(&mut tx, ctx, venue).await?,
        }
        tx.commit().await?;
        Ok(())
    }

    /// Newest first, below number `before`.
    pub(super) async fn versions<T: DeserializeOwned>(
        &self,
        ctx: &TenantContext,
        what: Publication<'_>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Version<T>>, StoreError> {
        let sql = format!(
            "{} AND ($3 IS NULL OR version < $3) ORDER BY version DESC LIMIT $4",
            select(what)
        );
        let part = (before, limit);
        let rows = self.rows_below(ctx, sql, what.id(), part).await?;
        rows.iter().map(version).collect()
    }

    pub(super) async fn version<T: DeserializeOwned>(
        &self,
        ctx: &TenantContext,
        what: Publication<'_>,
        number: u64,
    ) -> Result<Option<Version<T>>, StoreError> {
        let sql = format!("{} AND version = $3", select(what));
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(what.id())
            .bind(signed(number))
            .fetch_optional(&self.read)
            .await?;
        row.as_ref().map(version).transpose()
    }
}

fn select(what: Publication<'_>) -> String {
    let Place {
        table, of, content, ..
    } = what.place();
    format!(
        "SELECT version, {content} AS content, published_ms, published_by FROM {table}
         WHERE tenant_id = $1 AND {of} = $2"
    )
}
