//! The checks themselves, in their order.

use fleet_protocol::target::TargetKind;
use fleet_protocol::update::{DeferReason, RefuseReason};
use fleet_protocol::why::Step;

use super::{Decision, Facts, Insistence, Memory, Question};
use crate::core::clock::MAX_SKEW_S;

/// How one check came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With a sentence for people.
    Pass(String),
    Defer(DeferReason),
    Refuse(RefuseReason),
}

/// One check with the name of its step in the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub step: Step,
    pub outcome: Outcome,
}

/// How the release would come to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Install,
    Switch,
}

/// All checks, each answered on its own, in the order in which they count.
pub fn checks(question: &Question<'_>, facts: &Facts, memory: &Memory<'_>) -> Vec<Check> {
    let way = way(question, memory);
    let check = |step, outcome| Check { step, outcome };
    vec![
        check(Step::Admission, compatible(question, facts)),
        check(Step::Admission, hardware(question, facts)),
        check(Step::Clock, clock(facts)),
        check(Step::Clock, expiry(question, facts, way)),
        check(Step::VersionFloor, same_version(question, memory)),
        check(Step::VersionFloor, floor(question, memory)),
        check(Step::VersionFloor, downgrade(question, memory, way)),
        check(Step::VersionFloor, base(question, memory, way)),
        check(Step::Penalty, penalty(question, memory)),
        check(Step::Penalty, backoff(question, facts, memory)),
        check(Step::Window, paused(facts, memory)),
        check(Step::Window, window(question, facts, way)),
        check(Step::Disk, disk(facts, way)),
        check(Step::Install, power(facts)),
        check(Step::Install, trial(memory)),
    ]
}

/// The first check that does not pass decides.
pub fn decide(question: &Question<'_>, facts: &Facts, memory: &Memory<'_>) -> Decision {
    if up_to_date(question, memory) {
        return Decision::UpToDate;
    }
    for check in checks(question, facts, memory) {
        match check.outcome {
            Outcome::Pass(_) => {}
            Outcome::Defer(why) => return Decision::Defer(why),
            Outcome::Refuse(why) => return Decision::Refuse(why),
        }
    }
    match way(question, memory) {
        Way::Install => Decision::Install,
        Way::Switch => Decision::Switch,
    }
}

pub(super) fn up_to_date(question: &Question<'_>, memory: &Memory<'_>) -> bool {
    let (release, booted) = (question.release, memory.booted);
    release.version == booted.version && release.root_hash == booted.root_hash
}

fn way(question: &Question<'_>, memory: &Memory<'_>) -> Way {
    let release = question.release;
    let held = memory.other.is_some_and(|other| {
        other.version == release.version && other.root_hash == release.root_hash
    });
    if held { Way::Switch } else { Way::Install }
}

/// Going back to what is here already: that needs no fresh permission, or an old fleet could not.
fn goes_back(question: &Question<'_>, way: Way) -> bool {
    way == Way::Switch && question.kind == TargetKind::Rollback
}

fn pass(detail: impl Into<String>) -> Outcome {
    Outcome::Pass(detail.into())
}

fn compatible(question: &Question<'_>, facts: &Facts) -> Outcome {
    let found = &question.release.compatible;
    if *found == facts.compatible {
        return pass(format!("signed, and made for {found}"));
    }
    Outcome::Refuse(RefuseReason::WrongCompatible {
        expected: facts.compatible.to_string(),
        found: found.to_string(),
    })
}

fn hardware(question: &Question<'_>, facts: &Facts) -> Outcome {
    let supported = &question.release.hardware;
    if supported.is_empty() || supported.contains(&facts.hardware) {
        return pass(format!("runs on {}", facts.hardware));
    }
    Outcome::Refuse(RefuseReason::WrongHardware {
        model: facts.hardware.clone(),
        supported: supported.clone(),
    })
}

/// A clock that is a little slow is nobody's fault: it is set only when it is [`MAX_SKEW_S`] off.
fn clock(facts: &Facts) -> Outcome {
    let behind = facts.clock_floor.duration_since(facts.now);
    if behind.as_secs() <= MAX_SKEW_S {
        return pass("the clock is plausible");
    }
    Outcome::Defer(DeferReason::Clock {
        at: facts.now,
        floor: facts.clock_floor,
    })
}

fn expiry(question: &Question<'_>, facts: &Facts, way: Way) -> Outcome {
    let not_after = question.release.not_after;
    let now = facts.now.max(facts.clock_floor);
    if goes_back(question, way) {
        pass("the other slot holds it, which does not expire")
    } else if now <= not_after {
        pass(format!("valid until {not_after}"))
    } else {
        Outcome::Refuse(RefuseReason::Expired { not_after, now })
    }
}

