//! What the engine remembers over power cuts: one JSON document, written whole before anything is
//! done that depends on it.

use fleet_protocol::heartbeat::ResetReason;
use fleet_protocol::trust::ReleaseMetadata;
use fleet_protocol::update::{
    BootedSystem, DeferReason, FailureReason, RefuseReason, Slot, UpdateReport,
};
use fleet_protocol::{RolloutId, Sha256, Version};
use serde::{Deserialize, Serialize};

use crate::core::Monotonic;
use crate::core::admission::{Failure, Retry, SlotContent};
use crate::core::gate::ReachedBefore;

/// Reports that are kept until the control plane has them; the oldest go first.
pub const MAX_REPORTS: usize = 32;
/// Failed versions that are remembered; the oldest go first.
pub const MAX_FAILURES: usize = 32;

/// The persisted record. Its default is a device that knows nothing: fresh, or its data lost.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    pub state: State,
    /// Of the last report. A fresh record begins at the clock's seconds, so that a device which lost
    /// its data is still newer than what the control plane has of it.
    pub sequence: u64,
    /// Of the target seen last.
    pub generation: u64,
    /// What is committed: the slot that is locked in the boot environment.
    pub committed: Option<Committed>,
    /// What the other slot holds, while it is known to be whole.
    pub other: Option<SlotContent>,
    pub rollback_floor: Option<Version>,
    /// Installed in safe mode, and not committed since.
    pub by_hand: Option<ByHand>,
    /// Of the convergence that was begun last.
    pub rollout_id: Option<RolloutId>,
    pub failures: Vec<Failure>,
    pub retry: Option<Retry>,
    /// How often the version on trial was interrupted by mains-off alone, over all its tries.
    pub interruptions: u32,
    /// By a person on this device, on top of the configuration.
    pub paused: bool,
    /// A person asked for the update now; ends when it starts, or there is nothing to start.
    pub forced: bool,
    /// How often a lost boot environment was rewritten in a row.
    pub repairs: u32,
    /// Not yet acknowledged.
    pub reports: Vec<UpdateReport>,
    /// Of the boot that this record was last written in.
    pub boot_id: Option<String>,
}

/// What the signed metadata says of a release that a person installed, for when it is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ByHand {
    pub root_hash: Sha256,
    pub rollback_floor: Option<Version>,
}

impl ByHand {
    pub fn of(metadata: &ReleaseMetadata) -> Self {
        Self {
            root_hash: metadata.root_hash,
            rollback_floor: metadata.rollback_floor.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Committed {
    pub slot: Slot,
    #[serde(flatten)]
    pub content: SlotContent,
    /// Of the target that brought it here.
    #[serde(default)]
    pub attempt: u32,
}

impl Committed {
    pub fn of(booted: &BootedSystem, attempt: u32) -> Self {
        Self {
            attempt,
            slot: booted.slot,
            content: SlotContent {
                version: booted.version.clone(),
                root_hash: booted.root_hash,
            },
        }
    }
}

/// The engine's state, as it is persisted; [`super::Engine::view`] is what others see of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(
    tag = "state",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum State {
    #[default]
    Idle,
    Deferred {
        version: Version,
        why: DeferReason,
    },
    Refused {
        version: Option<Version>,
        why: RefuseReason,
    },
    Installing(Installing),
    RebootPending(RebootPending),
    Trial(Trial),
    Committed {
        version: Version,
        slot: Slot,
    },
    RolledBack(RolledBack),
}

/// How the planned release comes to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    Install,
    /// The other slot holds it already.
    Switch,
}

/// Who wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// The control plane; dropped if it changes its mind before the reboot.
    Target,
    /// A person at the device.
    Local,
}

/// A decided convergence: made from verified metadata only, and what a boot is measured by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub version: Version,
    /// The slot that is to run it.
    pub slot: Slot,
    pub root_hash: Sha256,
    pub way: Way,
    pub origin: Origin,
    pub rollout_id: Option<RolloutId>,
    pub attempt: u32,
    pub rollback_floor: Option<Version>,
    /// A person does not wait for the maintenance window.
    pub forced: bool,
    /// Back to what the other slot holds: that does not wait for the maintenance window either.
    #[serde(default)]
    pub goes_back: bool,
    /// Whether the control plane answered when this was decided.
    pub reached_before: ReachedBefore,
}

impl Plan {
    /// Why what runs is not what was planned, if it is not. A release under another name than its system's own would
    /// never be up to date, and be installed for ever.
    pub(super) fn mismatch(&self, booted: &BootedSystem) -> Option<FailureReason> {
        if booted.root_hash != self.root_hash {
            return Some(FailureReason::RootHashMismatch {
                expected: self.root_hash,
                found: booted.root_hash,
            });
        }
        (booted.version != self.version).then(|| FailureReason::VersionMismatch {
            expected: self.version.clone(),
            found: booted.version.clone(),
        })
    }

    pub(super) fn content(&self) -> SlotContent {
        SlotContent {
            version: self.version.clone(),
            root_hash: self.root_hash,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Installing {
    pub plan: Plan,
    /// Names this try towards RAUC; an answer that names another is stale.
    pub transaction_id: String,
    pub percent: u8,
    pub downloaded_bytes: u64,
    pub message: String,
    /// No longer wanted: undone as soon as the installer stops.
    #[serde(default)]
    pub abandoned: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebootPending {
    pub plan: Plan,
    /// The bootloader is set to boot the planned slot.
    pub armed: bool,
    /// Boots that came back here although the planned slot should have been chosen.
    #[serde(default)]
    pub returns: u32,
    /// No longer wanted: the running slot is made the primary one again.
    #[serde(default)]
    pub abandoned: bool,
    #[serde(default)]
    pub downloaded_bytes: u64,
}

/// One boot of a slot on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrialBoot {
    pub boot_id: String,
    /// Why this boot happened.
    pub reset: ResetReason,
    /// When the gate's deadline began to count, on that boot's clock.
    pub began: Monotonic,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    pub version: Version,
    pub slot: Slot,
    /// `None`: nobody here planned it (its record was lost, or somebody switched slots by hand).
    pub plan: Option<Plan>,
    pub boots: Vec<TrialBoot>,
    /// The gate has held: only marking and locking remain.
    #[serde(default)]
    pub committing: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolledBack {
    pub version: Version,
    pub why: FailureReason,
    /// The slot that must not run any more; `None` if it never did.
    pub from: Option<Slot>,
    /// Boots that came up in it all the same.
    #[serde(default)]
    pub returns: u32,
}
