//! What a screen's manifest is made of, read as of one moment.

use fleet_protocol::player::Orientation;
use fleet_protocol::{AssetId, DeviceId, PlaylistId, TargetId};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::assets::kind;
use super::overrides::in_force;
use super::{Store, StoreError, TenantContext, count, from_json, instant, number, parse};
use crate::domain::playback::{PlayableAsset, PlaylistFacts, ScreenFacts};

pub(super) fn orientation(text: &str) -> Result<Orientation, StoreError> {
    from_json("an orientation", &format!("\"{text}\""))
}

impl Store {
    /// `None`: no such device.
    pub async fn screen_facts(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        now: Timestamp,
    ) -> Result<Option<ScreenFacts>, StoreError> {
        let mut tx = self.snapshot().await?;
        let row = sqlx::query(
            "SELECT v.venue_id, v.manifest_epoch, v.timezone, v.fallback_playlist_id, v.screen_hours, d.orientation,
                    coalesce(s.slots, '[]') AS slots
             FROM devices d
             JOIN venues v ON v.tenant_id = d.tenant_id AND v.venue_id = d.venue_id
             LEFT JOIN schedules_published s ON s.tenant_id = v.tenant_id AND s.venue_id = v.venue_id
                 AND s.version = v.schedule_published
             WHERE d.tenant_id = $1 AND d.device_id = $2",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let fallback: Option<String> = row.try_get("fallback_playlist_id")?;
        let venue_id = parse("a venue id", row.try_get("venue_id")?)?;
        let facts = ScreenFacts {
            overrides: in_force(&mut tx, ctx, &venue_id, now).await?,
            venue_id,
            epoch: count(row.try_get("manifest_epoch")?),
            timezone: row.try_get("timezone")?,
            orientation: orientation(row.try_get("orientation")?)?,
            groups: groups_of(&mut tx, ctx, id).await?,
            fallback: fallback.map(|f| parse("a playlist id", &f)).transpose()?,
            screen_hours: from_json("screen hours", row.try_get("screen_hours")?)?,
            slots: from_json("a published schedule", row.try_get("slots")?)?,
            playlists: published(&mut tx, ctx).await?,
        };
        Ok(Some(facts))
    }

    /// Each published playlist with its version, and when that was published.
    pub async fn published_playlists(
        &self,
        ctx: &TenantContext,
    ) -> Result<Vec<(PlaylistId, u64, Timestamp)>, StoreError> {
        let mut tx = self.snapshot().await?;
        published(&mut tx, ctx).await
    }

    /// `None`: it was never published.
    pub async fn published_playlist(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
    ) -> Result<Option<PlaylistFacts>, StoreError> {
        let mut tx = self.snapshot().await?;
        let row = sqlx::query(
            "SELECT q.version, q.items FROM playlists p JOIN playlists_published q
               ON q.tenant_id = p.tenant_id AND q.playlist_id = p.playlist_id AND q.version = p.published
             WHERE p.tenant_id = $1 AND p.playlist_id = $2",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let items: String = row.try_get("items")?;
        let entries = self.dialect.json_each("$2");
        let sql = format!(
            "SELECT asset_id, kind, width_px, height_px, duration_ms, sha256, size_bytes
             FROM assets
             WHERE tenant_id = $1 AND status = 'READY'
               AND asset_id IN (SELECT i.value ->> 'assetId' FROM {entries} AS i)"
        );
        let assets = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(&items)
            .fetch_all(&mut *tx)
            .await?;
        Ok(Some(PlaylistFacts {
            version: count(row.try_get("version")?),
            entries: from_json("a published playlist", &items)?,
            assets: assets.iter().map(playable).collect::<Result<_, _>>()?,
        }))
    }
}

async fn groups_of(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    id: &DeviceId,
) -> Result<Vec<TargetId>, StoreError> {
    let groups: Vec<String> = sqlx::query_scalar(
        "SELECT group_id FROM device_group_members WHERE tenant_id = $1 AND device_id = $2 ORDER BY group_id",
    )
    .bind(ctx.key())
    .bind(id.as_str())
    .fetch_all(&mut **tx)
    .await?;
    groups.iter().map(|g| parse("a group id", g)).collect()
}

async fn published(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
) -> Result<Vec<(PlaylistId, u64, Timestamp)>, StoreError> {
    let rows = sqlx::query(
        "SELECT p.playlist_id, p.published, q.published_ms FROM playlists p JOIN playlists_published q
           ON q.tenant_id = p.tenant_id AND q.playlist_id = p.playlist_id AND q.version = p.published
         WHERE p.tenant_id = $1",
    )
    .bind(ctx.key())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| {
            Ok((
                parse("a playlist id", row.try_get("playlist_id")?)?,
                count(row.try_get("published")?),
                instant(row.try_get("published_ms")?)?,
            ))
        })
        .collect()
}

fn playable(row: &AnyRow) -> Result<(AssetId, PlayableAsset), StoreError> {
    let asset = PlayableAsset {
        kind: kind(row.try_get("kind")?)?,
        width_px: number(row, "width_px")?,
        height_px: number(row, "height_px")?,
        duration_ms: row.try_get::<Option<i64>, _>("duration_ms")?.map(count),
        sha256: parse("a digest", row.try_get("sha256")?)?,
        size_bytes: count(row.try_get("size_bytes")?),
    };
    Ok((parse("an asset id", row.try_get("asset_id")?)?, asset))
}
