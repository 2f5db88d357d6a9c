//! The making of a rollout: who could be in it, and the one transaction that takes them in.

use std::collections::{BTreeMap, HashMap, HashSet};

use fleet_protocol::rollout::Phase;
use fleet_protocol::{DeviceId, Percent, RolloutId, Sha256, Version};
use jiff::{SignedDuration, Timestamp};
use sqlx::Row as _;

use super::{Store, StoreError, TenantContext, ms, parse, to_json};

/// A rollout that is to be made.
#[derive(Debug)]
pub struct NewRollout {
    pub rollout_id: RolloutId,
    pub version: Version,
    pub phases: Vec<Phase>,
    pub failure_threshold: Percent,
    pub rollback_on_failure: bool,
    pub deadline: SignedDuration,
    /// In cohort order, with their phases.
    pub members: Vec<(DeviceId, u32)>,
    pub summary: String,
}

impl Store {
    /// Devices that a rollout of `version` could be for: of its compatible, not revoked, and not
    /// already running it with this root hash.
    pub async fn rollout_candidates(
        &self,
        ctx: &TenantContext,
        compatible: &str,
        version: &Version,
        root_hash: &Sha256,
    ) -> Result<Vec<DeviceId>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT device_id FROM devices WHERE tenant_id = ? AND compatible = ?
             AND revoked_ms IS NULL AND NOT (version = ? AND root_hash IS ?)",
        )
        .bind(ctx.key())
        .bind(compatible)
        .bind(version.to_string())
        .bind(root_hash.to_string())
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|d| parse("a device id", d)).collect()
    }

    /// Versions that some of these devices run and that are no release here, with how many.
    pub async fn unpublished_versions(
        &self,
        ctx: &TenantContext,
        devices: &[DeviceId],
    ) -> Result<BTreeMap<Version, u64>, StoreError> {
        let rows = sqlx::query(
            "SELECT device_id, version FROM devices WHERE tenant_id = ?1
             AND version NOT IN (SELECT version FROM releases WHERE tenant_id = ?1)",
        )
        .bind(ctx.key())
        .fetch_all(&self.read)
        .await?;
        let asked: HashSet<&str> = devices.iter().map(DeviceId::as_str).collect();
        let mut versions = BTreeMap::new();
        for row in &rows {
            if asked.contains(row.try_get::<&str, _>("device_id")?) {
                let version = parse("a version", row.try_get("version")?)?;
                *versions.entry(version).or_default() += 1;
            }
        }
        Ok(versions)
    }

    /// Makes the rollout and takes its devices over from finished ones, in one transaction.
    ///
    /// Answers with an unfinished rollout that has some of these devices, if there is one; then
    /// nothing was made.
    pub async fn add_rollout(
        &self,
        ctx: &TenantContext,
        new: &NewRollout,
        now: Timestamp,
    ) -> Result<Option<RolloutId>, StoreError> {
        let mut tx = self.write.begin().await?;
        let busy: HashMap<String, String> = sqlx::query(
            "SELECT m.device_id, m.rollout_id FROM rollout_members m
             JOIN rollouts r ON r.tenant_id = m.tenant_id AND r.rollout_id = m.rollout_id
             WHERE m.tenant_id = ? AND m.superseded = 0
               AND r.status IN ('running', 'paused', 'rollingBack')",
        )
        .bind(ctx.key())
        .fetch_all(&mut *tx)
        .await?
        .iter()
        .map(|row| Ok((row.try_get("device_id")?, row.try_get("rollout_id")?)))
        .collect::<Result<_, StoreError>>()?;
        let taken = new.members.iter().find_map(|(d, _)| busy.get(d.as_str()));
        if let Some(other) = taken {
            return Ok(Some(parse("a rollout id", other)?));
        }
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO rollouts (tenant_id, rollout_id, number, version, phases,
                 failure_threshold, rollback_on_failure, deadline_s, status, current_phase,
                 generation, created_ms, summary)
             VALUES (?1, ?2, (SELECT coalesce(max(number), 0) + 1 FROM rollouts WHERE tenant_id = ?1),
                 ?3, ?4, ?5, ?6, ?7, 'running', 0, 1, ?8, ?9)
             RETURNING number",
        )
        .bind(ctx.key())
        .bind(new.rollout_id.as_str())
        .bind(new.version.to_string())
        .bind(to_json(&new.phases))
        .bind(new.failure_threshold.hundredths())
        .bind(new.rollback_on_failure)
        .bind(new.deadline.as_secs())
        .bind(ms(now))
        .bind(&new.summary)
        .fetch_one(&mut *tx)
        .await?;
        // One statement for all: one for each takes half a minute for a hundred thousand devices.
        let members = to_json(&new.members);
        sqlx::query(
            "UPDATE rollout_members SET superseded = 1
             WHERE tenant_id = ?1 AND superseded = 0
               AND device_id IN (SELECT value ->> 0 FROM json_each(?2))",
        )
        .bind(ctx.key())
        .bind(&members)
        .execute(&mut *tx)
        .await?;
        // A new rollout of a version that failed before asks the device to try it once more.
        sqlx::query(
            "INSERT INTO rollout_members (tenant_id, rollout_id, device_id, number, phase,
                 status, attempt)
             SELECT ?1, ?2, j.value ->> 0, ?3, j.value ->> 1, 'waiting',
                 1 + coalesce((SELECT max(m.attempt) FROM rollout_members m
                     JOIN rollouts r ON r.tenant_id = m.tenant_id AND r.rollout_id = m.rollout_id
                     WHERE m.tenant_id = ?1 AND m.device_id = j.value ->> 0
                       AND r.version = ?5), 0)
             FROM json_each(?4) AS j",
        )
        .bind(ctx.key())
        .bind(new.rollout_id.as_str())
        .bind(number)
        .bind(&members)
        .bind(new.version.to_string())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(None)
    }
}
