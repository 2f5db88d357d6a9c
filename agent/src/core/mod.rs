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
pub mod boot;
pub mod certificate;
pub mod clock;
pub mod command_queue;
pub mod config;
pub mod contact;
pub mod gate;
pub mod interval;
pub mod pictures;
pub mod reset;
pub mod safe_mode;
pub mod spool;
pub mod standing;
pub mod thermal;
pub mod update;

#[cfg(test)]
mod fixtures;

pub use fleet_protocol::instant::{Monotonic, Now};
use jiff::Timestamp;

/// `at` moved by `seconds`, held within what a timestamp can say.
pub(crate) fn after(at: Timestamp, seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let sum = at.as_second().saturating_add(seconds);
    Timestamp::from_second(sum).unwrap_or(Timestamp::MAX)
}
