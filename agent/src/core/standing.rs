//! Whether the control plane takes this device for one of its own.
//!
//! ```text
//! Accepted ──refused──► Doubted ──refused, for long enough──► Refused
//!    ▲                     │                                     │
//!    └────── taken ────────┴─────────────── taken ───────────────┘
//! ```
//!
//! A refusal may be the control plane's own trouble: a replica that has yet to see the enrolment, a restored
//! backup. One that stays is believed: the device was revoked, or its credentials are no good. It then asks
//! seldom, for nothing but a heartbeat's answer, and goes on as it is until an operator lets it in again or
//! a new provisioning file has it enrol anew. One that joined by a code shows one again.

use jiff::Timestamp;

use super::Now;

/// What a heartbeat came to. One that was not answered says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Taken,
    /// HTTP 401 or 403.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    #[default]
    Accepted,
    /// Refused ever `since`, which is not long.
    Doubted {
        since: Now,
    },
    Refused {
        since: Timestamp,
    },
}

/// Worth an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Refused,
    Restored,
}

impl Standing {
    /// Refusals are believed after `patience_ms`.
    #[must_use]
    pub fn hear(self, word: Word, now: Now, patience_ms: u64) -> (Self, Option<Change>) {
        match (self, word) {
            (Self::Refused { .. }, Word::Taken) => (Self::Accepted, Some(Change::Restored)),
            (Self::Accepted | Self::Doubted { .. }, Word::Taken) => (Self::Accepted, None),
            (Self::Accepted, Word::Refused) => (Self::Doubted { since: now }, None),
            (Self::Doubted { since }, Word::Refused)
                if now.mono.since(since.mono) < patience_ms =>
            {
                (self, None)
            }
            (Self::Doubted { since }, Word::Refused) => {
                (Self::Refused { since: since.wall }, Some(Change::Refused))
            }
            (Self::Refused { .. }, Word::Refused) => (self, None),
        }
    }

    /// Whether a device that is paired by codes shows one: it has not joined, or has and is not known any more.
    pub const fn may_pair(self, joined: bool) -> bool {
        !joined || matches!(self, Self::Refused { .. })
    }

    pub const fn refused_since(self) -> Option<Timestamp> {
        match self {
            Self::Refused { since } => Some(since),
            Self::Accepted | Self::Doubted { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Word::{Refused, Taken};
    use super::*;
    use crate::core::Monotonic;
    use proptest::prelude::*;

    const PATIENCE_S: u64 = 10;

    fn at(second: u64) -> Now {
        Now {
            wall: Timestamp::from_second(i64::try_from(second).unwrap()).unwrap(),
            mono: Monotonic::from_secs(second),
        }
    }

    /// After these words, each heard at its second.
    fn after(words: &[(u64, Word)]) -> (Standing, Vec<Change>) {
        let mut standing = Standing::default();
        let mut changes = Vec::new();
        for (second, word) in words {
            let change;
            (standing, change) = standing.hear(*word, at(*second), PATIENCE_S * 1_000);
            changes.extend(change);
        }
        (standing, changes)
    }

    #[test]
    fn a_refusal_that_stays_is_believed_and_one_answer_makes_it_good() {
        let check = |words: &[(u64, Word)], since: Option<u64>, changes: &[Change]| {
            let (standing, told) = after(words);
            let since = since.map(|second| at(second).wall);
            assert_eq!(standing.refused_since(), since, "{words:?}");
            assert_eq!(told, changes, "{words:?}");
        };
        let refused = [Change::Refused];
        let restored = [Change::Refused, Change::Restored];
        check(&[], None, &[]);
        check(&[(1, Refused)], None, &[]);
        check(&[(1, Refused), (10, Refused)], None, &[]);
        check(&[(1, Refused), (11, Refused)], Some(1), &refused);
        check(&[(1, Refused), (5, Taken), (11, Refused)], None, &[]);
        check(
            &[(1, Refused), (11, Refused), (99, Refused)],
            Some(1),
            &refused,
        );
        check(&[(1, Refused), (11, Refused), (12, Taken)], None, &restored);
        let again = [(1, Refused), (11, Refused), (12, Taken), (13, Refused)];
        check(&again, None, &restored);
    }

    #[test]
    fn a_code_is_shown_again_once_a_refusal_is_believed() {
        let shows = |words: &[(u64, Word)]| after(words).0.may_pair(true);
        assert!(Standing::default().may_pair(false));
        assert!(!shows(&[]));
        assert!(!shows(&[(1, Refused), (10, Refused)]));
        assert!(shows(&[(1, Refused), (11, Refused)]));
        assert!(!shows(&[(1, Refused), (11, Refused), (12, Taken)]));
    }

    proptest! {
        #[test]
        fn refused_and_restored_are_told_in_turn(
            words in prop::collection::vec((0u64..20, any::<bool>()), 0..40),
        ) {
            let mut second = 0;
            let words: Vec<(u64, Word)> = words
                .into_iter()
                .map(|(pause, refused)| {
                    second += pause;
                    (second, if refused { Refused } else { Taken })
                })
                .collect();
            let (standing, changes) = after(&words);
            for (index, change) in changes.iter().enumerate() {
                let expected = if index % 2 == 0 { Change::Refused } else { Change::Restored };
                prop_assert_eq!(*change, expected);
            }
            prop_assert_eq!(standing.refused_since().is_some(), changes.len() % 2 == 1);
        }
    }
}
