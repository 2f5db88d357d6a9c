//! `fleet` itself, on files and against a real control plane.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod access;
mod alerts;
mod bundle;
mod content;
mod control_plane;
mod flash;
mod flash_writing;
mod keys;
mod rollouts;
mod schedule;
mod support;
