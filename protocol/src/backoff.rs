//! How long to wait before the next try: exponential, with full jitter.
//!
//! "Full jitter" (Brooker, *Exponential Backoff and Jitter*, 2015): the pause is drawn evenly from
//! zero to the ceiling, so that a fleet that lost its control plane does not come back as one wave.

/// Bounds of the pauses, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub base_ms: u64,
    pub max_ms: u64,
}

impl Backoff {
    /// The longest pause before try number `attempts + 1`, with `attempts` failures so far.
    pub fn ceiling_ms(self, attempts: u32) -> u64 {
        let doublings = attempts.saturating_sub(1).min(62);
        self.base_ms.saturating_mul(1 << doublings).min(self.max_ms)
    }

    /// The pause itself; `dice` is any random number. Never zero unless the base is.
    pub fn pause_ms(self, attempts: u32, dice: u64) -> u64 {
        let ceiling = self.ceiling_ms(attempts);
        let floor = self.base_ms.min(ceiling) / 10;
        floor + dice % (ceiling - floor).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ceiling_doubles_until_its_maximum() {
        let check = |attempts, expected| {
            let backoff = Backoff {
                base_ms: 1_000,
                max_ms: 60_000,
            };
            assert_eq!(backoff.ceiling_ms(attempts), expected, "{attempts}");
        };
        check(0, 1_000);
        check(1, 1_000);
        check(2, 2_000);
        check(6, 32_000);
        check(7, 60_000);
        check(u32::MAX, 60_000);
    }

    proptest! {
        #[test]
        fn a_pause_never_exceeds_its_ceiling(
            base_ms in 0u64..=u64::MAX, max_ms: u64, attempts: u32, dice: u64,
        ) {
            let backoff = Backoff { base_ms, max_ms };
            prop_assert!(backoff.pause_ms(attempts, dice) <= backoff.ceiling_ms(attempts));
        }
    }
}
