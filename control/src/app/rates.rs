//! How often what may be asked (seed 003, §27.1): a token bucket for each asker.
//!
//! The table's numbers are the rate that lasts. Devices may be ahead of theirs for a while: a player asks again when
//! it is woken, and two polls of 30 seconds with jitter may fall into less than a minute.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use jiff::Timestamp;

use super::error::{Error, Kind, Refusal};
use crate::clock::Clock;

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    LoginOfAddress,
    LoginOfAccount,
    ResetOfAccount,
    PairingOfAddress,
    Refresh,
    Mutation,
    Publish,
    Upload,
    Manifest,
    PlayerHeartbeat,
    PlayerEvents,
    PlayerCommands,
}

/// Requests within a time, and how many of them may come at once.
#[derive(Debug, Clone, Copy)]
struct Limit {
    requests: u32,
    within: Duration,
    at_once: u32,
}

const fn limit(requests: u32, within_s: u64, at_once: u32) -> Limit {
    Limit {
        requests,
        within: Duration::from_secs(within_s),
        at_once,
    }
}

impl Rate {
    pub const ALL: [Self; 12] = [
        Self::LoginOfAddress,
        Self::LoginOfAccount,
        Self::ResetOfAccount,
        Self::PairingOfAddress,
        Self::Refresh,
        Self::Mutation,
        Self::Publish,
        Self::Upload,
        Self::Manifest,
        Self::PlayerHeartbeat,
        Self::PlayerEvents,
        Self::PlayerCommands,
    ];

    const fn limit(self) -> Limit {
        match self {
            Self::LoginOfAccount => limit(5, 60, 5),
            // Each is a mail to somebody who may not have asked for it.
            Self::ResetOfAccount => limit(3, 3_600, 3),
            Self::LoginOfAddress | Self::Publish => limit(10, 60, 10),
            // A building full of new screens gets its power at once; each asks anew every quarter of an hour.
            Self::PairingOfAddress => limit(60, 60, 300),
            Self::Refresh | Self::Upload => limit(30, 3_600, 30),
            Self::Mutation => limit(120, 60, 120),
            Self::Manifest | Self::PlayerHeartbeat | Self::PlayerCommands => limit(2, 60, 6),
            Self::PlayerEvents => limit(6, 60, 18),
        }
    }
}

/// What an asker has left; for the answer's `X-RateLimit-…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub limit: u32,
    pub remaining: u32,
    /// When all of it is there again.
    pub resets_at: Timestamp,
}

type Bucket = RateLimiter<String, HashMapStateStore<String>, Ticks, StateInformationMiddleware>;

/// All buckets, in memory: a restart fills them.
pub struct Rates {
    /// In the order of [`Rate::ALL`].
    buckets: Option<Vec<Bucket>>,
    clock: Ticks,
}

impl std::fmt::Debug for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rates")
    }
}

/// Our clock as one that counts from 1970.
#[derive(Debug, Clone)]
struct Ticks(Clock);

impl governor::clock::Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        let since = self.0.now().as_millisecond();
        Duration::from_millis(u64::try_from(since).unwrap_or(0))
    }
}

impl Rates {
    /// `enforced`: whether anybody is ever refused.
    pub(super) fn new(clock: &Clock, enforced: bool) -> Self {
        let clock = Ticks(clock.clone());
        let bucket = |rate: Rate| {
            let Limit {
                requests,
                within,
                at_once,
            } = rate.limit();
            let quota = Quota::with_period(within / requests).expect("longer than nothing");
            let quota = quota.allow_burst(NonZeroU32::new(at_once).expect("more than none"));
            let store = HashMapStateStore::default();
            RateLimiter::new(quota, store, clock.clone())
        };
        Self {
            buckets: enforced.then(|| Rate::ALL.into_iter().map(bucket).collect()),
            clock: clock.clone(),
        }
    }

    /// Takes one request of `who` from what they have left; `None`: nobody counts.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub fn take(&self, rate: Rate, who: &str) -> Result<Option<Standing>, Error> {
        let Some(buckets) = &self.buckets else {
            return Ok(None);
        };
        let index = Rate::ALL.iter().position(|known| *known == rate);
        let bucket = &buckets[index.expect("all rates are in the list")];
        let limit = rate.limit();
        match bucket.check_key(&who.to_owned()) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let missing = limit.at_once.saturating_sub(remaining);
                Ok(Some(Standing {
                    limit: limit.requests,
                    remaining,
                    resets_at: self.clock.0.now() + limit.within / limit.requests * missing,
                }))
            }
            Err(refused) => {
                let wait = refused.wait_time_from(self.clock.now());
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let detail = format!(
                    "more than {} requests of this kind in {} seconds",
                    limit.requests,
                    limit.within.as_secs()
                );
                let hint = format!("wait {seconds} seconds, and ask less often");
                let mut refusal = Refusal::new(Kind::TooMany, "RATE_LIMITED", detail, hint);
                refusal.retry_after_seconds = Some(seconds.max(1));
                refusal.standing = Some(Standing {
                    limit: limit.requests,
                    remaining: 0,
                    resets_at: self.clock.0.now() + wait,
                });
                Err(refusal.into())
            }
        }
    }

    /// Forgets those whose bucket is full again.
    pub(super) fn tidy(&self) {
        for bucket in self.buckets.iter().flatten() {
            bucket.retain_recent();
            bucket.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn the_sixth_login_within_a_minute_waits_and_another_account_does_not() {
        let now = Arc::new(Mutex::new(Timestamp::from_second(1_000_000).unwrap()));
        let read = Arc::clone(&now);
        let rates = Rates::new(&Clock::from_fn(move || *read.lock().unwrap()), true);
        for left in (0..5).rev() {
            let standing = rates.take(Rate::LoginOfAccount, "a@example.com").unwrap();
            assert_eq!(standing.map(|s| (s.limit, s.remaining)), Some((5, left)));
        }
        let refused = rates.take(Rate::LoginOfAccount, "a@example.com");
        let Err(Error::Refused(refusal)) = refused else {
            panic!("let in")
        };
        assert_eq!(refusal.retry_after_seconds, Some(12));
        rates.take(Rate::LoginOfAccount, "b@example.com").unwrap();
        *now.lock().unwrap() += SignedDuration::from_secs(12);
        rates.take(Rate::LoginOfAccount, "a@example.com").unwrap();
        rates
            .take(Rate::LoginOfAccount, "a@example.com")
            .unwrap_err();
    }

    #[test]
    fn a_player_that_polls_as_it_was_told_is_never_refused() {
        let now = Arc::new(Mutex::new(Timestamp::from_second(1_000_000).unwrap()));
        let read = Arc::clone(&now);
        let rates = Rates::new(&Clock::from_fn(move || *read.lock().unwrap()), true);
        // Nine tenths, then eleven: what jitter makes of 30 seconds at its worst, for half an hour each.
        for tenths in [27, 33] {
            for poll in 0..60 {
                if let Err(error) = rates.take(Rate::Manifest, "dev_a") {
                    // Always early for half an hour is no jitter; it may be told to wait then.
                    assert!(tenths == 27 && poll > 40, "{poll}: {error}");
                }
                *now.lock().unwrap() += SignedDuration::from_secs(tenths);
            }
        }
    }
}
