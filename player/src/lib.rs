//! The player: keeps pictures on the glass, whatever happens to content, network and control plane.

pub mod app;
pub mod cache;
mod cec;
pub mod control_plane;
pub mod conversation;
pub mod core;
pub mod journal;
pub mod media;
pub mod profile;
pub mod service;
