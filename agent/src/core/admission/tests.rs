//! Each check by itself, and the promise that the trace tells what the decision does.

use fleet_protocol::target::TargetKind;
use fleet_protocol::trust::ReleaseMetadata;
use fleet_protocol::update::{BootedSystem, DeferReason, FailureReason, RefuseReason, Slot};
use fleet_protocol::why::{Step, Verdict};
use fleet_protocol::{Sha256, Version};
use proptest::prelude::*;

use super::window::tests::window;
use super::*;
use crate::core::fixtures::{NOW, at, booted, facts, release, root_hash, version};

#[derive(Debug)]
struct Case {
    kind: TargetKind,
    release: ReleaseMetadata,
    attempt: u32,
    insistence: Insistence,
    facts: Facts,
    booted: BootedSystem,
    other: Option<SlotContent>,
    floor: Option<Version>,
    failures: Vec<Failure>,
    retry: Option<Retry>,
    on_trial: bool,
    paused: bool,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            kind: TargetKind::Install,
            release: release(3),
            attempt: 1,
            insistence: Insistence::None,
            facts: facts(),
            booted: booted(Slot::A, &version(2), 1),
            other: None,
            floor: None,
            failures: Vec::new(),
            retry: None,
            on_trial: false,
            paused: false,
        }
    }
}

impl Case {
    fn parts(&self) -> (Question<'_>, Memory<'_>) {
        let question = Question {
            kind: self.kind,
            release: &self.release,
            attempt: self.attempt,
            insistence: self.insistence,
        };
        let memory = Memory {
            booted: &self.booted,
            other: self.other.as_ref(),
            on_trial: self.on_trial,
            rollback_floor: self.floor.as_ref(),
            failures: &self.failures,
            backoff: self.retry.as_ref(),
            paused: self.paused,
        };
        (question, memory)
    }

    fn decide(&self) -> Decision {
        let (question, memory) = self.parts();
        decide(&question, &self.facts, &memory)
    }

    fn trace(&self) -> fleet_protocol::why::WhyTrace {
        let (question, memory) = self.parts();
        trace(&question, &self.facts, &memory)
    }
}

fn check(change: impl FnOnce(&mut Case), expected: &Decision) {
    let mut case = Case::default();
    change(&mut case);
    assert_eq!(case.decide(), *expected);
}

fn refused(change: impl FnOnce(&mut Case), expected: RefuseReason) {
    check(change, &Decision::Refuse(expected));
}

fn deferred(change: impl FnOnce(&mut Case), expected: DeferReason) {
    check(change, &Decision::Defer(expected));
}

fn content(major: u64) -> SlotContent {
    SlotContent {
        version: version(major),
        root_hash: root_hash(&version(major)),
    }
}

fn failed(major: u64, attempt: u32) -> Failure {
    Failure {
        version: version(major),
        attempt,
        why: FailureReason::DidNotBoot { attempts: 3 },
        at: at(NOW),
    }
}

#[test]
fn what_can_never_be_installed_is_refused_with_its_own_reason() {
    refused(
        |c| c.release.compatible = "other".parse().unwrap(),
        RefuseReason::WrongCompatible {
            expected: "fleet-test".to_owned(),
            found: "other".to_owned(),
        },
    );
    refused(
        |c| c.release.hardware = vec!["pi".to_owned()],
        RefuseReason::WrongHardware {
            model: "qemu".to_owned(),
            supported: vec!["pi".to_owned()],
        },
    );
    refused(
        |c| c.release.not_after = at(NOW - 1),
        RefuseReason::Expired {
            not_after: at(NOW - 1),
            now: at(NOW),
        },
    );
    refused(
        |c| c.release = release(1),
        RefuseReason::Older {
            current: version(2),
        },
    );
    refused(
        |c| c.floor = Some(version(4)),
        RefuseReason::BelowRollbackFloor { floor: version(4) },
    );
    refused(
        |c| c.release.min_version = Some(Version::new(2, 1, 0)),
        RefuseReason::BaseTooOld {
            current: version(2),
            needed: Version::new(2, 1, 0),
        },
    );
}

