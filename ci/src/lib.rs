//! What `cargo xtask` does, as a library: setting up a machine, the tools tree, the reference image, bundles, lints.
//!
//! The system tests link it too, so that a story can ask for an image or a bad release in one call. Everything a
//! build makes lies under `target/fleet/` and is keyed by what it was made from; deleting that folder is always safe.

pub mod bench;
pub mod bundle;
pub mod contract;
pub mod debian;
pub mod demo;
pub mod desktop;
pub mod fuzz;
pub mod image;
pub mod keys;
pub mod kit;
pub mod lint;
pub mod postgres;
pub mod process;
pub mod progress;
pub mod python;
pub mod setup;
pub mod soak;
pub mod test;
pub mod tools;
pub mod virtual_machine;
pub mod workspace;
pub mod yocto;
