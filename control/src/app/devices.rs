//! The registry, and what devices say of themselves.

use fleet_protocol::DeviceId;
use fleet_protocol::device::{
    ChangeDevice, DeviceDetail, DeviceView, FleetOverview, Page, VersionCount,
};
use fleet_protocol::event::{Event, EventBatch, MAX_EVENTS_PER_BATCH};
use fleet_protocol::heartbeat::{Heartbeat, HeartbeatAck};
use fleet_protocol::update::UpdateReport;
use jiff::Timestamp;

use super::enrolment::check_name;
use super::error::{Error, Kind, Refusal, no_such};
use super::venues::VENUE_LIST;
use super::{App, PageRequest, WakeupReason};
use crate::domain::rollout::Reported;
use crate::metrics::Program;
use crate::store::{DeviceFilter, DeviceRow, Removal, ReportFacts, TenantContext};

pub(super) const DEVICE_LIST: &str = "`fleet device list` (GET /v1/devices)";

impl App {
    pub async fn devices(
        &self,
        ctx: &TenantContext,
        filter: &DeviceFilter,
        page: &PageRequest,
    ) -> Result<Page<DeviceView>, Error> {
        let (cursor, limit) = (page.cursor.as_deref(), page.with_one_more());
        let rows = self
            .store
            .devices(ctx, filter, self.presence(), cursor, limit)
            .await?;
        Ok(page.page(rows, |d| d.device_id.to_string(), |d| d))
    }

    pub async fn overview(&self, ctx: &TenantContext) -> Result<FleetOverview, Error> {
        let rows = self.store.fleet_counts(ctx, self.presence()).await?;
        Ok(FleetOverview {
            devices: rows.iter().map(|r| r.1).sum(),
            online: rows.iter().map(|r| r.2).sum(),
            versions: rows
                .into_iter()
                .map(|(version, devices, _)| VersionCount { version, devices })
                .collect(),
        })
    }

    pub(super) async fn device_row(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
    ) -> Result<DeviceRow, Error> {
        let row = self.store.device(ctx, id, self.presence()).await?;
        row.ok_or_else(|| no_such("device", id, DEVICE_LIST))
    }

    pub async fn device(&self, ctx: &TenantContext, id: &DeviceId) -> Result<DeviceDetail, Error> {
        let row = self.device_row(ctx, id).await?;
        let target = self.target(ctx, id).await?;
        Ok(DeviceDetail {
            device: row.view,
            target_generation: target.generation,
            rollout_id: target.release.as_ref().and_then(|r| r.rollout_id.clone()),
            target_version: target.release.map(|r| r.version),
            heartbeat: row.heartbeat,
            update_report: row.report,
            player: row.player,
        })
    }

    /// Gives a device another name for people, another place, or its screen another way of being mounted.
    pub async fn change_device(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        change: &ChangeDevice,
    ) -> Result<DeviceView, Error> {
        if let Some(name) = &change.name {
            check_name("name", name)?;
        }
        if let Some(venue) = &change.venue_id
            && !self.store.venue_exists(ctx, venue).await?
        {
            let message = format!("there is no venue `{venue}`");
            let hint = format!("take one of {VENUE_LIST}");
            return Err(Refusal::field("venueId", message, hint).into());
        }
        if !self.store.change_device(ctx, id, change).await? {
            return Err(no_such("device", id, DEVICE_LIST));
        }
        tracing::info!(device.id = %id, operator = ctx.actor_name(), "device changed");
        self.wakeups.wake(id, WakeupReason::Content);
        Ok(self.device_row(ctx, id).await?.view)
    }

    /// Takes a device's credentials away: its next request is refused.
    pub async fn revoke_device(&self, ctx: &TenantContext, id: &DeviceId) -> Result<(), Error> {
        let now = self.now();
        if !self.store.revoke_device(ctx, id, Some(now)).await? {
            return Err(no_such("device", id, DEVICE_LIST));
        }
        tracing::warn!(device.id = %id, operator = ctx.actor_name(), "device revoked");
        self.plan_soon();
        Ok(())
    }

