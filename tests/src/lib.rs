//! What the system tests stand on: a device as a virtual machine, and a whole fleet around it on one host.
//!
//! A library, because `cargo xtask demo`, `soak` and `bench` drive the same machine. It does not build anything and
//! does not know where programs come from; the caller hands it [`vm::Programs`] and a finished [`kit::Kit`].

pub mod code;
pub mod fake_control_plane;
#[cfg(feature = "fake-rauc")]
pub mod fake_rauc;
pub mod fleet;
pub mod kit;
#[cfg(feature = "media")]
pub mod media;
pub mod proxy;
pub mod random;
pub mod vm;
