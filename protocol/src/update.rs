//! The update engine's states, as a device reports them and as pages show them.
//!
//! ```text
//!            ┌──────────── new target ────────────┐
//!            ▼                                    │
//! Idle ─► Deferred(why) ─► Installing ─► RebootPending ─► Trial ─► Committed
//!            │                  │                           │
//!            └► Refused(why)    └───────► RolledBack(why) ◄─┘
//! ```

mod sentences;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{RolloutId, Sha256, Version};

/// One of the two halves of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "SystemSlot")
)]
pub enum Slot {
    A,
    B,
}

impl Slot {
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Slot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "A" => Ok(Self::A),
            "B" => Ok(Self::B),
            _ => Err(format!("`{text}` is no slot: expected A or B")),
        }
    }
}

/// What runs now: read from the kernel command line and the image, never from what was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BootedSystem {
    pub slot: Slot,
    pub version: Version,
    /// dm-verity root hash of the running root filesystem.
    pub root_hash: Sha256,
    /// The kernel's boot id: changes with each boot.
    pub boot_id: String,
}

/// Why an update waits. Every one of them ends by itself or by a stated act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    tag = "reason",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum DeferReason {
    /// Outside the maintenance window, which opens at `opens_at`.
    MaintenanceWindow { opens_at: Timestamp },
    /// An earlier try failed for a passing cause; the next one is not before `until`.
    Backoff {
        until: Timestamp,
        attempts: u32,
        last_error: String,
    },
    /// The data partition has no room for the update's state.
    DiskSpace { free_bytes: u64, needed_bytes: u64 },
    /// This version failed before on this device; it waits to be asked for again or superseded.
    FailedBefore {
        version: Version,
        why: FailureReason,
    },
    /// The running slot is itself on trial.
    TrialRunning,
    /// The clock is below its floor, so nothing can be judged expired or valid.
    Clock { at: Timestamp, floor: Timestamp },
    /// A person paused updates on this device.
    Paused,
    /// Too hot, or under-voltage: not the moment to write flash.
    Power { detail: String },
}

/// Why a release was refused. None of them touches a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    tag = "reason",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum RefuseReason {
    /// The release metadata carries no signature.
    Unsigned,
    /// Signed by keys that this device does not trust, or by too few.
    ForeignSignature {
        detail: String,
    },
    /// Does not parse, or contradicts itself.
    Malformed {
        detail: String,
    },
    Expired {
        not_after: Timestamp,
        now: Timestamp,
    },
    /// Older than what runs, and the metadata does not allow the downgrade.
    Older {
        current: Version,
    },
    /// Below the floor that an installed release has set.
    BelowRollbackFloor {
        floor: Version,
    },
    WrongCompatible {
        expected: String,
        found: String,
    },
    WrongHardware {
        model: String,
        supported: Vec<String>,
    },
    /// An intermediate release must come first.
    BaseTooOld {
        current: Version,
        needed: Version,
    },
    /// The bundle is not the one that the metadata names.
    BundleMismatch {
        detail: String,
    },
    /// RAUC does not accept the bundle: signature, format or content.
    BundleRejected {
        detail: String,
    },
    /// A rollback was asked for, but the other slot does not hold that version.
    NothingToRollBackTo {
        other: Option<Version>,
    },
}

/// Why a version that was installed, or was being installed, is not what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "UpdateFailure")
)]
#[serde(
    tag = "reason",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum FailureReason {
    /// Installing broke off for a cause that another try will not mend.
    InstallFailed { detail: String },
    /// The bootloader used up its attempts and fell back.
    DidNotBoot { attempts: u32 },
    /// It booted, but the health gate did not hold.
    Unhealthy { failed_checks: Vec<String> },
    /// It booted with another root hash than the release says.
    RootHashMismatch { expected: Sha256, found: Sha256 },
    /// It booted and calls itself another version than the release does.
    VersionMismatch { expected: Version, found: Version },
    /// It was reset by the watchdog or a panic while on trial.
    Crashed { reset: String },
    /// A person asked for it.
    RolledBackByOperator,
}