    /// Lets a revoked device in again.
    pub async fn restore_device(&self, ctx: &TenantContext, id: &DeviceId) -> Result<(), Error> {
        if !self.store.revoke_device(ctx, id, None).await? {
            return Err(no_such("device", id, DEVICE_LIST));
        }
        tracing::info!(device.id = %id, operator = ctx.actor_name(), "device restored");
        Ok(())
    }

    /// Forgets a revoked device with all that it said and showed; its key is as one that never enrolled.
    ///
    /// # Errors
    /// 409 when it is not revoked.
    pub async fn remove_device(&self, ctx: &TenantContext, id: &DeviceId) -> Result<(), Error> {
        match self.store.remove_device(ctx, id).await? {
            Removal::Removed => {}
            Removal::NotRevoked => {
                let detail = format!("{id} is let in as ever");
                let hint =
                    "revoke it first (DELETE /v1/devices/{id}); `fleet device remove` does both";
                return Err(Refusal::new(Kind::Conflict, "NOT_REVOKED", detail, hint).into());
            }
            Removal::Unknown => return Err(no_such("device", id, DEVICE_LIST)),
        }
        tracing::warn!(device.id = %id, operator = ctx.actor_name(), "device removed");
        self.plan_soon();
        self.remove_support_bundles(ctx, id).await
    }

    pub async fn heartbeat(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        heartbeat: &Heartbeat,
    ) -> Result<HeartbeatAck, Error> {
        let now = self.now();
        self.store.put_heartbeat(ctx, id, heartbeat, now).await?;
        self.metrics.heartbeat(Program::Agent);
        let (target, commands_pending) = self.target_and_commands(ctx, id).await?;
        Ok(HeartbeatAck {
            ack: true,
            commands_pending,
            target_generation: target.generation,
            target_version: target.release.map(|r| r.version),
            server_time: now,
        })
    }

    /// The heartbeats that were kept, newest first.
    pub async fn heartbeats(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        page: &PageRequest,
    ) -> Result<Page<Heartbeat>, Error> {
        self.device_row(ctx, id).await?;
        let (before, limit) = (page.number()?, page.with_one_more());
        let rows = self.store.heartbeats(ctx, id, before, limit).await?;
        let cursor = |row: &(Timestamp, Heartbeat)| row.0.as_millisecond().to_string();
        Ok(page.page(rows, cursor, |row| row.1))
    }

    /// Keeps a report if it is newer than the last, and lets the planner look.
    pub async fn update_report(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        report: &UpdateReport,
    ) -> Result<(), Error> {
        let state = Reported::of(&report.state);
        let facts = ReportFacts {
            state: state.name(),
            version: report.state.version().map(ToString::to_string),
            begun: state == Reported::Begun,
            detail: report.state.failure(),
        };
        if self
            .store
            .put_report(ctx, id, report, &facts, self.now())
            .await?
        {
            tracing::info!(
                device.id = %id, update.state = report.state.name(),
                update.version = facts.version, slot.name = %report.booted.slot,
                "device reported"
            );
            self.plan_soon();
        }
        Ok(())
    }

    pub async fn add_events(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        batch: &EventBatch,
    ) -> Result<(), Error> {
        let count = batch.events.len();
        if count > MAX_EVENTS_PER_BATCH {
            return Err(Refusal::field(
                "events",
                format!("holds {count} events, more than {MAX_EVENTS_PER_BATCH}"),
                format!("send at most {MAX_EVENTS_PER_BATCH} at a time"),
            )
            .into());
        }
        self.store
            .add_events(ctx, id, &batch.events, self.now())
            .await?;
        Ok(())
    }

    pub async fn events(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        page: &PageRequest,
    ) -> Result<Page<Event>, Error> {
        self.device_row(ctx, id).await?;
        let (before, limit) = (page.number()?, page.with_one_more());
        let rows = self.store.events(ctx, id, before, limit).await?;
        Ok(page.placed(rows))
    }
}
