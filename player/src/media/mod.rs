//! Pixels: from a file to the glass, and nothing between two pictures.
//!
//! ```text
//!  file ─► decoder process ─► frames in shared memory ─► engine ─► appsrc ─► sink ─► glass
//!          (one an item, no network,                     (one thread)        (one, PLAYING for ever;
//!           seccomp, Landlock, memory limit)                                 on a device: display)
//! ```
//!
//! A decoder delivers frames that fit the screen exactly: decoded, turned, scaled and converted. So the
//! sink sees one format for its whole life and never has a reason to set another mode, and the engine
//! has nothing to do but to hand on the right frame at the right time.
//!
//! Invariants:
//! - Nothing that a file could influence is parsed outside a decoder process. What a decoder says is
//!   data of a stranger too: it is checked before it is used.
//! - The picture on the glass stays until the next one is there. Only the engine's owner decides which
//!   that is ([`crate::core::screen`]); only [`engine`] puts it there.
//! - GStreamer and DRM are used in this folder alone.

mod bus;
mod counts;
pub mod decoder;
pub mod display;
pub mod engine;
pub mod frame;
pub mod output;
pub mod still;
mod switch;
pub mod wire;

/// The error and what caused it, on one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
