//! Every decision that the player takes, as pure state machines.
//!
//! Each machine is `step(state, event, now) -> (state, effects)`. Nothing in here reads a clock, touches
//! disk, network or screen, or logs: a driver performs the effects in order and feeds results back. An
//! event that makes no sense in a state changes nothing.

pub mod cache;
pub mod commands;
pub mod look_ahead;
pub mod power;
pub mod screen;
pub mod sync;
pub mod witness;
