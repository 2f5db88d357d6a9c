//! RAUC and systemd as the agent sees them, without root: both on a private D-Bus, working on a plain
//! grubenv file and on slots that are two entries in memory.
//!
//! The fakes follow RAUC's GRUB backend (`src/bootloaders/grub.c`) in what they write and when, and
//! stream a bundle over HTTP as RAUC's nbd server does: the first four bytes, the last eight, then
//! ranges. A bundle here is one line of JSON, [`FakeBundle`], padded to whatever size.
//!
//! Both can misbehave on command: see [`Trouble`] and [`FakeSystemd::set_unit`].

#![allow(
    clippy::unused_self,
    clippy::used_underscore_binding,
    clippy::needless_pass_by_value,
    reason = "the shapes of methods and properties are D-Bus's"
)]

mod bundle;
mod bus;
mod grubenv;
mod installation;
mod rauc;
mod systemd;

pub use bundle::FakeBundle;
pub use bus::PrivateBus;
pub use grubenv::Variables;
pub use rauc::{Content, FakeRauc, Slots, Trouble};
pub use systemd::{FakeSystemd, Unit};