/// The engine's state with its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    tag = "state",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum UpdateState {
    Idle,
    Deferred {
        version: Version,
        why: DeferReason,
    },
    Refused {
        version: Option<Version>,
        why: RefuseReason,
    },
    Installing {
        version: Version,
        slot: Slot,
        percent: u8,
        downloaded_bytes: u64,
        message: String,
    },
    RebootPending {
        version: Version,
        slot: Slot,
    },
    Trial {
        version: Version,
        slot: Slot,
        healthy_for_s: u64,
        window_s: u64,
    },
    Committed {
        version: Version,
        slot: Slot,
    },
    RolledBack {
        version: Version,
        why: FailureReason,
    },
}

impl UpdateState {
    /// The state's name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Deferred { .. } => "deferred",
            Self::Refused { .. } => "refused",
            Self::Installing { .. } => "installing",
            Self::RebootPending { .. } => "rebootPending",
            Self::Trial { .. } => "trial",
            Self::Committed { .. } => "committed",
            Self::RolledBack { .. } => "rolledBack",
        }
    }

    /// The version that it is about.
    pub const fn version(&self) -> Option<&Version> {
        match self {
            Self::Idle => None,
            Self::Refused { version, .. } => version.as_ref(),
            Self::Deferred { version, .. }
            | Self::Installing { version, .. }
            | Self::RebootPending { version, .. }
            | Self::Trial { version, .. }
            | Self::Committed { version, .. }
            | Self::RolledBack { version, .. } => Some(version),
        }
    }

    /// What went wrong, in words, if something did.
    pub fn failure(&self) -> Option<String> {
        match self {
            Self::RolledBack { why, .. }
            | Self::Deferred {
                why: DeferReason::FailedBefore { why, .. },
                ..
            } => Some(why.to_string()),
            Self::Refused { why, .. } => Some(why.to_string()),
            _ => None,
        }
    }
}

/// `POST /v1/device/update-report`: sent at every change of state, and again until acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UpdateReport {
    /// Counts up on the device; the control plane ignores what is not newer than what it has.
    pub sequence: u64,
    pub at: Timestamp,
    /// The target that this is about, and which of its attempts.
    #[serde(default)]
    pub rollout_id: Option<RolloutId>,
    #[serde(default)]
    pub generation: u64,
    pub booted: BootedSystem,
    #[serde(flatten)]
    pub state: UpdateState,
    /// Bytes fetched over the network for this attempt so far. Its name on the wire differs from
    /// that in [`UpdateState::Installing`], which lies flat beside it.
    #[serde(default, rename = "fetchedBytes")]
    pub downloaded_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_survives_the_wire_within_a_report() {
        let version = Version::new(2, 0, 0);
        let slot = Slot::B;
        check(UpdateState::Idle);
        check(UpdateState::Refused {
            version: None,
            why: RefuseReason::Unsigned,
        });
        check(UpdateState::Installing {
            version: version.clone(),
            slot,
            percent: 40,
            downloaded_bytes: 7,
            message: "Copying image".to_owned(),
        });
        check(UpdateState::Trial {
            version: version.clone(),
            slot,
            healthy_for_s: 3,
            window_s: 60,
        });
        check(UpdateState::RolledBack {
            version,
            why: FailureReason::RolledBackByOperator,
        });
    }

    fn check(state: UpdateState) {
        let report = UpdateReport {
            state,
            downloaded_bytes: 9,
            ..deferred()
        };
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            serde_json::from_str::<UpdateReport>(&json).unwrap(),
            report,
            "{json}"
        );
    }

    #[test]
    fn a_report_is_flat() {
        let report = deferred();
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["state"], "deferred");
        assert_eq!(json["why"]["freeBytes"], 1);
    }

    fn deferred() -> UpdateReport {
        UpdateReport {
            sequence: 4,
            at: Timestamp::UNIX_EPOCH,
            rollout_id: None,
            generation: 2,
            booted: BootedSystem {
                slot: Slot::A,
                version: Version::new(1, 0, 0),
                root_hash: Sha256::of("a"),
                boot_id: "b".to_owned(),
            },
            state: UpdateState::Deferred {
                version: Version::new(2, 0, 0),
                why: DeferReason::DiskSpace {
                    free_bytes: 1,
                    needed_bytes: 2,
                },
            },
            downloaded_bytes: 0,
        }
    }
}
