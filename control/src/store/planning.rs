//! What the planner reads, and how its plans are written.

use fleet_protocol::rollout::MemberStatus;
use fleet_protocol::{DeviceId, RolloutId, Sha256, Version};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use sqlx::Row as _;

use super::members::member_name;
use super::rollouts::{percent, rollout_status};
use super::{
    Applied, Store, StoreError, TenantContext, count, flag, from_json, instant, ms, number, parse,
    signed, to_json,
};
use crate::domain::rollout::{DeviceFacts, Plan, Report, RolloutState};

/// A rollout as the planner needs it, of one moment.
#[derive(Debug)]
pub struct Planning {
    pub state: RolloutState,
    pub devices: Vec<DeviceFacts>,
    /// What the plan before said.
    pub summary: String,
}

impl Store {
    /// Rollouts that the planner may still have something to say about: unfinished ones, and
    /// finished ones with devices that are on their way, forward or back.
    pub async fn rollouts_to_plan(
        &self,
        ctx: &TenantContext,
    ) -> Result<Vec<RolloutId>, StoreError> {
        let join = self.dialect.join_from_left();
        let in_force = self.dialect.indexed_by("members_in_force");
        let to_plan = self.dialect.indexed_by("devices_to_plan");
        let sql = format!(
            "SELECT rollout_id FROM rollouts r WHERE tenant_id = $1
               AND (status IN ('running', 'paused', 'rollingBack')
                 OR EXISTS (SELECT 1 FROM rollout_members m {in_force}
                     WHERE m.tenant_id = r.tenant_id AND m.rollout_id = r.rollout_id
                       AND m.superseded = 0 AND m.status IN ('offered', 'rollingBack'))
                 OR (r.status = 'rolledBack' AND EXISTS (
                     SELECT 1 FROM rollout_members m {in_force}
                     {join} devices d {to_plan}
                       ON d.tenant_id = m.tenant_id AND d.device_id = m.device_id
                     WHERE m.tenant_id = r.tenant_id AND m.rollout_id = r.rollout_id
                       AND m.superseded = 0 AND m.previous_version IS NOT NULL
                       AND m.status <> 'failed'
                       AND (d.version = r.version
                         OR (d.begun_ms IS NOT NULL AND d.report_version = r.version)))))
             ORDER BY number"
        );
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(|r| parse("a rollout id", r)).collect()
    }

    /// Everything that the planner needs, of one moment.
    pub async fn planning_facts(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
    ) -> Result<Option<Planning>, StoreError> {
        let mut tx = self.snapshot().await?;
        let row = sqlx::query(
            "SELECT r.*, (SELECT root_hash FROM releases
                 WHERE tenant_id = r.tenant_id AND version = r.version) AS root_hash
             FROM rollouts r WHERE tenant_id = $1 AND rollout_id = $2",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let done: Option<i64> = row.try_get("phase_done_ms")?;
        let state = RolloutState {
            rollout_id: id.clone(),
            version: parse("a version", row.try_get("version")?)?,
            root_hash: parse("a root hash", row.try_get("root_hash")?)?,
            phases: from_json("phases", row.try_get("phases")?)?,
            failure_threshold: percent(&row)?,
            rollback_on_failure: flag(&row, "rollback_on_failure")?,
            deadline: SignedDuration::from_secs(row.try_get("deadline_s")?),
            status: rollout_status(row.try_get("status")?)?,
            current_phase: number(&row, "current_phase")?,
            phase_done_at: done.map(instant).transpose()?,
            generation: count(row.try_get("generation")?),
        };
        // As one document, in the order of `Facts`: a hundred thousand rows are a hundred thousand
        // messages from the database's thread, which takes ten times as long as the query.
        let rows = self.dialect.json_rows(
            "m.device_id, m.status, m.superseded, m.offered_ms,
             m.previous_version, d.revoked_ms, d.version, d.root_hash, d.report_state,
             d.report_version, d.report_rollout, d.report_ms, d.report_detail, d.begun_ms",
        );
        let join = self.dialect.join_from_left();
        let to_plan = self.dialect.indexed_by("devices_to_plan");
        let sql = format!(
            "SELECT {rows} FROM rollout_members m
             {join} devices d {to_plan}
               ON d.tenant_id = m.tenant_id AND d.device_id = m.device_id
             WHERE m.tenant_id = $1 AND m.rollout_id = $2"
        );
        let document: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(id.as_str())
            .fetch_one(&mut *tx)
            .await?;
        let facts: Vec<Facts> = from_json("facts about devices", &document)?;
        let devices = facts.into_iter().map(device_facts);
        Ok(Some(Planning {
            state,
            devices: devices.collect::<Result<_, _>>()?,
            summary: row.try_get("summary")?,
        }))
    }

