//! What a device's state means, in words.

use fleet_protocol::Version;
use fleet_protocol::update::{DeferReason, FailureReason, RefuseReason, UpdateState};

pub(super) fn refusal(why: &RefuseReason) -> (String, &'static str) {
    match why {
        RefuseReason::Unsigned => ("it is not signed".to_owned(), "sign and publish it again"),
        RefuseReason::ForeignSignature { detail } => (
            format!("its signatures are not trusted: {detail}"),
            "sign it with keys of the device's key set, or publish the next key set",
        ),
        RefuseReason::Malformed { detail } => (
            format!("it is malformed: {detail}"),
            "make and publish it again",
        ),
        RefuseReason::Expired { not_after, now } => (
            format!("it expired at {not_after} and the device's clock says {now}"),
            "sign and publish it again with a later end",
        ),
        RefuseReason::Older { current } => (
            format!("the device runs {current}, which is newer"),
            "publish a release that allows the downgrade",
        ),
        RefuseReason::BelowRollbackFloor { floor } => (
            format!("the device never goes below {floor} again"),
            "roll out a release at or above that version",
        ),
        RefuseReason::WrongCompatible { expected, found } => (
            format!("it is for {found}, and the device is {expected}"),
            "roll out a release that is made for this device",
        ),
        RefuseReason::WrongHardware { model, supported } => (
            format!(
                "it does not run on {model}, only on {}",
                supported.join(", ")
            ),
            "roll out a release that is made for this board",
        ),
        RefuseReason::BaseTooOld { current, needed } => (
            format!("the device runs {current} and has to be at {needed} first"),
            "roll out that intermediate release first",
        ),
        RefuseReason::BundleMismatch { detail } => (
            format!("the bundle is not the one that was signed: {detail}"),
            "upload the right bundle and publish the release again",
        ),
        RefuseReason::BundleRejected { detail } => (
            format!("RAUC does not accept the bundle: {detail}"),
            "build and sign the bundle again",
        ),
        RefuseReason::NothingToRollBackTo { other } => (
            match other {
                Some(other) => format!("its other slot holds {other}"),
                None => "its other slot holds nothing that boots".to_owned(),
            },
            "publish the older release with the downgrade allowed, and roll it out",
        ),
    }
}

pub(super) fn failure(why: &FailureReason) -> String {
    match why {
        FailureReason::InstallFailed { detail } => format!("installing failed: {detail}"),
        FailureReason::DidNotBoot { attempts } => format!("it did not boot in {attempts} attempts"),
        FailureReason::Unhealthy { failed_checks } => {
            format!(
                "the health checks did not hold: {}",
                failed_checks.join(", ")
            )
        }
        FailureReason::RootHashMismatch { expected, found } => {
            format!("it booted with the root hash {found}, not {expected}")
        }
        FailureReason::VersionMismatch { expected, found } => {
            format!("it calls itself {found}, the release calls it {expected}")
        }
        FailureReason::Crashed { reset } => format!("it crashed while on trial ({reset})"),
        FailureReason::RolledBackByOperator => "an operator took it back".to_owned(),
    }
}

/// The version that a state is about.
pub fn version_of(state: &UpdateState) -> Option<&Version> {
    match state {
        UpdateState::Idle => None,
        UpdateState::Refused { version, .. } => version.as_ref(),
        UpdateState::Deferred { version, .. }
        | UpdateState::Installing { version, .. }
        | UpdateState::RebootPending { version, .. }
        | UpdateState::Trial { version, .. }
        | UpdateState::Committed { version, .. }
        | UpdateState::RolledBack { version, .. } => Some(version),
    }
}

/// What went wrong, if the state says that something did.
pub fn failure_sentence(state: &UpdateState) -> Option<String> {
    match state {
        UpdateState::RolledBack { why, .. }
        | UpdateState::Deferred {
            why: DeferReason::FailedBefore { why, .. },
            ..
        } => Some(failure(why)),
        UpdateState::Refused { why, .. } => Some(refusal(why).0),
        _ => None,
    }
}
