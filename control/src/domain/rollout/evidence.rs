//! What a device's reports prove about its place in a rollout.

use fleet_protocol::rollout::MemberStatus;
use jiff::Timestamp;

use super::{DeviceFacts, Report, Reported, RolloutState};

/// Where a member stands that was told to update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Verified,
    Failed(String),
    /// Installing, about to reboot, or on trial.
    Begun,
    /// Has not begun; there is time.
    Pending,
    /// Has not begun within the deadline, or never will.
    Late,
}

/// Where a member stands that was told to go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Return {
    Back,
    Failed(String),
    Pending,
    /// Not heard of within the deadline.
    Late,
}

impl DeviceFacts {
    /// Its report, if it is about this rollout and not from before it was last told something.
    fn relevant(&self, state: &RolloutState) -> Option<&Report> {
        let report = self.reported.as_ref()?;
        let told = self.offered_at.is_some_and(|at| report.at >= at);
        let ours = report
            .rollout_id
            .as_ref()
            .is_none_or(|id| *id == state.rollout_id);
        (told && ours).then_some(report)
    }

    fn runs(&self, state: &RolloutState) -> bool {
        self.booted_version == state.version
    }

    /// It is changing over to this version now, or runs it: going back means work for it.
    pub(super) fn is_touched(&self, state: &RolloutState) -> bool {
        let begun = self.begun_at.is_some()
            && self
                .reported
                .as_ref()
                .is_some_and(|r| r.version.as_ref() == Some(&state.version));
        self.runs(state) || begun
    }

    fn verified(&self, state: &RolloutState) -> bool {
        self.runs(state)
            && self.booted_root_hash == Some(state.root_hash)
            && self.reported.as_ref().is_some_and(|r| {
                r.state == Reported::Committed && r.version.as_ref() == Some(&state.version)
            })
    }

    pub(super) fn standing(&self, state: &RolloutState, now: Timestamp) -> Standing {
        if self.verified(state) {
            return Standing::Verified;
        }
        let overdue = |since: Option<Timestamp>| since.is_some_and(|at| now >= at + state.deadline);
        let about_this = self
            .relevant(state)
            .filter(|r| r.version.as_ref().is_none_or(|v| *v == state.version));
        let detail = |r: &Report, fallback: &str| r.detail.clone().unwrap_or(fallback.to_owned());
        match about_this {
            Some(r) if r.state == Reported::RolledBack => {
                return Standing::Failed(detail(r, "the device went back to its old version"));
            }
            Some(r) if r.state == Reported::Refused => {
                return Standing::Failed(detail(r, "the device refused the release"));
            }
            Some(r) if r.state == Reported::FailedBefore => {
                return Standing::Failed(detail(r, "this version failed on the device before"));
            }
            Some(r) if r.state == Reported::Committed && self.runs(state) => {
                return Standing::Failed(
                    "the booted root hash is not the one that was signed".to_owned(),
                );
            }
            _ => {}
        }
        if self.is_touched(state) && self.begun_at.is_some() {
            if overdue(self.begun_at) {
                return Standing::Failed(
                    "the device began to update and showed no verified boot in time".to_owned(),
                );
            }
            return Standing::Begun;
        }
        if self.revoked || self.superseded || overdue(self.offered_at) {
            Standing::Late
        } else {
            Standing::Pending
        }
    }

    pub(super) fn on_its_way_back(&self, state: &RolloutState, now: Timestamp) -> Return {
        let settled = self.begun_at.is_none();
        if settled && self.previous_version.as_ref() == Some(&self.booted_version) {
            return Return::Back;
        }
        if self.refused_to_return(state) {
            let detail = self.reported.as_ref().and_then(|r| r.detail.clone());
            let detail = detail.unwrap_or("the device refused to go back".to_owned());
            return Return::Failed(format!("could not be taken back: {detail}"));
        }
        let overdue = self.offered_at.is_some_and(|at| now >= at + state.deadline);
        if self.revoked || self.superseded || overdue {
            Return::Late
        } else {
            Return::Pending
        }
    }

    /// Runs the new version still and says that it can't leave it.
    pub(super) fn refused_to_return(&self, state: &RolloutState) -> bool {
        matches!(
            self.status,
            MemberStatus::RollingBack | MemberStatus::Failed
        ) && self.runs(state)
            && self.relevant(state).is_some_and(|r| {
                r.state == Reported::Refused
                    && r.version.as_ref().is_none_or(|v| *v != state.version)
            })
    }
}
