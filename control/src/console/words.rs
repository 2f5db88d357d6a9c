//! How pages say things to people.

use fleet_protocol::command::{CommandStatus, CommandView};
use fleet_protocol::rollout::{MemberStatus, RolloutStatus};
use fleet_protocol::why::Verdict;
use jiff::Timestamp;

/// `3 min ago`, for what is shown beside other such times.
pub(super) fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else {
        return "never".to_owned();
    };
    match now.duration_since(at).as_secs() {
        ..5 => "just now".to_owned(),
        s @ 5..120 => format!("{s} s ago"),
        s @ 120..7_200 => format!("{} min ago", s / 60),
        s @ 7_200..172_800 => format!("{} h ago", s / 3_600),
        s => format!("{} days ago", s / 86_400),
    }
}

/// A camelCase name as words: `rebootPending` is `reboot pending`.
pub(super) fn words(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// An update state's colour.
pub(super) fn update_tone(state: &str) -> &'static str {
    match state {
        "committed" | "idle" => "good",
        "rolledBack" | "refused" => "bad",
        "deferred" => "held",
        _ => "busy",
    }
}

pub(super) const fn rollout_tone(status: RolloutStatus) -> &'static str {
    match status {
        RolloutStatus::Running => "busy",
        RolloutStatus::Completed => "good",
        RolloutStatus::Paused | RolloutStatus::Aborted => "held",
        RolloutStatus::RollingBack | RolloutStatus::RolledBack | RolloutStatus::Failed => "bad",
    }
}

pub(super) const fn member(status: MemberStatus) -> (&'static str, &'static str) {
    match status {
        MemberStatus::Waiting => ("waiting", "idle"),
        MemberStatus::Offered => ("updating", "busy"),
        MemberStatus::Verified => ("verified", "good"),
        MemberStatus::Failed => ("failed", "bad"),
        MemberStatus::RollingBack => ("going back", "busy"),
        MemberStatus::RolledBack => ("taken back", "held"),
    }
}

pub(super) const fn verdict(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Pass => ("✓", "good"),
        Verdict::Wait => ("…", "busy"),
        Verdict::Hold => ("✗", "bad"),
        Verdict::NotReached => ("·", "idle"),
    }
}

pub(super) fn command(view: &CommandView) -> (String, &'static str) {
    use fleet_protocol::command::CommandOutcome::Succeeded;
    match (&view.result, view.status) {
        (Some(r), _) if r.outcome == Succeeded => ("done".to_owned(), "good"),
        (Some(r), _) => (format!("{:?}", r.outcome).to_lowercase(), "bad"),
        (None, CommandStatus::Expired | CommandStatus::Cancelled) => {
            (format!("{:?}", view.status).to_lowercase(), "held")
        }
        (None, status) => (format!("{status:?}").to_lowercase(), "busy"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1_000);
        let check = |seconds, expected| {
            assert_eq!(
                ago(Some(now - SignedDuration::from_secs(seconds)), now),
                expected
            );
        };
        check(1, "just now");
        check(90, "90 s ago");
        check(600, "10 min ago");
        check(10_000, "2 h ago");
        check(400_000, "4 days ago");
        assert_eq!(ago(None, now), "never");
    }

    #[test]
    fn names_become_words() {
        assert_eq!(words("rebootPending"), "reboot pending");
    }
}
