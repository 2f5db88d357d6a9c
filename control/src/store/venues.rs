//! Places with screens: settings and groups.

use std::collections::BTreeSet;

use fleet_protocol::content::{CreateVenue, GroupView, VenueView};
use fleet_protocol::{DeviceId, PlaylistId, TargetId, VenueId};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::{
    Store, StoreError, TenantContext, count, from_json, instant, ms, parse, signed, to_json,
};

/// The venue that a tenant has from the start.
pub const DEFAULT_VENUE: &str = "ven_default";

/// Which venues a list shows.
#[derive(Debug, Default, Clone)]
pub struct VenueFilter<'a> {
    /// Part of a name or id.
    pub text: Option<&'a str>,
    /// Only these; `None`: all.
    pub among: Option<BTreeSet<&'a VenueId>>,
}

const SELECT: &str =
    "SELECT v.venue_id, v.name, v.timezone, v.fallback_playlist_id, v.screen_hours, v.version, v.manifest_epoch,
        v.created_ms, v.updated_ms,
        (SELECT count(*) FROM devices d WHERE d.tenant_id = v.tenant_id AND d.venue_id = v.venue_id
            AND d.revoked_ms IS NULL) AS devices
    FROM venues v";

fn view(row: &AnyRow) -> Result<VenueView, StoreError> {
    let fallback: Option<String> = row.try_get("fallback_playlist_id")?;
    Ok(VenueView {
        venue_id: parse("a venue id", row.try_get("venue_id")?)?,
        name: row.try_get("name")?,
        timezone: row.try_get("timezone")?,
        fallback_playlist_id: fallback.map(|f| parse("a playlist id", &f)).transpose()?,
        screen_hours: from_json("screen hours", row.try_get("screen_hours")?)?,
        version: count(row.try_get("version")?),
        device_count: count(row.try_get("devices")?),
        manifest_epoch: count(row.try_get("manifest_epoch")?),
        created_at: instant(row.try_get("created_ms")?)?,
        updated_at: instant(row.try_get("updated_ms")?)?,
    })
}

