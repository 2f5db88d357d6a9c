//! Rollouts and their members.

use std::collections::{BTreeMap, HashMap, HashSet};

use fleet_protocol::rollout::{MemberStatus, Phase, RolloutCounts, RolloutStatus, RolloutView};
use fleet_protocol::update::{UpdateReport, UpdateState};
use fleet_protocol::{DeviceId, Percent, RolloutId, Sha256, Version};
use jiff::{SignedDuration, Timestamp};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{
    Store, StoreError, TenantContext, count, from_json, instant, ms, parse, signed, to_json,
};

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

#[derive(Debug, Clone)]
pub struct RolloutRow {
    pub view: RolloutView,
    pub number: i64,
    pub generation: u64,
}

#[derive(Debug, Clone)]
pub struct MemberRow {
    pub device_id: DeviceId,
    pub name: String,
    pub phase: u32,
    pub status: MemberStatus,
    pub detail: Option<String>,
    pub update: Option<UpdateState>,
}

/// Whether a change was made, or was meant for another generation of the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Done,
    Stale,
}

pub(super) fn rollout_status(text: &str) -> Result<RolloutStatus, StoreError> {
    from_json("a rollout status", &format!("\"{text}\""))
}

pub(super) fn member_status(text: &str) -> Result<MemberStatus, StoreError> {
    from_json("a member status", &format!("\"{text}\""))
}

pub(super) const fn member_name(status: MemberStatus) -> &'static str {
    match status {
        MemberStatus::Waiting => "waiting",
        MemberStatus::Offered => "offered",
        MemberStatus::Verified => "verified",
        MemberStatus::Failed => "failed",
        MemberStatus::RollingBack => "rollingBack",
        MemberStatus::RolledBack => "rolledBack",
    }
}

const ROLLOUT: &str = "SELECT rollout_id, number, version, phases, failure_threshold,
        rollback_on_failure, status, current_phase, generation, created_ms, finished_ms, summary
    FROM rollouts WHERE tenant_id = ?1";

pub(super) fn percent(row: &SqliteRow) -> Result<Percent, StoreError> {
    Ok(Percent::from_hundredths(row.try_get("failure_threshold")?))
}

fn rollout(row: &SqliteRow, counts: RolloutCounts) -> Result<RolloutRow, StoreError> {
    let finished: Option<i64> = row.try_get("finished_ms")?;
    Ok(RolloutRow {
        number: row.try_get("number")?,
        generation: count(row.try_get("generation")?),
        view: RolloutView {
            rollout_id: parse("a rollout id", row.try_get("rollout_id")?)?,
            version: parse("a version", row.try_get("version")?)?,
            status: rollout_status(row.try_get("status")?)?,
            phases: from_json("phases", row.try_get("phases")?)?,
            current_phase: row.try_get("current_phase")?,
            failure_threshold: percent(row)?,
            rollback_on_failure: row.try_get("rollback_on_failure")?,
            counts,
            created_at: instant(row.try_get("created_ms")?)?,
            finished_at: finished.map(instant).transpose()?,
            summary: row.try_get("summary")?,
            members: Vec::new(),
        },
    })
}

impl Store {
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

