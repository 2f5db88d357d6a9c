//! Alerts: noticing what is wrong, showing it, and noting that somebody knows.
//!
//! A look takes no input but the instant since when devices are heard: it reads what is stored, has `domain::alerts`
//! decide, and applies that. So it does not matter how often it runs, where it was cut off, or who runs it.

use std::sync::Arc;
use std::time::Duration;

use fleet_protocol::alert::{AcknowledgeAlert, AlertRules, AlertRulesView, AlertState, AlertView};
use fleet_protocol::device::Page;
use fleet_protocol::{AlertId, VenueId};
use jiff::{SignedDuration, Timestamp};

use super::enrolment::check_note;
use super::error::{Error, Kind, Refusal, no_such, stale};
use super::{App, PageRequest};
use crate::domain::alerts::evaluate;
use crate::metrics::Task;
use crate::store::{AlertFilter, TenantContext};

const TICK: Duration = Duration::from_secs(15);
/// A little less than a tick.
const EVERY: Duration = Duration::from_secs(12);
const ALERT_LIST: &str = "`fleet alert list` (GET /v1/alerts)";
/// After they are over.
const ALERTS_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

impl App {
    pub async fn alerts(
        &self,
        ctx: &TenantContext,
        filter: &AlertFilter,
        page: &PageRequest,
    ) -> Result<Page<AlertView>, Error> {
        let (before, limit) = (page.number()?, page.with_one_more());
        let rows = self.store.alerts(ctx, filter, before, limit).await?;
        Ok(page.placed(rows))
    }

    /// Those of one venue's devices.
    pub async fn venue_alerts(
        &self,
        ctx: &TenantContext,
        venue: VenueId,
        filter: AlertFilter,
        page: &PageRequest,
    ) -> Result<Page<AlertView>, Error> {
        self.venue(ctx, &venue).await?;
        let filter = AlertFilter {
            venue: Some(venue),
            ..filter
        };
        self.alerts(ctx, &filter, page).await
    }

    pub async fn alert(&self, ctx: &TenantContext, id: &AlertId) -> Result<AlertView, Error> {
        let found = self.store.alert(ctx, id).await?;
        found.ok_or_else(|| no_such("alert", id, ALERT_LIST))
    }

    /// Notes that the caller knows of it. Whoever said so first stays noted.
    ///
    /// # Errors
    /// 409 once it is over.
    pub async fn acknowledge_alert(
        &self,
        ctx: &TenantContext,
        id: &AlertId,
        request: &AcknowledgeAlert,
    ) -> Result<AlertView, Error> {
        let note = request.note.as_deref();
        check_note(note)?;
        let now = self.now();
        let first = self.store.acknowledge_alert(ctx, id, note, now).await?;
        let alert = self.alert(ctx, id).await?;
        if first {
            self.deliver_soon();
            tracing::info!(alert.id = %id, operator = ctx.actor_name(), "alert acknowledged");
        } else if alert.state == AlertState::Resolved {
            let detail = "the alert is over".to_owned();
            let hint = "there is nothing to look after any more; see `fleet alert list`";
            return Err(Refusal::new(Kind::Conflict, "ALERT_RESOLVED", detail, hint).into());
        }
        Ok(alert)
    }

    /// The same, for an alert of a device of this venue.
    pub async fn acknowledge_venue_alert(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        id: &AlertId,
        request: &AcknowledgeAlert,
    ) -> Result<AlertView, Error> {
        let alert = self.alert(ctx, id).await?;
        if alert.venue_id.as_ref() != Some(venue) {
            return Err(no_such("alert", id, ALERT_LIST));
        }
        self.acknowledge_alert(ctx, id, request).await
    }

    pub async fn alert_rules(&self, ctx: &TenantContext) -> Result<AlertRulesView, Error> {
        Ok(self.store.alert_rules(ctx).await?)
    }

    /// Replaces the rules, if they are still at version `expected`. The next look goes by the new ones.
    pub async fn put_alert_rules(
        &self,
        ctx: &TenantContext,
        rules: &AlertRules,
        expected: u64,
    ) -> Result<AlertRulesView, Error> {
        let now = self.now();
        let put = self
            .store
            .put_alert_rules(ctx, rules, expected, now)
            .await?;
        let view = self.store.alert_rules(ctx).await?;
        if !put {
            return Err(stale("alert rules", view.version));
        }
        tracing::info!(operator = ctx.actor_name(), "alert rules changed");
        Ok(view)
    }

    /// One look at every tenant. Silence before `listening_since` says nothing.
    pub async fn look_for_trouble(&self, listening_since: Timestamp) -> Result<(), Error> {
        for ctx in self.store.all_tenants().await? {
            let rules = self.store.alert_rules(&ctx).await?.rules;
            let presence = self.presence();
            let seen = self.store.alerting(&ctx, &rules, presence, listening_since);
            let seen = seen.await?;
            let changes = evaluate(&rules, &seen.known, &seen.facts, presence.now);
            let (opened, resolved) = self
                .store
                .apply_alert_changes(&ctx, &changes, presence.now)
                .await?;
            if opened + resolved > 0 {
                self.deliver_soon();
                tracing::info!(
                    tenant.id = %ctx.tenant(), alerts.opened = opened, alerts.resolved = resolved, "alerts changed"
                );
            }
        }
        Ok(())
    }

    async fn look_for_trouble_if_due(&self, listening_since: Timestamp) -> Result<(), Error> {
        if let Some(due) = self.store.due("alerts", EVERY, self.now()).await? {
            self.look_for_trouble(listening_since).await?;
            due.done(self.now()).await?;
        }
        Ok(())
    }

    /// Runs until the control plane is shut down. A failure is logged and tried again.
    pub async fn run_alerts(self: Arc<Self>) {
        let mut shutdown = self.shutdown_signal();
        let mut listening_since = self.now();
        loop {
            tokio::select! {
                _ = shutdown.wait_for(|ended| *ended) => return,
                () = tokio::time::sleep(TICK) => {}
            }
            let looked = self.look_for_trouble_if_due(listening_since);
            if let Err(error) = self.measured(Task::Alerts, looked).await {
                // Whatever kept it from looking has kept it from hearing devices too.
                listening_since = self.now();
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "looking for alerts failed"
                );
            }
        }
    }

    /// Housekeeping: alerts that have been over for long.
    pub(super) async fn forget_alerts(&self, ctx: &TenantContext) -> Result<(), Error> {
        let before = self.now() - ALERTS_KEPT;
        Ok(self.store.forget_alerts(ctx, before).await?)
    }
}
