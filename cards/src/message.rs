//! A message to everybody in front of a screen: as large as it fits, to be read while walking past.

use super::canvas::{Band, Rect, Rgb};
use super::text;

const RED: Rgb = Rgb(0xb3, 0x12, 0x1d);
const NIGHT: Rgb = Rgb(0x10, 0x15, 0x1c);
const WHITE: Rgb = Rgb(0xff, 0xff, 0xff);
const QUIET: Rgb = Rgb(0xd5, 0xdc, 0xe4);

const TITLE_LINES: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// A few words above the text; may be empty.
    pub title: String,
    /// Lines may be broken by `\n`.
    pub text: String,
    /// White on red.
    pub urgent: bool,
}

/// Where the parts of a message go on a picture.
struct Layout {
    margin: f32,
    title_size: f32,
    title: Vec<String>,
    text_size: f32,
    text: Vec<String>,
    /// What the title leaves.
    below: f32,
    fits: bool,
}

#[expect(clippy::cast_precision_loss, reason = "sizes of a screen")]
fn layout(message: &Message, width: u32, height: u32) -> Layout {
    let unit = width.min(height) as f32;
    let margin = unit / 12.0;
    let room = (width as f32 - 2.0 * margin).max(1.0);
    let title_size = unit / 12.0;
    let title = text::wrap(&message.title, title_size, room, TITLE_LINES);
    let all_of_title = text::wrap(&message.title, title_size, room, usize::MAX);
    let above = margin + height_of(&title, title_size);
    let below = (height as f32 - margin - above).max(0.0);
    let (text_size, text) = fit(&message.text, unit, room, below);
    Layout {
        margin,
        title_size,
        fits: title == all_of_title && height_of(&text, text_size) <= below,
        title,
        text_size,
        text,
        below,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few lines")]
fn height_of(lines: &[String], size: f32) -> f32 {
    size * text::LINE_SPACING * lines.len() as f32
}

/// The message on a picture of `width` × `height` pixels.
pub fn render_message(message: &Message, width: u32, height: u32) -> Band {
    let mut band = Band::new(width, 0, height);
    let all = Rect {
        x: 0,
        y: 0,
        width,
        height,
    };
    band.fill(all, if message.urgent { RED } else { NIGHT });
    let layout = layout(message, width, height);
    let mut put = |lines: &[String], mut y: f32, size: f32, color: Rgb| {
        for line in lines {
            text::draw(&mut band, line, layout.margin, y, size, color);
            y += size * text::LINE_SPACING;
        }
        y
    };
    let y = put(&layout.title, layout.margin, layout.title_size, QUIET);
    let spare = layout.below - height_of(&layout.text, layout.text_size);
    let middle = y + (spare / 2.0).max(0.0);
    put(&layout.text, middle, layout.text_size, WHITE);
    band
}

/// Whether all of the message can be read on a picture of this size.
pub fn message_fits(message: &Message, width: u32, height: u32) -> bool {
    layout(message, width, height).fits
}

/// The largest size at which the text fits without a broken word, and its lines; else the smallest that is readable at
/// three metres.
fn fit(text: &str, unit: f32, width: f32, height: f32) -> (f32, Vec<String>) {
    let wrapped = |size: f32| -> Vec<String> {
        let paragraphs = text.lines();
        let lines = paragraphs.flat_map(|p| text::wrap(p, size, width, usize::MAX));
        lines.collect()
    };
    let mut parts = 4.0;
    while parts < 24.0 {
        let size = unit / parts;
        let whole_words = text
            .split_whitespace()
            .all(|word| text::width_of(word, size) <= width);
        let lines = wrapped(size);
        if whole_words && height_of(&lines, size) <= height {
            return (size, lines);
        }
        parts *= 1.1;
    }
    (unit / 24.0, wrapped(unit / 24.0))
}

/// The first character that the built-in typeface (Latin) does not have.
pub fn undrawable(text: &str) -> Option<char> {
    text.chars()
        .find(|c| !c.is_whitespace() && !text::has_glyph(*c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, urgent: bool) -> Message {
        Message {
            title: "Fire alarm".to_owned(),
            text: text.to_owned(),
            urgent,
        }
    }

    #[test]
    fn short_messages_are_larger_than_long_ones_and_both_fit() {
        let (short, lines) = fit("Leave now", 1080.0, 900.0, 800.0);
        assert!(lines.len() <= 2 && short > 150.0, "{short}: {lines:?}");
        let long = "Please leave the building by the stairs. ".repeat(7);
        let (small, lines) = fit(&long, 1080.0, 900.0, 800.0);
        let count = f32::from(u8::try_from(lines.len()).unwrap());
        assert!(small < short && small * text::LINE_SPACING * count <= 800.0);
        assert!(small >= 1080.0 / 24.0);
        let (_, lines) = fit("one\ntwo", 1080.0, 900.0, 800.0);
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn an_urgent_message_is_red_to_its_edges_and_has_white_letters() {
        let band = render_message(&message("Leave by the stairs", true), 640, 360);
        let rows: Vec<&[u8]> = band.rows().collect();
        assert_eq!(rows[0][..3], [0x1d, 0x12, 0xb3]);
        assert_eq!(rows[359][639 * 4..][..3], [0x1d, 0x12, 0xb3]);
        let white = rows.iter().flat_map(|row| row.chunks_exact(4));
        assert!(white.filter(|p| p[..3] == [0xff; 3]).count() > 1_000);
        let calm = render_message(&message("Closed today", false), 360, 640);
        assert_eq!(calm.rows().next().unwrap()[..3], [0x1c, 0x15, 0x10]);
    }

    #[test]
    fn what_does_not_fit_is_told_from_what_does() {
        let fits = |text: &str| message_fits(&message(text, true), 1920, 1080);
        assert!(fits(&"Please leave by the stairs. ".repeat(10)));
        assert!(!fits(&"room\n".repeat(20)));
        let long = Message {
            title: "Evacuation of the whole building, all of its floors, now!!!!".to_owned(),
            ..message("Leave", true)
        };
        assert!(message_fits(&long, 1080, 1920));
    }

    #[test]
    fn what_can_t_be_drawn_is_named() {
        assert_eq!(undrawable("Fuego — salgan ¡ya!\nÄÖÜ"), None);
        assert_eq!(undrawable("火事です"), Some('火'));
    }
}
