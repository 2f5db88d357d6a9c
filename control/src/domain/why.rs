//! "Why not?": what holds a device's update back, step by step, in the order in which the steps
//! are taken. The control plane's own steps come first, then what the device reported.

use fleet_protocol::rollout::{MemberStatus, RolloutStatus};
use fleet_protocol::update::{DeferReason, RefuseReason, UpdateState};
use fleet_protocol::why::{Step, Verdict, WhyStep, WhyTrace};
use fleet_protocol::{RolloutId, Version};
use jiff::Timestamp;

/// What is known of the device and of its place in a rollout.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    pub running: &'a Version,
    pub place: Option<Place<'a>>,
    pub online: bool,
    pub revoked: bool,
    pub last_seen: Option<Timestamp>,
    pub update: Option<&'a UpdateState>,
}

/// The newest rollout that has the device.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    pub rollout_id: &'a RolloutId,
    pub version: &'a Version,
    pub status: RolloutStatus,
    pub summary: &'a str,
    pub member: MemberStatus,
    /// Counted from 0.
    pub phase: u32,
    pub phases: usize,
    pub detail: Option<&'a str>,
}

/// What is said of a step that is passed.
const fn passed(step: Step) -> &'static str {
    match step {
        Step::Target => "a rollout has this device",
        Step::Phase => "it is the device's turn",
        Step::Online => "the device is online",
        Step::Admission => "the device accepts the release",
        Step::Clock => "the device's clock can be trusted",
        Step::VersionFloor => "the version is not below the device's floor",
        Step::Penalty => "this version has not failed on the device",
        Step::Window => "updates are allowed at this time",
        Step::Disk => "there is room on the data partition",
        Step::Install => "the release is installed into the other slot",
        Step::Reboot => "the device has booted the other slot",
        Step::Trial => "the health checks held, and the slot is committed",
    }
}

struct Halt {
    step: Step,
    verdict: Verdict,
    detail: String,
    until: Option<Timestamp>,
    hint: Option<String>,
}

fn wait(step: Step, detail: impl Into<String>) -> Halt {
    Halt {
        step,
        verdict: Verdict::Wait,
        detail: detail.into(),
        until: None,
        hint: None,
    }
}

fn hold(step: Step, detail: impl Into<String>, hint: impl Into<String>) -> Halt {
    Halt {
        step,
        verdict: Verdict::Hold,
        detail: detail.into(),
        until: None,
        hint: Some(hint.into()),
    }
}

impl Halt {
    fn until(mut self, at: Timestamp) -> Self {
        self.until = Some(at);
        self
    }
}

/// The trace, with the answer in one sentence.
pub fn trace(known: &Known<'_>) -> WhyTrace {
    let halt = control_side(known).or_else(|| {
        known
            .place
            .as_ref()
            .and_then(|place| device_side(known, place))
    });
    let Some(halt) = halt else {
        return WhyTrace {
            summary: format!("up to date: the device runs {}", known.running),
            steps: Step::ALL.map(passes).to_vec(),
        };
    };
    let summary = match &halt.hint {
        Some(hint) => format!("{}; {hint}", halt.detail),
        None => halt.detail.clone(),
    };
    let before = Step::ALL.into_iter().filter(|step| *step < halt.step);
    let mut steps: Vec<_> = before.map(passes).collect();
    let after = Step::ALL.into_iter().filter(|step| *step > halt.step);
    steps.push(WhyStep {
        until: halt.until,
        hint: halt.hint,
        ..told(halt.step, halt.verdict, halt.detail)
    });
    steps.extend(after.map(|step| told(step, Verdict::NotReached, "not reached")));
    WhyTrace { summary, steps }
}

fn passes(step: Step) -> WhyStep {
    told(step, Verdict::Pass, passed(step))
}

fn told(step: Step, verdict: Verdict, detail: impl Into<String>) -> WhyStep {
    WhyStep {
        step: step.name().to_owned(),
        verdict,
        detail: detail.into(),
        until: None,
        hint: None,
    }
}