/// Lets the screens of a venue look again.
pub(super) async fn bump(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    venue: &VenueId,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE venues SET manifest_epoch = manifest_epoch + 1 WHERE tenant_id = $1 AND venue_id = $2",
    )
    .bind(ctx.key())
    .bind(venue.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets all screens look again.
pub(super) async fn bump_all(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE venues SET manifest_epoch = manifest_epoch + 1 WHERE tenant_id = $1")
        .bind(ctx.key())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

impl Store {
    pub async fn add_venue(
        &self,
        ctx: &TenantContext,
        id: &VenueId,
        settings: &CreateVenue,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO venues
                 (tenant_id, venue_id, name, timezone, fallback_playlist_id, screen_hours, created_ms, updated_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(&settings.name)
        .bind(&settings.timezone)
        .bind(settings.fallback_playlist_id.as_ref().map(PlaylistId::as_str))
        .bind(to_json(&settings.screen_hours.as_deref().unwrap_or_default()))
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// One page ordered by id.
    pub async fn venues(
        &self,
        ctx: &TenantContext,
        filter: &VenueFilter<'_>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<VenueView>, StoreError> {
        let contains = self.dialect.contains("v.name || ' ' || v.venue_id", "$3");
        let each = self.dialect.json_each("$4");
        let sql = format!(
            "{SELECT} WHERE v.tenant_id = $1 AND ($2 IS NULL OR v.venue_id > $2)
               AND ($3 IS NULL OR {contains})
               AND ($4 IS NULL OR v.venue_id IN (SELECT j.value ->> 0 FROM {each} AS j))
             ORDER BY v.venue_id LIMIT $5"
        );
        let among = filter.among.as_ref();
        let among = among.map(|ids| to_json(&ids.iter().map(|id| [id]).collect::<Vec<_>>()));
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(after)
            .bind(filter.text)
            .bind(among)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(view).collect()
    }

    pub async fn venue(
        &self,
        ctx: &TenantContext,
        id: &VenueId,
    ) -> Result<Option<VenueView>, StoreError> {
        let sql = format!("{SELECT} WHERE v.tenant_id = $1 AND v.venue_id = $2");
        self.row(ctx, sql, id.as_str(), view).await
    }

    pub async fn venue_exists(
        &self,
        ctx: &TenantContext,
        id: &VenueId,
    ) -> Result<bool, StoreError> {
        let venues: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM venues WHERE tenant_id = $1 AND venue_id = $2",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_one(&self.read)
        .await?;
        Ok(venues > 0)
    }

    /// Screen hours that are `None` stay. False: it is not at version `expected`, or there is none.
    pub async fn put_venue(
        &self,
        ctx: &TenantContext,
        id: &VenueId,
        expected: u64,
        settings: &CreateVenue,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE venues SET name = $1, timezone = $2, fallback_playlist_id = $3,
                 screen_hours = coalesce($4, screen_hours),
                 version = version + 1, manifest_epoch = manifest_epoch + 1, updated_ms = $5
             WHERE tenant_id = $6 AND venue_id = $7 AND version = $8",
        )
        .bind(&settings.name)
        .bind(&settings.timezone)
        .bind(
            settings
                .fallback_playlist_id
                .as_ref()
                .map(PlaylistId::as_str),
        )
        .bind(settings.screen_hours.as_ref().map(to_json))
        .bind(ms(now))
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(signed(expected))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// All groups of a venue with their devices, by id; there are few.
    pub async fn groups(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
    ) -> Result<Vec<GroupView>, StoreError> {
        let rows = sqlx::query(
            "SELECT g.group_id, g.name, coalesce(string_agg(m.device_id, ' '), '') AS devices
             FROM device_groups g LEFT JOIN device_group_members m
               ON m.tenant_id = g.tenant_id AND m.venue_id = g.venue_id AND m.group_id = g.group_id
             WHERE g.tenant_id = $1 AND g.venue_id = $2 GROUP BY g.group_id, g.name ORDER BY g.group_id",
        )
        .bind(ctx.key())
        .bind(venue.as_str())
        .fetch_all(&self.read)
        .await?;
        let group = |row: &AnyRow| {
            let devices: String = row.try_get("devices")?;
            let devices = devices.split_whitespace().map(|d| parse("a device id", d));
            let mut device_ids = devices.collect::<Result<Vec<DeviceId>, _>>()?;
            device_ids.sort();
            Ok(GroupView {
                group_id: parse("a group id", row.try_get("group_id")?)?,
                name: row.try_get("name")?,
                device_ids,
            })
        };
        rows.iter().map(group).collect()
    }

    /// Makes the group, or replaces it with its devices.
    pub async fn put_group(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        group: &GroupView,
    ) -> Result<(), StoreError> {
        let mut tx = self.write.begin().await?;
        sqlx::query(
            "INSERT INTO device_groups (tenant_id, venue_id, group_id, name) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant_id, venue_id, group_id) DO UPDATE SET name = excluded.name",
        )
        .bind(ctx.key())
        .bind(venue.as_str())
        .bind(group.group_id.as_str())
        .bind(&group.name)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM device_group_members WHERE tenant_id = $1 AND venue_id = $2 AND group_id = $3",
        )
        .bind(ctx.key())
        .bind(venue.as_str())
        .bind(group.group_id.as_str())
        .execute(&mut *tx)
        .await?;
        for device in &group.device_ids {
            sqlx::query(
                "INSERT INTO device_group_members (tenant_id, venue_id, group_id, device_id)
                 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind(ctx.key())
            .bind(venue.as_str())
            .bind(group.group_id.as_str())
            .bind(device.as_str())
            .execute(&mut *tx)
            .await?;
        }
        bump(&mut tx, ctx, venue).await?;
        tx.commit().await?;
        Ok(())
    }

    /// False: there is none.
    pub async fn delete_group(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        group: &TargetId,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write.begin().await?;
        let done = sqlx::query(
            "DELETE FROM device_groups WHERE tenant_id = $1 AND venue_id = $2 AND group_id = $3",
        )
        .bind(ctx.key())
        .bind(venue.as_str())
        .bind(group.as_str())
        .execute(&mut *tx)
        .await?;
        bump(&mut tx, ctx, venue).await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}
