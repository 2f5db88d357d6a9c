//! What becomes of a message to a webhook after an attempt: a plain function of the attempt's result and the dice.

pub mod signature;
pub mod target;

use std::time::Duration;

use fleet_protocol::backoff::Backoff;
use jiff::{SignedDuration, Timestamp};

/// The first try and those after it: with the pauses below, about a day and a half.
pub const MAX_ATTEMPTS: u32 = 16;
const PAUSES: Backoff = Backoff {
    base_ms: 15_000,
    max_ms: 12 * 3600 * 1000,
};
/// A webhook that took nothing for this long is switched off.
pub const DISABLED_AFTER: SignedDuration = SignedDuration::from_hours(5 * 24);

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Of the answer, if there was one.
    pub status: Option<u16>,
    /// `None`: it was taken.
    pub failure: Option<String>,
}

impl Attempt {
    /// There was an answer. Only one that says so means that the message was taken.
    pub fn answered(status: u16) -> Self {
        let failure = match status {
            200..=299 => None,
            300..=399 => Some(format!("answered {status}, and redirects are not followed")),
            _ => Some(format!("answered {status}")),
        };
        Self {
            status: Some(status),
            failure,
        }
    }

    /// There was none.
    pub fn failed(why: String) -> Self {
        Self {
            status: None,
            failure: Some(why),
        }
    }

    /// Whether the receiver wants no more messages: 410 Gone.
    pub fn is_farewell(&self) -> bool {
        self.status == Some(410)
    }
}

/// What comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Delivered,
    Retry { at: Timestamp },
    GaveUp,
}

/// `attempts` are all that were made, this one included, of `most` that are; `dice` is any random number.
pub fn next(attempt: &Attempt, attempts: u32, most: u32, now: Timestamp, dice: u64) -> Next {
    next_after(PAUSES, attempt, attempts, most, now, dice)
}

/// The same, with other pauses.
pub fn next_after(
    pauses: Backoff,
    attempt: &Attempt,
    attempts: u32,
    most: u32,
    now: Timestamp,
    dice: u64,
) -> Next {
    if attempt.failure.is_none() {
        return Next::Delivered;
    }
    if attempts >= most {
        return Next::GaveUp;
    }
    let pause = Duration::from_millis(pauses.pause_ms(attempts, dice));
    Next::Retry { at: now + pause }
}

/// Whether a webhook that fails since `failing_since` is to be switched off.
pub fn is_hopeless(failing_since: Timestamp, now: Timestamp) -> bool {
    now.duration_since(failing_since) >= DISABLED_AFTER
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failed() -> Attempt {
        Attempt::answered(500)
    }

    #[test]
    fn what_was_taken_is_not_sent_again() {
        let taken = Attempt::answered(204);
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(next(&taken, 1, MAX_ATTEMPTS, now, 7), Next::Delivered);
        assert_eq!(next(&failed(), 1, 1, now, 7), Next::GaveUp);
    }

    #[test]
    fn a_redirect_is_no_success_and_gone_is_a_farewell() {
        assert!(Attempt::answered(302).failure.is_some());
        assert!(Attempt::answered(410).is_farewell());
        assert!(!Attempt::answered(404).is_farewell());
    }

    proptest! {
        #[test]
        fn a_message_is_tried_so_often_and_never_later_than_half_a_day(dice: u64) {
            let mut now = Timestamp::UNIX_EPOCH;
            for attempts in 1..MAX_ATTEMPTS {
                let Next::Retry { at } = next(&failed(), attempts, MAX_ATTEMPTS, now, dice) else {
                    panic!("given up after {attempts}")
                };
                let pause = at.duration_since(now);
                prop_assert!(pause > SignedDuration::ZERO && pause <= SignedDuration::from_hours(12));
                now = at;
            }
            prop_assert_eq!(next(&failed(), MAX_ATTEMPTS, MAX_ATTEMPTS, now, dice), Next::GaveUp);
            prop_assert!(now.duration_since(Timestamp::UNIX_EPOCH) <= SignedDuration::from_hours(72));
        }
    }
}
