//! A limit of bytes a second that all its users share, for what is downloaded.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What may pass at once after a pause.
const BURST: Duration = Duration::from_millis(250);
/// How soon a waiting thread sees that it is to end.
const SLICE: Duration = Duration::from_millis(100);

/// The limiter was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// Clones share the limit. It can be changed while in use.
#[derive(Debug, Clone, Default)]
pub struct Limiter {
    /// 0 is no limit.
    bytes_per_s: Arc<AtomicU64>,
    next: Arc<Mutex<Option<Instant>>>,
    closed: Arc<AtomicBool>,
}

impl Limiter {
    /// `bytes_per_s`: 0 is no limit.
    pub fn new(bytes_per_s: u64) -> Self {
        let limiter = Self::default();
        limiter.set(bytes_per_s);
        limiter
    }

    /// Counts at once; 0 is no limit.
    pub fn set(&self, bytes_per_s: u64) {
        self.bytes_per_s.store(bytes_per_s, Ordering::Relaxed);
    }

    /// From now on nothing passes, and whoever waits is told so.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// How long to wait before so much may pass, if it comes at `now`. It is then accounted for.
    fn reserve(&self, bytes: u64, now: Instant) -> Duration {
        let rate = self.bytes_per_s.load(Ordering::Relaxed);
        if rate == 0 {
            return Duration::ZERO;
        }
        let cost = Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let begins = next.map_or(earliest, |next| next.max(earliest));
        *next = Some(begins + cost);
        (begins + cost).saturating_duration_since(now)
    }

    /// Waits until so much may pass.
    pub fn pass(&self, bytes: usize) -> Result<(), Closed> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut wait = self.reserve(bytes, Instant::now());
        loop {
            if self.closed.load(Ordering::Relaxed) {
                return Err(Closed);
            }
            if wait.is_zero() {
                return Ok(());
            }
            let slice = wait.min(SLICE);
            std::thread::sleep(slice);
            wait -= slice;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        fn never_more_than_the_rate_and_one_burst_pass(
            rate in 1_000u64..10_000_000, chunks in prop::collection::vec(1u64..100_000, 1..50),
        ) {
            let limiter = Limiter::new(rate);
            let start = Instant::now();
            let mut now = start;
            let mut passed = 0u64;
            for bytes in chunks {
                now += limiter.reserve(bytes, now);
                passed += bytes;
                let allowed = (now - start + BURST).as_secs_f64() * rate as f64 + 1.0;
                prop_assert!(passed as f64 <= allowed, "{} of {}", passed, allowed);
            }
        }
    }

    #[test]
    fn no_limit_never_waits_and_a_closed_one_lets_nothing_pass() {
        let limiter = Limiter::new(0);
        assert_eq!(limiter.reserve(u64::MAX, Instant::now()), Duration::ZERO);
        limiter.close();
        assert_eq!(limiter.pass(1), Err(Closed));
    }
}
