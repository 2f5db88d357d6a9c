//! What the control plane decides: pure functions of facts and an instant.

pub mod access;
pub mod alerts;
pub mod config;
pub mod playback;
pub mod rollout;
pub mod schedule_warnings;
pub mod target;
pub mod webhooks;
pub mod why;
