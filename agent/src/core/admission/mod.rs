//! May this release be installed here, now?
//!
//! The checks are asked in one order, and one list of them gives both the decision and the trace that
//! explains it, so that the two cannot disagree. What can never pass is asked before what only has to
//! wait: nobody waits for the night to learn of a foreign release.

mod checks;
mod trace;
mod window;

#[cfg(test)]
mod tests;

use fleet_protocol::target::TargetKind;
use fleet_protocol::trust::{ReleaseMetadata, VerifyReleaseError};
use fleet_protocol::update::{BootedSystem, DeferReason, FailureReason, RefuseReason};
use fleet_protocol::{Compatible, Sha256, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use checks::{Check, Outcome, checks, decide};
pub use trace::trace;
pub use window::{Window, WindowError};

/// What is known of the device at this moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub now: Timestamp,
    /// The clock cannot be right below this.
    pub clock_floor: Timestamp,
    pub compatible: Compatible,
    /// The board's model, as the release's hardware list names it.
    pub hardware: String,
    /// `None`: any time.
    pub window: Option<Window>,
    pub free_bytes: u64,
    pub min_free_bytes: u64,
    /// By configuration; the engine adds what an operator paused on the device itself.
    pub paused: bool,
    /// Why this is no moment to write flash, if it is none.
    pub power_trouble: Option<String>,
}

/// What the device remembers.
#[derive(Debug, Clone, Copy)]
pub struct Memory<'a> {
    pub booted: &'a BootedSystem,
    /// What the other slot holds, if it is known to be whole.
    pub other: Option<&'a SlotContent>,
    /// The running slot is itself on trial.
    pub on_trial: bool,
    /// Releases that were committed have raised it.
    pub rollback_floor: Option<&'a Version>,
    pub failures: &'a [Failure],
    /// Earlier tries that failed for a passing cause.
    pub backoff: Option<&'a Retry>,
    pub paused: bool,
}

/// A release in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotContent {
    pub version: Version,
    pub root_hash: Sha256,
}

/// A version that failed here: not tried again until asked for with a higher attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub version: Version,
    pub attempt: u32,
    pub why: FailureReason,
    pub at: Timestamp,
}

/// Tries of one version that failed for a passing cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    pub version: Version,
    pub attempts: u32,
    pub until: Timestamp,
    pub last_error: String,
}

/// Whether a person insists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insistence {
    None,
    /// Ignores the maintenance window, an earlier failure and a pause between tries; never a
    /// signature, a version floor, the clock, the disk, the power or that updates are paused.
    Forced,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub kind: TargetKind,
    /// Only of a release whose signatures were checked.
    pub release: &'a ReleaseMetadata,
    pub attempt: u32,
    pub insistence: Insistence,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It runs already.
    UpToDate,
    /// Install it.
    Install,
    /// The other slot holds it: boot that.
    Switch,
    Defer(DeferReason),
    Refuse(RefuseReason),
}

/// Why a document is refused before anything in it is believed.
pub fn refuse_unverified(error: &VerifyReleaseError) -> RefuseReason {
    match error {
        VerifyReleaseError::Unsigned => RefuseReason::Unsigned,
        VerifyReleaseError::Foreign { .. } => RefuseReason::ForeignSignature {
            detail: error.to_string(),
        },
        VerifyReleaseError::TooLarge { .. }
        | VerifyReleaseError::WrongType { .. }
        | VerifyReleaseError::Malformed { .. } => RefuseReason::Malformed {
            detail: error.to_string(),
        },
    }
}
