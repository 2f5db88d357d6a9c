//! The registry.

use std::collections::BTreeSet;

use fleet_protocol::device::{ChangeDevice, DeviceView};
use fleet_protocol::heartbeat::Heartbeat;
use fleet_protocol::player::PlayerHeartbeat;
use fleet_protocol::update::UpdateReport;
use fleet_protocol::{DeviceId, VenueId};
use jiff::{SignedDuration, Timestamp};
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::dialect::Held;
use super::playback::orientation;
use super::venues::bump;
use super::{Store, StoreError, TenantContext, count, from_json, instant, ms, parse, to_json};

/// Which devices a list shows.
#[derive(Debug, Default, Clone)]
pub struct DeviceFilter {
    /// Part of a name, id, version, serial number or hardware.
    pub text: Option<String>,
    pub online: Option<bool>,
    /// Name of an update state.
    pub update_state: Option<String>,
    /// Where its screen is.
    pub venue: Option<VenueId>,
}

/// One device with everything that it last said.
#[derive(Debug, Clone)]
pub struct DeviceRow {
    pub view: DeviceView,
    pub target_generation: u64,
    pub heartbeat: Option<Heartbeat>,
    pub report: Option<UpdateReport>,
    pub player: Option<PlayerHeartbeat>,
}

/// What makes a device online: it was heard at least this long ago, or as long as it may be silent
/// by its own account.
#[derive(Debug, Clone, Copy)]
pub struct Presence {
    pub now: Timestamp,
    pub at_least: SignedDuration,
}

