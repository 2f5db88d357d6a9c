//! The clock: the only place of the agent that sets it. Reading it is [`fleet_device::clock`].

use super::paths::Paths;
use crate::core::clock::Discipline;
use jiff::Timestamp;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

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
