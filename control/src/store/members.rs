//! The devices of a rollout: what became of each, and how many there are of each kind.

use fleet_protocol::rollout::{MemberStatus, RolloutCounts};
use fleet_protocol::update::{UpdateReport, UpdateState};
use fleet_protocol::{DeviceId, RolloutId};
use jiff::Timestamp;
use sqlx::Row as _;

use super::dialect::Held;
use super::{Store, StoreError, TenantContext, count, from_json, ms, number, parse};

#[derive(Debug, Clone)]
pub struct MemberRow {
    pub device_id: DeviceId,
    pub name: String,
    pub phase: u32,
    pub status: MemberStatus,
    pub detail: Option<String>,
    pub update: Option<UpdateState>,
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

impl Store {
    /// How many members have each status.
    pub(super) async fn member_counts(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
    ) -> Result<RolloutCounts, StoreError> {
        let rows = sqlx::query(
            "SELECT status, count(*) AS devices FROM rollout_members
             WHERE tenant_id = $1 AND rollout_id = $2 GROUP BY status",
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

    /// How many members of each phase have each status.
    pub async fn phase_counts(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
    ) -> Result<Vec<(u32, MemberStatus, u64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT phase, status, count(*) AS devices FROM rollout_members
             WHERE tenant_id = $1 AND rollout_id = $2 GROUP BY phase, status",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                Ok((
                    number(row, "phase")?,
                    member_status(row.try_get("status")?)?,
                    count(row.try_get("devices")?),
                ))
            })
            .collect()
    }

    /// Members with something to tell first: failed, under way, verified, waiting; then by phase and
    /// name. The limit falls before names are looked at: they would have to be read of all.
    pub async fn members(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
        limit: u32,
    ) -> Result<Vec<MemberRow>, StoreError> {
        let join = self.dialect.join_from_left();
        let sql = format!(
            "WITH shown AS (
                 SELECT device_id, phase, status, detail,
                     CASE status WHEN 'failed' THEN 0 WHEN 'rollingBack' THEN 1 WHEN 'offered' THEN 2
                         WHEN 'rolledBack' THEN 3 WHEN 'verified' THEN 4 ELSE 5 END AS place
                 FROM rollout_members WHERE tenant_id = $1 AND rollout_id = $2
                 ORDER BY place, phase, device_id LIMIT $3)
             SELECT m.device_id, d.name, m.phase, m.status, m.detail, d.report
             FROM shown m {join} devices d ON d.tenant_id = $1 AND d.device_id = m.device_id
             ORDER BY m.place, m.phase, d.name, m.device_id"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(id.as_str())
            .bind(i64::from(limit))
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
                    phase: number(row, "phase")?,
                    status: member_status(row.try_get("status")?)?,
                    detail: row.try_get("detail")?,
                    update: report.map(|r| r.state),
                })
            })
            .collect()
    }

    /// Asks a device that failed to try again, if the rollout that it failed in still lives.
    pub async fn retry_member(
        &self,
        ctx: &TenantContext,
        device: &DeviceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write.begin().await?;
        self.hold(&mut tx, ctx, Held::RolloutsOf(device.as_str()))
            .await?;
        let rollout: Option<String> = sqlx::query_scalar(
            "UPDATE rollout_members AS m SET status = 'offered', attempt = attempt + 1,
                 offered_ms = $1, detail = NULL
             WHERE tenant_id = $2 AND device_id = $3 AND superseded = 0 AND status = 'failed'
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
                 WHERE tenant_id = $1 AND rollout_id = $2",
            )
            .bind(ctx.key())
            .bind(rollout)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(rollout.is_some())
    }
}
