//! Cards as pictures for the engine.

use fleet_cards::{Card, render_band};
use fleet_protocol::player::Orientation;

use crate::media::frame::{BYTES_PER_PIXEL, Pool, SharedFrame, Size};

/// Rows drawn at a time.
const BAND_ROWS: u32 = 64;

/// What a card is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canvas {
    /// Of the engine's pictures.
    pub size: Size,
    /// How the screen is mounted.
    pub orientation: Orientation,
}

impl Canvas {
    /// As whoever stands before the screen sees it.
    const fn seen(self) -> Size {
        if self.orientation.is_upright() {
            self.size.swapped()
        } else {
            self.size
        }
    }

    /// Where a pixel of what is seen is in the engine's picture.
    const fn place(self, x: u32, y: u32) -> (u32, u32) {
        let (right, bottom) = (self.size.width() - 1, self.size.height() - 1);
        match self.orientation {
            Orientation::Landscape => (x, y),
            Orientation::Portrait => (y, bottom - x),
            Orientation::LandscapeFlipped => (right - x, bottom - y),
            Orientation::PortraitFlipped => (right - y, x),
        }
    }
}

/// `card` as a picture that fills `canvas`, upright for whoever stands before the screen.
pub fn picture(card: &Card, canvas: Canvas) -> SharedFrame {
    let seen = canvas.seen();
    let width = canvas.size.width() as usize;
    let drawn = Pool::new(canvas.size).frame::<std::convert::Infallible>(|bytes| {
        for top in (0..seen.height()).step_by(BAND_ROWS as usize) {
            let band = render_band(card, seen.width(), seen.height(), top, BAND_ROWS);
            for (y, row) in (top..).zip(band.rows()) {
                for (x, pixel) in (0..).zip(row.chunks_exact(BYTES_PER_PIXEL)) {
                    let (x, y) = canvas.place(x, y);
                    let at = (y as usize * width + x as usize) * BYTES_PER_PIXEL;
                    bytes[at..at + BYTES_PER_PIXEL].copy_from_slice(pixel);
                }
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

    /// What is seen on a screen of `size` that was turned clockwise by 90 degrees.
    fn turned(screen: &[u8], size: Size) -> (Vec<u8>, Size) {
        let (width, height) = (size.width() as usize, size.height() as usize);
        let mut seen = vec![0; screen.len()];
        for (index, pixel) in screen.chunks_exact(BYTES_PER_PIXEL).enumerate() {
            let (x, y) = (index % width, index / width);
            let at = (x * height + height - 1 - y) * BYTES_PER_PIXEL;
            seen[at..at + BYTES_PER_PIXEL].copy_from_slice(pixel);
        }
        (seen, size.swapped())
    }

    #[test]
    fn a_card_fills_the_screen_and_is_upright_however_that_is_mounted() {
        let card = Card::Boot {
            version: "1.2.3".to_owned(),
        };
        let check = |orientation: Orientation, width, height| {
            let size = Size::new(width, height).unwrap();
            let drawn = picture(&card, Canvas { size, orientation });
            let quarters = orientation.degrees() / 90;
            let screen = (drawn.as_ref().to_vec(), size);
            let (seen, size) =
                (0..quarters).fold(screen, |(screen, size), _| turned(&screen, size));
            let expected = fleet_cards::render(&card, size.width(), size.height());
            let expected: Vec<u8> = expected.rows().flatten().copied().collect();
            assert!(seen == expected, "{orientation:?} {width}x{height}");
        };
        for orientation in [
            Orientation::Landscape,
            Orientation::Portrait,
            Orientation::LandscapeFlipped,
            Orientation::PortraitFlipped,
        ] {
            check(orientation, 640, 360);
            check(orientation, 360, 641);
        }
    }
}
