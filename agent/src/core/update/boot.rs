//! After a start: what the bootloader did, against what was meant. The boot environment and the root
//! hash are believed, the record is brought in line with them.

use fleet_protocol::heartbeat::ResetReason;
use fleet_protocol::update::{FailureReason, Slot};

use super::event::Boot;
use super::record::{Committed, Installing, Plan, RebootPending, RolledBack, Trial, TrialBoot};
use super::transition::Transition;
use super::{Effect, State};
use crate::core::boot::{BootEnv, SlotEnv, reconcile};
use crate::core::gate::{Gate, ReachedBefore};

/// Boots that came back to the old slot although nothing was tried, before that counts as a failure.
const MAX_RETURNS: u32 = 3;
/// Rewrites of a lost boot environment in a row, before what is booted is taken as it is.
const MAX_REPAIRS: u32 = 2;

/// A [`Boot`] with what follows from it.
pub(super) struct Found<'b> {
    pub(super) boot: &'b Boot,
    /// Not just a restart of the agent.
    pub(super) new_boot: bool,
}

impl Found<'_> {
    pub(super) fn slot(&self) -> Slot {
        self.boot.booted.slot
    }

    fn first(&self) -> Option<Slot> {
        self.boot.env.as_ref().map(|env| env.first)
    }

    pub(super) fn env_of(&self, slot: Slot) -> Option<&SlotEnv> {
        self.boot.env.as_ref().map(|env| env.slot(slot))
    }

    /// The start-up code took the lock of the running slot away because it was damaged or crashed: it
    /// has to prove itself again.
    fn doubted(&self) -> bool {
        let unlocked = self.env_of(self.slot()).is_some_and(|s| !s.locked);
        unlocked && matches!(self.boot.reset, ResetReason::Panic | ResetReason::Watchdog)
    }

    /// The bootloader's word that the running slot is committed.
    pub(super) fn locked(&self) -> bool {
        self.env_of(self.slot()).is_some_and(|s| s.ok && s.locked)
    }
}

