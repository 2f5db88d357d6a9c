//! Cards as pictures for the engine.

use fleet_cards::{Card, render_band};

use crate::media::frame::{BYTES_PER_PIXEL, Pool, SharedFrame, Size};

/// Rows drawn at a time.
const BAND_ROWS: u32 = 64;

/// `card` as a picture that fills a screen of `size`.
pub fn picture(card: &Card, size: Size) -> SharedFrame {
    let row_bytes = size.width() as usize * BYTES_PER_PIXEL;
    let drawn = Pool::new(size).frame::<std::convert::Infallible>(|bytes| {
        let bands = bytes.chunks_mut(row_bytes * BAND_ROWS as usize);
        for (top, pixels) in (0..).step_by(BAND_ROWS as usize).zip(bands) {
            let band = render_band(card, size.width(), size.height(), top, BAND_ROWS);
            for (to, from) in pixels.chunks_exact_mut(row_bytes).zip(band.rows()) {
                to.copy_from_slice(from);
            }
        }
        Ok(())
    });
    match drawn {
        Ok(frame) => frame,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_fills_the_whole_picture() {
        let card = Card::Boot {
            version: "1.2.3".to_owned(),
        };
        for (width, height) in [(640, 360), (360, 641)] {
            let size = Size::new(width, height).unwrap();
            let drawn = picture(&card, size);
            let whole: Vec<u8> = fleet_cards::render(&card, width, height)
                .rows()
                .flatten()
                .copied()
                .collect();
            assert_eq!(drawn.as_ref(), whole);
        }
    }
}
