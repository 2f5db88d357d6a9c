//! The operator's command, as a library: `main` only reads the arguments and turns a result into an
//! exit code.
//!
//! `text` and `flash::{bmap, gpt}` parse what comes from outside as plain functions without
//! I/O. Programs are started in `rauc` only, time is read in `clock` only, HTTP is spoken in
//! `client` only, whoever sits there is asked in `ask` only, and everything printed goes through `output`.
//!
//! Invariants:
//! - Nothing half-applied: files appear by rename, existing keys and bundles are never overwritten.
//! - New tokens are on disk before they are used, and two `fleet` never use one refresh token (`credentials`).
//! - Every error says what to do next, and its kind decides the exit code (`error`).

#![allow(
    clippy::format_push_string,
    reason = "texts for people are short, and `write!` into a String needs its result ignored"
)]

pub mod account;
pub mod alert;
pub mod api_key;
pub mod args;
mod ask;
pub mod asset;
pub mod audit;
pub mod bundle;
pub mod client;
mod clock;
pub mod config;
pub mod context;
mod credentials;
pub mod device;
pub mod error;
pub mod flash;
pub mod keys;
pub mod login;
mod name;
pub mod output;
pub mod override_;
pub mod playlist;
pub mod publish;
pub mod rauc;
pub mod release;
mod resume;
pub mod rollout;
mod run;
pub mod schedule;
pub mod status;
mod store;
pub mod text;
pub mod usage;
pub mod user;
pub mod venue;
pub mod webhook;

pub use run::run;
