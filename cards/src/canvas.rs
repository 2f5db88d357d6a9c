//! Pixels: a horizontal band of a picture, and the few shapes that cards are made of.

/// A colour without alpha.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rgb(pub(super) u8, pub(super) u8, pub(super) u8);

/// Rows `top..top + rows()` of a picture, as BGRX bytes (DRM's XRGB8888, little endian).
///
/// Coordinates are those of the whole picture; what falls outside the band is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    width: u32,
    top: u32,
    pixels: Vec<u8>,
}

/// A rectangle in pixels of the whole picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Band {
    /// A black band.
    pub fn new(width: u32, top: u32, rows: u32) -> Self {
        Self {
            width,
            top,
            pixels: vec![0; width as usize * rows as usize * 4],
        }
    }

    pub const fn width(&self) -> u32 {
        self.width
    }

    pub const fn top(&self) -> u32 {
        self.top
    }

    /// The rows from top to bottom, `width * 4` bytes each.
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.pixels.chunks_exact((self.width as usize * 4).max(1))
    }

    fn row_count(&self) -> u32 {
        u32::try_from(self.pixels.len() / (self.width as usize * 4).max(1)).unwrap_or(0)
    }

    /// Whether anything between `top` and `bottom` falls into this band.
    pub(super) fn touches(&self, top: f32, bottom: f32) -> bool {
        let own_top = f64::from(self.top);
        let own_bottom = own_top + f64::from(self.row_count());
        f64::from(bottom) >= own_top && f64::from(top) <= own_bottom
    }

    pub(super) fn fill(&mut self, rect: Rect, color: Rgb) {
        let first = rect.y.max(self.top);
        let last = (rect.y.saturating_add(rect.height)).min(self.top + self.row_count());
        let left = rect.x.min(self.width);
        let right = rect.x.saturating_add(rect.width).min(self.width);
        for y in first..last {
            let start = self.offset(left, y);
            let end = start + (right - left) as usize * 4;
            for pixel in self.pixels[start..end].chunks_exact_mut(4) {
                pixel.copy_from_slice(&[color.2, color.1, color.0, 0]);
            }
        }
    }

    /// Lays `color` over the pixel, `coverage` from 0 (not at all) to 1.
    pub(super) fn blend(&mut self, x: i64, y: i64, color: Rgb, coverage: f32) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else {
            return;
        };
        if x >= self.width || y < self.top || y >= self.top + self.row_count() {
            return;
        }
        let at = self.offset(x, y);
        for (channel, new) in self.pixels[at..at + 3]
            .iter_mut()
            .zip([color.2, color.1, color.0])
        {
            *channel = mix(*channel, new, coverage);
        }
    }

    fn offset(&self, x: u32, y: u32) -> usize {
        ((y - self.top) as usize * self.width as usize + x as usize) * 4
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of two bytes is a byte"
)]
fn mix(old: u8, new: u8, coverage: f32) -> u8 {
    let coverage = coverage.clamp(0.0, 1.0);
    (f32::from(old) * (1.0 - coverage) + f32::from(new) * coverage).round() as u8
}