    pub async fn rollout(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
    ) -> Result<Option<RolloutRow>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{ROLLOUT} AND rollout_id = ?2"
        )))
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_optional(&self.read)
        .await?;
        let Some(row) = row else { return Ok(None) };
        rollout(&row, self.counts(ctx, id).await?).map(Some)
    }

    /// Newest first, below number `before`.
    pub async fn rollouts(
        &self,
        ctx: &TenantContext,
        status: Option<&str>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<RolloutRow>, StoreError> {
        let sql = format!(
            "{ROLLOUT} AND (?2 IS NULL OR status = ?2) AND (?3 IS NULL OR number < ?3)
             ORDER BY number DESC LIMIT ?4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(status)
            .bind(before)
            .bind(limit)
            .fetch_all(&self.read)
            .await?;
        let mut rollouts = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: RolloutId = parse("a rollout id", row.try_get("rollout_id")?)?;
            rollouts.push(rollout(row, self.counts(ctx, &id).await?)?);
        }
        Ok(rollouts)
    }

    async fn counts(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
    ) -> Result<RolloutCounts, StoreError> {
        let rows = sqlx::query(
            "SELECT status, count(*) AS devices FROM rollout_members
             WHERE tenant_id = ? AND rollout_id = ? GROUP BY status",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_all(&self.read)
        .await?;
        let mut counts = RolloutCounts::default();
        for row in &rows {
            let devices = count(row.try_get("devices")?);
            counts.total += devices;
            let slot = match member_status(row.try_get("status")?)? {
                MemberStatus::Waiting => &mut counts.waiting,
                MemberStatus::Offered => &mut counts.offered,
                MemberStatus::Verified => &mut counts.verified,
                MemberStatus::Failed => &mut counts.failed,
                MemberStatus::RollingBack => &mut counts.rolling_back,
                MemberStatus::RolledBack => &mut counts.rolled_back,
            };
            *slot += devices;
        }
        Ok(counts)
    }

    /// Members with something to tell first: failed, under way, verified, waiting; then by phase.
    pub async fn members(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
        limit: u32,
    ) -> Result<Vec<MemberRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT m.device_id, d.name, m.phase, m.status, m.detail, d.report
             FROM rollout_members m
             JOIN devices d ON d.tenant_id = m.tenant_id AND d.device_id = m.device_id
             WHERE m.tenant_id = ? AND m.rollout_id = ?
             ORDER BY CASE m.status WHEN 'failed' THEN 0 WHEN 'rollingBack' THEN 1
                 WHEN 'offered' THEN 2 WHEN 'rolledBack' THEN 3 WHEN 'verified' THEN 4 ELSE 5 END,
                 m.phase, d.name, m.device_id LIMIT ?",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(limit)
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                let report: Option<String> = row.try_get("report")?;
                let report: Option<UpdateReport> = report
                    .map(|r| from_json("an update report", &r))
                    .transpose()?;
                Ok(MemberRow {
                    device_id: parse("a device id", row.try_get("device_id")?)?,
                    name: row.try_get("name")?,
                    phase: row.try_get("phase")?,
                    status: member_status(row.try_get("status")?)?,
                    detail: row.try_get("detail")?,
                    update: report.map(|r| r.state),
                })
            })
            .collect()
    }

    /// How many members of each phase have each status.
    pub async fn phase_counts(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
    ) -> Result<Vec<(u32, MemberStatus, u64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT phase, status, count(*) AS devices FROM rollout_members
             WHERE tenant_id = ? AND rollout_id = ? GROUP BY phase, status",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                Ok((
                    row.try_get("phase")?,
                    member_status(row.try_get("status")?)?,
                    count(row.try_get("devices")?),
                ))
            })
            .collect()
    }

    /// An operator's change of status, if the rollout is still at `generation`.
    pub async fn set_rollout_status(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
        generation: u64,
        status: RolloutStatus,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let done = sqlx::query(
            "UPDATE rollouts SET status = ?1, generation = generation + 1,
                 finished_ms = CASE WHEN ?2 THEN coalesce(finished_ms, ?3) END
             WHERE tenant_id = ?4 AND rollout_id = ?5 AND generation = ?6",
        )
        .bind(status.name())
        .bind(status.is_final())
        .bind(ms(now))
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(signed(generation))
        .execute(&self.write)
        .await?;
        Ok(match done.rows_affected() {
            0 => Applied::Stale,
            _ => Applied::Done,
        })
    }

    /// Asks a device that failed to try again, if the rollout that it failed in still lives.
    pub async fn retry_member(
        &self,
        ctx: &TenantContext,
        device: &DeviceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write.begin().await?;
        let rollout: Option<String> = sqlx::query_scalar(
            "UPDATE rollout_members AS m SET status = 'offered', attempt = attempt + 1,
                 offered_ms = ?1, detail = NULL
             WHERE tenant_id = ?2 AND device_id = ?3 AND superseded = 0 AND status = 'failed'
               AND EXISTS (SELECT 1 FROM rollouts r WHERE r.tenant_id = m.tenant_id
                   AND r.rollout_id = m.rollout_id
                   AND r.status IN ('running', 'paused', 'completed'))
             RETURNING rollout_id",
        )
        .bind(ms(now))
        .bind(ctx.key())
        .bind(device.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(rollout) = &rollout {
            sqlx::query(
                "UPDATE rollouts SET generation = generation + 1
                 WHERE tenant_id = ? AND rollout_id = ?",
            )
            .bind(ctx.key())
            .bind(rollout)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(rollout.is_some())
    }

    /// An unfinished rollout of this version: its release can't be withdrawn under it.
    pub async fn unfinished_rollout_of(
        &self,
        ctx: &TenantContext,
        version: &Version,
    ) -> Result<Option<RolloutId>, StoreError> {
        let id: Option<String> = sqlx::query_scalar(
            "SELECT rollout_id FROM rollouts WHERE tenant_id = ? AND version = ?
             AND status IN ('running', 'paused', 'rollingBack') LIMIT 1",
        )
        .bind(ctx.key())
        .bind(version.to_string())
        .fetch_optional(&self.read)
        .await?;
        id.map(|id| parse("a rollout id", &id)).transpose()
    }
}
