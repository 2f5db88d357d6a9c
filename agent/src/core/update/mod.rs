//! The update engine: one convergence at a time, from a target to a verified boot, over any number of
//! power cuts.
//!
//! ```text
//!                 ┌──────────────────── new target ─────────────────────┐
//!                 ▼                                                     │
//! Idle ─► Deferred(why) ─► Installing ─► RebootPending ─► Trial ─► Committed
//!   │         │                │  └ transient: Deferred      │
//!   └─────────┴─► Refused      └────────► RolledBack(why) ◄──┘
//! ```
//!
//! Invariants:
//! - A plan is made from verified metadata only, and a boot is measured by the plan's root hash.
//! - The lock in the boot environment is the commit: it is cleared before anything is done to a slot,
//!   and set only after the gate has held.
//! - The boot environment and the booted root hash are the truth; the record says what was meant.

mod boot;
mod boot_on_trial;
mod converge;
mod event;
mod install;
mod operator;
mod record;
mod transition;
mod trial;
mod view;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use fleet_protocol::update::BootedSystem;

pub use event::{
    Boot, Candidate, Effect, Event, InstallError, InstallOrder, OperatorCommand, Situation, Wanted,
};
pub use record::{
    ByHand, Committed, Installing, MAX_FAILURES, MAX_REPORTS, Origin, Plan, RebootPending, Record,
    RolledBack, State, Trial, TrialBoot, Way,
};

use super::Monotonic;
use super::boot::BootEnv;
use super::gate::Gate;
use transition::Transition;

/// The engine: what it remembers, and what it knows of this boot.
#[derive(Debug, Clone, PartialEq)]
pub struct Engine {
    record: Record,
    booted: Option<BootedSystem>,
    /// As found at boot, and as changed by our own effects since.
    env: Option<BootEnv>,
    target: Option<Candidate>,
    /// The control plane was heard, so that an absent target means that nothing is wanted.
    target_known: bool,
    gate: Option<Gate>,
    reboot_ordered: Option<Monotonic>,
    in_safe_mode: bool,
}

impl Engine {
    /// From the record that was last persisted, or the default one. Does nothing before
    /// [`Event::Booted`].
    pub fn new(record: Record) -> Self {
        Self {
            record,
            booted: None,
            env: None,
            target: None,
            target_known: false,
            gate: None,
            reboot_ordered: None,
            in_safe_mode: false,
        }
    }

    pub fn record(&self) -> &Record {
        &self.record
    }

    pub fn booted(&self) -> Option<&BootedSystem> {
        self.booted.as_ref()
    }

    /// The gate of the running trial.
    pub fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// Takes one event. The effects are to be done in their order; if persisting fails, drop them
    /// and keep the engine as it was.
    #[must_use]
    pub fn step(self, event: Event, situation: &Situation) -> (Self, Vec<Effect>) {
        let mut transition = Transition::new(self, situation);
        transition.take(event);
        transition.finish()
    }

    /// Whether a reboot that somebody asks for may happen now.
    ///
    /// # Errors
    /// With the reason and what to do.
    pub fn may_reboot(&self) -> Result<(), &'static str> {
        match &self.record.state {
            State::Installing(_) => {
                Err("an installation is running: wait for it to end, or pause updates first")
            }
            State::Trial(_) => Err(
                "the running slot is on trial, and a reboot costs one of its attempts: wait for \
                 the health gate",
            ),
            _ => Ok(()),
        }
    }
}
