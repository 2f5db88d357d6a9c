//! A process that turns one file into frames, and is never trusted.
//!
//! `fleet-player decode` is started with its socket as standard input ([`super::wire`]) and the memory
//! file of its frames as standard output. It loads the libraries, waits for its order, locks itself in
//! ([`sandbox`]) and only then opens the file. One process decodes one item and ends with it, so that
//! neither a leak nor a crash outlives the item.

mod choice;
mod limits;
mod pipeline;
mod process;
mod sandbox;
mod upright;
mod work;

pub use process::{Decoder, Program, Said, SpawnError};
pub use work::run;
