//! A device that is taken out of the registry, with all that it said and showed.

use fleet_protocol::{DeviceId, VenueId};
use sqlx::Row as _;

use super::dialect::Held;
use super::venues::bump;
use super::{Store, StoreError, TenantContext, parse};

/// What refers to a device. Its alerts end by themselves; its configuration stays, as the numbers of configurations only
/// count up.
const OF_A_DEVICE: [&str; 9] = [
    "heartbeats",
    "commands",
    "events",
    "support_bundles",
    "rollout_members",
    "device_group_members",
    "player_batches",
    "plays",
    "device_vitals",
];

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    Removed,
    /// Only those are removed that are not let in any more.
    NotRevoked,
    Unknown,
}

impl Store {
    /// Forgets a revoked device; its key is as one that never enrolled.
    pub async fn remove_device(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
    ) -> Result<Removal, StoreError> {
        let mut tx = self.write.begin().await?;
        self.hold(&mut tx, ctx, Held::Device(id.as_str())).await?;
        let row = sqlx::query(
            "SELECT venue_id, revoked_ms FROM devices WHERE tenant_id = $1 AND device_id = $2",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else {
            return Ok(Removal::Unknown);
        };
        if row.try_get::<Option<i64>, _>("revoked_ms")?.is_none() {
            return Ok(Removal::NotRevoked);
        }
        let venue: VenueId = parse("a venue id", row.try_get("venue_id")?)?;
        let members = Held::RolloutsOf(id.as_str());
        self.hold(&mut tx, ctx, members).await?;
        // Refuses plans that were made with it.
        sqlx::query(
            "UPDATE rollouts SET generation = generation + 1 WHERE tenant_id = $1 AND rollout_id IN (
                 SELECT rollout_id FROM rollout_members
                 WHERE tenant_id = $1 AND device_id = $2 AND superseded = 0)",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .execute(&mut *tx)
        .await?;
        for table in OF_A_DEVICE.into_iter().chain(["devices"]) {
            let sql = format!("DELETE FROM {table} WHERE tenant_id = $1 AND device_id = $2");
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(ctx.key())
                .bind(id.as_str())
                .execute(&mut *tx)
                .await?;
        }
        bump(&mut tx, ctx, &venue).await?;
        tx.commit().await?;
        Ok(Removal::Removed)
    }
}
