//! The making of a rollout: who could be in it, and the one transaction that takes them in.

use std::collections::{BTreeMap, HashSet};

use fleet_protocol::rollout::Phase;
use fleet_protocol::{DeviceId, Percent, RolloutId, Sha256, Version};
use jiff::{SignedDuration, Timestamp};
use sqlx::{AnyConnection, Row as _};

use super::dialect::Held;
use super::{Store, StoreError, TenantContext, from_json, ms, parse, to_json};

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
        // One document, not many rows: see `planning_facts`.
        let ids = self.dialect.json_list("device_id");
        let to_plan = self.dialect.indexed_by("devices_to_plan");
        let sql = format!(
            "SELECT {ids} FROM devices {to_plan}
             WHERE tenant_id = $1 AND compatible = $2
             AND revoked_ms IS NULL AND NOT (version = $3 AND root_hash IS NOT DISTINCT FROM $4)"
        );
        let document: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(compatible)
            .bind(version.to_string())
            .bind(root_hash.to_string())
            .fetch_one(&self.read)
            .await?;
        from_json("device ids", &document)
    }

    /// Versions that some of these devices run and that are no release here, with how many.
    pub async fn unpublished_versions(
        &self,
        ctx: &TenantContext,
        devices: &[DeviceId],
    ) -> Result<BTreeMap<Version, u64>, StoreError> {
        let by_version = self.dialect.indexed_by("devices_by_version");
        let sql = format!(
            "SELECT device_id, version FROM devices {by_version}
             WHERE tenant_id = $1 AND version IN (
                 SELECT version FROM devices WHERE tenant_id = $1
                 EXCEPT SELECT version FROM releases WHERE tenant_id = $1)"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
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
        self.hold(&mut tx, ctx, Held::Tenant).await?;
        self.hold(&mut tx, ctx, Held::Rollouts).await?;
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO rollouts (tenant_id, rollout_id, number, version, phases,
                 failure_threshold, rollback_on_failure, deadline_s, status, current_phase,
                 generation, created_ms, summary)
             VALUES ($1, $2, (SELECT coalesce(max(number), 0) + 1 FROM rollouts WHERE tenant_id = $1),
                 $3, $4, $5, $6, $7, 'running', 0, 1, $8, $9)
             RETURNING number",
        )
        .bind(ctx.key())
        .bind(new.rollout_id.as_str())
        .bind(new.version.to_string())
        .bind(to_json(&new.phases))
        .bind(i64::from(new.failure_threshold.hundredths()))
        .bind(i64::from(new.rollback_on_failure))
        .bind(new.deadline.as_secs())
        .bind(ms(now))
        .bind(&new.summary)
        .fetch_one(&mut *tx)
        .await?;
        self.add_members(&mut tx, ctx, new, number).await?;
        let join = self.dialect.join_from_left();
        let sql = format!(
            "SELECT m.rollout_id FROM rollouts r
             {join} rollout_members m
               ON m.tenant_id = r.tenant_id AND m.rollout_id = r.rollout_id
             WHERE r.tenant_id = $1 AND r.rollout_id <> $2
               AND r.status IN ('running', 'paused', 'rollingBack') AND m.superseded = 0
               AND EXISTS (SELECT 1 FROM rollout_members n WHERE n.tenant_id = $1
                   AND n.rollout_id = $2 AND n.device_id = m.device_id)
             LIMIT 1"
        );
        let busy: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(new.rollout_id.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(other) = busy {
            tx.rollback().await?;
            return Ok(Some(parse("a rollout id", &other)?));
        }
        let in_force = self.dialect.indexed_by("members_in_force");
        let sql = format!(
            "UPDATE rollout_members AS m {in_force} SET superseded = 1
             WHERE tenant_id = $1 AND rollout_id <> $2 AND superseded = 0
               AND EXISTS (SELECT 1 FROM rollout_members n WHERE n.tenant_id = $1
                   AND n.rollout_id = $2 AND n.device_id = m.device_id)"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(new.rollout_id.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(None)
    }

    async fn add_members(
        &self,
        connection: &mut AnyConnection,
        ctx: &TenantContext,
        new: &NewRollout,
        number: i64,
    ) -> Result<(), StoreError> {
        let each = self.dialect.json_each("$4");
        let join = self.dialect.join_from_left();
        // One statement for all: one for each takes half a minute for a hundred
        // thousand. In the order of the table, or every row goes onto another page. Joined from
        // the left: the rollouts first, or SQLite goes through every member that ever was.
        // A new rollout of a version that failed before asks the device to try it once more.
        let sql = format!(
            "INSERT INTO rollout_members (tenant_id, rollout_id, device_id, number, phase,
             status, attempt)
         SELECT $1, $2, j.value ->> 0, $3, CAST(j.value ->> 1 AS BIGINT), 'waiting',
             1 + coalesce(before.attempts, 0)
         FROM {each} AS j
         LEFT JOIN (SELECT m.device_id, max(m.attempt) AS attempts FROM rollouts r
             {join} rollout_members m
               ON m.tenant_id = r.tenant_id AND m.rollout_id = r.rollout_id
             WHERE r.tenant_id = $1 AND r.version = $5 GROUP BY m.device_id) AS before
           ON before.device_id = j.value ->> 0
         ORDER BY j.value ->> 0"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(new.rollout_id.as_str())
            .bind(number)
            .bind(to_json(&new.members))
            .bind(new.version.to_string())
            .execute(&mut *connection)
            .await?;
        Ok(())
    }
}
