//! Whole rollouts, simulated: one story each.

mod properties;
mod simulation;

use std::collections::BTreeSet;

use super::*;
use simulation::{NEW, Nature, OLD, hash, world};

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
fn a_late_device_that_fails_after_completion_does_not_undo_it() {
    let mut all = natures(Nature::Good, 20);
    all[3] = Nature::Off;
    let mut world = world(all, &[50, 100], 0, true);
    world.settle();
    world.natures[3] = Nature::Unhealthy;
    world.settle();
    assert_eq!(world.state.status, RolloutStatus::Completed);
    assert_eq!(world.facts[3].status, MemberStatus::Failed);
    assert_eq!(world.count(MemberStatus::Verified), 19);
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
