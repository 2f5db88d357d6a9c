use super::*;
use fleet_protocol::update::{FailureReason, Slot};

fn check(
    place: Option<(RolloutStatus, MemberStatus)>,
    online: bool,
    update: &UpdateState,
    expected: (&str, Verdict),
) {
    let (running, version) = (Version::new(1, 0, 0), Version::new(2, 0, 0));
    let rollout_id = "rol_1".parse().unwrap();
    let known = Known {
        running: &running,
        place: place.map(|(status, member)| Place {
            rollout_id: &rollout_id,
            version: &version,
            status,
            summary: "phase 1 of 3",
            member,
            phase: 1,
            phases: 3,
            detail: None,
        }),
        online,
        revoked: false,
        last_seen: None,
        update: Some(update),
    };
    let trace = trace(&known);
    let order: Vec<_> = trace.steps.iter().map(|s| s.step.as_str()).collect();
    assert_eq!(order, STEPS.map(|(s, _)| s), "always all steps, in order");
    let halt = trace
        .steps
        .iter()
        .find(|s| s.verdict != Verdict::Pass)
        .unwrap();
    assert_eq!(
        (halt.step.as_str(), halt.verdict),
        expected,
        "{}",
        trace.summary
    );
    let after = trace
        .steps
        .iter()
        .skip_while(|s| s.verdict == Verdict::Pass)
        .skip(1);
    assert!(after.into_iter().all(|s| s.verdict == Verdict::NotReached));
    assert_eq!(
        halt.hint.is_some(),
        halt.verdict == Verdict::Hold,
        "{}",
        trace.summary
    );
}

const OFFERED: Option<(RolloutStatus, MemberStatus)> =
    Some((RolloutStatus::Running, MemberStatus::Offered));

fn deferred_by(why: DeferReason) -> UpdateState {
    let version = Version::new(2, 0, 0);
    UpdateState::Deferred { version, why }
}

#[test]
fn the_control_planes_own_steps_come_first() {
    use RolloutStatus::{Paused, Running};
    let idle = UpdateState::Idle;
    check(None, true, &idle, ("target", Verdict::Hold));
    check(
        Some((Running, MemberStatus::Waiting)),
        false,
        &idle,
        ("phase", Verdict::Wait),
    );
    check(
        Some((Paused, MemberStatus::Waiting)),
        true,
        &idle,
        ("phase", Verdict::Hold),
    );
    check(OFFERED, false, &idle, ("online", Verdict::Hold));
    check(OFFERED, true, &idle, ("admission", Verdict::Wait));
}

#[test]
fn what_the_device_reported_is_put_at_its_step() {
    let at = Timestamp::UNIX_EPOCH;
    let window = DeferReason::MaintenanceWindow { opens_at: at };
    check(
        OFFERED,
        true,
        &deferred_by(window),
        ("window", Verdict::Wait),
    );
    let disk = DeferReason::DiskSpace {
        free_bytes: 1,
        needed_bytes: 2,
    };
    check(OFFERED, true, &deferred_by(disk), ("disk", Verdict::Hold));
    let clock = DeferReason::Clock { at, floor: at };
    check(OFFERED, true, &deferred_by(clock), ("clock", Verdict::Wait));
    let older = UpdateState::Refused {
        version: Some(Version::new(2, 0, 0)),
        why: RefuseReason::Older {
            current: Version::new(3, 0, 0),
        },
    };
    check(OFFERED, true, &older, ("versionFloor", Verdict::Hold));
    let trial = UpdateState::Trial {
        version: Version::new(2, 0, 0),
        slot: Slot::B,
        healthy_for_s: 3,
        window_s: 60,
    };
    check(OFFERED, true, &trial, ("trial", Verdict::Wait));
}

#[test]
fn a_failed_version_is_a_penalty_that_somebody_has_to_lift() {
    let failed = UpdateState::RolledBack {
        version: Version::new(2, 0, 0),
        why: FailureReason::DidNotBoot { attempts: 3 },
    };
    let place = Some((RolloutStatus::Running, MemberStatus::Failed));
    check(place, true, &failed, ("penalty", Verdict::Hold));
    check(place, true, &UpdateState::Idle, ("penalty", Verdict::Hold));
}

#[test]
fn a_report_about_another_version_says_nothing_of_this_one() {
    let old = UpdateState::RolledBack {
        version: Version::new(1, 5, 0),
        why: FailureReason::RolledBackByOperator,
    };
    check(OFFERED, true, &old, ("admission", Verdict::Wait));
}
