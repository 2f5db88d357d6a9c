//! Which release a device is to run, given its place in the newest rollout that has it.

use fleet_protocol::Version;
use fleet_protocol::rollout::{MemberStatus, RolloutStatus};
use fleet_protocol::target::TargetKind;

/// A member's place, reduced to what matters here.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub rollout: RolloutStatus,
    pub member: MemberStatus,
    pub version: &'a Version,
    pub previous: Option<&'a Version>,
    /// Installing, about to reboot, or on trial.
    pub begun: bool,
}

/// The release wanted, if any.
///
/// A device on its way back stays so whatever becomes of the rollout. While a rollout is paused,
/// only those that have begun go on. A device that failed keeps its target as long as the rollout
/// lives: its own penalty holds it back, and an operator can ask it to try again.
pub fn desired(place: Place<'_>) -> Option<(TargetKind, Version)> {
    let install = || Some((TargetKind::Install, place.version.clone()));
    match (place.member, place.rollout) {
        (MemberStatus::RollingBack, _) => place.previous.map(|v| (TargetKind::Rollback, v.clone())),
        (MemberStatus::Verified, RolloutStatus::RollingBack | RolloutStatus::RolledBack) => None,
        (MemberStatus::Offered, RolloutStatus::Paused) if !place.begun => None,
        (MemberStatus::Verified, _)
        | (
            MemberStatus::Offered | MemberStatus::Failed,
            RolloutStatus::Running | RolloutStatus::Paused | RolloutStatus::Completed,
        ) => install(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rollout: RolloutStatus, member: MemberStatus, begun: bool, expected: Option<&str>) {
        let (version, previous) = (Version::new(2, 0, 0), Version::new(1, 0, 0));
        let place = Place {
            rollout,
            member,
            version: &version,
            previous: Some(&previous),
            begun,
        };
        let found = desired(place).map(|(kind, v)| format!("{kind:?} {v}"));
        assert_eq!(found.as_deref(), expected, "{rollout:?} {member:?} {begun}");
    }

    #[test]
    fn a_paused_rollout_lets_only_those_go_on_that_have_begun() {
        check(RolloutStatus::Paused, MemberStatus::Offered, false, None);
        check(
            RolloutStatus::Paused,
            MemberStatus::Offered,
            true,
            Some("Install 2.0.0"),
        );
    }

    #[test]
    fn whoever_is_on_the_way_back_stays_so() {
        for status in [
            RolloutStatus::RollingBack,
            RolloutStatus::RolledBack,
            RolloutStatus::Aborted,
        ] {
            check(
                status,
                MemberStatus::RollingBack,
                false,
                Some("Rollback 1.0.0"),
            );
        }
    }

    #[test]
    fn an_abort_withdraws_what_is_not_verified() {
        check(RolloutStatus::Aborted, MemberStatus::Offered, true, None);
        check(
            RolloutStatus::Aborted,
            MemberStatus::Verified,
            false,
            Some("Install 2.0.0"),
        );
    }

    #[test]
    fn nobody_is_told_anything_before_its_turn() {
        check(RolloutStatus::Running, MemberStatus::Waiting, false, None);
    }
}
