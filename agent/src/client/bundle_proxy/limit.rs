//! A bandwidth limit that all connections share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Below this, RAUC's kernel would give up on a block (see the module's text), so it is the floor.
const MIN_RATE: u64 = 16 * 1024;
/// What may pass at once after a pause.
const BURST: Duration = Duration::from_millis(250);

/// Bytes a second; 0 is no limit. Can be changed while in use.
#[derive(Debug, Clone, Default)]
pub struct Limiter {
    rate: Arc<AtomicU64>,
    next: Arc<Mutex<Option<Instant>>>,
}

impl Limiter {
    pub fn new(bytes_per_s: u64) -> Self {
        let limiter = Self::default();
        limiter.set(bytes_per_s);
        limiter
    }

    pub fn set(&self, bytes_per_s: u64) {
        let rate = if bytes_per_s == 0 {
            0
        } else {
            bytes_per_s.max(MIN_RATE)
        };
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// How long to wait before passing on `bytes` at `now`; the bytes are then accounted for.
    fn reserve(&self, bytes: u64, now: Instant) -> Duration {
        let rate = self.rate.load(Ordering::Relaxed);
        if rate == 0 {
            return Duration::ZERO;
        }
        let cost = Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate);
        let mut next = self
            .next
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let begins = next.map_or(earliest, |next| next.max(earliest));
        *next = Some(begins + cost);
        (begins + cost).saturating_duration_since(now)
    }

    /// Waits until `bytes` may pass.
    pub fn pass(&self, bytes: u64) {
        let wait = self.reserve(bytes, Instant::now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        fn never_more_than_the_rate_and_one_burst_pass(
            rate in MIN_RATE..10_000_000, chunks in prop::collection::vec(1u64..100_000, 1..50),
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
    fn no_limit_never_waits() {
        let limiter = Limiter::new(0);
        assert_eq!(limiter.reserve(u64::MAX, Instant::now()), Duration::ZERO);
    }
}
