//! A code in the pixels of a picture, that survives scaling and compression: which item it is, and which frame.
//!
//! A picture is two rows of [`COLUMNS`] fields. The upper row is the item's number and the frame's number
//! in binary, light for one and dark for zero; the lower row is the opposite of it, so a blank screen, a
//! console or a torn picture is no code at all. Light fields have the item's own colour, for people.

/// Fields side by side: 6 bits for the item, 10 for the frame.
pub const COLUMNS: u32 = 16;
const FRAME_BITS: u32 = 10;
/// How much lighter or darker, and after how many pixels it repeats.
const GRAIN: u32 = 32;

/// Which picture it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    /// Below 64.
    pub item: u16,
    /// Below 1024.
    pub frame: u16,
}

/// Pixels of one picture: blue, green, red, unused.
pub fn pixels(code: Code, width: u32, height: u32) -> Vec<u8> {
    paint(code, width, height, 1, |_, _| 0)
}

/// The same with a grain that moves from frame to frame, so that a codec has something to do.
pub fn grainy(code: Code, width: u32, height: u32) -> Vec<u8> {
    let moved = u32::from(code.frame);
    paint(code, width, height, GRAIN, |x, y| {
        let grain = ((x + 3 * moved) ^ (y + moved)) % GRAIN;
        u8::try_from(grain).unwrap_or_default()
    })
}

/// `grain` makes fields a little less light or dark; it repeats every `period` rows.
fn paint(
    code: Code,
    width: u32,
    height: u32,
    period: u32,
    grain: impl Fn(u32, u32) -> u8,
) -> Vec<u8> {
    let bits = (code.item << FRAME_BITS) | (code.frame & ((1 << FRAME_BITS) - 1));
    let light = colour(code.item);
    let row = |lower: bool, y: u32| {
        let pixel = |x: u32| {
            let column = x * COLUMNS / width;
            let one = bits & (1 << (COLUMNS - 1 - column)) != 0;
            let grain = grain(x, y);
            let [blue, green, red, _] = if one == lower {
                [16 + grain; 4]
            } else {
                light.map(|channel| channel - grain)
            };
            [blue, green, red, 255]
        };
        (0..width).flat_map(pixel).collect::<Vec<u8>>()
    };
    let rows = |lower| (0..period).map(|y| row(lower, y)).collect::<Vec<_>>();
    let halves = [rows(false), rows(true)];
    let mut bytes = Vec::with_capacity((width * height * 4) as usize);
    for y in 0..height {
        let rows = &halves[usize::from(y >= height / 2)];
        bytes.extend_from_slice(&rows[(y % period) as usize]);
    }
    bytes
}

/// Bright enough to be told from dark, and different from item to item.
fn colour(item: u16) -> [u8; 4] {
    let channel = |shift: u16| if (item >> shift) & 1 == 0 { 250 } else { 150 };
    [channel(0), channel(1), channel(2), 255]
}

/// Reads the code out of a screen of `width` pixels a row; `None` where there is none to be read.
pub fn read(screen: &[u8], width: u32, height: u32) -> Option<Code> {
    read_within(screen, width, (0, 0, width, height))
}

/// As [`read`], where the picture fills only `(left, top, width, height)` of the screen.
pub fn read_within(screen: &[u8], stride_px: u32, area: (u32, u32, u32, u32)) -> Option<Code> {
    let (left, top, width, height) = area;
    read_pixels(width, height, |x, y| {
        let at = (((top + y) * stride_px + left + x) * 4) as usize;
        screen.get(at..at + 3)?.try_into().ok()
    })
}

/// As [`read`], from pixels that are looked up one by one; the order of their colours is of no account.
pub fn read_pixels(
    width: u32,
    height: u32,
    pixel: impl Fn(u32, u32) -> Option<[u8; 3]>,
) -> Option<Code> {
    let is_light = |x: u32, y: u32| {
        let sum: u32 = pixel(x, y)?.iter().map(|byte| u32::from(*byte)).sum();
        Some(sum > 3 * 90)
    };
    let mut bits = 0u16;
    for column in 0..COLUMNS {
        let x = (2 * column + 1) * width / (2 * COLUMNS);
        let upper = is_light(x, height / 4)?;
        let lower = is_light(x, height * 3 / 4)?;
        if upper == lower {
            return None;
        }
        bits = (bits << 1) | u16::from(upper);
    }
    Some(Code {
        item: bits >> FRAME_BITS,
        frame: bits & ((1 << FRAME_BITS) - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_back_and_a_blank_screen_is_none() {
        for code in [
            Code { item: 0, frame: 0 },
            Code {
                item: 63,
                frame: 1023,
            },
            Code {
                item: 21,
                frame: 682,
            },
        ] {
            for screen in [pixels(code, 160, 90), grainy(code, 160, 90)] {
                assert_eq!(read(&screen, 160, 90), Some(code));
            }
        }
        for blank in [0, 128, 255] {
            assert_eq!(read(&vec![blank; 160 * 90 * 4], 160, 90), None);
        }
    }

    #[test]
    fn two_pictures_mixed_are_none() {
        let mixed: Vec<u8> = pixels(Code { item: 1, frame: 0 }, 160, 90)
            .into_iter()
            .zip(pixels(Code { item: 2, frame: 9 }, 160, 90))
            .map(|(a, b)| a / 2 + b / 2)
            .collect();
        assert_eq!(read(&mixed, 160, 90), None);
    }
}
