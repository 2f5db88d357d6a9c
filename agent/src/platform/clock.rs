//! The clock: the only place of the agent that reads or sets it.

use super::paths::Paths;
use crate::core::clock::Discipline;
use crate::core::{Monotonic, Now};
use jiff::Timestamp;
use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::time::{ClockId, clock_gettime, clock_settime};

/// Both clocks at this instant.
pub fn now() -> Now {
    Now {
        wall: wall(),
        mono: monotonic(),
    }
}

/// What people see. It can be wrong and it can be set.
#[allow(
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

#[derive(Debug, thiserror::Error)]
#[error("cannot set the clock to {to}: {source}")]
pub struct StepError {
    pub to: Timestamp,
    #[source]
    pub source: nix::Error,
}

/// Sets the clock. Needs `CAP_SYS_TIME`.
pub fn step(to: Timestamp) -> Result<(), StepError> {
    let spec = TimeSpec::new(to.as_second(), i64::from(to.subsec_nanosecond()));
    clock_settime(ClockId::CLOCK_REALTIME, spec).map_err(|source| StepError { to, source })
}

/// Who keeps the clock: systemd-timesyncd, and any other that follows
/// `systemd-time-wait-sync.service(8)`, leaves a file in `/run` once it has set it.
pub fn discipline(paths: &Paths) -> Discipline {
    let run = paths.run.parent().unwrap_or(&paths.run);
    if run.join("systemd/timesync/synchronized").exists() {
        Discipline::TimeService
    } else {
        Discipline::None
    }
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
