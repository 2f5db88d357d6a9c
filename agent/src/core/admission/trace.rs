//! "Why not?", the device's part: the same checks as the decision, told to people.

use fleet_protocol::update::{DeferReason, RefuseReason};
use fleet_protocol::why::{Verdict, WhyStep, WhyTrace};
use jiff::Timestamp;

use super::checks::{Check, Outcome, checks, up_to_date};
use super::{Facts, Memory, Question};

/// One step for each name, in the order of the checks: the first check that does not pass speaks for
/// its step, and what comes after it was not reached.
pub fn trace(question: &Question<'_>, facts: &Facts, memory: &Memory<'_>) -> WhyTrace {
    let version = &question.release.version;
    if up_to_date(question, memory) {
        return WhyTrace {
            summary: format!("{version} runs already"),
            steps: Vec::new(),
        };
    }
    let mut steps: Vec<WhyStep> = Vec::new();
    let mut held: Option<String> = None;
    for check in checks(question, facts, memory) {
        let step = if held.is_some() {
            not_reached(&check)
        } else {
            told(&check)
        };
        if held.is_none() && step.verdict != Verdict::Pass {
            held = Some(step.detail.clone());
        }
        match steps.last_mut().filter(|last| last.step == step.step) {
            Some(last) if last.verdict != Verdict::Pass || step.verdict == Verdict::NotReached => {}
            Some(last) if step.verdict == Verdict::Pass => {
                last.detail = format!("{}; {}", last.detail, step.detail);
            }
            Some(last) => *last = step,
            None => steps.push(step),
        }
    }
    let summary = held.unwrap_or_else(|| format!("nothing holds {version} back"));
    WhyTrace { summary, steps }
}

fn step(check: &Check, verdict: Verdict, detail: impl Into<String>) -> WhyStep {
    WhyStep {
        step: check.step.name().to_owned(),
        verdict,
        detail: detail.into(),
        until: None,
        hint: None,
    }
}

fn not_reached(check: &Check) -> WhyStep {
    step(check, Verdict::NotReached, "not asked yet")
}

fn told(check: &Check) -> WhyStep {
    match &check.outcome {
        Outcome::Pass(detail) => step(check, Verdict::Pass, detail),
        Outcome::Defer(why) => {
            let told = tell_deferral(why);
            WhyStep {
                until: told.until,
                hint: told.hint.map(str::to_owned),
                ..step(check, told.verdict, told.detail)
            }
        }
        Outcome::Refuse(why) => {
            let (detail, hint) = tell_refusal(why);
            WhyStep {
                hint: Some(hint.to_owned()),
                ..step(check, Verdict::Hold, detail)
            }
        }
    }
}

struct Told {
    verdict: Verdict,
    detail: String,
    until: Option<Timestamp>,
    hint: Option<&'static str>,
}

fn tell_deferral(why: &DeferReason) -> Told {
    let wait = |detail: String, until| Told {
        verdict: Verdict::Wait,
        detail,
        until,
        hint: None,
    };
    let hold = |detail: String, hint| Told {
        verdict: Verdict::Hold,
        detail,
        until: None,
        hint: Some(hint),
    };
    match why {
        DeferReason::MaintenanceWindow { opens_at } => wait(
            format!("outside the maintenance window, which opens at {opens_at}"),
            Some(*opens_at),
        ),
        DeferReason::Backoff {
            until,
            attempts,
            last_error,
        } => wait(
            format!("try {attempts} failed ({last_error}); the next one is not before {until}"),
            Some(*until),
        ),
        DeferReason::DiskSpace {
            free_bytes,
            needed_bytes,
        } => hold(
            format!("{free_bytes} bytes are free on /data, {needed_bytes} are needed"),
            "free space on the data partition",
        ),
        DeferReason::FailedBefore { version, why } => hold(
            format!("{version} failed here before: {}", tell_failure(why)),
            "find the cause, then retry with `fleet device command DEVICE update --force`, or publish \
             a newer release",
        ),
        DeferReason::TrialRunning => wait("the running slot is still on trial".to_owned(), None),
        DeferReason::Clock { at, floor } => hold(
            format!("the clock shows {at}, which is before {floor} and so wrong"),
            "let the device reach the control plane or a time server once",
        ),
        DeferReason::Paused => hold(
            "updates are paused on this device".to_owned(),
            "set `updates.paused = false`, or resume on the device's own page",
        ),
        DeferReason::Power { detail } => wait(format!("not written now: {detail}"), None),
    }
}

/// A failure in words.
pub(crate) fn tell_failure(why: &fleet_protocol::update::FailureReason) -> String {
    use fleet_protocol::update::FailureReason as F;
    match why {
        F::InstallFailed { detail } => format!("it could not be installed ({detail})"),
        F::DidNotBoot { attempts } => format!("it did not boot in {attempts} attempts"),
        F::Unhealthy { failed_checks } => {
            format!("it was not healthy ({})", failed_checks.join(", "))
        }
        F::RootHashMismatch { expected, found } => {
            format!("it booted with root hash {found} instead of {expected}")
        }
        F::VersionMismatch { expected, found } => {
            format!("it calls itself {found}, the release calls it {expected}")
        }
        F::Crashed { reset } => format!("it crashed on trial ({reset})"),
        F::RolledBackByOperator => "a person took it back".to_owned(),
    }
}

/// A refusal in words, and what to do about it.
pub(crate) fn tell_refusal(why: &RefuseReason) -> (String, &'static str) {
    match why {
        RefuseReason::Unsigned => (
            "the release is not signed".to_owned(),
            "sign it with `fleet release publish` and the release keys",
        ),
        RefuseReason::ForeignSignature { detail } => (
            format!("the release's signatures are not trusted: {detail}"),
            "sign it with enough keys of the key set that this device trusts",
        ),
        RefuseReason::Malformed { detail } => (
            format!("the release makes no sense: {detail}"),
            "build and sign the release anew",
        ),
        RefuseReason::Expired { not_after, now } => (
            format!("the release expired at {not_after}, it is {now}"),
            "sign the release again with a later date, if it is still wanted",
        ),
        RefuseReason::Older { current } => (
            format!("older than {current}, which runs"),
            "roll back instead, or sign a release that allows the downgrade",
        ),
        RefuseReason::BelowRollbackFloor { floor } => (
            format!("below {floor}, the lowest version that this device may still run"),
            "publish a release at or above the floor",
        ),
        RefuseReason::WrongCompatible { expected, found } => (
            format!("made for {found}, this device is {expected}"),
            "choose the release for this kind of device",
        ),
        RefuseReason::WrongHardware { model, supported } => (
            format!("made for {}, this board is {model}", supported.join(", ")),
            "choose the release for this board",
        ),
        RefuseReason::BaseTooOld { current, needed } => (
            format!("{current} must be updated to {needed} or newer first"),
            "roll out the intermediate release first",
        ),
        RefuseReason::BundleMismatch { detail } => (
            format!("the bundle is not the one that the release names: {detail}"),
            "upload the bundle that was signed",
        ),
        RefuseReason::BundleRejected { detail } => (
            format!("RAUC does not accept the bundle: {detail}"),
            "check the bundle's certificate and format with `fleet bundle inspect`",
        ),
        RefuseReason::NothingToRollBackTo { other } => (
            match other {
                Some(other) => format!("the other slot holds {other}, not what is asked for"),
                None => "the other slot holds nothing to go back to".to_owned(),
            },
            "publish a release that allows the downgrade",
        ),
    }
}
