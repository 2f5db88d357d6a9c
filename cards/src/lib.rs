//! Cards: full-screen messages in large type, as pixels.
//!
//! A card is what a screen shows when there is no content: at boot, while a device joins its fleet, when nothing
//! is scheduled, when an operator asks "which one is it?", and in safe mode. It is readable at
//! three metres and carries a QR code with the address of the device's local page.
//!
//! Invariants:
//! - [`render_band`] is pure: same card, same size, same pixels. It needs memory for one band only,
//!   because a whole 4K picture would be three times the agent's memory budget.
//! - A card never shows a secret unless somebody proved to stand at the device
//!   (docs/decisions/0006-pin-and-presence.md); the caller decides by filling [`SafeModeCard::pin`].

use serde::{Deserialize, Serialize};

mod canvas;
mod layout;
mod message;
mod notice;
mod text;

pub use canvas::Band;
pub use message::{Message, message_fits, render_message, undrawable};
pub use notice::{NOTICE_FILE, Notice};

/// What to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Card {
    /// The system is starting.
    Boot {
        version: String,
    },
    /// The device is joining its fleet, or waits for somebody to let it.
    Pairing {
        /// One sentence: what happens now.
        status: String,
        /// What to type in there, set large.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// Where to go on: becomes the QR code.
        url: Option<String>,
        /// Serial number or device id, so that a person can tell devices apart.
        device: String,
    },
    /// "Which screen is it?"
    Identify {
        device: String,
        version: String,
        addresses: Vec<String>,
        url: Option<String>,
    },
    /// Everything is as it should be, and there is nothing else to show.
    Status {
        device: String,
        version: String,
        /// Where the last word of the control plane is not old.
        online: bool,
        /// What an update is doing, if it is doing something.
        activity: Option<String>,
        addresses: Vec<String>,
        url: Option<String>,
    },
    SafeMode(SafeModeCard),
}

/// The card of safe mode.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SafeModeCard {
    /// One sentence: why normal operation stopped.
    pub reason: String,
    /// One sentence: what is going on or what to do.
    pub advice: String,
    pub device: String,
    pub version: String,
    /// `http://192.168.1.20/`; none while there is no network.
    pub url: Option<String>,
    pub addresses: Vec<String>,
    /// Shown for a short time after somebody pressed a key at the device.
    pub pin: Option<String>,
}

/// Draws rows `top..top + rows` of the card at `width` × `height` pixels.
pub fn render_band(card: &Card, width: u32, height: u32, top: u32, rows: u32) -> Band {
    let mut band = Band::new(width, top, rows.min(height.saturating_sub(top)));
    layout::draw(&layout::content(card), width, height, &mut band);
    band
}

/// The whole picture in one band: for tests and small screens.
pub fn render(card: &Card, width: u32, height: u32) -> Band {
    render_band(card, width, height, 0, height)
}

#[cfg(test)]
mod tests;
