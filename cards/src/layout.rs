//! Where things go on a card: a coloured edge, heading, lines of text, a QR code.
//!
//! Sizes follow the picture's smaller side, so that a portrait screen and a small panel are as
//! readable from afar as a wide one. Body text is at least a twenty-fourth of it: about 45 pixels on
//! a 1080-line screen, whose capitals are 15 mm high on a 40-inch panel, enough for three metres.

use qrcode::{Color, EcLevel, QrCode};

use super::canvas::{Band, Rect, Rgb};
use super::{Card, SafeModeCard, text};

const BACKGROUND: Rgb = Rgb(0x10, 0x15, 0x1c);
const HEADING: Rgb = Rgb(0xff, 0xff, 0xff);
const BODY: Rgb = Rgb(0xd5, 0xdc, 0xe4);
const QUIET: Rgb = Rgb(0x8e, 0x9a, 0xa8);
const WHITE: Rgb = Rgb(0xff, 0xff, 0xff);
const BLACK: Rgb = Rgb(0, 0, 0);
const BLUE: Rgb = Rgb(0x3b, 0x9c, 0xf5);
const GREEN: Rgb = Rgb(0x3f, 0xb9, 0x7a);
const AMBER: Rgb = Rgb(0xf5, 0xa5, 0x24);

/// A card, reduced to what all cards have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    accent: Rgb,
    kicker: &'static str,
    heading: String,
    lines: Vec<String>,
    /// Set large and in the accent's colour: the PIN.
    emphasis: Option<String>,
    footer: String,
    qr: Option<String>,
}

pub(super) fn content(card: &Card) -> Content {
    match card {
        Card::Boot { version } => Content {
            accent: BLUE,
            kicker: "",
            heading: "Starting".to_owned(),
            lines: Vec::new(),
            emphasis: None,
            footer: format!("Version {version}"),
            qr: None,
        },
        Card::Pairing {
            status,
            code,
            url,
            device,
        } => Content {
            accent: BLUE,
            kicker: "NEW DEVICE",
            heading: status.clone(),
            lines: url.iter().cloned().collect(),
            emphasis: code.clone(),
            footer: device.clone(),
            qr: url.clone(),
        },
        Card::Identify {
            device,
            version,
            addresses,
            url,
        } => Content {
            accent: BLUE,
            kicker: "THIS DEVICE IS",
            heading: device.clone(),
            lines: addresses.clone(),
            emphasis: None,
            footer: format!("Version {version}"),
            qr: url.clone(),
        },
        Card::Status {
            device,
            version,
            online,
            activity,
            addresses,
            url,
        } => Content {
            accent: if *online { GREEN } else { AMBER },
            kicker: if *online { "ONLINE" } else { "OFFLINE" },
            heading: device.clone(),
            lines: activity
                .iter()
                .cloned()
                .chain(url.clone().or_else(|| Some("No network yet.".to_owned())))
                .chain(
                    addresses
                        .iter()
                        .filter(|a| url.as_ref().is_none_or(|url| !url.contains(a.as_str())))
                        .cloned(),
                )
                .collect(),
            emphasis: None,
            footer: format!("Version {version}"),
            qr: url.clone(),
        },
        Card::SafeMode(card) => safe_mode(card),
    }
}

