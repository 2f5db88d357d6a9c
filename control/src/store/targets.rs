//! What each device is to run, and how often that has changed.

use fleet_protocol::rollout::{MemberStatus, RolloutStatus};
use fleet_protocol::{DeviceId, RolloutId, Sha256, Version};
use sqlx::Row as _;

use super::members::member_status;
use super::rollouts::rollout_status;
use super::{Store, StoreError, TenantContext, count, number, parse};

/// A device's place in the newest rollout that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub rollout_id: RolloutId,
    pub rollout_status: RolloutStatus,
    pub version: Version,
    pub member_status: MemberStatus,
    pub phase: u32,
    pub previous_version: Option<Version>,
    pub attempt: u32,
    pub detail: Option<String>,
    /// The device is installing, about to reboot, or on trial.
    pub begun: bool,
}

impl Store {
    pub async fn assignment(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
    ) -> Result<Option<Assignment>, StoreError> {
        let row = sqlx::query(
            "SELECT m.rollout_id, r.status AS rollout_status, r.version, m.status, m.phase,
                    m.previous_version, m.attempt, m.detail, d.begun_ms
             FROM rollout_members m
             JOIN rollouts r ON r.tenant_id = m.tenant_id AND r.rollout_id = m.rollout_id
             JOIN devices d ON d.tenant_id = m.tenant_id AND d.device_id = m.device_id
             WHERE m.tenant_id = $1 AND m.device_id = $2 AND m.superseded = 0
             ORDER BY m.number DESC LIMIT 1",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_optional(&self.read)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let previous: Option<String> = row.try_get("previous_version")?;
        Ok(Some(Assignment {
            rollout_id: parse("a rollout id", row.try_get("rollout_id")?)?,
            rollout_status: rollout_status(row.try_get("rollout_status")?)?,
            version: parse("a version", row.try_get("version")?)?,
            member_status: member_status(row.try_get("status")?)?,
            phase: number(&row, "phase")?,
            previous_version: previous.map(|v| parse("a version", &v)).transpose()?,
            attempt: number(&row, "attempt")?,
            detail: row.try_get("detail")?,
            begun: row.try_get::<Option<i64>, _>("begun_ms")?.is_some(),
        }))
    }

    /// The generation of a target with this digest: one more than before if the digest is another.
    pub async fn target_generation(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        digest: &Sha256,
    ) -> Result<u64, StoreError> {
        let digest = digest.to_string();
        let row = sqlx::query(
            "SELECT target_generation, target_digest FROM devices
             WHERE tenant_id = $1 AND device_id = $2",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_one(&self.read)
        .await?;
        if row.try_get::<&str, _>("target_digest")? == digest {
            return Ok(count(row.try_get("target_generation")?));
        }
        let generation: i64 = sqlx::query_scalar(
            "UPDATE devices SET
                 target_generation = target_generation + CASE WHEN target_digest <> $1 THEN 1 ELSE 0 END,
                 target_digest = $1
             WHERE tenant_id = $2 AND device_id = $3
             RETURNING target_generation",
        )
        .bind(&digest)
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_one(&self.write)
        .await?;
        Ok(count(generation))
    }
}
