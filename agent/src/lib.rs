//! Fleet's agent: keeps one device's system honest.

pub mod client;
pub mod core;
pub mod daemon;
pub mod platform;

pub mod page;
pub mod safe_mode;
pub mod support_bundle;
