//! What a person asks for, by command or on the device's own page: always answered.

use fleet_protocol::update::{BootedSystem, FailureReason};

use super::event::{Candidate, OperatorCommand};
use super::record::{Origin, Plan, Way};
use super::transition::Transition;
use super::{Engine, State};
use crate::core::admission::SlotContent;

impl Transition<'_> {
    pub(super) fn operator(&mut self, command: OperatorCommand, booted: &BootedSystem) {
        let answer = match command {
            OperatorCommand::Update { force } => Ok(self.update_now(force, booted)),
            OperatorCommand::Pause => {
                self.engine.record.paused = true;
                self.persist();
                Ok("updates are paused on this device until they are resumed".to_owned())
            }
            OperatorCommand::Resume => {
                self.engine.record.paused = false;
                self.persist();
                self.converge(booted);
                Ok("updates are resumed".to_owned())
            }
            OperatorCommand::RollBack => self.roll_back(booted),
        };
        self.answer(answer);
    }

    fn update_now(&mut self, force: bool, booted: &BootedSystem) -> String {
        if force {
            match &mut self.engine.record.state {
                State::RebootPending(pending) => pending.plan.forced = true,
                State::Installing(installing) => installing.plan.forced = true,
                State::Trial(_) => {}
                _ => self.engine.record.forced = true,
            }
            self.persist();
        }
        self.converge(booted);
        self.engine.why(self.situation).summary
    }

    fn roll_back(&mut self, booted: &BootedSystem) -> Result<String, String> {
        match &self.engine.record.state {
            State::Installing(_) | State::RebootPending(_) => {
                Err("an update is under way: abort its rollout, or wait for its end".to_owned())
            }
            State::Trial(trial) if !trial.committing => {
                let version = trial.version.clone();
                let trial = trial.clone();
                self.fail_trial(&trial, FailureReason::RolledBackByOperator);
                Ok(format!("{version} is taken back; the device restarts"))
            }
            State::Trial(_) => Err("the trial has just ended: try again".to_owned()),
            State::RolledBack(back) if back.from == Some(booted.slot) => {
                Err("the device is already going back".to_owned())
            }
            _ => {
                let other = self.engine.other_to_go_back_to()?.clone();
                let answer = format!("going back to {}; the device restarts", other.version);
                self.go_back_to(other, booted);
                Ok(answer)
            }
        }
    }

    fn go_back_to(&mut self, other: SlotContent, booted: &BootedSystem) {
        let attempt = self.engine.attempt_of(booted);
        self.penalise(
            &booted.version,
            attempt,
            &FailureReason::RolledBackByOperator,
        );
        self.engine.record.rollout_id = None;
        self.begin_switch(Plan {
            version: other.version,
            slot: booted.slot.other(),
            root_hash: other.root_hash,
            way: Way::Switch,
            origin: Origin::Local,
            rollout_id: None,
            attempt: 0,
            rollback_floor: None,
            forced: true,
            goes_back: true,
            reached_before: self.situation.control_plane,
        });
    }
}

impl Engine {
    /// What an operator can go back to.
    ///
    /// # Errors
    /// With the reason why there is nothing.
    pub fn other_to_go_back_to(&self) -> Result<&SlotContent, String> {
        let record = &self.record;
        let Some(other) = &record.other else {
            return Err("the other slot holds nothing that is known to be whole".to_owned());
        };
        match &record.rollback_floor {
            Some(floor) if other.version < *floor => Err(format!(
                "the other slot holds {}, which is below {floor}, the lowest version that this \
                 device may still run",
                other.version
            )),
            _ => Ok(other),
        }
    }

    /// The attempt at which the running version counts as tried.
    fn attempt_of(&self, booted: &BootedSystem) -> u32 {
        let of_target = match &self.target {
            Some(Candidate::Verified(wanted))
                if wanted.release.metadata().version == booted.version =>
            {
                wanted.attempt
            }
            _ => 0,
        };
        let committed = self.record.committed.as_ref();
        of_target.max(committed.map_or(0, |committed| committed.attempt))
    }
}
