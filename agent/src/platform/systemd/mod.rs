//! systemd: units, reboot, and what it is told about the agent.

mod notify;
mod units;

pub use notify::{Liveness, Stamp, ready, status, stopping, watchdog_interval};
pub use units::{Systemd, SystemdError, UnitState};
