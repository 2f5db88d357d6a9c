//! From a target to a decision, and from a decision to the first act.

use fleet_protocol::target::TargetKind;
use fleet_protocol::update::{BootedSystem, DeferReason, RefuseReason};
use fleet_protocol::{RolloutId, Version};

use super::event::{InstallOrder, Wanted};
use super::record::{Installing, Origin, Plan, RebootPending, Way};
use super::transition::Transition;
use super::{Candidate, Effect, State};
use crate::core::admission::{self, Decision, Insistence, Question};

impl Transition<'_> {
    pub(super) fn target_received(
        &mut self,
        generation: u64,
        release: Option<Candidate>,
        booted: &BootedSystem,
    ) {
        // The generation may fall: a control plane restored from a backup counts on from there.
        if self.engine.record.generation != generation {
            self.engine.record.generation = generation;
            self.persist();
        }
        self.engine.target = release;
        self.engine.target_known = true;
        self.converge(booted);
    }

    pub(super) fn tick(&mut self, booted: &BootedSystem) {
        self.trial_tick();
        self.going_back_tick(booted);
        self.converge(booted);
    }

    /// Takes the next step towards what is wanted, if one can be taken now.
    pub(super) fn converge(&mut self, booted: &BootedSystem) {
        match self.engine.record.state.clone() {
            State::Installing(installing) => self.abandon_install(installing),
            State::RebootPending(pending) => {
                if self.unwanted(&pending.plan) && !pending.abandoned {
                    self.abandon_pending(pending, booted);
                } else {
                    self.pending_tick(&pending, booted);
                }
            }
            State::Trial(_) => {}
            State::RolledBack(back) if back.from == Some(booted.slot) => {}
            _ => self.decide(booted),
        }
    }

    /// The control plane wants something else than what is under way for it.
    fn unwanted(&self, plan: &Plan) -> bool {
        if plan.origin != Origin::Target || !self.engine.target_known {
            return false;
        }
        match &self.engine.target {
            Some(Candidate::Verified(wanted)) => {
                let release = wanted.release.metadata();
                release.version != plan.version || release.root_hash != plan.root_hash
            }
            Some(Candidate::Unverified { .. }) | None => true,
        }
    }

    fn abandon_install(&mut self, mut installing: Installing) {
        if installing.abandoned || !self.unwanted(&installing.plan) {
            return;
        }
        let transaction_id = installing.transaction_id.clone();
        installing.abandoned = true;
        "no longer wanted".clone_into(&mut installing.message);
        self.enter(State::Installing(installing));
        self.act(Effect::CancelInstall { transaction_id });
    }

    pub(super) fn abandon_pending(&mut self, mut pending: RebootPending, booted: &BootedSystem) {
        pending.abandoned = true;
        self.enter(State::RebootPending(pending));
        self.act(Effect::SwitchSlot { slot: booted.slot });
    }

    /// Asks the target, in a state in which something new may begin.
    fn decide(&mut self, booted: &BootedSystem) {
        if !self.engine.target_known {
            return;
        }
        match self.engine.target.clone() {
            None => {
                if std::mem::take(&mut self.engine.record.forced) {
                    self.persist();
                }
                let waited = matches!(
                    self.engine.record.state,
                    State::Deferred { .. } | State::Refused { .. }
                );
                if waited {
                    self.enter(State::Idle);
                }
            }
            Some(Candidate::Unverified {
                version,
                rollout_id,
                error,
            }) => self.refuse(version, rollout_id, admission::refuse_unverified(&error)),
            Some(Candidate::Verified(wanted)) => {
                let insistence = self.engine.insistence();
                let decision = self.ask(&wanted, insistence, booted);
                self.follow(&wanted, decision, booted);
            }
        }
    }

    pub(super) fn ask(
        &self,
        wanted: &Wanted,
        insistence: Insistence,
        booted: &BootedSystem,
    ) -> Decision {
        let question = Question {
            kind: wanted.kind,
            release: wanted.release.metadata(),
            attempt: wanted.attempt,
            insistence,
        };
        admission::decide(
            &question,
            &self.situation.facts(),
            &self.engine.memory(booted),
        )
    }

    fn follow(&mut self, wanted: &Wanted, decision: Decision, booted: &BootedSystem) {
        let version = wanted.release.metadata().version.clone();
        match decision {
            Decision::UpToDate => self.up_to_date(wanted, version, booted),
            Decision::Install => self.begin(wanted, Way::Install, Origin::Target, booted),
            Decision::Switch => self.begin(wanted, Way::Switch, Origin::Target, booted),
            Decision::Defer(why) => self.defer(version, wanted.rollout_id.clone(), why),
            Decision::Refuse(why) => self.refuse(Some(version), wanted.rollout_id.clone(), why),
        }
    }

    fn up_to_date(&mut self, wanted: &Wanted, version: Version, booted: &BootedSystem) {
        let state = State::Committed {
            version,
            slot: booted.slot,
        };
        let record = &mut self.engine.record;
        let settled = record.rollout_id == wanted.rollout_id && record.state == state;
        if record.forced || !settled {
            record.forced = false;
            record.retry = None;
            record.rollout_id.clone_from(&wanted.rollout_id);
            self.enter(state);
        }
    }

    fn defer(&mut self, version: Version, rollout_id: Option<RolloutId>, why: DeferReason) {
        let failed_before = matches!(why, DeferReason::FailedBefore { .. });
        let record = &mut self.engine.record;
        match &record.state {
            // The outcome says more than that it is not repeated.
            State::RolledBack(back) if failed_before && back.version == version => return,
            State::Refused { version: v, .. } if failed_before && v.as_ref() == Some(&version) => {
                return;
            }
            State::Deferred {
                version: before,
                why: earlier,
            } if *before == version => {
                let same_kind = std::mem::discriminant(earlier) == std::mem::discriminant(&why);
                if same_kind && record.rollout_id == rollout_id {
                    record.state = State::Deferred { version, why };
                    return;
                }
            }
            _ => {}
        }
        record.rollout_id = rollout_id;
        self.enter(State::Deferred { version, why });
    }

    pub(super) fn refuse(
        &mut self,
        version: Option<Version>,
        rollout_id: Option<RolloutId>,
        why: RefuseReason,
    ) {
        let record = &mut self.engine.record;
        if let State::Refused {
            version: before,
            why: earlier,
        } = &record.state
        {
            let same_kind = std::mem::discriminant(earlier) == std::mem::discriminant(&why);
            if *before == version && same_kind && record.rollout_id == rollout_id && !record.forced
            {
                record.state = State::Refused { version, why };
                return;
            }
        }
        record.forced = false;
        record.rollout_id = rollout_id;
        self.enter(State::Refused { version, why });
    }

    /// The one place where a plan is made: of verified metadata.
    pub(super) fn begin(
        &mut self,
        wanted: &Wanted,
        way: Way,
        origin: Origin,
        booted: &BootedSystem,
    ) {
        let release = wanted.release.metadata();
        let record = &mut self.engine.record;
        let plan = Plan {
            version: release.version.clone(),
            slot: booted.slot.other(),
            root_hash: release.root_hash,
            way,
            origin,
            rollout_id: wanted.rollout_id.clone(),
            attempt: wanted.attempt,
            rollback_floor: release.rollback_floor.clone(),
            forced: record.forced,
            goes_back: way == Way::Switch && wanted.kind == TargetKind::Rollback,
            reached_before: self.situation.control_plane,
        };
        record.forced = false;
        record.rollout_id.clone_from(&wanted.rollout_id);
        match way {
            Way::Switch => self.begin_switch(plan),
            Way::Install => self.begin_install(plan, wanted),
        }
    }

    fn begin_install(&mut self, plan: Plan, wanted: &Wanted) {
        let release = wanted.release.metadata();
        let slot = plan.slot;
        let transaction_id = format!(
            "{}-{}",
            plan.version,
            self.engine.record.sequence.saturating_add(1)
        );
        self.engine.record.other = None;
        self.enter(State::Installing(Installing {
            plan,
            transaction_id: transaction_id.clone(),
            percent: 0,
            downloaded_bytes: 0,
            message: "starting the download".to_owned(),
            abandoned: false,
        }));
        self.act(Effect::DisarmLock { slot });
        self.act(Effect::StartInstall(Box::new(InstallOrder {
            transaction_id,
            version: release.version.clone(),
            compatible: release.compatible.clone(),
            slot,
            bundle_path: wanted.bundle_path.clone(),
            sha256: release.bundle.sha256,
            manifest_sha256: release.bundle.manifest_sha256,
            size_bytes: release.bundle.size_bytes,
        })));
    }

    pub(super) fn begin_switch(&mut self, plan: Plan) {
        let slot = plan.slot;
        self.enter(State::RebootPending(RebootPending {
            plan,
            armed: false,
            returns: 0,
            abandoned: false,
            downloaded_bytes: 0,
        }));
        self.act(Effect::DisarmLock { slot });
        self.act(Effect::SwitchSlot { slot });
    }
}