fn same_version(question: &Question<'_>, memory: &Memory<'_>) -> Outcome {
    let release = question.release;
    if release.version != memory.booted.version || up_to_date(question, memory) {
        return pass(format!("{} is what is wanted", release.version));
    }
    Outcome::Refuse(RefuseReason::Malformed {
        detail: format!(
            "release {} has root hash {}, but what runs under that version has {}: a changed \
             system needs a new version",
            release.version, release.root_hash, memory.booted.root_hash
        ),
    })
}

fn floor(question: &Question<'_>, memory: &Memory<'_>) -> Outcome {
    match memory.rollback_floor {
        Some(floor) if question.release.version < *floor => {
            Outcome::Refuse(RefuseReason::BelowRollbackFloor {
                floor: floor.clone(),
            })
        }
        Some(floor) => pass(format!("not below the floor {floor}")),
        None => pass("no floor is set"),
    }
}

fn downgrade(question: &Question<'_>, memory: &Memory<'_>, way: Way) -> Outcome {
    let (release, current) = (question.release, &memory.booted.version);
    if release.version >= *current {
        return pass(format!("not older than {current}"));
    }
    if goes_back(question, way) {
        return pass("going back to what the other slot holds");
    }
    if release.allow_downgrade {
        return pass("older, which the release allows");
    }
    Outcome::Refuse(match question.kind {
        TargetKind::Rollback => RefuseReason::NothingToRollBackTo {
            other: memory.other.map(|other| other.version.clone()),
        },
        TargetKind::Install => RefuseReason::Older {
            current: current.clone(),
        },
    })
}

fn base(question: &Question<'_>, memory: &Memory<'_>, way: Way) -> Outcome {
    let current = &memory.booted.version;
    match &question.release.min_version {
        Some(needed) if current < needed && !goes_back(question, way) => {
            Outcome::Refuse(RefuseReason::BaseTooOld {
                current: current.clone(),
                needed: needed.clone(),
            })
        }
        _ => pass(format!("can be reached from {current}")),
    }
}

fn penalty(question: &Question<'_>, memory: &Memory<'_>) -> Outcome {
    let version = &question.release.version;
    let failed = memory.failures.iter().rev().find(|f| f.version == *version);
    match (failed, question.insistence) {
        (None, _) => pass("has not failed here"),
        (Some(_), Insistence::Forced) => pass("failed here before, but a person insists"),
        (Some(failed), _) if question.attempt > failed.attempt => pass(format!(
            "failed here before, attempt {} is asked for",
            question.attempt
        )),
        (Some(failed), _) => Outcome::Defer(DeferReason::FailedBefore {
            version: version.clone(),
            why: failed.why.clone(),
        }),
    }
}

fn backoff(question: &Question<'_>, facts: &Facts, memory: &Memory<'_>) -> Outcome {
    let retry = memory
        .backoff
        .filter(|r| r.version == question.release.version);
    match (retry, question.insistence) {
        (Some(retry), Insistence::None) if facts.now < retry.until => {
            Outcome::Defer(DeferReason::Backoff {
                until: retry.until,
                attempts: retry.attempts,
                last_error: retry.last_error.clone(),
            })
        }
        _ => pass("no pause between tries is running"),
    }
}

fn paused(facts: &Facts, memory: &Memory<'_>) -> Outcome {
    if facts.paused || memory.paused {
        Outcome::Defer(DeferReason::Paused)
    } else {
        pass("updates are not paused")
    }
}

/// Before slots are written. The reboot keeps to the window by itself.
fn window(question: &Question<'_>, facts: &Facts, way: Way) -> Outcome {
    match (&facts.window, question.insistence) {
        (None, _) => pass("no maintenance window is set"),
        (Some(_), Insistence::Forced) => pass("a person does not wait for the maintenance window"),
        (Some(_), _) if goes_back(question, way) => {
            pass("going back does not wait for the maintenance window")
        }
        (Some(_), _) if way == Way::Switch => {
            pass("the other slot holds it: only the reboot keeps to the maintenance window")
        }
        (Some(window), Insistence::None) => match window.opens_at(facts.now) {
            None => pass("the maintenance window is open"),
            Some(opens_at) => Outcome::Defer(DeferReason::MaintenanceWindow { opens_at }),
        },
    }
}

fn disk(facts: &Facts, way: Way) -> Outcome {
    if way == Way::Switch {
        return pass("the other slot holds it: nothing is downloaded");
    }
    if facts.free_bytes >= facts.min_free_bytes {
        return pass(format!("{} bytes are free", facts.free_bytes));
    }
    Outcome::Defer(DeferReason::DiskSpace {
        free_bytes: facts.free_bytes,
        needed_bytes: facts.min_free_bytes,
    })
}

fn power(facts: &Facts) -> Outcome {
    match &facts.power_trouble {
        None => pass("power and temperature are good"),
        Some(detail) => Outcome::Defer(DeferReason::Power {
            detail: detail.clone(),
        }),
    }
}

fn trial(memory: &Memory<'_>) -> Outcome {
    if memory.on_trial {
        Outcome::Defer(DeferReason::TrialRunning)
    } else {
        pass("the running slot is committed")
    }
}
