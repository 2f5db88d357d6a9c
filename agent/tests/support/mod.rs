//! What the agent's integration tests stand on: a certificate authority, and an HTTPS server that can
//! misbehave.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::format_push_string,
    clippy::needless_pass_by_value,
    reason = "each test program includes it and uses a part of it"
)]

pub mod control;
pub mod device;
pub mod https;
pub mod pki;
