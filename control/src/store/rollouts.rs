//! Rollouts themselves: looking at them, and an operator's changes of their status.

use fleet_protocol::rollout::{RolloutCounts, RolloutStatus, RolloutView};
use fleet_protocol::{Percent, RolloutId, Version};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{
    Store, StoreError, TenantContext, count, flag, from_json, instant, ms, number, parse, signed,
};

#[derive(Debug, Clone)]
pub struct RolloutRow {
    pub view: RolloutView,
    pub number: i64,
    pub generation: u64,
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

const ROLLOUT: &str = "SELECT rollout_id, number, version, phases, failure_threshold,
        rollback_on_failure, status, current_phase, generation, created_ms, finished_ms, summary
    FROM rollouts WHERE tenant_id = $1";

pub(super) fn percent(row: &AnyRow) -> Result<Percent, StoreError> {
    Ok(Percent::from_hundredths(number(row, "failure_threshold")?))
}

fn rollout(row: &AnyRow, counts: RolloutCounts) -> Result<RolloutRow, StoreError> {
    let finished: Option<i64> = row.try_get("finished_ms")?;
    Ok(RolloutRow {
        number: row.try_get("number")?,
        generation: count(row.try_get("generation")?),
        view: RolloutView {
            rollout_id: parse("a rollout id", row.try_get("rollout_id")?)?,
            version: parse("a version", row.try_get("version")?)?,
            status: rollout_status(row.try_get("status")?)?,
            phases: from_json("phases", row.try_get("phases")?)?,
            current_phase: number(row, "current_phase")?,
            failure_threshold: percent(row)?,
            rollback_on_failure: flag(row, "rollback_on_failure")?,
            counts,
            created_at: instant(row.try_get("created_ms")?)?,
            finished_at: finished.map(instant).transpose()?,
            summary: row.try_get("summary")?,
            members: Vec::new(),
        },
    })
}

impl Store {
    pub async fn rollout(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
    ) -> Result<Option<RolloutRow>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{ROLLOUT} AND rollout_id = $2"
        )))
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_optional(&self.read)
        .await?;
        let Some(row) = row else { return Ok(None) };
        rollout(&row, self.member_counts(ctx, id).await?).map(Some)
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
            "{ROLLOUT} AND ($2 IS NULL OR status = $2) AND ($3 IS NULL OR number < $3)
             ORDER BY number DESC LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(status)
            .bind(before)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        let mut rollouts = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: RolloutId = parse("a rollout id", row.try_get("rollout_id")?)?;
            rollouts.push(rollout(row, self.member_counts(ctx, &id).await?)?);
        }
        Ok(rollouts)
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
            "UPDATE rollouts SET status = $1, generation = generation + 1,
                 finished_ms = CASE WHEN $2 THEN coalesce(finished_ms, $3) END
             WHERE tenant_id = $4 AND rollout_id = $5 AND generation = $6",
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

    /// An unfinished rollout of this version: its release can't be withdrawn under it.
    pub async fn unfinished_rollout_of(
        &self,
        ctx: &TenantContext,
        version: &Version,
    ) -> Result<Option<RolloutId>, StoreError> {
        let id: Option<String> = sqlx::query_scalar(
            "SELECT rollout_id FROM rollouts WHERE tenant_id = $1 AND version = $2
             AND status IN ('running', 'paused', 'rollingBack') LIMIT 1",
        )
        .bind(ctx.key())
        .bind(version.to_string())
        .fetch_optional(&self.read)
        .await?;
        id.map(|id| parse("a rollout id", &id)).transpose()
    }
}
