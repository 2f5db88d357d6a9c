//! When to poll next: the role's interval, moved a little either way, so that devices switched on by
//! the same mains do not poll in step.

/// `interval_ms` moved by up to `jitter_percent` of itself (at most 100) either way; `dice` is any
/// random number.
pub fn next_poll_ms(interval_ms: u64, jitter_percent: u8, dice: u64) -> u64 {
    let jitter_percent = u64::from(jitter_percent.min(100));
    let reach = interval_ms / 100 * jitter_percent + interval_ms % 100 * jitter_percent / 100;
    let span = reach.saturating_mul(2).saturating_add(1);
    (interval_ms - reach).saturating_add(dice % span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_jitter_gives_the_interval_itself() {
        assert_eq!(next_poll_ms(60_000, 0, 12_345), 60_000);
    }

    proptest! {
        #[test]
        fn the_pause_stays_within_its_jitter(
            interval_ms in 0u64..=86_400_000, percent in 0u8..=100, dice: u64,
        ) {
            let reach = interval_ms * u64::from(percent) / 100;
            let pause = next_poll_ms(interval_ms, percent, dice);
            prop_assert!(pause >= interval_ms - reach && pause <= interval_ms + reach);
        }

        #[test]
        fn the_whole_span_is_used(interval_ms in 1_000u64..=100_000) {
            let reach = interval_ms / 10;
            prop_assert!(next_poll_ms(interval_ms, 10, 0) <= interval_ms - reach + 1);
            prop_assert!(next_poll_ms(interval_ms, 10, 2 * reach) >= interval_ms + reach - 1);
        }
    }
}