    /// Applies the plan if the rollout is still at the generation that it was made for.
    pub async fn apply_plan(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let mut tx = self.write.begin().await?;
        let done = sqlx::query(
            "UPDATE rollouts SET status = $1, current_phase = $2, phase_done_ms = $3, summary = $4,
                 generation = generation + 1,
                 finished_ms = CASE WHEN $5 THEN coalesce(finished_ms, $6) END
             WHERE tenant_id = $7 AND rollout_id = $8 AND generation = $9",
        )
        .bind(plan.status.name())
        .bind(i64::from(plan.current_phase))
        .bind(plan.phase_done_at.map(ms))
        .bind(&plan.summary)
        .bind(plan.status.is_final())
        .bind(ms(now))
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(signed(plan.base_generation))
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(Applied::Stale);
        }
        // Device, status, previous version, offered at, detail: see `NewRollout` for why at once.
        let changes: Vec<_> = plan
            .transitions
            .iter()
            .map(|t| {
                let previous = t.previous_version.as_ref().map(ToString::to_string);
                let (id, status) = (t.device_id.as_str(), member_name(t.to));
                (id, status, previous, t.offered_at.map(ms), &t.detail)
            })
            .collect();
        // An upsert of rows that are all there: an UPDATE … FROM may go through every member
        // for every change. Number and phase are never taken from here.
        let each = self.dialect.json_each("$3");
        let sql = format!(
            "INSERT INTO rollout_members (tenant_id, rollout_id, device_id, number, phase, status,
                 previous_version, offered_ms, detail)
             SELECT $1, $2, j.value ->> 0, 0, 0, j.value ->> 1, j.value ->> 2,
                 CAST(j.value ->> 3 AS BIGINT), j.value ->> 4
             FROM {each} AS j WHERE true
             ON CONFLICT (tenant_id, rollout_id, device_id) DO UPDATE SET
                 status = excluded.status,
                 previous_version = coalesce(rollout_members.previous_version, excluded.previous_version),
                 offered_ms = coalesce(excluded.offered_ms, rollout_members.offered_ms),
                 detail = excluded.detail"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(id.as_str())
            .bind(to_json(&changes))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Applied::Done)
    }
}

/// What is asked of each device, as it comes.
#[derive(Deserialize)]
struct Facts {
    device_id: DeviceId,
    status: MemberStatus,
    superseded: u8,
    offered_ms: Option<i64>,
    previous_version: Option<Version>,
    revoked_ms: Option<i64>,
    version: Version,
    root_hash: Option<Sha256>,
    report_state: Option<String>,
    report_version: Option<Version>,
    report_rollout: Option<RolloutId>,
    report_ms: Option<i64>,
    report_detail: Option<String>,
    begun_ms: Option<i64>,
}

fn device_facts(facts: Facts) -> Result<DeviceFacts, StoreError> {
    let at = |ms: Option<i64>| ms.map(instant).transpose();
    let reported = match (facts.report_state, at(facts.report_ms)?) {
        (Some(state), Some(at)) => Some(Report {
            state: parse("a reported state", &state)?,
            version: facts.report_version,
            rollout_id: facts.report_rollout,
            at,
            detail: facts.report_detail,
        }),
        _ => None,
    };
    Ok(DeviceFacts {
        device_id: facts.device_id,
        status: facts.status,
        superseded: facts.superseded != 0,
        revoked: facts.revoked_ms.is_some(),
        offered_at: at(facts.offered_ms)?,
        previous_version: facts.previous_version,
        booted_version: facts.version,
        booted_root_hash: facts.root_hash,
        reported,
        begun_at: at(facts.begun_ms)?,
    })
}