fn safe_mode(card: &SafeModeCard) -> Content {
    let mut lines = vec![card.advice.clone()];
    match &card.url {
        Some(url) => lines.push(format!("On the same network, open {url}")),
        None => lines.push("No network yet. Connect a network cable.".to_owned()),
    }
    let others: Vec<&str> = card
        .addresses
        .iter()
        .map(String::as_str)
        .filter(|a| card.url.as_ref().is_none_or(|url| !url.contains(a)))
        .collect();
    if !others.is_empty() {
        lines.push(format!("Also: {}", others.join(", ")));
    }
    if card.pin.is_none() {
        lines.push("PIN: on the label, or press a key at the device.".to_owned());
    }
    Content {
        accent: AMBER,
        kicker: "SAFE MODE",
        heading: card.reason.clone(),
        lines,
        emphasis: card.pin.as_ref().map(|pin| format!("PIN {pin}")),
        footer: [card.device.as_str(), card.version.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("   •   "),
        qr: card.url.clone(),
    }
}

/// Draws `content` as it stands on a picture of `width` × `height` into `band`.
#[expect(clippy::cast_precision_loss, reason = "sizes of a screen")]
pub(super) fn draw(content: &Content, width: u32, height: u32, band: &mut Band) {
    let unit = width.min(height);
    let margin = unit / 14;
    band.fill(
        Rect {
            x: 0,
            y: 0,
            width,
            height,
        },
        BACKGROUND,
    );
    band.fill(
        Rect {
            x: 0,
            y: 0,
            width: (unit / 60).max(4),
            height,
        },
        content.accent,
    );

    let landscape = width >= height;
    let qr_side = content.qr.as_ref().map_or(0, |_| unit * 2 / 5);
    if let Some(url) = &content.qr {
        let (x, y) = if landscape {
            (
                width.saturating_sub(margin + qr_side),
                height.saturating_sub(margin + qr_side),
            )
        } else {
            (
                (width.saturating_sub(qr_side)) / 2,
                height.saturating_sub(3 * margin + qr_side),
            )
        };
        draw_qr(band, url, x, y, qr_side);
    }

    let full = width.saturating_sub(2 * margin) as f32;
    let beside_qr = if landscape && qr_side > 0 {
        full - (qr_side + margin) as f32
    } else {
        full
    };
    let body = (unit as f32 / 24.0).max(11.0);
    let heading = body * 2.0;
    let x = margin as f32;
    let mut y = margin as f32;
    let mut put = |line: &str, y: &mut f32, size: f32, color: Rgb| {
        text::draw(band, line, x, *y, size, color);
        *y += size * text::LINE_SPACING;
    };
    if !content.kicker.is_empty() {
        put(content.kicker, &mut y, body, content.accent);
        y += body * 0.2;
    }
    for line in text::wrap(&content.heading, heading, full, 3) {
        put(&line, &mut y, heading, HEADING);
    }
    y += body * 0.6;
    if let Some(emphasis) = &content.emphasis {
        put(emphasis, &mut y, heading, content.accent);
        y += body * 0.3;
    }
    for paragraph in &content.lines {
        // Text that has not yet come down to the QR code may use the whole width.
        for line in text::wrap(paragraph, body, beside_qr, 3) {
            put(&line, &mut y, body, BODY);
        }
        y += body * 0.35;
    }
    let footer_y = height.saturating_sub(margin) as f32 - body;
    for line in text::wrap(&content.footer, body * 0.8, beside_qr, 1) {
        let mut at = footer_y;
        put(&line, &mut at, body * 0.8, QUIET);
    }
}

/// Black on white with the quiet zone of four modules that ISO/IEC 18004 asks for.
fn draw_qr(band: &mut Band, data: &str, x: u32, y: u32, side: u32) {
    let Ok(code) = QrCode::with_error_correction_level(data, EcLevel::M) else {
        // Longer than any QR code holds: the address is on the card as text as well.
        return;
    };
    let modules = u32::try_from(code.width()).unwrap_or(u32::MAX / 2);
    let module = (side / (modules + 8)).max(1);
    let origin = side.saturating_sub(module * modules) / 2;
    band.fill(
        Rect {
            x,
            y,
            width: side,
            height: side,
        },
        WHITE,
    );
    for (index, color) in (0u32..).zip(code.to_colors()) {
        if color == Color::Dark {
            band.fill(
                Rect {
                    x: x + origin + index % modules * module,
                    y: y + origin + index / modules * module,
                    width: module,
                    height: module,
                },
                BLACK,
            );
        }
    }
}