#[test]
fn what_passes_by_itself_or_by_an_act_is_deferred() {
    deferred(
        |c| c.facts.now = at(5),
        DeferReason::Clock {
            at: at(5),
            floor: at(NOW - 1_000),
        },
    );
    deferred(
        |c| c.failures = vec![failed(3, 1)],
        DeferReason::FailedBefore {
            version: version(3),
            why: FailureReason::DidNotBoot { attempts: 3 },
        },
    );
    deferred(|c| c.facts.paused = true, DeferReason::Paused);
    deferred(|c| c.paused = true, DeferReason::Paused);
    deferred(
        |c| c.facts.free_bytes = 99,
        DeferReason::DiskSpace {
            free_bytes: 99,
            needed_bytes: 100,
        },
    );
    deferred(
        |c| c.facts.power_trouble = Some("hot".to_owned()),
        DeferReason::Power {
            detail: "hot".to_owned(),
        },
    );
    deferred(|c| c.on_trial = true, DeferReason::TrialRunning);
    // 00:00 in UTC is 01:00 in Oslo in January.
    deferred(
        |c| c.facts.window = Some(window("02:00", "05:00", "Europe/Oslo")),
        DeferReason::MaintenanceWindow {
            opens_at: at(NOW + 3_600),
        },
    );
}

#[test]
fn a_foreign_release_is_refused_before_it_has_to_wait() {
    refused(
        |c| {
            c.facts.now = at(5);
            c.facts.window = Some(window("02:00", "05:00", "UTC"));
            c.release.compatible = "other".parse().unwrap();
        },
        RefuseReason::WrongCompatible {
            expected: "fleet-test".to_owned(),
            found: "other".to_owned(),
        },
    );
}

#[test]
fn a_person_overrides_the_window_and_a_failure_but_no_floor() {
    let forced = |change: fn(&mut Case)| {
        let mut case = Case {
            insistence: Insistence::Forced,
            ..Case::default()
        };
        change(&mut case);
        case.decide()
    };
    let closed = |c: &mut Case| {
        c.facts.window = Some(window("02:00", "05:00", "UTC"));
        c.failures = vec![failed(3, 1)];
    };
    assert_eq!(forced(closed), Decision::Install);
    assert!(matches!(
        forced(|c| c.floor = Some(version(4))),
        Decision::Refuse(RefuseReason::BelowRollbackFloor { .. })
    ));
    assert_eq!(
        forced(|c| c.paused = true),
        Decision::Defer(DeferReason::Paused)
    );
}

#[test]
fn a_higher_attempt_lifts_the_penalty() {
    check(
        |c| {
            c.failures = vec![failed(3, 1)];
            c.attempt = 2;
        },
        &Decision::Install,
    );
    check(|c| c.failures = vec![failed(4, 1)], &Decision::Install);
}

#[test]
fn a_rollback_switches_if_the_other_slot_holds_it() {
    let back = |c: &mut Case| {
        c.kind = TargetKind::Rollback;
        c.release = release(1);
    };
    check(
        |c| {
            back(c);
            c.other = Some(content(1));
            c.release.not_after = at(0);
            c.release.min_version = Some(version(9));
        },
        &Decision::Switch,
    );
    refused(
        |c| {
            back(c);
            c.other = Some(content(3));
        },
        RefuseReason::NothingToRollBackTo {
            other: Some(version(3)),
        },
    );
    check(
        |c| {
            back(c);
            c.release.allow_downgrade = true;
        },
        &Decision::Install,
    );
}

#[test]
fn what_the_other_slot_holds_needs_no_room_and_no_open_window() {
    let held = |c: &mut Case| {
        c.other = Some(SlotContent {
            version: c.release.version.clone(),
            root_hash: c.release.root_hash,
        });
        c.facts.free_bytes = 0;
        c.facts.window = Some(window("02:00", "05:00", "UTC"));
    };
    check(held, &Decision::Switch);
    check(
        |c| {
            c.kind = TargetKind::Rollback;
            c.release = release(1);
            held(c);
        },
        &Decision::Switch,
    );
    deferred(
        |c| {
            held(c);
            c.paused = true;
        },
        DeferReason::Paused,
    );
    // Of another version it is of no use.
    let other = |c: &mut Case| {
        held(c);
        c.other = Some(content(1));
    };
    let mut case = Case::default();
    other(&mut case);
    assert!(matches!(
        case.decide(),
        Decision::Defer(DeferReason::MaintenanceWindow { .. })
    ));
}

#[test]
fn what_runs_is_up_to_date_and_another_build_of_it_is_refused() {
    check(|c| c.release = release(2), &Decision::UpToDate);
    let mut case = Case {
        release: release(2),
        ..Case::default()
    };
    case.release.root_hash = Sha256::of("another build");
    assert!(matches!(
        case.decide(),
        Decision::Refuse(RefuseReason::Malformed { .. })
    ));
}