impl Presence {
    pub(super) fn at_least_ms(self) -> i64 {
        i64::try_from(self.at_least.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Longer than anything else: a year of proof of play can be had, and no batch comes again that late.
const PLAYS_KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);

const COLUMNS: &str = "device_id, name, venue_id, orientation, compatible, hardware, serial_number, role, enrolled_ms,
    revoked_ms, last_seen_ms, online_for_ms, version, root_hash, update_state";

/// `$2` is now, `$3` how long everyone may be silent.
const ONLINE: &str = "coalesce(last_seen_ms, 0)
    + CASE WHEN online_for_ms > $3 THEN online_for_ms ELSE $3 END >= $2";

fn view(row: &AnyRow, presence: Presence) -> Result<DeviceView, StoreError> {
    let last_seen_at = row
        .try_get::<Option<i64>, _>("last_seen_ms")?
        .map(instant)
        .transpose()?;
    let silence: i64 = row.try_get("online_for_ms")?;
    let silence = SignedDuration::from_millis(silence.max(presence.at_least_ms()));
    let role: Option<String> = row.try_get("role")?;
    let root_hash: Option<String> = row.try_get("root_hash")?;
    Ok(DeviceView {
        device_id: parse("a device id", row.try_get("device_id")?)?,
        name: row.try_get("name")?,
        venue_id: parse("a venue id", row.try_get("venue_id")?)?,
        orientation: orientation(row.try_get("orientation")?)?,
        compatible: parse("a compatible", row.try_get("compatible")?)?,
        hardware: row.try_get("hardware")?,
        serial_number: row.try_get("serial_number")?,
        role: role.map(|r| parse("a role", &r)).transpose()?,
        enrolled_at: instant(row.try_get("enrolled_ms")?)?,
        last_seen_at,
        online: last_seen_at.is_some_and(|at| presence.now.duration_since(at) <= silence),
        revoked: row.try_get::<Option<i64>, _>("revoked_ms")?.is_some(),
        version: parse("a version", row.try_get("version")?)?,
        root_hash: root_hash.map(|h| parse("a root hash", &h)).transpose()?,
        update_state: row.try_get("update_state")?,
    })
}

/// A device that comes to a venue leaves the groups of every other one.
pub(super) async fn leave_groups(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    id: &DeviceId,
    venue: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM device_group_members WHERE tenant_id = $1 AND device_id = $2 AND venue_id <> coalesce($3, venue_id)",
    )
    .bind(ctx.key())
    .bind(id.as_str())
    .bind(venue)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Store {
    /// Which of these are devices of the venue.
    pub async fn devices_there<'a>(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        ids: impl Iterator<Item = &'a str>,
    ) -> Result<BTreeSet<String>, StoreError> {
        let named = to_json(&ids.map(|id| [id]).collect::<Vec<_>>());
        let each = self.dialect.json_each("$3");
        let sql = format!(
            "SELECT device_id FROM devices WHERE tenant_id = $1 AND venue_id = $2
               AND device_id IN (SELECT j.value ->> 0 FROM {each} AS j)"
        );
        let found: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(venue.as_str())
            .bind(named)
            .fetch_all(&self.read)
            .await?;
        Ok(found.into_iter().collect())
    }

    /// One page ordered by id.
    pub async fn devices(
        &self,
        ctx: &TenantContext,
        filter: &DeviceFilter,
        presence: Presence,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<DeviceView>, StoreError> {
        let text = "name || ' ' || device_id || ' ' || version || ' ' || hardware || ' ' ||
            coalesce(serial_number, '')";
        let contains = self.dialect.contains(text, "$5");
        let sql = format!(
            "SELECT {COLUMNS} FROM devices
             WHERE tenant_id = $1 AND ($4 IS NULL OR device_id > $4)
               AND ($5 IS NULL OR {contains})
               AND ($6 IS NULL OR ({ONLINE}) = $6)
               AND ($7 IS NULL OR update_state = $7)
               AND ($8 IS NULL OR venue_id = $8)
             ORDER BY device_id LIMIT $9"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(ms(presence.now))
            .bind(presence.at_least_ms())
            .bind(after)
            .bind(&filter.text)
            .bind(filter.online)
            .bind(&filter.update_state)
            .bind(filter.venue.as_ref().map(VenueId::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(|row| view(row, presence)).collect()
    }

    pub async fn device(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        presence: Presence,
    ) -> Result<Option<DeviceRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, target_generation, heartbeat, report, player FROM devices
             WHERE tenant_id = $1 AND device_id = $2"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(id.as_str())
            .fetch_optional(&self.read)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let heartbeat: Option<String> = row.try_get("heartbeat")?;
        let report: Option<String> = row.try_get("report")?;
        let player: Option<String> = row.try_get("player")?;
        Ok(Some(DeviceRow {
            view: view(&row, presence)?,
            target_generation: count(row.try_get("target_generation")?),
            heartbeat: heartbeat
                .map(|h| from_json("a heartbeat", &h))
                .transpose()?,
            report: report
                .map(|r| from_json("an update report", &r))
                .transpose()?,
            player: player
                .map(|p| from_json("a player's heartbeat", &p))
                .transpose()?,
        }))
    }

    /// How many devices there are, how many of them are online, and how many run each version.
    pub async fn fleet_counts(
        &self,
        ctx: &TenantContext,
        presence: Presence,
    ) -> Result<Vec<(String, u64, u64)>, StoreError> {
        let sql = format!(
            "SELECT version, count(*) AS devices, count(*) FILTER (WHERE {ONLINE}) AS online
             FROM devices WHERE tenant_id = $1 AND revoked_ms IS NULL
             GROUP BY version ORDER BY devices DESC, version"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(ms(presence.now))
            .bind(presence.at_least_ms())
            .fetch_all(&self.read)
            .await?;
        rows.iter()
            .map(|row| {
                Ok((
                    row.try_get("version")?,
                    count(row.try_get("devices")?),
                    count(row.try_get("online")?),
                ))
            })
            .collect()
    }

    /// Those of a venue, or of all, that are not revoked.
    pub async fn device_ids_of(
        &self,
        ctx: &TenantContext,
        venue: Option<&VenueId>,
    ) -> Result<Vec<DeviceId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT device_id FROM devices
             WHERE tenant_id = $1 AND ($2 IS NULL OR venue_id = $2) AND revoked_ms IS NULL",
        )
        .bind(ctx.key())
        .bind(venue.map(VenueId::as_str))
        .fetch_all(&self.read)
        .await?;
        ids.iter().map(|id| parse("a device id", id)).collect()
    }

    /// What is `None` stays. A device that goes to another venue leaves its groups. False: no such device.
    pub async fn change_device(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        change: &ChangeDevice,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write.begin().await?;
        self.hold(&mut tx, ctx, Held::Device(id.as_str())).await?;
        let venue = change.venue_id.as_ref().map(VenueId::as_str);
        let left: Option<String> = sqlx::query_scalar(
            "SELECT venue_id FROM devices WHERE tenant_id = $1 AND device_id = $2",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(left) = left else { return Ok(false) };
        leave_groups(&mut tx, ctx, id, venue).await?;
        sqlx::query(
            "UPDATE devices SET name = coalesce($3, name), venue_id = coalesce($4, venue_id),
                 orientation = coalesce($5, orientation)
             WHERE tenant_id = $1 AND device_id = $2",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(&change.name)
        .bind(venue)
        .bind(
            change
                .orientation
                .map(|o| to_json(&o).trim_matches('"').to_owned()),
        )
        .execute(&mut *tx)
        .await?;
        bump(&mut tx, ctx, &parse("a venue id", &left)?).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Takes the device's credentials away (or gives them back). False: no such device.
    pub async fn revoke_device(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE devices SET revoked_ms = $1 WHERE tenant_id = $2 AND device_id = $3",
        )
        .bind(at.map(ms))
        .bind(ctx.key())
        .bind(id.as_str())
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Forgets heartbeats, events and finished commands from before `now - keep`.
    pub async fn prune(
        &self,
        ctx: &TenantContext,
        now: Timestamp,
        keep: SignedDuration,
    ) -> Result<u64, StoreError> {
        let (short, long) = (ms(now - keep), ms(now - keep - PLAYS_KEPT));
        let mut gone = 0;
        for (sql, before) in [
            (
                "DELETE FROM heartbeats WHERE tenant_id = $1 AND received_ms < $2",
                short,
            ),
            (
                "DELETE FROM events WHERE tenant_id = $1 AND received_ms < $2",
                short,
            ),
            (
                "DELETE FROM commands WHERE tenant_id = $1 AND expires_ms < $2",
                short,
            ),
            (
                "DELETE FROM plays WHERE tenant_id = $1 AND started_ms < $2",
                long,
            ),
            (
                "DELETE FROM player_batches WHERE tenant_id = $1 AND received_ms < $2",
                long,
            ),
        ] {
            let done = sqlx::query(sql)
                .bind(ctx.key())
                .bind(before)
                .execute(&self.write)
                .await?;
            gone += done.rows_affected();
        }
        Ok(gone)
    }
}
