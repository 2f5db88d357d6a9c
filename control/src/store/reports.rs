//! What devices report about their updates.

use fleet_protocol::DeviceId;
use fleet_protocol::update::UpdateReport;
use jiff::Timestamp;
use sqlx::Row as _;

use super::dialect::Held;
use super::{Store, StoreError, TenantContext, ms, signed, to_json};

/// What the planner reads of a report, beside the report itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFacts {
    /// Name of a `domain::rollout::Reported`.
    pub state: &'static str,
    pub version: Option<String>,
    /// The device is installing, about to reboot, or on trial.
    pub begun: bool,
    pub detail: Option<String>,
}

impl Store {
    /// Keeps the report if it is newer than the last one of this device; says whether it was.
    pub async fn put_report(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        report: &UpdateReport,
        facts: &ReportFacts,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write.begin().await?;
        self.hold(&mut tx, ctx, Held::Device(id.as_str())).await?;
        let last = sqlx::query(
            "SELECT report_sequence, report_version, begun_ms FROM devices
             WHERE tenant_id = $1 AND device_id = $2",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_one(&mut *tx)
        .await?;
        let newer = last.try_get::<i64, _>("report_sequence")? < signed(report.sequence);
        if !newer {
            return Ok(false);
        }
        let same_version = last.try_get::<Option<String>, _>("report_version")? == facts.version;
        let since: Option<i64> = last.try_get("begun_ms")?;
        let begun_ms = match (facts.begun, since) {
            (true, Some(since)) if same_version => Some(since),
            (true, _) => Some(ms(now)),
            (false, _) => None,
        };
        sqlx::query(
            "UPDATE devices SET report = $1, report_sequence = $2, report_state = $3,
                 report_version = $4, report_rollout = $5, report_ms = $6, report_detail = $7,
                 begun_ms = $8, version = $9, root_hash = $10, update_state = $11,
                 last_seen_ms = $6
             WHERE tenant_id = $12 AND device_id = $13",
        )
        .bind(to_json(report))
        .bind(signed(report.sequence))
        .bind(facts.state)
        .bind(&facts.version)
        .bind(
            report
                .rollout_id
                .as_ref()
                .map(fleet_protocol::RolloutId::as_str),
        )
        .bind(ms(now))
        .bind(&facts.detail)
        .bind(begun_ms)
        .bind(report.booted.version.to_string())
        .bind(report.booted.root_hash.to_string())
        .bind(report.state.name())
        .bind(ctx.key())
        .bind(id.as_str())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }
}
