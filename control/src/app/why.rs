//! Gathers what the trace of one device needs.

use fleet_protocol::DeviceId;
use fleet_protocol::why::WhyTrace;

use super::App;
use super::error::Error;
use crate::domain::why::{Known, Place, trace};
use crate::store::TenantContext;

impl App {
    /// What holds this device's update back.
    pub async fn why(&self, ctx: &TenantContext, id: &DeviceId) -> Result<WhyTrace, Error> {
        let row = self.device_row(ctx, id).await?;
        let assignment = self.store.assignment(ctx, id).await?;
        let rollout = match &assignment {
            Some(a) => Some(self.rollout_row(ctx, &a.rollout_id).await?.view),
            None => None,
        };
        let place = assignment
            .as_ref()
            .zip(rollout.as_ref())
            .map(|(a, r)| Place {
                rollout_id: &a.rollout_id,
                version: &a.version,
                status: a.rollout_status,
                summary: &r.summary,
                member: a.member_status,
                phase: a.phase,
                phases: r.phases.len(),
                detail: a.detail.as_deref(),
            });
        // The newest of both: reports come at changes, heartbeats in between.
        let report = row.report.as_ref().map(|r| &r.state);
        let update = match (&row.heartbeat, report) {
            (Some(h), Some(r)) if h.update.name() == r.name() => Some(&h.update),
            (Some(h), None) => Some(&h.update),
            (_, report) => report,
        };
        Ok(trace(&Known {
            running: &row.view.version,
            place,
            online: row.view.online,
            revoked: row.view.revoked,
            last_seen: row.view.last_seen_at,
            update,
        }))
    }
}
