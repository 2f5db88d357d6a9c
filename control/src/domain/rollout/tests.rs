//! Whole rollouts, simulated: random devices, random order, executors that come late.

use std::collections::BTreeSet;

use fleet_protocol::target::TargetKind;
use proptest::prelude::*;

use super::*;
use crate::domain::target::{Place, desired};

const OLD: Version = Version::new(1, 0, 0);
const NEW: Version = Version::new(2, 0, 0);

/// What a device does when it is told to update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
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

struct World {
    state: RolloutState,
    facts: Vec<DeviceFacts>,
    natures: Vec<Nature>,
    ever_offered: BTreeSet<DeviceId>,
    now: Timestamp,
}

fn hash(text: &str) -> Sha256 {
    Sha256::of(text)
}

fn world(natures: Vec<Nature>, percentages: &[u16], threshold: u16, rollback: bool) -> World {
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
    fn plan(&self) -> Plan {
        plan(&self.state, &self.facts, self.now)
    }

    /// As the store applies plans; false: it was stale.
    fn apply(&mut self, plan: &Plan) -> bool {
        if plan.base_generation != self.state.generation {
            return false;
        }
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
        true
    }

    fn quota(&self) -> u64 {
        self.state.phases[self.state.current_phase as usize]
            .percentage
            .of_rounded_up(self.facts.len() as u64)
    }

    fn count(&self, status: MemberStatus) -> u64 {
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
        if self.state.status == RolloutStatus::Completed {
            let failed = self.count(MemberStatus::Failed);
            assert!(
                !self
                    .state
                    .failure_threshold
                    .is_exceeded_by(failed, self.quota())
            );
        }
    }

    fn report(&mut self, index: usize, state: Reported, version: Version) {
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

    fn boot(&mut self, index: usize, version: Version, root_hash: Sha256) {
        self.facts[index].booted_version = version;
        self.facts[index].booted_root_hash = Some(root_hash);
    }

    /// One step of one device towards its target.
    fn step(&mut self, index: usize) {
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
    fn settle(&mut self) {
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

fn natures(nature: Nature, count: usize) -> Vec<Nature> {
    vec![nature; count]
}

#[test]
fn a_rollout_of_good_devices_goes_through_its_phases_and_completes() {
    let mut world = world(natures(Nature::Good, 40), &[5, 20, 100], 5, true);
    let first = world.plan();
    assert_eq!(first.transitions.len(), 2, "5 % of 40");
    world.settle();
    assert_eq!(world.state.status, RolloutStatus::Completed);
    assert_eq!(world.count(MemberStatus::Verified), 40);
}

#[test]
fn installed_and_rebooting_is_no_progress() {
    let mut world = world(natures(Nature::Good, 10), &[10, 100], 5, true);
    let plan = world.plan();
    world.apply(&plan);
    let index = world
        .facts
        .iter()
        .position(|f| f.status == MemberStatus::Offered)
        .unwrap();
    world.report(index, Reported::Begun, NEW);
    world.boot(index, NEW, hash("new"));
    world.now += SignedDuration::from_hours(2);
    let plan = world.plan();
    assert!(plan.transitions.is_empty(), "{}", plan.summary);
    assert_eq!(plan.current_phase, 0);
}

#[test]
fn a_failure_beyond_the_threshold_takes_everyone_back() {
    let mut all = natures(Nature::Good, 20);
    let order = assign_phases(
        &"rol_test".parse().unwrap(),
        (0..20)
            .map(|i| format!("dev_{i:05}").parse().unwrap())
            .collect(),
        &[],
    );
    // The last of the second phase fails: by then others are updated.
    let last: usize = order[9].0.as_str()[4..].parse().unwrap();
    all[last] = Nature::Unhealthy;
    let mut world = world(all, &[25, 50, 100], 5, true);
    world.settle();
    assert_eq!(world.state.status, RolloutStatus::RolledBack);
    assert!(world.facts.iter().all(|f| f.booted_version == OLD));
    assert_eq!(world.count(MemberStatus::RolledBack), 9);
    assert_eq!(world.count(MemberStatus::Waiting), 10);
}

#[test]
fn without_rollback_the_updated_stay_where_they_are() {
    let mut all = natures(Nature::Good, 4);
    all[0] = Nature::Refuses;
    let mut world = world(all, &[100], 5, false);
    world.settle();
    assert_eq!(world.state.status, RolloutStatus::Failed);
    assert!(world.plan().transitions.is_empty());
}

#[test]
fn a_device_that_dies_while_it_installs_has_failed_after_the_deadline() {
    let mut world = world(natures(Nature::Bricks, 1), &[100], 5, true);
    let plan = world.plan();
    world.apply(&plan);
    world.step(0);
    world.now += DEFAULT_DEADLINE - SignedDuration::from_secs(1);
    assert!(world.plan().transitions.is_empty());
    world.now += SignedDuration::from_secs(1);
    let plan = world.plan();
    assert_eq!(plan.status, RolloutStatus::RollingBack, "{}", plan.summary);
}

#[test]
fn a_phase_of_devices_that_are_off_holds_the_rollout() {
    let mut world = world(natures(Nature::Off, 10), &[10, 100], 5, true);
    world.settle();
    assert_eq!(world.state.status, RolloutStatus::Running);
    assert_eq!(
        (world.state.current_phase, world.ever_offered.len()),
        (0, 1)
    );
}

#[test]
fn a_device_that_is_off_does_not_hold_the_others_for_ever_and_keeps_its_offer() {
    let mut all = natures(Nature::Good, 20);
    all[3] = Nature::Off;
    let mut world = world(all, &[50, 100], 5, true);
    world.settle();
    assert_eq!(world.state.status, RolloutStatus::Completed);
    assert_eq!(world.facts[3].status, MemberStatus::Offered);
    world.natures[3] = Nature::Good;
    world.settle();
    assert_eq!(
        world.facts[3].status,
        MemberStatus::Verified,
        "updates when it is back"
    );
}

#[test]
fn a_stale_plan_is_not_applied() {
    let mut world = world(natures(Nature::Good, 10), &[10, 100], 5, true);
    let stale = world.plan();
    assert!(world.apply(&stale));
    assert!(!world.apply(&stale));
}

#[test]
fn nothing_is_offered_while_paused_but_failures_count() {
    let mut world = world(natures(Nature::Unhealthy, 10), &[10, 100], 5, true);
    let plan = world.plan();
    world.apply(&plan);
    world.state.status = operate(world.state.status, Act::Pause).unwrap();
    world.now += SignedDuration::from_hours(1);
    assert!(world.plan().transitions.is_empty());
    let index = world
        .facts
        .iter()
        .position(|f| f.status == MemberStatus::Offered)
        .unwrap();
    world.report(index, Reported::RolledBack, NEW);
    assert_ne!(world.plan().status, RolloutStatus::Paused);
}

#[test]
fn a_report_from_before_the_offer_proves_nothing_against_the_device() {
    let mut world = world(natures(Nature::Good, 1), &[100], 5, true);
    world.report(0, Reported::RolledBack, NEW);
    world.now += SignedDuration::from_secs(1);
    let plan = world.plan();
    world.apply(&plan);
    let plan = world.plan();
    assert!(plan.transitions.is_empty(), "{}", plan.summary);
}

#[test]
fn the_cohort_is_another_one_in_another_rollout() {
    let devices: Vec<DeviceId> = (0..100)
        .map(|i| format!("dev_{i}").parse().unwrap())
        .collect();
    let first = |id: &str| {
        assign_phases(&id.parse().unwrap(), devices.clone(), &[])[0]
            .0
            .clone()
    };
    let firsts: BTreeSet<_> = (0..20).map(|i| first(&format!("rol_{i}"))).collect();
    assert!(firsts.len() > 10, "{firsts:?}");
    assert_eq!(first("rol_1"), first("rol_1"));
}

#[test]
fn a_hundred_thousand_devices_are_planned_without_quadratic_work() {
    let world = world(natures(Nature::Good, 100_000), &[50, 100], 5, true);
    assert_eq!(world.plan().transitions.len(), 50_000);
}

fn any_nature() -> impl Strategy<Value = Nature> {
    prop_oneof![
        20 => Just(Nature::Good),
        1 => Just(Nature::Unhealthy),
        1 => Just(Nature::Refuses),
        1 => Just(Nature::Bricks),
        1 => Just(Nature::WrongHash),
        2 => Just(Nature::Off),
        1 => Just(Nature::Deferred),
    ]
}

/// What happens next in a simulated rollout.
#[derive(Debug, Clone)]
enum Happening {
    Step(prop::sample::Index),
    Plan,
    /// An executor reads now and applies later: after whatever comes before its turn.
    Dawdle,
    LateApply,
    Wait(u8),
    Pause,
    Resume,
    Revoke(prop::sample::Index),
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        20 => any::<prop::sample::Index>().prop_map(Happening::Step),
        8 => Just(Happening::Plan),
        2 => Just(Happening::Dawdle),
        2 => Just(Happening::LateApply),
        3 => any::<u8>().prop_map(Happening::Wait),
        1 => Just(Happening::Pause),
        2 => Just(Happening::Resume),
        1 => any::<prop::sample::Index>().prop_map(Happening::Revoke),
    ]
}

fn any_phases() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::btree_set(1u16..100, 0..4)
        .prop_map(|set| set.into_iter().chain([100]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_no_more_devices_are_at_risk_than_the_phase_allows(
        natures in prop::collection::vec(any_nature(), 1..60),
        phases in any_phases(),
        threshold in 0u16..40,
        rollback in any::<bool>(),
        happenings in prop::collection::vec(any_happening(), 0..200),
    ) {
        let mut world = world(natures, &phases, threshold, rollback);
        let mut late: Option<Plan> = None;
        for happening in happenings {
            match happening {
                Happening::Step(index) => {
                    let index = index.index(world.facts.len());
                    world.step(index);
                }
                Happening::Plan => {
                    let plan = world.plan();
                    world.apply(&plan);
                }
                Happening::Dawdle => late = Some(world.plan()),
                Happening::LateApply => {
                    if let Some(plan) = late.take() {
                        world.apply(&plan);
                    }
                }
                Happening::Wait(minutes) => {
                    world.now += SignedDuration::from_mins(i64::from(minutes) * 10);
                }
                Happening::Pause | Happening::Resume => {
                    let act = if matches!(happening, Happening::Pause) { Act::Pause } else { Act::Resume };
                    if let Ok(status) = operate(world.state.status, act) {
                        world.state.status = status;
                        world.state.generation += 1;
                    }
                }
                Happening::Revoke(index) => {
                    let index = index.index(world.facts.len());
                    world.facts[index].revoked = true;
                }
            }
        }
        if world.state.status == RolloutStatus::Paused {
            world.state.status = RolloutStatus::Running;
        }
        world.settle();
        if world.state.status == RolloutStatus::RolledBack {
            for facts in &world.facts {
                let stranded = facts.booted_version == NEW && facts.status != MemberStatus::RollingBack;
                prop_assert!(!stranded, "{facts:?} was forgotten on the bad version");
            }
        }
    }

    #[test]
    fn the_same_facts_in_any_order_give_the_same_plan(
        natures in prop::collection::vec(any_nature(), 1..40),
        rounds in 0usize..6,
        seed in any::<u64>(),
    ) {
        let mut world = world(natures, &[10, 50, 100], 10, true);
        for _ in 0..rounds {
            let plan = world.plan();
            world.apply(&plan);
            (0..world.facts.len()).for_each(|i| world.step(i));
            world.now += SignedDuration::from_mins(2);
        }
        let expected = world.plan();
        world.facts.sort_by_key(|f| Sha256::of(format!("{seed}{}", f.device_id)));
        prop_assert_eq!(world.plan(), expected);
    }
}
