//! After a start with a trial under way: it goes on, or the bootloader ended it.

use fleet_protocol::heartbeat::ResetReason;
use fleet_protocol::update::{FailureReason, Slot};

use super::State;
use super::boot::{Found, crashed};
use super::event::Effect;
use super::record::{Committed, Plan, RolledBack, Trial};
use super::transition::Transition;
use crate::core::boot::{BootEnv, SlotEnv};

/// Trials that mains-off alone may spoil, before the version is given up.
const MAX_INTERRUPTIONS: u32 = 3;

impl Transition<'_> {
    pub(super) fn after_trial(&mut self, mut trial: Trial, found: &Found<'_>) {
        let booted = &found.boot.booted;
        if trial.slot != found.slot() {
            self.trial_fell_back(&trial, found);
            return;
        }
        if let Some(why) = trial.plan.as_ref().and_then(|plan| plan.mismatch(booted)) {
            self.fail_trial(&trial, why);
            return;
        }
        if found.locked() {
            self.committed(trial, booted);
            return;
        }
        let new_boot = trial.boots.last().map(|b| &b.boot_id) != Some(&booted.boot_id);
        if new_boot {
            trial.boots.push(self.this_boot(found));
        }
        let (slot, committing) = (trial.slot, trial.committing);
        let tries = u8::try_from(trial.boots.len()).unwrap_or(u8::MAX);
        if new_boot {
            self.enter(State::Trial(trial));
        }
        if found.boot.env.is_none() {
            self.rebuild_trial_env(slot, tries);
        }
        if committing {
            self.commit(slot);
        } else if !found.boot.safe_mode {
            self.open_gate();
        }
    }

    /// The environment was lost while a slot on trial runs: it goes on with the attempts it had.
    fn rebuild_trial_env(&mut self, slot: Slot, tries: u8) {
        let committed = self.engine.record.committed.as_ref();
        let way_back = committed.is_some_and(|c| c.slot == slot.other());
        let mut wanted = BootEnv::committed_to(slot.other());
        wanted.first = slot;
        wanted.slot_mut(slot.other()).ok = way_back;
        *wanted.slot_mut(slot) = SlotEnv {
            ok: true,
            tries,
            locked: false,
        };
        self.act(Effect::RewriteBootEnv(wanted));
    }

    fn trial_fell_back(&mut self, trial: &Trial, found: &Found<'_>) {
        let version = &trial.version;
        let Some(env) = found.env_of(trial.slot).copied() else {
            self.engine.record.other = None;
            self.keep(found.slot());
            self.back_off(version, "the boot environment was lost");
            return;
        };
        let attempt = self.engine.attempt_on_trial(trial);
        let committed = &mut self.engine.record.committed;
        if committed.as_ref().map(|c| c.slot) != Some(found.slot()) {
            *committed = Some(Committed::of(&found.boot.booted, 0));
        }
        let resets: Vec<ResetReason> = trial.boots.iter().skip(1).map(|b| b.reset).collect();
        let resets = || resets.iter().copied().chain([found.boot.reset]);
        let mains = |r| matches!(r, ResetReason::Power | ResetReason::Orderly);
        // Each attempt came up to the agent, and none ended by its own doing.
        let each_came_up = trial.boots.len() >= usize::from(env.tries);
        let record = &mut self.engine.record;
        if env.ok && each_came_up && resets().all(mains) && record.interruptions < MAX_INTERRUPTIONS
        {
            record.interruptions = record.interruptions.saturating_add(1);
            record.other = trial.plan.as_ref().map(Plan::content);
            self.keep(found.slot());
            self.back_off(version, "its trial was interrupted by power cuts");
            return;
        }
        let crash = resets().find(|r| matches!(r, ResetReason::Watchdog | ResetReason::Panic));
        let why = match crash {
            Some(reset) if !trial.boots.is_empty() => crashed(reset),
            _ => FailureReason::DidNotBoot {
                attempts: env.tries.into(),
            },
        };
        self.penalise(version, attempt, &why);
        self.settle_here(found.slot());
        self.enter(State::RolledBack(RolledBack {
            version: version.clone(),
            why,
            from: Some(trial.slot),
            returns: 0,
        }));
    }
}
