//! What must be shown of the whole system, each as a story with a name, in a virtual machine with the real boot
//! chain. `cargo xtask test` builds what they need and tells each promise's usual case; the rarer mishaps are
//! `#[ignore]`d, and told by `cargo xtask test --all-stories`.

mod bad_slots;
mod cec;
mod content;
mod data;
mod enrolment;
mod harness;
mod image;
mod network;
mod player;
mod power;
mod refusals;
mod safe_mode;
mod screen;
mod stage;
mod update;
mod watch;
mod watchdog;
