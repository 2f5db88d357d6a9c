//! The player: keeps pictures on the glass, whatever happens to content, network and control plane.

pub mod core;
