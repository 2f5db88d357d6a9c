//! What the update engine wants done: to RAUC, the boot environment, the installer and the reboot.

use std::time::Duration;

use fleet_protocol::event::{EventKind, Severity};
use fleet_protocol::update::Slot;

use super::reboot::reboot;
use super::update::Driver;
use super::{install, reports, safe_mode};
use crate::core::boot::{BootEnv, SlotEnv};
use crate::core::update::{Effect, Event, InstallError, InstallOrder};
use crate::platform::boot_env::BootEnvFileError;
use crate::platform::rauc::{FailureKind, Mark, RaucError};

impl Driver {
    /// One batch, in its order. What fails takes the rest of the batch with it, and the engine is told
    /// of what will not come.
    pub(super) async fn perform_all(&mut self, effects: Vec<Effect>) {
        let mut effects = effects.into_iter();
        for effect in effects.by_ref() {
            if let Err(detail) = self.perform(effect).await {
                let missing = effects.filter_map(|effect| will_not_come(effect, &detail));
                self.follow_ups.extend(missing);
                return;
            }
        }
    }

    /// An error: what comes after it in the batch must not happen.
    async fn perform(&mut self, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Persist(_) => {}
            Effect::RewriteBootEnv(env) => return self.rewrite_boot_env(env),
            Effect::BackUpBootEnv(env) => {
                // Without the backup the boot loader still has the block itself.
                let _ = told(
                    "back up the boot environment",
                    self.ctx.boot_env.write_backup(&env),
                );
            }
            Effect::DisarmLock { slot } => return self.disarm(slot),
            Effect::StartInstall(order) => self.start_install(*order),
            Effect::CancelInstall { transaction_id } => {
                if let Some(running) = &self.installation
                    && running.transaction_id == transaction_id
                {
                    running.cancel();
                }
            }
            Effect::SwitchSlot { slot } => {
                let result = self.mark(slot, Mark::Active).await;
                let switched = Event::SlotSwitched { slot, result };
                self.follow_ups.push_back(switched);
            }
            Effect::MarkGood { slot } => {
                let marked = self.mark(slot, Mark::Good).await;
                return marked.inspect_err(|detail| self.mark_failed(slot, detail));
            }
            Effect::MarkBad { slot } => {
                // A slot that is bad is left by a reboot all the same.
                if let Err(detail) = self.mark(slot, Mark::Bad).await {
                    self.mark_failed(slot, &detail);
                }
            }
            Effect::LockSlot { slot } => return self.lock_slot(slot),
            Effect::Report(report) => {
                let _ = self.reports.try_send(reports::Message(report));
            }
            Effect::EnterSafeMode { detail } => {
                let message = safe_mode::Message::NothingHealthy { detail };
                let _ = self.safe_mode.try_send(message);
            }
            Effect::Reboot { delay_s, reason } => self.schedule_reboot(delay_s, &reason),
            Effect::Answer(answer) => {
                if let Some(reply) = self.reply.take() {
                    let _ = reply.send(answer);
                }
            }
        }
        Ok(())
    }

    fn rewrite_boot_env(&self, env: BootEnv) -> Result<(), String> {
        let before = self.ctx.boot_env.read();
        let was_damaged = matches!(before, Err(BootEnvFileError::Damaged { .. }));
        told(
            "rewrite the boot environment",
            self.ctx.boot_env.rewrite(&env),
        )?;
        if was_damaged {
            let (kind, severity) = (EventKind::BootEnvironmentRepaired, Severity::Warning);
            self.ctx.events.raise(kind, severity, serde_json::json!({}));
        }
        Ok(())
    }

    /// From now on this slot's attempts are counted.
    fn disarm(&self, slot: Slot) -> Result<(), String> {
        let booted = self.ctx.device.booted.slot;
        let committed = self.engine.record().committed.as_ref().map(|c| c.slot);
        if let Err(BootEnvFileError::Damaged { .. }) = self.ctx.boot_env.read()
            && committed == Some(booted)
        {
            // Torn since the start: what runs is known to be good.
            self.rewrite_boot_env(BootEnv::committed_to(booted))?;
        }
        let done = self.ctx.boot_env.change(|env| {
            let state = env.slot_mut(slot);
            state.locked = false;
            state.tries = 0;
        });
        told("count the attempts of a slot", done)
    }

    fn start_install(&mut self, order: InstallOrder) {
        if let Some(running) = &self.installation {
            if running.transaction_id == order.transaction_id {
                return;
            }
            running.cancel();
        }
        log::info!("update.version":% = order.version, "slot.name":% = order.slot;
            "the installation begins");
        self.installation = Some(install::start(&self.ctx, order, self.own.clone()));
    }

    /// By RAUC; a slot is left, or gone back to, without it too, since that may be what is broken. Only
    /// `good` is RAUC's alone: a system that can't be updated any more is not to be kept.
    async fn mark(&self, slot: Slot, mark: Mark) -> Result<(), String> {
        let error = match self.mark_by_rauc(slot, mark).await {
            Ok(message) => {
                log::info!("slot.name":% = slot; "RAUC: {message}");
                return Ok(());
            }
            Err(error) => error,
        };
        if error.kind != FailureKind::Absent || mark == Mark::Good {
            return Err(error.to_string());
        }
        log::warn!("slot.name":% = slot, error:%; "RAUC is away: the boot environment is changed");
        let done = self.ctx.boot_env.change(|env| {
            let is_active = mark == Mark::Active;
            env.first = if is_active { slot } else { slot.other() };
            let state = env.slot_mut(slot);
            state.ok = is_active;
            state.tries = 0;
        });
        told("mark a slot", done)
    }

    async fn mark_by_rauc(&self, slot: Slot, mark: Mark) -> Result<String, RaucError> {
        let rauc = self.ctx.bus.rauc().await.map_err(|e| RaucError {
            operation: "mark a slot",
            kind: FailureKind::Absent,
            detail: e.to_string(),
        })?;
        rauc.mark(slot, mark).await
    }

    fn mark_failed(&mut self, slot: Slot, detail: &str) {
        log::warn!("slot.name":% = slot, error:% = detail; "a slot could not be marked");
        self.follow_ups.push_back(Event::MarkFailed {
            slot,
            detail: detail.to_owned(),
        });
    }

    /// The commit.
    fn lock_slot(&mut self, slot: Slot) -> Result<(), String> {
        let changed = self
            .ctx
            .boot_env
            .change(|env| *env.slot_mut(slot) = SlotEnv::COMMITTED);
        let done = match changed {
            Err(BootEnvFileError::Damaged { .. }) => {
                self.rewrite_boot_env(BootEnv::committed_to(slot))
            }
            other => told("lock the slot", other),
        };
        match &done {
            Ok(()) => {
                self.follow_ups.push_back(Event::MarkedGood { slot });
                // What proved healthy forgives the failures before.
                let _ = self.safe_mode.try_send(safe_mode::Message::Healthy);
            }
            Err(detail) => self.mark_failed(slot, detail),
        }
        done
    }

    fn schedule_reboot(&mut self, delay_s: u32, reason: &str) {
        if let Some(earlier) = self.reboot.take() {
            earlier.abort();
        }
        log::warn!("reboot.delay_s" = delay_s, "reboot.reason" = reason; "the device will reboot");
        let ctx = self.ctx.clone();
        self.reboot = Some(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(delay_s.into())).await;
            reboot(&ctx).await;
        }));
    }
}

/// The event that ends what this effect would have begun.
fn will_not_come(effect: Effect, detail: &str) -> Option<Event> {
    let detail = detail.to_owned();
    match effect {
        Effect::StartInstall(order) => Some(Event::InstallFinished {
            transaction_id: order.transaction_id,
            result: Err(InstallError::Transient { detail }),
        }),
        Effect::SwitchSlot { slot } => Some(Event::SlotSwitched {
            slot,
            result: Err(detail),
        }),
        _ => None,
    }
}

fn told(what: &str, done: Result<(), BootEnvFileError>) -> Result<(), String> {
    done.map_err(|error| {
        log::error!(error:%, hint = error.hint(); "cannot {what}");
        format!("{error}; {}", error.hint())
    })
}
