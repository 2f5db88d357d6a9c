//! What the control plane decides: pure functions of facts and an instant.

pub mod config;
pub mod rollout;
pub mod target;
pub mod why;
