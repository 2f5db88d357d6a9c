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
    assert_eq!(
        order,
        Step::ALL.map(Step::name),
        "always all steps, in order"
    );
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

/// In the order in which the agent asks (`agent/src/core/admission/checks.rs`).
#[test]
fn what_the_device_reported_is_put_at_the_agents_step() {
    use DeferReason as D;
    use RefuseReason as R;
    let at = Timestamp::UNIX_EPOCH;
    let version = || Version::new(2, 0, 0);
    let text = || "x".to_owned();
    let refusals = [
        (R::Unsigned, "admission"),
        (R::ForeignSignature { detail: text() }, "admission"),
        (R::Malformed { detail: text() }, "admission"),
        (
            R::WrongCompatible {
                expected: text(),
                found: text(),
            },
            "admission",
        ),
        (
            R::WrongHardware {
                model: text(),
                supported: vec![text()],
            },
            "admission",
        ),
        (
            R::Expired {
                not_after: at,
                now: at,
            },
            "clock",
        ),
        (R::BelowRollbackFloor { floor: version() }, "versionFloor"),
        (R::Older { current: version() }, "versionFloor"),
        (R::NothingToRollBackTo { other: None }, "versionFloor"),
        (
            R::BaseTooOld {
                current: version(),
                needed: version(),
            },
            "versionFloor",
        ),
        (R::BundleMismatch { detail: text() }, "install"),
        (R::BundleRejected { detail: text() }, "install"),
    ];
    for (why, step) in refusals {
        let version = Some(version());
        let state = UpdateState::Refused { version, why };
        check(OFFERED, true, &state, (step, Verdict::Hold));
    }
    let failed = FailureReason::DidNotBoot { attempts: 3 };
    let deferrals = [
        (D::Clock { at, floor: at }, "clock", Verdict::Hold),
        (
            D::FailedBefore {
                version: version(),
                why: failed,
            },
            "penalty",
            Verdict::Hold,
        ),
        (
            D::Backoff {
                until: at,
                attempts: 1,
                last_error: text(),
            },
            "penalty",
            Verdict::Wait,
        ),
        (D::Paused, "window", Verdict::Hold),
        (
            D::MaintenanceWindow { opens_at: at },
            "window",
            Verdict::Wait,
        ),
        (
            D::DiskSpace {
                free_bytes: 1,
                needed_bytes: 2,
            },
            "disk",
            Verdict::Hold,
        ),
        (D::Power { detail: text() }, "install", Verdict::Wait),
        (D::TrialRunning, "install", Verdict::Wait),
    ];
    for (why, step, verdict) in deferrals {
        check(OFFERED, true, &deferred_by(why), (step, verdict));
    }
}

#[test]
fn a_trial_that_runs_is_the_last_step() {
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
