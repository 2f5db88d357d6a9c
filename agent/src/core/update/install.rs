//! While the installer runs, and from its end to the reboot.

use fleet_protocol::update::{BootedSystem, FailureReason, RefuseReason, Slot};
use jiff::Timestamp;

use super::event::InstallError;
use super::record::{Installing, RebootPending, RolledBack};
use super::transition::Transition;
use super::{Effect, Engine, Situation, State};
use crate::core::admission::SlotContent;
use crate::core::boot::SlotEnv;

/// A reboot that has not happened this long after its delay is asked for again.
const REBOOT_GRACE_MS: u64 = 120_000;
/// Progress is reported in steps of this many percent.
const REPORTED_STEP: u8 = 10;

impl Transition<'_> {
    pub(super) fn install_progress(
        &mut self,
        transaction_id: &str,
        percent: u8,
        downloaded_bytes: u64,
        message: String,
    ) {
        let State::Installing(installing) = &mut self.engine.record.state else {
            return;
        };
        if installing.transaction_id != transaction_id || installing.abandoned {
            return;
        }
        let percent = percent.min(100);
        let further = percent / REPORTED_STEP > installing.percent / REPORTED_STEP;
        installing.percent = percent.max(installing.percent);
        installing.downloaded_bytes = downloaded_bytes.max(installing.downloaded_bytes);
        installing.message = message;
        if further {
            self.report();
        }
    }

    pub(super) fn install_finished(
        &mut self,
        transaction_id: &str,
        result: Result<(), InstallError>,
        booted: &BootedSystem,
    ) {
        let State::Installing(installing) = self.engine.record.state.clone() else {
            return;
        };
        if installing.transaction_id != transaction_id {
            return;
        }
        match result {
            Ok(()) => self.installed(installing, booted),
            Err(_) if installing.abandoned => {
                self.enter(State::Idle);
                self.converge(booted);
            }
            Err(error) => self.install_failed(&installing, error),
        }
    }

    pub(super) fn installed(&mut self, installing: Installing, booted: &BootedSystem) {
        let slot = installing.plan.slot;
        self.armed(slot);
        self.engine.record.retry = None;
        let pending = RebootPending {
            plan: installing.plan,
            armed: true,
            returns: 0,
            abandoned: false,
            downloaded_bytes: installing.downloaded_bytes,
        };
        if installing.abandoned {
            self.abandon_pending(pending, booted);
        } else {
            self.enter(State::RebootPending(pending.clone()));
            self.pending_tick(&pending, booted);
        }
    }

    fn install_failed(&mut self, installing: &Installing, error: InstallError) {
        let plan = &installing.plan;
        let state = match error {
            InstallError::Transient { detail } => return self.back_off(&plan.version, &detail),
            InstallError::Permanent { detail } => {
                let why = FailureReason::InstallFailed { detail };
                self.penalise(&plan.version, plan.attempt, &why);
                State::RolledBack(RolledBack {
                    version: plan.version.clone(),
                    why,
                    from: None,
                    returns: 0,
                })
            }
            InstallError::Refused(why) => {
                self.penalise_refused(installing, &why);
                State::Refused {
                    version: Some(plan.version.clone()),
                    why,
                }
            }
        };
        self.enter(state);
    }

    /// Without its lock cleared nothing was done to the slot: another try, later. A slot on trial is
    /// marked again at the next tick; until then the bootloader goes on counting.
    pub(super) fn mark_failed(&mut self, slot: Slot, detail: &str) {
        let plan = match &self.engine.record.state {
            State::Installing(installing) => &installing.plan,
            State::RebootPending(pending) if !pending.armed => &pending.plan,
            _ => return,
        };
        if plan.slot == slot {
            let version = plan.version.clone();
            self.back_off(&version, detail);
        }
    }

    fn penalise_refused(&mut self, installing: &Installing, why: &RefuseReason) {
        let detail = why.to_string();
        let (version, attempt) = (&installing.plan.version, installing.plan.attempt);
        self.penalise(version, attempt, &FailureReason::InstallFailed { detail });
    }

    pub(super) fn slot_switched(
        &mut self,
        slot: Slot,
        result: Result<(), String>,
        booted: &BootedSystem,
    ) {
        let State::RebootPending(mut pending) = self.engine.record.state.clone() else {
            return;
        };
        if pending.abandoned && slot == booted.slot && result.is_ok() {
            self.abandoned(pending.plan.content(), booted);
        } else if !pending.abandoned && !pending.armed && slot == pending.plan.slot {
            match result {
                Ok(()) => {
                    self.armed(slot);
                    pending.armed = true;
                    self.engine.record.state = State::RebootPending(pending.clone());
                    self.persist();
                    self.pending_tick(&pending, booted);
                }
                Err(detail) => self.back_off(&pending.plan.version, &detail),
            }
        }
    }

    /// The running slot is the primary one again; the other keeps what was installed.
    pub(super) fn abandoned(&mut self, other: SlotContent, booted: &BootedSystem) {
        if let Some(env) = &mut self.engine.env {
            env.first = booted.slot;
        }
        self.engine.record.other = Some(other);
        self.enter(State::Idle);
        self.converge(booted);
    }

    fn armed(&mut self, slot: Slot) {
        if let Some(env) = &mut self.engine.env {
            env.first = slot;
            *env.slot_mut(slot) = SlotEnv {
                ok: true,
                tries: 0,
                locked: false,
            };
        }
    }

    /// Whatever is still missing between the installation and the reboot.
    pub(super) fn pending_tick(&mut self, pending: &RebootPending, booted: &BootedSystem) {
        if pending.abandoned {
            self.act(Effect::SwitchSlot { slot: booted.slot });
            return;
        }
        let slot = pending.plan.slot;
        if !pending.armed {
            self.act(Effect::DisarmLock { slot });
            self.act(Effect::SwitchSlot { slot });
            return;
        }
        let now = self.situation.now.mono;
        let delay_s = self.situation.reboot_delay_s;
        let grace_ms = u64::from(delay_s) * 1_000 + REBOOT_GRACE_MS;
        let ordered = self.engine.reboot_ordered;
        let under_way = ordered.is_some_and(|at| now.since(at) < grace_ms);
        let paused = self.engine.record.paused || self.situation.facts.paused;
        let waits = !pending.plan.forced
            && (paused || self.engine.reboot_waits_until(self.situation).is_some());
        if !under_way && !waits {
            let reason = format!("to start {} on trial", pending.plan.version);
            self.reboot(delay_s, &reason);
        }
    }
}

impl Engine {
    /// When the maintenance window opens for a reboot that waits for it.
    pub(super) fn reboot_waits_until(&self, situation: &Situation) -> Option<Timestamp> {
        match &self.record.state {
            State::RebootPending(pending) if !pending.plan.forced && !pending.plan.goes_back => {
                let window = situation.facts.window.as_ref();
                window.and_then(|window| window.opens_at(situation.now.wall))
            }
            _ => None,
        }
    }
}
