//! Rollouts: so many devices, wait, more devices; stop and take back when too many fail.
//!
//! [`plan`] is a pure function of the rollout, the facts about its devices and the time. The
//! executor applies a plan only if the rollout still has the generation that the plan was made
//! for; so an executor that fell behind changes nothing.
//!
//! ```text
//!              pause             threshold passed            all taken back
//!   Running ◄────────► Paused ──────────────► RollingBack ──────────────► RolledBack
//!      │     resume      │                         (without rollback: Failed)
//!      ├─ last phase complete ─► Completed
//!      └─ abort ─► Aborted
//!
//!   member:  Waiting ─► Offered ─► Verified ─► RollingBack ─► RolledBack
//!                          └─────► Failed
//! ```
//!
//! Invariants:
//! - Devices ever offered never outnumber the present phase's share.
//! - Only a verified boot counts as progress: the device reported `Committed`, and runs the version
//!   with the root hash that was signed. Downloads and pending reboots count for nothing.
//! - A device that began and shows no verified boot within the deadline has failed. One that never
//!   began (off, or outside its maintenance window) has not: past the deadline the phase no longer
//!   waits for it, as long as at least half of the devices offered so far are verified. It keeps
//!   its offer and updates when it can.
//! - The threshold is judged while paused too: safety does not wait for the operator.

mod cohort;
mod evidence;
mod plan;
#[cfg(test)]
mod tests;

use fleet_protocol::rollout::{MemberStatus, Phase, RolloutStatus};
use fleet_protocol::update::{DeferReason, UpdateState};
use fleet_protocol::{DeviceId, Percent, RolloutId, Sha256, Version};
use jiff::{SignedDuration, Timestamp};

pub use cohort::{assign_phases, cohort_key};
pub use plan::plan;

/// Default share of failures that a rollout bears.
pub const DEFAULT_FAILURE_THRESHOLD: Percent = Percent::from_hundredths(500);
/// Default time that a device has from beginning to a verified boot.
pub const DEFAULT_DEADLINE: SignedDuration = SignedDuration::from_hours(24);

/// One rollout as the planner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutState {
    pub rollout_id: RolloutId,
    pub version: Version,
    /// As signed in the release's metadata.
    pub root_hash: Sha256,
    /// Not empty; percentages grow.
    pub phases: Vec<Phase>,
    pub failure_threshold: Percent,
    pub rollback_on_failure: bool,
    pub deadline: SignedDuration,
    pub status: RolloutStatus,
    pub current_phase: u32,
    /// Since when the present phase is complete.
    pub phase_done_at: Option<Timestamp>,
    pub generation: u64,
}

/// What is known of one member of the rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFacts {
    pub device_id: DeviceId,
    pub status: MemberStatus,
    /// A newer rollout has taken it over: nothing is asked of it here any more.
    pub superseded: bool,
    pub revoked: bool,
    /// When it was last told what to do, forward or back.
    pub offered_at: Option<Timestamp>,
    /// What it ran when it was first offered this release.
    pub previous_version: Option<Version>,
    pub booted_version: Version,
    pub booted_root_hash: Option<Sha256>,
    pub reported: Option<Report>,
    /// Since when it is installing, about to reboot, or on trial.
    pub begun_at: Option<Timestamp>,
}

/// A device's last update report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub state: Reported,
    pub version: Option<Version>,
    pub rollout_id: Option<RolloutId>,
    /// When it was received.
    pub at: Timestamp,
    pub detail: Option<String>,
}

/// What a report means to a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// Nothing to do, or waiting for a cause that passes.
    Waiting,
    /// Installing, about to reboot, or on trial.
    Begun,
    Committed,
    RolledBack,
    Refused,
    /// Will not try this version again by itself.
    FailedBefore,
}

impl Reported {
    pub const fn of(state: &UpdateState) -> Self {
        match state {
            UpdateState::Deferred {
                why: DeferReason::FailedBefore { .. },
                ..
            } => Self::FailedBefore,
            UpdateState::Idle | UpdateState::Deferred { .. } => Self::Waiting,
            UpdateState::Installing { .. }
            | UpdateState::RebootPending { .. }
            | UpdateState::Trial { .. } => Self::Begun,
            UpdateState::Committed { .. } => Self::Committed,
            UpdateState::RolledBack { .. } => Self::RolledBack,
            UpdateState::Refused { .. } => Self::Refused,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Begun => "begun",
            Self::Committed => "committed",
            Self::RolledBack => "rolledBack",
            Self::Refused => "refused",
            Self::FailedBefore => "failedBefore",
        }
    }
}

impl std::str::FromStr for Reported {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use Reported::{Begun, Committed, FailedBefore, Refused, RolledBack, Waiting};
        [Waiting, Begun, Committed, RolledBack, Refused, FailedBefore]
            .into_iter()
            .find(|r| r.name() == text)
            .ok_or_else(|| format!("`{text}` is nothing that a device reports"))
    }
}

/// What is to change, for the rollout at `base_generation` only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub base_generation: u64,
    /// Ordered by device.
    pub transitions: Vec<Transition>,
    pub status: RolloutStatus,
    pub current_phase: u32,
    pub phase_done_at: Option<Timestamp>,
    pub summary: String,
}

/// One member's new status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub device_id: DeviceId,
    pub from: MemberStatus,
    pub to: MemberStatus,
    /// Set with an offer: what the device is taken back to if need be.
    pub previous_version: Option<Version>,
    /// Set when the device is told something new.
    pub offered_at: Option<Timestamp>,
    pub detail: Option<String>,
}

/// What an operator may do to a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Pause,
    Resume,
    Abort,
}

/// The status after `act`.
///
/// # Errors
/// When the act makes no sense now: says what the rollout is, and what is possible instead.
pub fn operate(status: RolloutStatus, act: Act) -> Result<RolloutStatus, &'static str> {
    use RolloutStatus::{Aborted, Paused, RollingBack, Running};
    match (act, status) {
        (Act::Pause, Running | Paused) => Ok(Paused),
        (Act::Resume, Running | Paused) => Ok(Running),
        (Act::Abort, Running | Paused | RollingBack | Aborted) => Ok(Aborted),
        (Act::Pause | Act::Resume, RollingBack) => {
            Err("its devices are being taken back; abort it to stop that")
        }
        _ => Err("it is finished; start another one"),
    }
}
