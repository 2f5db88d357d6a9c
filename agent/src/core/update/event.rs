//! What goes into the engine, and what it wants done.

use fleet_protocol::heartbeat::ResetReason;
use fleet_protocol::target::TargetKind;
use fleet_protocol::trust::{VerifiedRelease, VerifyReleaseError};
use fleet_protocol::update::{BootedSystem, RefuseReason, Slot, UpdateReport};
use fleet_protocol::{Compatible, RolloutId, Sha256, Version};

use super::record::Record;
use crate::core::boot::BootEnv;
use crate::core::{Now, admission, gate};

/// Everything around the engine at the moment of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    pub now: Now,
    /// `facts.now` is taken from `now`.
    pub facts: admission::Facts,
    pub gate: gate::Settings,
    pub reboot_delay_s: u32,
    /// The control plane answered an authenticated request recently.
    pub control_plane: gate::ReachedBefore,
    /// Any random number, for the jitter of pauses.
    pub dice: u64,
}

impl Situation {
    pub(super) fn facts(&self) -> admission::Facts {
        admission::Facts {
            now: self.now.wall,
            ..self.facts.clone()
        }
    }
}

/// What the machine found at start. Fed once for each start of the agent, when RAUC is idle.
#[derive(Debug, Clone, PartialEq)]
pub struct Boot {
    pub booted: BootedSystem,
    /// `None`: corrupt or unreadable.
    pub env: Option<BootEnv>,
    /// Why this boot happened.
    pub reset: ResetReason,
    /// The bootloader had nothing left: `fleet.safe_mode=1`.
    pub safe_mode: bool,
}

/// A release that somebody wants here, with its signatures checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub kind: TargetKind,
    pub rollout_id: Option<RolloutId>,
    pub release: VerifiedRelease,
    /// On the control plane.
    pub bundle_path: String,
    pub attempt: u32,
}

/// A target's release, or why it is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidate {
    Verified(Box<Wanted>),
    /// `version` is what the document claims.
    Unverified {
        version: Option<Version>,
        rollout_id: Option<RolloutId>,
        error: VerifyReleaseError,
    },
}

/// What a person asks of the engine, by command or on the device's own page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorCommand {
    /// Converge on the target now.
    Update {
        force: bool,
    },
    Pause,
    Resume,
    /// Go back to what the other slot holds.
    RollBack,
}

/// Whether another try may mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallError {
    /// Network, time-out, interrupted.
    Transient { detail: String },
    /// Bad flash, an installer that crashes: the same bundle will fail again.
    Permanent { detail: String },
    /// The bundle itself is not acceptable.
    Refused(RefuseReason),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Booted(Boot),
    /// `GET /v1/device/target` answered, or the cached answer was read again after a start. `None`:
    /// nothing is wanted.
    TargetReceived {
        generation: u64,
        release: Option<Candidate>,
    },
    /// Time has passed, or facts have changed.
    Tick,
    InstallProgress {
        transaction_id: String,
        percent: u8,
        downloaded_bytes: u64,
        message: String,
    },
    InstallFinished {
        transaction_id: String,
        result: Result<(), InstallError>,
    },
    /// [`Effect::SwitchSlot`] ended.
    SlotSwitched {
        slot: Slot,
        result: Result<(), String>,
    },
    /// The health checks were looked at; only counts while a slot is on trial.
    HealthSample(gate::Sample),
    /// [`Effect::MarkGood`] and [`Effect::LockSlot`] are done.
    MarkedGood {
        slot: Slot,
    },
    /// One of them, [`Effect::MarkBad`] or [`Effect::DisarmLock`] could not be done; after the last one
    /// the rest of its batch must not happen.
    MarkFailed {
        slot: Slot,
        detail: String,
    },
    Operator(OperatorCommand),
    /// The control plane has this report and all before it.
    ReportAcknowledged {
        sequence: u64,
    },
}

/// An installation to start. The same transaction id means the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallOrder {
    pub transaction_id: String,
    pub version: Version,
    pub compatible: Compatible,
    pub slot: Slot,
    /// On the control plane.
    pub bundle_path: String,
    pub sha256: Sha256,
    pub manifest_sha256: Sha256,
    pub size_bytes: u64,
}

/// What the driver has to do, in this order. Each can be done twice without harm.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write the record; the rest only if that worked.
    Persist(Box<Record>),
    /// Write Fleet's boot variables as they are here (the block may be corrupt).
    RewriteBootEnv(BootEnv),
    /// Write this as the backup block, which the bootloader reads when the first one is damaged.
    BackUpBootEnv(BootEnv),
    /// `X_LOCKED=0`, `X_TRY=0`: from now on this slot's attempts are counted.
    DisarmLock {
        slot: Slot,
    },
    StartInstall(Box<InstallOrder>),
    /// Ends in [`Event::InstallFinished`].
    CancelInstall {
        transaction_id: String,
    },
    /// Make this slot the primary one (RAUC: mark active). Ends in [`Event::SlotSwitched`].
    SwitchSlot {
        slot: Slot,
    },
    /// RAUC: mark good.
    MarkGood {
        slot: Slot,
    },
    /// `X_OK=1`, `X_TRY=0`, `X_LOCKED=1` in one write: the commit. Ends in [`Event::MarkedGood`].
    LockSlot {
        slot: Slot,
    },
    /// RAUC: mark bad.
    MarkBad {
        slot: Slot,
    },
    /// Send this, and again until it is acknowledged.
    Report(Box<UpdateReport>),
    /// Nothing can be gone back to, or going back does not work.
    EnterSafeMode {
        detail: String,
    },
    Reboot {
        delay_s: u32,
        reason: String,
    },
    /// To whoever sent [`Event::Operator`].
    Answer(Result<String, String>),
}
