//! Whether the control plane gives this device what it can't do without. Any answer shows that
//! somebody is there; only an authenticated success that this agent understands shows that the next
//! release will find its way here.

use super::Monotonic;
use super::gate::{ControlPlaneSeen, ReachedBefore};

/// What the agent can't do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Heartbeat,
    Target,
}

/// How a request for it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With success, and understood.
    Answered,
    /// The control plane says that it is out of service.
    OutOfService,
    /// Anything else: no answer, a refusal, an answer that makes no sense.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tried {
    /// When the last request that was answered was made.
    answered_at: Option<Monotonic>,
    last: Outcome,
}

/// Since the agent started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    heartbeat: Option<Tried>,
    target: Option<Tried>,
}

impl Needs {
    /// A request for `need`, made at `asked`, has ended.
    #[must_use]
    pub fn tried(mut self, need: Need, asked: Monotonic, outcome: Outcome) -> Self {
        let tried = match need {
            Need::Heartbeat => &mut self.heartbeat,
            Need::Target => &mut self.target,
        };
        let before = tried.and_then(|tried| tried.answered_at);
        let answered = (outcome == Outcome::Answered).then_some(asked);
        *tried = Some(Tried {
            answered_at: answered.or(before),
            last: outcome,
        });
        self
    }

    /// For the health gate.
    pub fn seen(&self) -> ControlPlaneSeen {
        let (Some(heartbeat), Some(target)) = (self.heartbeat, self.target) else {
            return ControlPlaneSeen::default();
        };
        let lasts = [heartbeat.last, target.last];
        ControlPlaneSeen {
            // `None` is the least.
            answered_at: heartbeat.answered_at.min(target.answered_at),
            out_of_service: lasts.contains(&Outcome::OutOfService)
                && !lasts.contains(&Outcome::Failed),
        }
    }

    /// Whether it was reached at `now`: a fact for the gate of what comes next. A heartbeat older than
    /// `recent_ms` says nothing; targets are fetched more rarely, so there the last try counts.
    pub fn reached(&self, now: Monotonic, recent_ms: u64) -> ReachedBefore {
        let (Some(heartbeat), Some(target)) = (self.heartbeat, self.target) else {
            let failed = [self.heartbeat, self.target].into_iter().flatten();
            let failed = failed.filter(|tried| tried.last != Outcome::Answered);
            return match failed.count() {
                0 => ReachedBefore::Unknown,
                _ => ReachedBefore::No,
            };
        };
        let recent = |at: Monotonic| now.since(at) <= recent_ms;
        if heartbeat.answered_at.is_some_and(recent) && target.last == Outcome::Answered {
            ReachedBefore::Yes
        } else {
            ReachedBefore::No
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Need::{Heartbeat, Target};
    use super::Outcome::{Answered, Failed, OutOfService};
    use super::*;

    fn needs(tries: &[(Need, u64, Outcome)]) -> Needs {
        let mut needs = Needs::default();
        for (need, at, outcome) in tries {
            needs = needs.tried(*need, Monotonic(*at), *outcome);
        }
        needs
    }

    #[test]
    fn the_control_plane_is_reached_when_everything_needed_was_answered() {
        let check = |tries: &[_], expected: Option<u64>| {
            let found = needs(tries).seen().answered_at;
            assert_eq!(found, expected.map(Monotonic), "{tries:?}");
        };
        check(&[], None);
        check(&[(Heartbeat, 5, Answered)], None);
        check(&[(Heartbeat, 5, Answered), (Target, 6, Failed)], None);
        check(&[(Heartbeat, 5, Answered), (Target, 6, OutOfService)], None);
        // The older of the two requests.
        check(&[(Heartbeat, 5, Answered), (Target, 3, Answered)], Some(3));
        // One that failed later does not undo what was shown.
        let later = [
            (Heartbeat, 5, Answered),
            (Target, 3, Answered),
            (Target, 9, Failed),
        ];
        check(&later, Some(3));
    }

    #[test]
    fn only_a_control_plane_that_says_so_is_out_of_service() {
        let check = |tries: &[_], expected| {
            assert_eq!(needs(tries).seen().out_of_service, expected, "{tries:?}");
        };
        check(&[(Heartbeat, 5, OutOfService)], false);
        check(
            &[(Heartbeat, 5, OutOfService), (Target, 5, OutOfService)],
            true,
        );
        check(&[(Heartbeat, 5, Answered), (Target, 5, OutOfService)], true);
        check(&[(Heartbeat, 5, OutOfService), (Target, 5, Failed)], false);
        check(&[(Heartbeat, 5, Answered), (Target, 5, Answered)], false);
    }

    #[test]
    fn whether_it_was_reached_before_is_a_matter_of_now() {
        let check = |tries: &[_], expected| {
            assert_eq!(
                needs(tries).reached(Monotonic(100), 50),
                expected,
                "{tries:?}"
            );
        };
        check(&[], ReachedBefore::Unknown);
        check(&[(Heartbeat, 90, Answered)], ReachedBefore::Unknown);
        check(&[(Heartbeat, 90, Failed)], ReachedBefore::No);
        let both =
            |heartbeat_at, target| [(Heartbeat, heartbeat_at, Answered), (Target, 5, target)];
        check(&both(90, Answered), ReachedBefore::Yes);
        check(&both(40, Answered), ReachedBefore::No);
        check(&both(90, Failed), ReachedBefore::No);
    }
}
