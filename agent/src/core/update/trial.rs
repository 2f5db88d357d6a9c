//! The trial: the gate, the commit, and the way back.

use fleet_protocol::update::{BootedSystem, FailureReason, Slot};

use super::record::{Committed, RolledBack, Trial};
use super::transition::Transition;
use super::{Effect, Engine, State};
use crate::core::boot::{BootEnv, SlotEnv};
use crate::core::gate::{Sample, Verdict};

/// Boots that may come up in a slot that was given up, before a person has to look.
const MAX_RETURNS: u32 = 3;
/// A reboot out of a failed slot that has not happened by then is asked for again.
const GO_BACK_GRACE_MS: u64 = 60_000;

impl Transition<'_> {
    pub(super) fn health_sample(&mut self, sample: &Sample, booted: &BootedSystem) {
        let (State::Trial(trial), Some(gate)) =
            (self.engine.record.state.clone(), self.engine.gate.clone())
        else {
            return;
        };
        if trial.committing || trial.slot != booted.slot {
            return;
        }
        let situation = self.situation;
        let (gate, verdict) = gate.sample(sample, situation.now.mono, &situation.gate);
        self.engine.gate = Some(gate);
        self.judge(&trial, verdict);
    }

    pub(super) fn trial_tick(&mut self) {
        let State::Trial(trial) = self.engine.record.state.clone() else {
            return;
        };
        if trial.committing {
            self.commit(trial.slot);
        } else if let Some(gate) = &self.engine.gate {
            let verdict = gate.verdict(self.situation.now.mono, &self.situation.gate);
            // Only a sample may pass the gate: time alone proves no health.
            if matches!(verdict, Verdict::Failed { .. }) {
                self.judge(&trial, verdict);
            }
        }
    }

    fn judge(&mut self, trial: &Trial, verdict: Verdict) {
        match verdict {
            Verdict::Holding { .. } => {}
            Verdict::Passed => {
                self.engine.record.state = State::Trial(Trial {
                    committing: true,
                    ..trial.clone()
                });
                self.persist();
                self.commit(trial.slot);
            }
            Verdict::Failed { checks } => {
                let why = FailureReason::Unhealthy {
                    failed_checks: checks,
                };
                self.fail_trial(trial, why);
            }
        }
    }

    pub(super) fn commit(&mut self, slot: Slot) {
        self.act(Effect::MarkGood { slot });
        self.act(Effect::LockSlot { slot });
    }

    pub(super) fn marked_good(&mut self, slot: Slot, booted: &BootedSystem) {
        match self.engine.record.state.clone() {
            State::Trial(trial) if trial.committing && trial.slot == slot => {
                self.committed(trial, booted);
            }
            _ => {}
        }
    }

    /// The slot is locked: from here on it is what runs.
    pub(super) fn committed(&mut self, trial: Trial, booted: &BootedSystem) {
        if let Some(env) = &mut self.engine.env {
            *env.slot_mut(trial.slot) = SlotEnv::COMMITTED;
        }
        let attempt = self.engine.attempt_on_trial(&trial);
        let record = &mut self.engine.record;
        let by_hand = record.by_hand.take();
        let by_hand = by_hand.filter(|release| release.root_hash == booted.root_hash);
        let floor = trial
            .plan
            .and_then(|plan| plan.rollback_floor)
            .max(by_hand.and_then(|release| release.rollback_floor));
        match record.committed.take() {
            Some(previous) if previous.slot == trial.slot => {}
            previous => record.other = previous.map(|previous| previous.content),
        }
        record.committed = Some(Committed::of(booted, attempt));
        record.rollback_floor = record.rollback_floor.take().max(floor);
        record.failures.retain(|f| f.version != trial.version);
        record.retry = None;
        record.interruptions = 0;
        self.engine.gate = None;
        self.act(Effect::BackUpBootEnv(BootEnv::committed_to(trial.slot)));
        self.enter(State::Committed {
            version: trial.version,
            slot: trial.slot,
        });
        self.converge(booted);
    }

    /// Gives the slot on trial up and goes back to the other one, if that can be booted.
    pub(super) fn fail_trial(&mut self, trial: &Trial, why: FailureReason) {
        let other = trial.slot.other();
        let env = self.engine.env.as_ref();
        if !env.is_some_and(|env| env.slot(other).bootable()) {
            self.enter_safe_mode(format!(
                "slot {} failed its trial, and slot {other} cannot be booted",
                trial.slot
            ));
            return;
        }
        let attempt = self.engine.attempt_on_trial(trial);
        self.penalise(&trial.version, attempt, &why);
        let record = &mut self.engine.record;
        let back_to = record.other.take();
        if record
            .committed
            .as_ref()
            .is_some_and(|c| c.slot == trial.slot)
        {
            record.committed = back_to.map(|content| Committed {
                slot: other,
                content,
                attempt: 0,
            });
        }
        self.engine.gate = None;
        self.enter(State::RolledBack(RolledBack {
            version: trial.version.clone(),
            why,
            from: Some(trial.slot),
            returns: 0,
        }));
        self.go_back(trial.slot);
    }

    fn go_back(&mut self, from: Slot) {
        self.act(Effect::MarkBad { slot: from });
        self.reboot(0, "to go back to the other slot");
    }

    /// Still in a slot that was given up.
    pub(super) fn going_back_tick(&mut self, booted: &BootedSystem) {
        let State::RolledBack(back) = &self.engine.record.state else {
            return;
        };
        if back.from != Some(booted.slot) || self.engine.in_safe_mode {
            return;
        }
        let now = self.situation.now.mono;
        let ordered = self.engine.reboot_ordered;
        if ordered.is_none_or(|at| now.since(at) >= GO_BACK_GRACE_MS) {
            self.go_back(booted.slot);
        }
    }

    /// Booted once more in a slot that was given up.
    pub(super) fn returned_to_failed(&mut self, mut back: RolledBack) {
        let Some(from) = back.from else { return };
        back.returns = back.returns.saturating_add(1);
        let stuck = back.returns >= MAX_RETURNS;
        self.engine.record.state = State::RolledBack(back);
        self.persist();
        if stuck {
            self.enter_safe_mode(format!(
                "slot {from} was given up, but the bootloader keeps booting it"
            ));
        } else {
            self.go_back(from);
        }
    }
}

impl Engine {
    /// The attempt that a slot on trial counts for.
    pub(super) fn attempt_on_trial(&self, trial: &Trial) -> u32 {
        let committed = self.record.committed.as_ref();
        let again =
            committed.filter(|c| c.slot == trial.slot && c.content.version == trial.version);
        match (&trial.plan, again) {
            (Some(plan), _) => plan.attempt,
            (None, Some(committed)) => committed.attempt,
            (None, None) => 0,
        }
    }
}
