//! Safe mode.
pub mod lockout;
pub mod network;
pub mod pin;
pub mod session;
pub mod ssh_key;
