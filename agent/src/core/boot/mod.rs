//! The bootloader's side of the slots: what its environment block says, and what it will do.
//!
//! [`grubenv`] reads and writes the block itself, [`BootEnv`] is what Fleet keeps in it, and
//! [`bootloader`] is a model of `grub.cfg`, against which the update engine is tested.

mod boot_env;
pub mod bootloader;
pub mod grubenv;

pub use boot_env::{BootEnv, BootEnvError, MAX_ATTEMPTS, SlotEnv, reconcile};
