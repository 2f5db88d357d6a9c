//! Safe mode.
pub mod lockout;
pub mod pin;
pub mod session;
pub mod ssh_key;
