//! Carries plans out, and keeps house.
//!
//! An activation takes no input: it looks at what is stored, plans, and applies the plan to that
//! very generation. So it does not matter how often it runs, or where it was interrupted.

use std::sync::Arc;
use std::time::Duration;

use fleet_protocol::RolloutId;

use super::access::REFRESH_LIFETIME;
use super::error::Error;
use super::upload::sweep;
use super::{App, WakeupReason};
use crate::domain::rollout::plan;
use crate::metrics::Task;
use crate::store::{Applied, Planning, TenantContext};

/// Reports that come in a burst are answered by one plan.
const BREATH: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_secs(5);
const HOUSEKEEPING_TICKS: u32 = 12 * 60;
/// A little less than these ticks take.
const HOUSEKEEPING: Duration = Duration::from_mins(55);

impl App {
    /// Lets the planner look as soon as it can.
    pub(super) fn plan_soon(&self) {
        self.plan_now.notify_one();
    }

    /// Plans and applies until the rollout has settled for now.
    pub async fn plan_rollout(&self, ctx: &TenantContext, id: &RolloutId) -> Result<(), Error> {
        loop {
            let Some(facts) = self.store.planning_facts(ctx, id).await? else {
                return Ok(());
            };
            let Planning {
                state,
                devices,
                summary,
            } = facts;
            let now = self.now();
            let plan = plan(&state, &devices, now);
            let unchanged = plan.transitions.is_empty()
                && plan.status == state.status
                && plan.current_phase == state.current_phase
                && plan.phase_done_at == state.phase_done_at;
            if unchanged && summary == plan.summary {
                return Ok(());
            }
            match self.store.apply_plan(ctx, id, &plan, now).await? {
                Applied::Stale => {}
                Applied::Done => {
                    tracing::info!(
                        rollout.id = %id, rollout.status = plan.status.name(),
                        rollout.generation = state.generation + 1,
                        rollout.transitions = plan.transitions.len(), "{}", plan.summary
                    );
                    for transition in &plan.transitions {
                        self.wakeups
                            .wake(&transition.device_id, WakeupReason::Target);
                    }
                    if plan.status != state.status {
                        self.wakeups.wake_all(WakeupReason::Target);
                    }
                }
            }
        }
    }

    /// Every rollout of every tenant that may have something to do.
    pub async fn plan_all(&self) -> Result<(), Error> {
        // Plans of two control planes at once would do no harm, since the second is refused; and no good.
        let _turn = self.store.turn("plan").await?;
        for ctx in self.store.all_tenants().await? {
            for id in self.store.rollouts_to_plan(&ctx).await? {
                self.plan_rollout(&ctx, &id).await?;
            }
        }
        Ok(())
    }

    /// Forgets what is old, and throws away what was left behind.
    pub async fn keep_house(&self) -> Result<(), Error> {
        for ctx in self.store.all_tenants().await? {
            let (now, keep) = (self.now(), self.settings.keep_history);
            self.store.prune(&ctx, now, keep).await?;
            let sessions = self
                .store
                .forget_sessions(&ctx, now - keep, REFRESH_LIFETIME);
            sessions.await?;
            super::resume::sweep(&self.tenant_folder(&ctx, "bundles"), now);
            super::resume::sweep(&self.tenant_folder(&ctx, "assets"), now);
            self.forget_alerts(&ctx).await?;
            self.forget_deliveries(&ctx).await?;
            self.forget_mails(&ctx).await?;
            self.forget_overrides(&ctx).await?;
            self.tidy_bundles(&ctx).await?;
            self.tidy_assets(&ctx).await?;
        }
        self.store.prune_changes().await?;
        Ok(())
    }

    /// Once an hour, by one control plane.
    async fn keep_house_if_due(&self) -> Result<(), Error> {
        // What each has in its own memory, each tidies itself.
        self.ring.keep(self.now())?;
        self.rates.tidy();
        let due = self.store.due("housekeeping", HOUSEKEEPING, self.now());
        if let Some(due) = due.await? {
            self.keep_house().await?;
            due.done(self.now()).await?;
        }
        Ok(())
    }

    /// Throws away uploads that a crash left behind. Only before the first request.
    pub async fn sweep_uploads(&self) -> Result<(), Error> {
        for ctx in self.store.all_tenants().await? {
            // Partial uploads stay: they can be gone on with.
            sweep(&self.tenant_folder(&ctx, "bundles"));
            let support = self.tenant_folder(&ctx, "support-bundles");
            let devices = std::fs::read_dir(support).into_iter().flatten().flatten();
            devices.for_each(|d| sweep(&d.path()));
        }
        Ok(())
    }

    /// Runs until the control plane is shut down. A failure is logged and tried again.
    pub async fn run_background(self: Arc<Self>) {
        let mut shutdown = self.shutdown_signal();
        let mut ticks = 0_u32;
        loop {
            if let Err(error) = self.measured(Task::Plan, self.plan_all()).await {
                tracing::error!(error = &error as &dyn std::error::Error, "planning failed");
            }
            if ticks.is_multiple_of(HOUSEKEEPING_TICKS)
                && let Err(error) = self
                    .measured(Task::Housekeeping, self.keep_house_if_due())
                    .await
            {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "housekeeping failed"
                );
            }
            let asked = tokio::select! {
                _ = shutdown.wait_for(|ended| *ended) => return,
                () = self.plan_now.notified() => true,
                () = tokio::time::sleep(TICK) => false,
            };
            if asked {
                tokio::time::sleep(BREATH).await;
            } else {
                ticks = ticks.wrapping_add(1);
            }
        }
    }
}
