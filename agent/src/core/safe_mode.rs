//! When normal operation can't be kept: the decision to enter safe mode, and to leave it.
//!
//! What sent a device there may pass (a disk that comes back, a server that answers again), and nobody
//! may be near: after half an hour without a person it restarts and tries normal operation by itself,
//! then after twice as long, up to [`LONGEST_PAUSE_S`].
//!
//! Failures are counted over restarts and boots, so they are persisted (on a volatile place too, if
//! the data partition is the failure). The wall clock serves: it never falls below its floor.

use fleet_protocol::UnitName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Failures that are remembered; more would decide nothing.
const MAX_FAILURES: usize = 64;

/// Before the first retry that nobody asked for.
pub const FIRST_PAUSE_S: u64 = 30 * 60;
pub const LONGEST_PAUSE_S: u64 = 8 * 3_600;
/// A retry that kept the device out of safe mode for this long was a good one.
const RETRIES_FORGOTTEN_S: i64 = 24 * 3_600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// This many failures of one required unit within the window are a crash loop.
    pub max_failures: u32,
    pub window_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_failures: 5,
            window_s: 600,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub unit: UnitName,
    pub at: Timestamp,
}

/// Why the device is in safe mode, in the order in which they are preferred as the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "cause",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Cause {
    /// The bootloader had nothing left to boot: `fleet.safe_mode=1`.
    Bootloader,
    /// Neither slot passes its health gate.
    BothSlotsUnhealthy {
        detail: String,
    },
    /// The data partition can't be mounted or written.
    DataUnreadable {
        detail: String,
    },
    CrashLoop {
        unit: UnitName,
        failures: u32,
    },
    /// A person asked for it.
    Asked,
}

impl Cause {
    /// For the screen and the page.
    pub fn sentence(&self) -> String {
        match self {
            Self::Bootloader => "No system slot could be started normally.".to_owned(),
            Self::BothSlotsUnhealthy { detail } => {
                format!("Neither system slot is healthy: {detail}.")
            }
            Self::DataUnreadable { detail } => {
                format!("The data partition cannot be used: {detail}.")
            }
            Self::CrashLoop { unit, failures } => {
                format!("{unit} failed {failures} times in a short time.")
            }
            Self::Asked => "Safe mode was asked for.".to_owned(),
        }
    }
}

/// The persisted memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Watch {
    pub failures: Vec<Failure>,
    /// `Some`: in safe mode, or about to be.
    pub cause: Option<Cause>,
    /// Retries that nobody asked for, since all was well.
    pub retries: u32,
    pub retried_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// At start, from the kernel command line and the mounts.
    Booted {
        forced_by_bootloader: bool,
        /// Why `/data` is unusable, if it is.
        data_trouble: Option<String>,
    },
    UnitFailed {
        unit: UnitName,
    },
    /// The update engine has nothing to go back to.
    NothingHealthy {
        detail: String,
    },
    DataLost {
        detail: String,
    },
    Asked,
    /// The health gate held: what came before is forgiven.
    Healthy,
    /// A person retries, rolled back or installed something: leave for a normal boot.
    LeaveAsked,
    /// Safe mode has lasted for its pause, and nobody is there.
    RetryDue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Persist(Watch),
    /// Isolate `fleet-safe-mode.target`.
    Enter(Cause),
    /// Back to normal operation; the reboot is the caller's.
    Leave,
}

impl Watch {
    #[must_use]
    pub fn step(mut self, event: Event, now: Timestamp, limits: &Limits) -> (Self, Vec<Effect>) {
        let before = self.clone();
        let mut leave = false;
        let cause = match event {
            Event::Booted {
                forced_by_bootloader,
                data_trouble,
            } => {
                // Each boot decides anew: a cause that is gone must not keep the screen dark.
                self.cause = None;
                if forced_by_bootloader {
                    Some(Cause::Bootloader)
                } else {
                    data_trouble
                        .map(|detail| Cause::DataUnreadable { detail })
                        .or_else(|| self.crash_loop(now, limits))
                }
            }
            Event::UnitFailed { unit } => {
                self.failures.push(Failure { unit, at: now });
                let excess = self.failures.len().saturating_sub(MAX_FAILURES);
                self.failures.drain(..excess);
                self.crash_loop(now, limits)
            }
            Event::NothingHealthy { detail } => Some(Cause::BothSlotsUnhealthy { detail }),
            Event::DataLost { detail } => Some(Cause::DataUnreadable { detail }),
            Event::Asked => Some(Cause::Asked),
            Event::Healthy => {
                self.failures.clear();
                self.forget_retries();
                None
            }
            Event::LeaveAsked => {
                self.failures.clear();
                self.forget_retries();
                leave = self.cause.take().is_some();
                None
            }
            Event::RetryDue => {
                self.retries = self.retries_before(now).saturating_add(1);
                self.retried_at = Some(now);
                self.failures.clear();
                self.cause = None;
                leave = true;
                None
            }
        };
        let mut effects = Vec::new();
        if let Some(cause) = cause.filter(|_| self.cause.is_none()) {
            self.cause = Some(cause.clone());
            effects.push(Effect::Enter(cause));
        }
        if leave {
            effects.push(Effect::Leave);
        }
        if self != before {
            effects.insert(0, Effect::Persist(self.clone()));
        }
        (self, effects)
    }

    /// How long safe mode lasts before the device tries normal operation by itself.
    pub fn pause_s(&self, now: Timestamp) -> u64 {
        let doublings = self.retries_before(now).min(16);
        (FIRST_PAUSE_S << doublings).min(LONGEST_PAUSE_S)
    }

    /// Retries that still count at `now`. A clock that was set back forgets none.
    fn retries_before(&self, now: Timestamp) -> u32 {
        let is_old = self
            .retried_at
            .is_none_or(|at| now.as_second().saturating_sub(at.as_second()) > RETRIES_FORGOTTEN_S);
        if is_old { 0 } else { self.retries }
    }

    fn forget_retries(&mut self) {
        self.retries = 0;
        self.retried_at = None;
    }

    /// A unit that failed too often, counting only what lies within the window before `now`. What
    /// lies in the future was written by a clock that ran ahead, and counts for nothing.
    fn crash_loop(&mut self, now: Timestamp, limits: &Limits) -> Option<Cause> {
        let window_s = i64::try_from(limits.window_s).unwrap_or(i64::MAX);
        self.failures.retain(|f| {
            let age = now.as_second().saturating_sub(f.at.as_second());
            (0..=window_s).contains(&age)
        });
        let of = |unit: &UnitName| self.failures.iter().filter(|f| f.unit == *unit).count();
        self.failures.iter().find_map(|f| {
            let failures = u32::try_from(of(&f.unit)).unwrap_or(u32::MAX);
            (failures >= limits.max_failures.max(1)).then(|| Cause::CrashLoop {
                unit: f.unit.clone(),
                failures,
            })
        })
    }
}

#[cfg(test)]
mod tests;