fn control_side(known: &Known<'_>) -> Option<Halt> {
    let Some(place) = &known.place else {
        let hint = "start a rollout: `fleet rollout start VERSION`";
        return Some(hold(Step::Target, "no rollout has this device", hint));
    };
    if known.revoked {
        let hint = "restore it: `fleet device restore DEVICE` (POST /v1/devices/{id}/restore)";
        return Some(hold(Step::Online, "the device was revoked", hint));
    }
    if place.member == MemberStatus::Verified {
        return None;
    }
    let (id, version) = (place.rollout_id, place.version);
    let phase = || {
        if (place.phase as usize) < place.phases {
            format!("phase {} of {}", place.phase + 1, place.phases)
        } else {
            "no phase".to_owned()
        }
    };
    match (place.status, place.member) {
        (RolloutStatus::Paused, MemberStatus::Waiting | MemberStatus::Offered) => Some(hold(
            Step::Phase,
            format!("the rollout of {version} is paused"),
            format!("go on with it: fleet rollout resume {id}"),
        )),
        (
            RolloutStatus::Aborted
            | RolloutStatus::Failed
            | RolloutStatus::RolledBack
            | RolloutStatus::RollingBack,
            MemberStatus::Waiting | MemberStatus::Offered | MemberStatus::RolledBack,
        ) => Some(hold(
            Step::Phase,
            format!("the rollout of {version} was stopped: {}", place.summary),
            "find the cause, then roll out a release without it",
        )),
        (RolloutStatus::Completed, MemberStatus::Waiting) => Some(hold(
            Step::Phase,
            format!("the rollout of {version} is complete without this device"),
            "start another one that reaches it",
        )),
        (_, MemberStatus::Waiting) => Some(wait(
            Step::Phase,
            format!(
                "the device is in {} of the rollout: {}",
                phase(),
                place.summary
            ),
        )),
        _ if !known.online => {
            let heard = known.last_seen.map_or("was never heard".to_owned(), |at| {
                format!(
                    "was last heard at {}",
                    at.round(jiff::Unit::Second).unwrap_or(at)
                )
            });
            let hint = "see to its power and network; it goes on by itself";
            Some(hold(
                Step::Online,
                format!("the device is offline: it {heard}"),
                hint,
            ))
        }
        _ => None,
    }
}

fn device_side(known: &Known<'_>, place: &Place<'_>) -> Option<Halt> {
    if place.member == MemberStatus::Verified {
        return None;
    }
    if place.member == MemberStatus::RollingBack {
        return Some(wait(
            Step::Reboot,
            "the device was told to go back to its old version",
        ));
    }
    let reported = known
        .update
        .filter(|u| u.version().is_none_or(|v| v == place.version))
        .and_then(reported);
    let retry = format!(
        "try again: fleet device command DEVICE update --force, or roll out a newer release than {}",
        place.version
    );
    match (reported, place.member) {
        (Some(halt), _) => Some(halt),
        (None, MemberStatus::Failed) => {
            let detail = place.detail.unwrap_or("it failed");
            Some(hold(
                Step::Penalty,
                format!("{} failed: {detail}", place.version),
                retry,
            ))
        }
        (None, _) => Some(wait(
            Step::Admission,
            "the device has yet to take up its new target",
        )),
    }
}

fn reported(state: &UpdateState) -> Option<Halt> {
    match state {
        UpdateState::Idle => None,
        UpdateState::Deferred { why, .. } => Some(deferred(why)),
        UpdateState::Refused { why, .. } => Some(refused(why)),
        UpdateState::Installing {
            percent, message, ..
        } => Some(wait(
            Step::Install,
            format!("installing, {percent} %: {message}"),
        )),
        UpdateState::RebootPending { slot, .. } => Some(wait(
            Step::Reboot,
            format!("installed in slot {slot}; the reboot is next"),
        )),
        UpdateState::Trial {
            healthy_for_s,
            window_s,
            ..
        } => Some(wait(
            Step::Trial,
            format!("on trial: healthy for {healthy_for_s} of {window_s} seconds"),
        )),
        UpdateState::Committed { .. } => Some(wait(
            Step::Trial,
            "committed; the root hash is yet to be confirmed",
        )),
        UpdateState::RolledBack { version, why } => Some(hold(
            Step::Penalty,
            format!("{version} failed on this device: {why}"),
            "find the cause, then roll out a newer release, or force this one once more",
        )),
    }
}

fn deferred(why: &DeferReason) -> Halt {
    let step = Step::of_deferral(why);
    match (why.hint(), why.until()) {
        (Some(hint), _) => hold(step, why.to_string(), hint),
        (None, Some(until)) => wait(step, why.to_string()).until(until),
        (None, None) => wait(step, why.to_string()),
    }
}

fn refused(why: &RefuseReason) -> Halt {
    hold(
        Step::of_refusal(why),
        format!("the device refuses: {why}"),
        why.hint(),
    )
}

#[cfg(test)]
mod tests;
