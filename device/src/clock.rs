//! The clock: the only place of the device's programs that reads it. Whatever decides takes [`Now`] as an argument.

use fleet_protocol::instant::{Monotonic, Now};
use jiff::Timestamp;
use nix::sys::time::TimeValLike as _;
use nix::time::{ClockId, clock_gettime};

/// Both clocks at this instant.
pub fn now() -> Now {
    Now {
        wall: wall(),
        mono: monotonic(),
    }
}

/// What people see. It can be wrong and it can be set.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the module that owns the clock"
)]
pub fn wall() -> Timestamp {
    Timestamp::now()
}

/// Milliseconds since boot, suspended time included.
pub fn monotonic() -> Monotonic {
    let spec =
        clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has had CLOCK_BOOTTIME since 2.6.39");
    Monotonic(u64::try_from(spec.num_milliseconds()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let before = monotonic();
        assert!(monotonic() >= before);
    }
}
