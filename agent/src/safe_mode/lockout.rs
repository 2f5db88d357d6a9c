//! How often a PIN may be guessed. Pure.
//!
//! ```text
//! Open ──wrong PIN, fewer than 5 so far──► Open
//! Open ──5th wrong PIN──► Locked 30 s ──over──► Open, next wrong PIN ──► Locked 60 s, 120 s, … 1 h
//! any ──right PIN, or presence proven at the device──► Open, nothing counted
//! ```
//!
//! The count is the device's, not the caller's: addresses on a LAN cost nothing. It is persisted
//! *before* a try is judged ([`Lockout::begin`]), so that cutting the power after a try does not give
//! it back. Only the count is kept, no wall-clock time: after a restart a lock begins anew, because
//! the clock of a board in safe mode may say anything.

use serde::{Deserialize, Serialize};

use crate::core::Monotonic;

/// Wrong PINs before the first lock.
pub const FREE_TRIES: u32 = 5;
const FIRST_LOCK_S: u64 = 30;
const LONGEST_LOCK_S: u64 = 3_600;

/// What survives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tries {
    /// Wrong PINs since the last right one, a try under way included.
    pub failures: u32,
}

/// The counter with its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lockout {
    tries: Tries,
    locked_until: Monotonic,
}

/// No try is taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many wrong PINs; try again in {wait_s} s")]
pub struct Locked {
    pub wait_s: u64,
}

impl Lockout {
    /// From what was persisted, at process start.
    pub fn resume(tries: Tries, now: Monotonic) -> Self {
        Self {
            tries,
            locked_until: now.plus_ms(lock_s(tries.failures) * 1_000),
        }
    }

    /// Counts a try as failed in advance. Persist [`Self::tries`], then judge the PIN; when it was
    /// right, call [`Self::succeeded`].
    pub fn begin(&mut self, now: Monotonic) -> Result<(), Locked> {
        if let Some(locked) = self.locked(now) {
            return Err(locked);
        }
        self.tries.failures = self.tries.failures.saturating_add(1);
        self.locked_until = now.plus_ms(lock_s(self.tries.failures) * 1_000);
        Ok(())
    }

    /// The PIN was right, or somebody proved to be at the device.
    pub fn succeeded(&mut self) {
        self.tries = Tries::default();
        self.locked_until = Monotonic::default();
    }

    pub fn locked(&self, now: Monotonic) -> Option<Locked> {
        let wait_ms = self.locked_until.since(now);
        (wait_ms > 0).then(|| Locked {
            wait_s: wait_ms.div_ceil(1_000),
        })
    }

    pub const fn tries(&self) -> Tries {
        self.tries
    }

    /// Tries left before the next lock.
    pub const fn tries_left(&self) -> u32 {
        FREE_TRIES.saturating_sub(self.tries.failures)
    }
}

fn lock_s(failures: u32) -> u64 {
    match failures.checked_sub(FREE_TRIES) {
        None => 0,
        Some(beyond) => FIRST_LOCK_S
            .saturating_mul(1 << beyond.min(20))
            .min(LONGEST_LOCK_S),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn five_wrong_pins_lock_and_each_further_one_locks_for_longer() {
        let mut now = Monotonic::from_secs(100);
        let mut lockout = Lockout::resume(Tries::default(), now);
        for _ in 0..FREE_TRIES {
            assert!(lockout.begin(now).is_ok());
        }
        let mut expected = FIRST_LOCK_S;
        for _ in 0..12 {
            assert_eq!(lockout.begin(now), Err(Locked { wait_s: expected }));
            now = now.plus_ms(expected * 1_000);
            assert!(lockout.begin(now).is_ok());
            expected = (expected * 2).min(LONGEST_LOCK_S);
        }
    }

    #[test]
    fn a_restart_gives_no_tries_back() {
        let now = Monotonic::from_secs(5);
        let lockout = Lockout::resume(Tries { failures: 6 }, now);
        assert_eq!(lockout.locked(now), Some(Locked { wait_s: 60 }));
    }

    #[test]
    fn the_right_pin_forgets_the_wrong_ones() {
        let now = Monotonic::from_secs(5);
        let mut lockout = Lockout::resume(Tries { failures: 3 }, now);
        lockout.begin(now).unwrap();
        lockout.succeeded();
        assert_eq!(lockout.tries_left(), FREE_TRIES);
        assert_eq!(lockout.locked(now), None);
    }

    proptest! {
        /// Whatever the rhythm of tries and restarts, a day has room for few of them.
        #[test]
        fn a_day_of_guessing_stays_far_below_the_number_of_pins(
            steps in proptest::collection::vec((0u64..4_000, any::<bool>()), 1..400),
        ) {
            let mut now = Monotonic::from_secs(1);
            let mut lockout = Lockout::resume(Tries::default(), now);
            let mut taken = 0u32;
            for (wait_s, restart) in steps {
                now = now.plus_ms(wait_s * 1_000);
                if now > Monotonic::from_secs(86_400) {
                    break;
                }
                if restart {
                    lockout = Lockout::resume(lockout.tries(), now);
                }
                while lockout.begin(now).is_ok() {
                    taken += 1;
                }
            }
            prop_assert!(taken <= FREE_TRIES + 7 + 24, "{taken}");
        }

        #[test]
        fn a_lock_never_lasts_longer_than_an_hour(failures in any::<u32>(), at in 0u64..1_000_000) {
            let now = Monotonic::from_secs(at);
            let lockout = Lockout::resume(Tries { failures }, now);
            let wait = lockout.locked(now).map_or(0, |l| l.wait_s);
            prop_assert!(wait <= LONGEST_LOCK_S);
        }
    }
}
