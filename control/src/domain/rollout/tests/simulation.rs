//! A simulated fleet: devices of every nature, and a store that applies plans as the real one does.

use std::collections::BTreeSet;

use fleet_protocol::target::TargetKind;

use super::super::*;
use crate::domain::target::{Place, desired};

pub(super) const OLD: Version = Version::new(1, 0, 0);
pub(super) const NEW: Version = Version::new(2, 0, 0);

/// What a device does when it is told to update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Good,
    /// Boots it, finds it unhealthy, goes back.
    Unhealthy,
    Refuses,
    /// Dies while it installs.
    Bricks,
    /// Boots something else under the same version.
    WrongHash,
    /// Never heard of again.
    Off,
    /// Waits for a window that never opens.
    Deferred,
}

pub(super) struct World {
    pub(super) state: RolloutState,
    pub(super) facts: Vec<DeviceFacts>,
    pub(super) natures: Vec<Nature>,
    pub(super) ever_offered: BTreeSet<DeviceId>,
    pub(super) now: Timestamp,
}

pub(super) fn hash(text: &str) -> Sha256 {
    Sha256::of(text)
}

pub(super) fn world(
    natures: Vec<Nature>,
    percentages: &[u16],
    threshold: u16,
    rollback: bool,
) -> World {
    let state = RolloutState {
        rollout_id: "rol_test".parse().unwrap(),
        version: NEW,
        root_hash: hash("new"),
        phases: percentages
            .iter()
            .map(|p| Phase {
                percentage: Percent::from_hundredths(p * 100),
                wait_seconds: 60,
            })
            .collect(),
        failure_threshold: Percent::from_hundredths(threshold * 100),
        rollback_on_failure: rollback,
        deadline: DEFAULT_DEADLINE,
        status: RolloutStatus::Running,
        current_phase: 0,
        phase_done_at: None,
        generation: 1,
    };
    let facts = (0..natures.len())
        .map(|i| DeviceFacts {
            device_id: format!("dev_{i:05}").parse().unwrap(),
            status: MemberStatus::Waiting,
            superseded: false,
            revoked: false,
            offered_at: None,
            previous_version: None,
            booted_version: OLD,
            booted_root_hash: Some(hash("old")),
            reported: None,
            begun_at: None,
        })
        .collect();
    World {
        state,
        facts,
        natures,
        ever_offered: BTreeSet::new(),
        now: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1),
    }
}

impl World {
    pub(super) fn plan(&self) -> Plan {
        plan(&self.state, &self.facts, self.now)
    }

    /// As the store applies plans; false: it was stale.
    pub(super) fn apply(&mut self, plan: &Plan) -> bool {
        if plan.base_generation != self.state.generation {
            return false;
        }
        let completes = plan.status == RolloutStatus::Completed
            && self.state.status != RolloutStatus::Completed;
        self.state.generation += 1;
        self.state.status = plan.status;
        self.state.current_phase = plan.current_phase;
        self.state.phase_done_at = plan.phase_done_at;
        for t in &plan.transitions {
            let found = self.facts.iter_mut().find(|f| f.device_id == t.device_id);
            let device = found.expect("plans name members only");
            assert_eq!(device.status, t.from);
            device.status = t.to;
            device.offered_at = t.offered_at.or(device.offered_at);
            if device.previous_version.is_none() {
                device.previous_version.clone_from(&t.previous_version);
            }
            if t.to == MemberStatus::Offered {
                self.ever_offered.insert(t.device_id.clone());
            }
        }
        self.check();
        if completes {
            self.check_threshold();
        }
        true
    }

    fn quota(&self) -> u64 {
        self.state.phases[self.state.current_phase as usize]
            .percentage
            .of_rounded_up(self.facts.len() as u64)
    }

    pub(super) fn count(&self, status: MemberStatus) -> u64 {
        self.facts.iter().filter(|f| f.status == status).count() as u64
    }

    fn check(&self) {
        let offered = self.ever_offered.len() as u64;
        assert!(
            offered <= self.quota(),
            "{offered} at risk, {} allowed",
            self.quota()
        );
        for (facts, nature) in self.facts.iter().zip(&self.natures) {
            if facts.status == MemberStatus::Verified {
                assert_eq!(*nature, Nature::Good, "only a verified boot is verified");
            }
        }
    }

    /// At the moment of completing: a device that was late by then may still fail afterwards.
    fn check_threshold(&self) {
        let failed = self.count(MemberStatus::Failed);
        let threshold = self.state.failure_threshold;
        assert!(!threshold.is_exceeded_by(failed, self.quota()));
    }

    pub(super) fn report(&mut self, index: usize, state: Reported, version: Version) {
        let facts = &mut self.facts[index];
        let begun = state == Reported::Begun;
        facts.begun_at = begun.then(|| facts.begun_at.unwrap_or(self.now));
        facts.reported = Some(Report {
            state,
            version: Some(version),
            rollout_id: Some(self.state.rollout_id.clone()),
            at: self.now,
            detail: None,
        });
    }

    pub(super) fn boot(&mut self, index: usize, version: Version, root_hash: Sha256) {
        self.facts[index].booted_version = version;
        self.facts[index].booted_root_hash = Some(root_hash);
    }

    /// One step of one device towards its target.
    pub(super) fn step(&mut self, index: usize) {
        let facts = &self.facts[index];
        let begun = facts.begun_at.is_some();
        let wanted = desired(Place {
            rollout: self.state.status,
            member: facts.status,
            version: &NEW,
            previous: facts.previous_version.as_ref(),
            begun,
        });
        let runs_new = facts.booted_version == NEW;
        match (wanted, self.natures[index]) {
            (_, Nature::Off) | (None, _) => {}
            (Some((TargetKind::Rollback, _)), Nature::Bricks) if begun => {}
            (Some((TargetKind::Rollback, back)), _) => {
                self.boot(index, back.clone(), hash("old"));
                self.report(index, Reported::Committed, back);
            }
            (Some(_), Nature::Deferred) => self.report(index, Reported::Waiting, NEW),
            (Some(_), Nature::Refuses) => self.report(index, Reported::Refused, NEW),
            (Some(_), _) if !begun && !runs_new => self.report(index, Reported::Begun, NEW),
            (Some(_), Nature::Bricks) => {}
            (Some(_), Nature::Unhealthy) => self.report(index, Reported::RolledBack, NEW),
            (Some(_), nature) => {
                let right = nature == Nature::Good;
                self.boot(index, NEW, hash(if right { "new" } else { "other" }));
                self.report(index, Reported::Committed, NEW);
            }
        }
    }

    /// Until nothing changes any more, with all the time in the world.
    pub(super) fn settle(&mut self) {
        for _ in 0..200 {
            let before = (self.facts.clone(), self.state.clone());
            let plan = self.plan();
            self.apply(&plan);
            (0..self.facts.len()).for_each(|i| self.step(i));
            self.now += SignedDuration::from_hours(1);
            self.state.generation = before.1.generation;
            if (&self.facts, &self.state) == (&before.0, &before.1) && self.state.status.is_final()
            {
                return;
            }
        }
    }
}
