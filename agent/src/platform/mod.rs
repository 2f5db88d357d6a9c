//! The machine that the agent runs on: the only module that talks to RAUC, systemd, the boot
//! loader's environment and the kernel's files, and that sets the clock.
//!
//! Decisions are made in [`crate::core`]; here they are only carried out, each with a deadline.
//! Everything that is a file lies under [`paths::Paths`], so that tests run in a folder of their own.

pub mod boot_env;
pub mod booted;
pub mod bus;
pub mod clock;
pub mod cmdline;
pub mod framebuffer;
pub mod kept;
pub mod key_chain;
pub mod metrics;
pub mod paths;
pub mod rauc;
pub mod reset;
pub mod sysfs;
pub mod systemd;