impl Transition<'_> {
    pub(super) fn booted(&mut self, boot: &Boot) {
        let engine = &mut self.engine;
        engine.booted = Some(boot.booted.clone());
        engine.env = boot.env;
        engine.in_safe_mode = boot.safe_mode;
        engine.reboot_ordered = None;
        engine.gate = None;
        let boot_id = Some(boot.booted.boot_id.clone());
        let found = Found {
            new_boot: engine.record.boot_id != boot_id,
            boot,
        };
        engine.record.boot_id = boot_id;
        if engine.record.sequence == 0 {
            let seconds = self.situation.now.wall.as_second();
            engine.record.sequence = u64::try_from(seconds).unwrap_or(0);
            self.persist();
        }
        if found.new_boot {
            self.persist();
        }
        match self.engine.record.state.clone() {
            State::Installing(installing) => self.after_installing(installing, &found),
            State::RebootPending(pending) => self.after_reboot(pending, &found),
            State::Trial(trial) => self.after_trial(trial, &found),
            State::RolledBack(back) if back.from == Some(found.slot()) && !found.locked() => {
                self.returned_to_failed(back);
            }
            _ => self.at_rest(&found),
        }
        if found.new_boot && !self.reported() {
            // What runs is believed by a boot's own report only.
            self.report();
        }
        self.report_again();
    }

    /// Nothing was under way.
    fn at_rest(&mut self, found: &Found<'_>) {
        let booted = &found.boot.booted;
        let Some(committed) = self.engine.record.committed.clone() else {
            // Fresh, or the data is lost: the lock says whether this slot has proved itself. With the
            // environment lost too, nothing better is known than what runs.
            if found.locked() || found.boot.env.is_none() {
                self.adopt(found);
            } else {
                self.begin_unplanned_trial(found);
            }
            return;
        };
        let same_content = committed.content.root_hash == booted.root_hash;
        if committed.slot == found.slot() {
            let lost = found.boot.env.is_none() && found.boot.safe_mode;
            if same_content && lost && self.engine.record.repairs < MAX_REPAIRS {
                // Only the environment is broken: that is no reason to stay in safe mode.
                self.restore_env(&committed);
            } else if same_content && found.doubted() {
                self.begin_unplanned_trial(found);
            } else if same_content {
                self.keep(found.slot());
            } else if found.locked() {
                self.adopt(found);
            } else {
                self.begin_unplanned_trial(found);
            }
            return;
        }
        match found.env_of(committed.slot) {
            // GRUB boots the first slot when it cannot read its environment.
            None if self.engine.record.repairs < MAX_REPAIRS => self.restore_env(&committed),
            None => self.adopt(found),
            // Given up, or first in order and passed over: it has nothing to load.
            Some(env) if !env.bootable() || found.first() == Some(committed.slot) => {
                let why = fallback_reason(found.boot.reset, env.tries);
                self.fell_back(&committed, why, found);
            }
            Some(_) if found.locked() => self.adopt(found),
            Some(_) => self.begin_unplanned_trial(found),
        }
    }

    /// What is committed stays bootable: good, locked, first.
    pub(super) fn keep(&mut self, slot: Slot) {
        if std::mem::take(&mut self.engine.record.repairs) > 0 {
            self.persist();
        }
        let lost = self.engine.env.is_none();
        if let Some(mut wanted) = reconcile(self.engine.env.as_ref(), slot) {
            if lost {
                wanted.slot_mut(slot.other()).ok = self.engine.record.other.is_some();
            }
            self.act(Effect::RewriteBootEnv(wanted));
        }
        self.act(Effect::BackUpBootEnv(BootEnv::committed_to(slot)));
    }

    /// Takes what runs as committed.
    fn adopt(&mut self, found: &Found<'_>) {
        let record = &mut self.engine.record;
        record.committed = Some(Committed::of(&found.boot.booted, 0));
        record.other = None;
        if matches!(record.state, State::Idle | State::RolledBack(_)) {
            self.persist();
        } else {
            self.enter(State::Idle);
        }
        self.keep(found.slot());
    }

    fn restore_env(&mut self, committed: &Committed) {
        self.engine.record.repairs = self.engine.record.repairs.saturating_add(1);
        self.persist();
        let mut wanted = BootEnv::committed_to(committed.slot);
        wanted.slot_mut(committed.slot.other()).ok = self.engine.record.other.is_some();
        self.act(Effect::RewriteBootEnv(wanted));
        self.reboot(0, "the boot environment was lost and is restored");
    }

    /// A committed slot no longer boots, and the bootloader took the other one.
    fn fell_back(&mut self, committed: &Committed, why: FailureReason, found: &Found<'_>) {
        let version = committed.content.version.clone();
        self.penalise(&version, committed.attempt, &why);
        self.engine.record.committed = Some(Committed::of(&found.boot.booted, 0));
        self.settle_here(found.slot());
        self.enter(State::RolledBack(RolledBack {
            version,
            why,
            from: Some(committed.slot),
            returns: 0,
        }));
    }

    /// The running slot is committed, and the other one is not to be booted.
    pub(super) fn settle_here(&mut self, slot: Slot) {
        self.engine.record.other = None;
        let wanted = BootEnv::committed_to(slot);
        if self.engine.env != Some(wanted) {
            self.act(Effect::RewriteBootEnv(wanted));
        }
        self.act(Effect::BackUpBootEnv(wanted));
    }

    fn after_installing(&mut self, installing: Installing, found: &Found<'_>) {
        let slot = installing.plan.slot;
        if slot == found.slot() {
            self.started(&installing.plan, found);
            return;
        }
        let booted = &found.boot.booted;
        match (self.engine.env, found.env_of(slot)) {
            (_, Some(env)) if env.ok && env.exhausted() => {
                let tries = env.tries;
                self.did_not_boot(&installing.plan, tries, found);
            }
            // The installer finished: it makes the slot primary as its last act.
            (Some(env), Some(state)) if env.first == slot && state.ok && !state.locked => {
                self.installed(installing, booted);
            }
            _ => {
                self.keep(found.slot());
                if installing.abandoned {
                    self.enter(State::Idle);
                } else {
                    let error = "the installation was interrupted by a restart";
                    self.back_off(&installing.plan.version, error);
                }
            }
        }
    }

    fn after_reboot(&mut self, mut pending: RebootPending, found: &Found<'_>) {
        let slot = pending.plan.slot;
        let booted = &found.boot.booted;
        if slot == found.slot() {
            if pending.abandoned {
                let trial = new_trial(&pending.plan, Vec::new());
                self.fail_trial(&trial, FailureReason::RolledBackByOperator);
                // Nothing is wrong with it: it may come back when it is wanted again.
                self.engine
                    .record
                    .failures
                    .retain(|f| f.version != trial.version);
            } else {
                self.started(&pending.plan, found);
            }
            return;
        }
        let (Some(env), Some(state)) = (self.engine.env, found.env_of(slot).copied()) else {
            self.keep(found.slot());
            self.back_off(&pending.plan.version, "the boot environment was lost");
            return;
        };
        if pending.abandoned {
            if env.first == found.slot() {
                self.keep(found.slot());
                self.abandoned(pending.plan.content(), booted);
            } else {
                self.act(Effect::SwitchSlot { slot: found.slot() });
            }
        } else if state.ok && state.exhausted() || pending.armed && !state.ok {
            self.did_not_boot(&pending.plan, state.tries, found);
        } else if env.first != slot && pending.armed {
            // Somebody chose otherwise by hand; what was installed stays where it is.
            self.keep(found.slot());
            self.abandoned(pending.plan.content(), booted);
        } else if env.first != slot || state.locked || !state.ok {
            self.pending_tick(&pending, booted);
        } else {
            pending.armed = true;
            pending.returns += u32::from(found.new_boot);
            let (returns, plan) = (pending.returns, pending.plan.clone());
            self.engine.record.state = State::RebootPending(pending.clone());
            self.persist();
            if returns >= MAX_RETURNS {
                self.did_not_boot(&plan, state.tries, found);
            } else {
                self.pending_tick(&pending, booted);
            }
        }
    }

    /// The bootloader gave the planned slot up.
    fn did_not_boot(&mut self, plan: &Plan, tries: u8, found: &Found<'_>) {
        let why = FailureReason::DidNotBoot {
            attempts: tries.into(),
        };
        self.give_up(plan, why, found);
    }

    fn give_up(&mut self, plan: &Plan, why: FailureReason, found: &Found<'_>) {
        self.penalise(&plan.version, plan.attempt, &why);
        self.settle_here(found.slot());
        self.enter(State::RolledBack(RolledBack {
            version: plan.version.clone(),
            why,
            from: Some(plan.slot),
            returns: 0,
        }));
    }

    /// The planned slot runs: is it what was planned?
    fn started(&mut self, plan: &Plan, found: &Found<'_>) {
        let trial = new_trial(plan, vec![self.this_boot(found)]);
        let booted = &found.boot.booted;
        if let Some(why) = plan.mismatch(booted) {
            self.fail_trial(&trial, why);
        } else if found.locked() {
            self.committed(trial, booted);
        } else {
            self.enter(State::Trial(trial));
            self.open_gate();
        }
    }

    fn begin_unplanned_trial(&mut self, found: &Found<'_>) {
        let trial = Trial {
            version: found.boot.booted.version.clone(),
            slot: found.slot(),
            plan: None,
            boots: vec![self.this_boot(found)],
            committing: false,
        };
        self.engine.record.rollout_id = None;
        self.enter(State::Trial(trial));
        self.open_gate();
    }

    pub(super) fn this_boot(&self, found: &Found<'_>) -> TrialBoot {
        TrialBoot {
            boot_id: found.boot.booted.boot_id.clone(),
            reset: found.boot.reset,
            began: self.situation.now.mono,
        }
    }

    pub(super) fn open_gate(&mut self) {
        let State::Trial(trial) = &self.engine.record.state else {
            return;
        };
        let before = trial.plan.as_ref().map(|plan| plan.reached_before);
        let began = trial.boots.last().map(|boot| boot.began);
        self.engine.gate = Some(Gate::of_boot(
            began.unwrap_or(self.situation.now.mono),
            before.unwrap_or(ReachedBefore::Unknown),
        ));
    }
}

fn new_trial(plan: &Plan, boots: Vec<TrialBoot>) -> Trial {
    Trial {
        version: plan.version.clone(),
        slot: plan.slot,
        plan: Some(plan.clone()),
        boots,
        committing: false,
    }
}

pub(super) fn crashed(reset: ResetReason) -> FailureReason {
    let reset = match reset {
        ResetReason::Watchdog => "watchdog",
        ResetReason::Panic => "panic",
        ResetReason::Power => "power",
        ResetReason::Orderly => "orderly",
        ResetReason::Unknown => "unknown",
    };
    FailureReason::Crashed {
        reset: reset.to_owned(),
    }
}

/// Why a committed slot was left by the bootloader.
fn fallback_reason(reset: ResetReason, tries: u8) -> FailureReason {
    match reset {
        ResetReason::Watchdog | ResetReason::Panic if tries == 0 => crashed(reset),
        _ => FailureReason::DidNotBoot {
            attempts: tries.into(),
        },
    }
}
