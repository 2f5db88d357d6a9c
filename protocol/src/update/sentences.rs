//! The reasons in words: the same on the console, in the terminal and on the device's own page. Each is a
//! clause about the release, the device or the version; what stands before it is the reader's.

use std::fmt;

use jiff::Timestamp;

use super::{DeferReason, FailureReason, RefuseReason};

impl fmt::Display for DeferReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaintenanceWindow { opens_at } => {
                write!(
                    f,
                    "outside the maintenance window, which opens at {opens_at}"
                )
            }
            Self::Backoff {
                until,
                attempts,
                last_error,
            } => write!(
                f,
                "try {attempts} failed ({last_error}); the next one is not before {until}"
            ),
            Self::DiskSpace {
                free_bytes,
                needed_bytes,
            } => write!(
                f,
                "{free_bytes} bytes are free on /data, {needed_bytes} are needed"
            ),
            Self::FailedBefore { version, why } => {
                write!(f, "{version} failed on this device before: {why}")
            }
            Self::TrialRunning => f.write_str("the running slot is still on trial"),
            Self::Clock { at, floor } => write!(
                f,
                "the device's clock shows {at}, which is before {floor} and so wrong"
            ),
            Self::Paused => f.write_str("updates are paused on this device"),
            Self::Power { detail } => write!(f, "not the moment to write: {detail}"),
        }
    }
}

impl DeferReason {
    /// When it ends by itself, if that is known.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::MaintenanceWindow { opens_at } => Some(*opens_at),
            Self::Backoff { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// What to do next; `None`: nothing, it ends by itself.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::MaintenanceWindow { .. }
            | Self::Backoff { .. }
            | Self::TrialRunning
            | Self::Power { .. } => None,
            Self::DiskSpace { .. } => Some("free space on the data partition"),
            Self::FailedBefore { .. } => Some(
                "find the cause, then roll out a newer release, or retry this one with `fleet device \
                 command DEVICE update --force`",
            ),
            Self::Clock { .. } => {
                Some("let the device reach the control plane or a time server once")
            }
            Self::Paused => {
                Some("set `updates.paused = false`, or resume on the device's own page")
            }
        }
    }
}

impl fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("the release is not signed"),
            Self::ForeignSignature { detail } => {
                write!(f, "the release's signatures are not trusted: {detail}")
            }
            Self::Malformed { detail } => write!(f, "the release makes no sense: {detail}"),
            Self::Expired { not_after, now } => {
                write!(f, "the release expired at {not_after}, and it is {now}")
            }
            Self::Older { current } => {
                write!(f, "the release is older than {current}, which runs")
            }
            Self::BelowRollbackFloor { floor } => write!(
                f,
                "the release is below {floor}, the lowest version that this device may still run"
            ),
            Self::WrongCompatible { expected, found } => {
                write!(
                    f,
                    "the release is made for {found}, and this device is {expected}"
                )
            }
            Self::WrongHardware { model, supported } => write!(
                f,
                "the release is made for {}, and this board is {model}",
                supported.join(", ")
            ),
            Self::BaseTooOld { current, needed } => {
                write!(f, "{current} must be updated to {needed} or newer first")
            }
            Self::BundleMismatch { detail } => write!(
                f,
                "the bundle is not the one that the release names: {detail}"
            ),
            Self::BundleRejected { detail } => {
                write!(f, "RAUC does not accept the bundle: {detail}")
            }
            Self::NothingToRollBackTo { other: Some(other) } => {
                write!(f, "the other slot holds {other}, not what is asked for")
            }
            Self::NothingToRollBackTo { other: None } => {
                f.write_str("the other slot holds nothing to go back to")
            }
        }
    }
}

impl RefuseReason {
    /// What to do next, for whoever brings the release: an operator, or a technician with a USB stick.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unsigned => {
                "sign it with the release keys, or take the metadata that belongs to it"
            }
            Self::ForeignSignature { .. } => {
                "take a release signed with enough keys of the key set that this device trusts"
            }
            Self::Malformed { .. } => "build and sign the release anew",
            Self::Expired { .. } => "take a newer release, or sign this one again with a later end",
            Self::Older { .. } => "roll back instead, or take a release that allows the downgrade",
            Self::BelowRollbackFloor { .. } => "take a release at or above that version",
            Self::WrongCompatible { .. } => "take the release for this kind of device",
            Self::WrongHardware { .. } => "take the release for this board",
            Self::BaseTooOld { .. } => "install the intermediate release first",
            Self::BundleMismatch { .. } => "take the bundle that was signed, and upload that",
            Self::BundleRejected { .. } => {
                "check the bundle's certificate and format with `fleet bundle inspect`"
            }
            Self::NothingToRollBackTo { .. } => {
                "publish the older release with the downgrade allowed, and roll it out"
            }
        }
    }
}

/// About the version that failed.
impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstallFailed { detail } => write!(f, "it could not be installed ({detail})"),
            Self::DidNotBoot { attempts } => write!(f, "it did not boot in {attempts} attempts"),
            Self::Unhealthy { failed_checks } => {
                write!(f, "it was not healthy ({})", failed_checks.join(", "))
            }
            Self::RootHashMismatch { expected, found } => {
                write!(
                    f,
                    "it booted with the root hash {found} instead of {expected}"
                )
            }
            Self::VersionMismatch { expected, found } => {
                write!(
                    f,
                    "it calls itself {found}, the release calls it {expected}"
                )
            }
            Self::Crashed { reset } => write!(f, "it crashed on trial ({reset})"),
            Self::RolledBackByOperator => f.write_str("a person took it back"),
        }
    }
}