#[test]
fn a_clock_a_little_behind_the_server_holds_nothing_back_and_hides_no_expiry() {
    let behind = |seconds: i64| move |case: &mut Case| case.facts.clock_floor = at(NOW + seconds);
    check(behind(4), &Decision::Install);
    let expired = |case: &mut Case| {
        behind(4)(case);
        case.release.not_after = at(NOW + 2);
    };
    let why = RefuseReason::Expired {
        not_after: at(NOW + 2),
        now: at(NOW + 4),
    };
    check(expired, &Decision::Refuse(why));
    let why = DeferReason::Clock {
        at: at(NOW),
        floor: at(NOW + 3_600),
    };
    check(behind(3_600), &Decision::Defer(why));
}

prop_compose! {
    fn any_case()(
        kind in prop_oneof![Just(TargetKind::Install), Just(TargetKind::Rollback)],
        major in 1u64..4, attempt in 0u32..3, forced in prop::bool::weighted(0.2),
        flags in prop::array::uniform11(prop::bool::weighted(0.2)),
        other in prop::option::of(1u64..4), floor in prop::option::of(1u64..4),
    ) -> Case {
        let mut case = Case {
            kind, attempt, release: release(major),
            other: other.map(content), floor: floor.map(version), ..Case::default()
        };
        if forced { case.insistence = Insistence::Forced; }
        let [compatible, hardware, clock, expired, base, downgrade, penalty, paused, closed, disk, trial] = flags;
        if compatible { case.release.compatible = "other".parse().unwrap(); }
        if hardware { case.release.hardware = vec!["pi".to_owned()]; }
        if clock { case.facts.now = at(5); }
        if expired { case.release.not_after = at(NOW - 5); }
        if base { case.release.min_version = Some(version(3)); }
        case.release.allow_downgrade = downgrade;
        if penalty { case.failures = vec![failed(major, 1)]; }
        case.paused = paused;
        if closed { case.facts.window = Some(window("02:00", "05:00", "UTC")); }
        if disk { case.facts.free_bytes = 1; }
        case.on_trial = trial;
        case
    }
}

proptest! {
    #[test]
    fn the_trace_tells_what_the_decision_does(case in any_case()) {
        let decision = case.decide();
        let trace = case.trace();
        let held: Vec<_> = trace.steps.iter()
            .filter(|s| matches!(s.verdict, Verdict::Wait | Verdict::Hold)).collect();
        match &decision {
            Decision::UpToDate => prop_assert!(trace.steps.is_empty()),
            Decision::Install | Decision::Switch => {
                prop_assert!(trace.steps.iter().all(|s| s.verdict == Verdict::Pass));
            }
            Decision::Defer(_) | Decision::Refuse(_) => {
                prop_assert_eq!(held.len(), 1);
                prop_assert_eq!(&held[0].detail, &trace.summary);
                if let Decision::Refuse(why) = &decision {
                    prop_assert_eq!(&trace.summary, &why.to_string());
                    prop_assert!(held[0].hint.is_some());
                }
                // Only two builds of one version are malformed here, and found out at the floor.
                let step = match &decision {
                    Decision::Defer(why) => Step::of_deferral(why),
                    Decision::Refuse(RefuseReason::Malformed { .. }) => Step::VersionFloor,
                    Decision::Refuse(why) => Step::of_refusal(why),
                    _ => unreachable!("held"),
                };
                prop_assert_eq!(held[0].step.as_str(), step.name(), "as the control plane tells it");
                let at = trace.steps.iter().position(|s| s == held[0]).unwrap();
                prop_assert!(trace.steps[..at].iter().all(|s| s.verdict == Verdict::Pass));
                prop_assert!(trace.steps[at + 1..].iter().all(|s| s.verdict == Verdict::NotReached));
            }
        }
        let order = |name: &str| Step::ALL.iter().position(|s| s.name() == name);
        prop_assert!(trace.steps.is_sorted_by_key(|s| order(&s.step)));
        let mut names: Vec<_> = trace.steps.iter().map(|s| s.step.as_str()).collect();
        let count = names.len();
        names.dedup();
        prop_assert_eq!(names.len(), count, "one step for each name");
    }

    #[test]
    fn force_never_lifts_a_refusal(mut case in any_case()) {
        case.insistence = Insistence::None;
        let before = case.decide();
        case.insistence = Insistence::Forced;
        if let Decision::Refuse(_) = before {
            prop_assert_eq!(case.decide(), before);
        }
    }
}
