//! Playlists: drafts under a version, and what of them was published.

use fleet_protocol::PlaylistId;
use fleet_protocol::content::{Entry, PlaylistSnapshot, PlaylistView};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::published::{Publication, Version};
use super::venues::bump_all;
use super::{
    Store, StoreError, TenantContext, count, from_json, instant, ms, parse, signed, to_json,
};

const SELECT: &str =
    "SELECT p.playlist_id, p.name, p.items, p.draft_version, p.published, p.created_ms,
        p.updated_ms, q.items AS published_items, q.published_ms
    FROM playlists p LEFT JOIN playlists_published q
      ON q.tenant_id = p.tenant_id AND q.playlist_id = p.playlist_id AND q.version = p.published";

fn view(row: &AnyRow) -> Result<PlaylistView, StoreError> {
    let items: Vec<Entry> = from_json("a playlist", row.try_get("items")?)?;
    let published: Option<String> = row.try_get("published_items")?;
    let published: Option<Vec<Entry>> = published
        .map(|text| from_json("a published playlist", &text))
        .transpose()?;
    let enabled = items.iter().filter(|entry| entry.enabled);
    Ok(PlaylistView {
        playlist_id: parse("a playlist id", row.try_get("playlist_id")?)?,
        name: row.try_get("name")?,
        draft_version: count(row.try_get("draft_version")?),
        changed: published.is_none_or(|published| !enabled.eq(published.iter())),
        items,
        published_version: row.try_get::<Option<i64>, _>("published")?.map(count),
        published_at: row
            .try_get::<Option<i64>, _>("published_ms")?
            .map(instant)
            .transpose()?,
        created_at: instant(row.try_get("created_ms")?)?,
        updated_at: instant(row.try_get("updated_ms")?)?,
    })
}

fn snapshot(version: Version<Entry>) -> PlaylistSnapshot {
    PlaylistSnapshot {
        published_version: version.number,
        published_at: version.at,
        published_by: version.by,
        items: version.content,
    }
}

impl Store {
    pub async fn add_playlist(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
        name: &str,
        items: &[Entry],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO playlists (tenant_id, playlist_id, name, items, created_ms, updated_ms)
             VALUES ($1, $2, $3, $4, $5, $5)",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(name)
        .bind(to_json(&items))
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// One page ordered by id.
    pub async fn playlists(
        &self,
        ctx: &TenantContext,
        text: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PlaylistView>, StoreError> {
        let contains = self
            .dialect
            .contains("p.name || ' ' || p.playlist_id", "$3");
        let sql = format!(
            "{SELECT} WHERE p.tenant_id = $1 AND ($2 IS NULL OR p.playlist_id > $2)
               AND ($3 IS NULL OR {contains})
             ORDER BY p.playlist_id LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(after)
            .bind(text)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(view).collect()
    }

    pub async fn playlist(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
    ) -> Result<Option<PlaylistView>, StoreError> {
        let sql = format!("{SELECT} WHERE p.tenant_id = $1 AND p.playlist_id = $2");
        self.row(ctx, sql, id.as_str(), view).await
    }

    /// Replaces the draft if it is at version `expected`. False: it is not, or there is none.
    pub async fn put_playlist_items(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
        expected: u64,
        items: &[Entry],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE playlists SET items = $1, draft_version = draft_version + 1, updated_ms = $2
             WHERE tenant_id = $3 AND playlist_id = $4 AND draft_version = $5",
        )
        .bind(to_json(&items))
        .bind(ms(now))
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(signed(expected))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Publishes `items` as the next version. The draft stays as it is.
    pub async fn publish_playlist(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
        items: &[Entry],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let what = Publication::Playlist(id);
        self.publish(ctx, what, items, now).await
    }

    /// Newest first, below version `before`.
    pub async fn playlist_snapshots(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<PlaylistSnapshot>, StoreError> {
        let what = Publication::Playlist(id);
        let versions = self.versions(ctx, what, before, limit).await?;
        Ok(versions.into_iter().map(snapshot).collect())
    }

    pub async fn playlist_snapshot(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
        version: u64,
    ) -> Result<Option<PlaylistSnapshot>, StoreError> {
        let what = Publication::Playlist(id);
        Ok(self.version(ctx, what, version).await?.map(snapshot))
    }

    /// Names of venues that fall back on it or have it in their schedule; a few.
    pub async fn venues_with(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
    ) -> Result<Vec<String>, StoreError> {
        let draft = self.dialect.json_each("v.slots");
        let published = self.dialect.json_each("s.slots");
        let sql = format!(
            "SELECT name FROM venues v
             WHERE tenant_id = $1 AND (fallback_playlist_id = $2
                 OR EXISTS (SELECT 1 FROM {draft} AS i WHERE i.value ->> 'playlistId' = $2)
                 OR EXISTS (SELECT 1 FROM schedules_published s, {published} AS i
                     WHERE s.tenant_id = $1 AND s.venue_id = v.venue_id AND s.version = v.schedule_published
                       AND i.value ->> 'playlistId' = $2))
             ORDER BY name LIMIT 5"
        );
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(id.as_str())
            .fetch_all(&self.read)
            .await?)
    }

    /// With all that was published of it. False: there is none.
    pub async fn delete_playlist(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write.begin().await?;
        let done = sqlx::query("DELETE FROM playlists WHERE tenant_id = $1 AND playlist_id = $2")
            .bind(ctx.key())
            .bind(id.as_str())
            .execute(&mut *tx)
            .await?;
        // It may have been what plays when nothing else does: the last that was published.
        bump_all(&mut tx, ctx).await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}
