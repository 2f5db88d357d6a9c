//! Safe mode: what the device does when normal operation can't be kept.
//!
//! `fleet-agent safe-mode`, started by its own systemd target. It shows a card on the screen, serves
//! a page on the LAN, and carries out what a technician asks for there. It needs nothing but the
//! read-only root and `/run`: whatever lies on `/data` may be missing, damaged or full.
//!
//! ```text
//! pages ─► app (router, forms) ─► gate (PIN, lockout, sessions)
//!                              └► actions (port) ─► device ─► RAUC, systemd, boot environment
//! run (loop) ─► card on the screen, network trial's end, keys pressed at the device, watchdog
//! ```

pub mod actions;
mod admission;
mod app;
mod device;
mod download;
mod facts;
mod gate;
mod install;
pub mod lockout;
pub mod network;
mod pages;
pub mod pin;
pub mod presence;
mod run;
pub mod session;
mod sign_of_life;
mod ssh;
pub mod ssh_key;
pub mod upload;
mod usb;

pub use app::{App, router};
pub use device::Device;
pub use facts::{DataState, Facts, SlotLine};
pub use gate::Gate;
pub use run::{prepare, run};

#[cfg(test)]
mod tests;
