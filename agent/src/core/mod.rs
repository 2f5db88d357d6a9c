//! Every decision that the agent takes, as pure state machines.
//!
//! Each machine is `step(state, event, now) -> (state, effects)` or a plain function. Nothing in here
//! reads a clock, draws a random number, touches disk or network, or logs: a driver performs the
//! effects in order and feeds results back.
//!
//! Invariants:
//! - An effect `Persist` comes first in its batch. A driver that fails to persist drops the rest of
//!   the batch *and* the new state, and tries the event again later.
//! - Effects are idempotent: after a power cut between any two of them, the next `Booted` leads to
//!   the same end.
//! - An event that makes no sense in a state is answered, never a panic.

pub mod admission;
pub mod backoff;
pub mod boot;
pub mod certificate;
pub mod clock;
pub mod command_queue;
pub mod config;
pub mod contact;
pub mod gate;
pub mod interval;
pub mod reset;
pub mod safe_mode;
pub mod spool;
pub mod thermal;
pub mod update;

#[cfg(test)]
mod fixtures;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Milliseconds since boot, from a clock that nobody can set (`CLOCK_BOOTTIME`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Monotonic(pub u64);

impl Monotonic {
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// Milliseconds from `earlier` to here; 0 if it is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    #[must_use]
    pub const fn plus_ms(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}

/// The instant of an event on both clocks: what people see, and what can be subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub wall: Timestamp,
    pub mono: Monotonic,
}

/// `at` moved by `seconds`, held within what a timestamp can say.
pub(crate) fn after(at: Timestamp, seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let sum = at.as_second().saturating_add(seconds);
    Timestamp::from_second(sum).unwrap_or(Timestamp::MAX)
}
