//! "Why not?": the ordered trace of what holds a device's update back, the same on the console, in
//! the terminal and on the device's own page.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::update::{DeferReason, RefuseReason};

/// What an update passes, in the order in which it does. The device's own checks (`Admission` to
/// `Disk`, and `Install`) are asked in this very order by the agent, whose decision counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The control plane's: a rollout has the device, it is its turn, and it can be reached.
    Target,
    Phase,
    Online,
    /// The release is signed, and made for this device.
    Admission,
    /// The clock can be trusted, and the release is valid at its time.
    Clock,
    VersionFloor,
    /// Earlier failures, and the pause between tries.
    Penalty,
    /// Updates are not paused, and allowed at this time.
    Window,
    Disk,
    /// Power, temperature, no trial that runs; then the installation itself.
    Install,
    Reboot,
    Trial,
}

impl Step {
    pub const ALL: [Self; 12] = [
        Self::Target,
        Self::Phase,
        Self::Online,
        Self::Admission,
        Self::Clock,
        Self::VersionFloor,
        Self::Penalty,
        Self::Window,
        Self::Disk,
        Self::Install,
        Self::Reboot,
        Self::Trial,
    ];

    /// As in [`WhyStep::step`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Phase => "phase",
            Self::Online => "online",
            Self::Admission => "admission",
            Self::Clock => "clock",
            Self::VersionFloor => "versionFloor",
            Self::Penalty => "penalty",
            Self::Window => "window",
            Self::Disk => "disk",
            Self::Install => "install",
            Self::Reboot => "reboot",
            Self::Trial => "trial",
        }
    }

    /// Where the device's checks defer for this reason.
    pub const fn of_deferral(why: &DeferReason) -> Self {
        match why {
            DeferReason::Clock { .. } => Self::Clock,
            DeferReason::FailedBefore { .. } | DeferReason::Backoff { .. } => Self::Penalty,
            DeferReason::Paused | DeferReason::MaintenanceWindow { .. } => Self::Window,
            DeferReason::DiskSpace { .. } => Self::Disk,
            DeferReason::Power { .. } | DeferReason::TrialRunning => Self::Install,
        }
    }

    /// Where a device refuses for this reason. A malformed document may be found out later than
    /// here (two builds under one version, at the version floor): the reason does not tell, and to
    /// say less is never wrong.
    pub const fn of_refusal(why: &RefuseReason) -> Self {
        match why {
            RefuseReason::Unsigned
            | RefuseReason::ForeignSignature { .. }
            | RefuseReason::Malformed { .. }
            | RefuseReason::WrongCompatible { .. }
            | RefuseReason::WrongHardware { .. } => Self::Admission,
            RefuseReason::Expired { .. } => Self::Clock,
            RefuseReason::Older { .. }
            | RefuseReason::BelowRollbackFloor { .. }
            | RefuseReason::BaseTooOld { .. }
            | RefuseReason::NothingToRollBackTo { .. } => Self::VersionFloor,
            // Only found once the bundle is read.
            RefuseReason::BundleMismatch { .. } | RefuseReason::BundleRejected { .. } => {
                Self::Install
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "WhyVerdict")
)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Nothing holds it back here.
    Pass,
    /// Will pass by itself, at `until` if known.
    Wait,
    /// Needs somebody: see the hint.
    Hold,
    /// Not reached, because an earlier step holds.
    NotReached,
}

/// One step, in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WhyStep {
    /// Stable: [`Step::name`].
    pub step: String,
    pub verdict: Verdict,
    /// One sentence for people.
    pub detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// `GET /v1/devices/{id}/why`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WhyTrace {
    /// The answer in one sentence.
    pub summary: String,
    pub steps: Vec<WhyStep>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_listed_in_their_order_each_once() {
        assert!(Step::ALL.is_sorted_by(|a, b| a < b));
    }
}
