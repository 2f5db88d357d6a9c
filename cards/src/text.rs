//! Lines of text: measuring, wrapping and drawing with the one built-in typeface.

use std::sync::LazyLock;

use ab_glyph::{Font as _, FontRef, PxScale, ScaleFont as _, point};

use super::canvas::{Band, Rgb};

static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("font/Roboto-Medium-latin.ttf"))
        .expect("the built-in font is a valid TrueType file, as the tests draw with it")
});

/// Height of the em box to the distance of two lines.
pub(super) const LINE_SPACING: f32 = 1.28;

/// Whether the typeface has this character.
pub(super) fn has_glyph(c: char) -> bool {
    FONT.glyph_id(c).0 != 0
}

/// Width of one line in pixels at `size` pixels an em.
pub(super) fn width_of(line: &str, size: f32) -> f32 {
    let font = FONT.as_scaled(PxScale::from(em_to_scale(size)));
    let mut previous = None;
    let mut width = 0.0;
    for glyph in line.chars().map(|c| FONT.glyph_id(c)) {
        if let Some(previous) = previous {
            width += font.kern(previous, glyph);
        }
        width += font.h_advance(glyph);
        previous = Some(glyph);
    }
    width
}

/// Breaks `text` at spaces so that each line fits `max_width`; a word longer than that is cut.
/// At most `max_lines`; what is left over ends in an ellipsis.
pub(super) fn wrap(text: &str, size: f32, max_width: f32, max_lines: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        for piece in pieces(word, size, max_width) {
            let candidate = if line.is_empty() {
                piece.clone()
            } else {
                format!("{line} {piece}")
            };
            if width_of(&candidate, size) <= max_width {
                line = candidate;
            } else {
                lines.push(std::mem::replace(&mut line, piece));
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    if lines.len() > max_lines {
        lines.truncate(max_lines);
        if let Some(last) = lines.last_mut() {
            while !last.is_empty() && width_of(&format!("{last}…"), size) > max_width {
                last.pop();
            }
            last.push('…');
        }
    }
    lines
}

fn pieces(word: &str, size: f32, max_width: f32) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for c in word.chars() {
        piece.push(c);
        if width_of(&piece, size) > max_width && piece.chars().count() > 1 {
            piece.pop();
            pieces.push(std::mem::replace(&mut piece, c.to_string()));
        }
    }
    pieces.push(piece);
    pieces
}

/// Draws one line whose em box begins at `(x, y)`.
pub(super) fn draw(band: &mut Band, line: &str, x: f32, y: f32, size: f32, color: Rgb) {
    if !band.touches(y - size, y + 2.0 * size) {
        return;
    }
    let scale = PxScale::from(em_to_scale(size));
    let font = FONT.as_scaled(scale);
    let baseline = y + font.ascent();
    let mut pen = x;
    let mut previous = None;
    for id in line.chars().map(|c| FONT.glyph_id(c)) {
        if let Some(previous) = previous {
            pen += font.kern(previous, id);
        }
        let glyph = id.with_scale_and_position(scale, point(pen, baseline));
        pen += font.h_advance(id);
        previous = Some(id);
        let Some(outline) = FONT.outline_glyph(glyph) else {
            continue;
        };
        let bounds = outline.px_bounds();
        let (left, top) = (whole(bounds.min.x), whole(bounds.min.y));
        outline.draw(|dx, dy, coverage| {
            band.blend(left + i64::from(dx), top + i64::from(dy), color, coverage);
        });
    }
}

/// `ab_glyph` scales by ascent + descent, type is measured by the em.
fn em_to_scale(size: f32) -> f32 {
    let units = FONT.units_per_em().unwrap_or(2048.0);
    size * FONT.height_unscaled() / units
}

#[expect(clippy::cast_possible_truncation, reason = "a position on a screen")]
fn whole(position: f32) -> i64 {
    position as i64
}
