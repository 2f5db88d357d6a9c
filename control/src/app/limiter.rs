//! Slows down whoever guesses: wrong credentials are counted by address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::error::{Error, Kind, Refusal};

pub(super) const WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// More addresses than this are not remembered one by one; the oldest are forgotten first.
const MAX_ADDRESSES: usize = 10_000;

#[derive(Debug)]
pub struct Limiter {
    max_failures: u32,
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    since: Timestamp,
    count: u32,
}

impl Limiter {
    pub fn new(max_failures: u32) -> Self {
        Self {
            max_failures,
            failures: Mutex::default(),
        }
    }

    /// # Errors
    /// 429 while the address has failed too often within the window.
    pub fn admit(&self, from: IpAddr, now: Timestamp) -> Result<(), Error> {
        let failures = self.lock();
        let Some(entry) = failures.get(&key(from)) else {
            return Ok(());
        };
        let ends = entry.since + WINDOW;
        if entry.count < self.max_failures || now >= ends {
            return Ok(());
        }
        let seconds = ends.duration_since(now).as_secs().max(1);
        let mut refusal = Refusal::new(
            Kind::TooMany,
            "TOO_MANY_FAILURES",
            "too many wrong credentials from this address",
            format!("wait {seconds} seconds, then use the right token"),
        );
        refusal.retry_after_seconds = u64::try_from(seconds).ok();
        Err(refusal.into())
    }

    /// Counts one wrong try.
    pub fn failed(&self, from: IpAddr, now: Timestamp) {
        let mut failures = self.lock();
        if failures.len() >= MAX_ADDRESSES {
            failures.retain(|_, f| now < f.since + WINDOW);
        }
        if failures.len() >= MAX_ADDRESSES
            && let Some(oldest) = failures
                .iter()
                .min_by_key(|(_, f)| f.since)
                .map(|(a, _)| *a)
        {
            failures.remove(&oldest);
        }
        let entry = failures.entry(key(from)).or_insert(Failures {
            since: now,
            count: 0,
        });
        if now >= entry.since + WINDOW {
            *entry = Failures {
                since: now,
                count: 0,
            };
        }
        entry.count = entry.count.saturating_add(1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One customer has a whole IPv6 /64.
pub(super) fn key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_guesses_has_to_wait_and_others_do_not() {
        let limiter = Limiter::new(3);
        let (guesser, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let start = Timestamp::UNIX_EPOCH;
        for _ in 0..3 {
            limiter.admit(guesser, start).unwrap();
            limiter.failed(guesser, start);
        }
        let Err(Error::Refused(refusal)) = limiter.admit(guesser, start) else {
            panic!("admitted")
        };
        assert_eq!(refusal.retry_after_seconds, Some(600));
        limiter.admit(other, start).unwrap();
        limiter.admit(guesser, start + WINDOW).unwrap();
    }

    #[test]
    fn one_customers_ipv6_addresses_count_as_one() {
        let limiter = Limiter::new(1);
        let now = Timestamp::UNIX_EPOCH;
        limiter.failed("2001:db8::1".parse().unwrap(), now);
        assert!(limiter.admit("2001:db8::2".parse().unwrap(), now).is_err());
        assert!(
            limiter
                .admit("2001:db8:0:1::2".parse().unwrap(), now)
                .is_ok()
        );
    }
}
