//! How a photograph is turned upright: what its camera wrote down beside the pixels (EXIF).
//!
//! GStreamer's decoders of pictures hand this on or not, depending on their version, and what turns a picture then
//! does so at its full size. Known beforehand it is done after scaling, in a screen's worth of memory.

/// What a camera writes is at the file's beginning; so much of it is read.
pub(super) const HEAD_BYTES: u64 = 256 * 1024;

const ORIENTATION_TAG: u16 = 0x0112;
/// Of a TIFF directory's entry: one 16 bit number.
const SHORT: u16 = 3;

/// What is done to a picture so that it is upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Upright {
    /// In the words of `videoflip`; `None` leaves it as it is.
    pub(super) direction: Option<&'static str>,
    /// Its sides change places.
    pub(super) is_sideways: bool,
}

impl Upright {
    pub(super) const AS_IT_IS: Self = Self {
        direction: None,
        is_sideways: false,
    };

    /// By a file's beginning. What is not understood is shown as it is, as browsers do.
    pub(super) fn of(head: &[u8]) -> Self {
        let exif = in_jpeg(head).or_else(|| in_png(head));
        exif.and_then(orientation)
            .and_then(Self::by_number)
            .unwrap_or(Self::AS_IT_IS)
    }

    const fn by_number(orientation: u16) -> Option<Self> {
        let direction = match orientation {
            1 => None,
            2 => Some("horiz"),
            3 => Some("180"),
            4 => Some("vert"),
            5 => Some("ul-lr"),
            6 => Some("90r"),
            7 => Some("ur-ll"),
            8 => Some("90l"),
            _ => return Option::None,
        };
        Some(Self {
            direction,
            is_sideways: orientation >= 5,
        })
    }
}

/// The TIFF structure of a JPEG's APP1 segment.
fn in_jpeg(head: &[u8]) -> Option<&[u8]> {
    let mut rest = head.strip_prefix(&[0xff, 0xd8])?;
    loop {
        // Any number of 0xff may stand before a marker.
        let at = rest.iter().position(|byte| *byte != 0xff)?;
        let marker = *rest.get(at).filter(|_| at > 0)?;
        rest = &rest[at + 1..];
        // The picture itself begins, and nothing of interest comes after it.
        if matches!(marker, 0xda | 0xd9) {
            return None;
        }
        let length = usize::from(u16::from_be_bytes(bytes(rest, 0)?));
        let segment = rest.get(2..length)?;
        if let Some(tiff) = segment.strip_prefix(b"Exif\0\0").filter(|_| marker == 0xe1) {
            return Some(tiff);
        }
        rest = &rest[length..];
    }
}

/// The TIFF structure of a PNG's `eXIf` chunk.
fn in_png(head: &[u8]) -> Option<&[u8]> {
    let mut rest = head.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    loop {
        let length = usize::try_from(u32::from_be_bytes(bytes(rest, 0)?)).ok()?;
        let body = rest.get(8..)?;
        match &bytes::<4>(rest, 4)? {
            b"eXIf" => return body.get(..length),
            b"IDAT" | b"IEND" => return None,
            _ => rest = body.get(length.checked_add(4)?..)?,
        }
    }
}

/// The first directory's entry of that name.
fn orientation(tiff: &[u8]) -> Option<u16> {
    let is_little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = bytes(tiff, at)?;
        Some(if is_little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    };
    let long = |at: usize| {
        let bytes = bytes(tiff, at)?;
        Some(if is_little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    };
    let directory = usize::try_from(long(4)?).ok()?;
    let entries = usize::from(short(directory)?);
    (0..entries)
        .map_while(|index| {
            let entry = directory.checked_add(2 + index * 12)?;
            Some((short(entry)?, short(entry + 2)?, short(entry + 8)?))
        })
        .find(|(tag, kind, _)| (*tag, *kind) == (ORIENTATION_TAG, SHORT))
        .map(|(_, _, value)| value)
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tiff(is_little: bool, orientation: u16) -> Vec<u8> {
        let short = |value: u16| {
            if is_little {
                value.to_le_bytes()
            } else {
                value.to_be_bytes()
            }
        };
        let long = |value: u32| {
            if is_little {
                value.to_le_bytes()
            } else {
                value.to_be_bytes()
            }
        };
        let mut tiff = if is_little { *b"II*\0" } else { *b"MM\0*" }.to_vec();
        tiff.extend(long(8));
        tiff.extend(short(2));
        for (tag, value) in [(0x0100, 7), (ORIENTATION_TAG, orientation)] {
            tiff.extend(short(tag));
            tiff.extend(short(SHORT));
            tiff.extend(long(1));
            tiff.extend(short(value));
            tiff.extend([0, 0]);
        }
        tiff
    }

    fn jpeg(tiff: &[u8]) -> Vec<u8> {
        let mut jpeg = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff, 0xe1];
        let length = u16::try_from(tiff.len() + 8).unwrap();
        jpeg.extend(length.to_be_bytes());
        jpeg.extend(b"Exif\0\0");
        jpeg.extend(tiff);
        jpeg
    }

    fn png(tiff: &[u8]) -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x02tEXtabcrc!".to_vec();
        png.extend(u32::try_from(tiff.len()).unwrap().to_be_bytes());
        png.extend(b"eXIf");
        png.extend(tiff);
        png
    }

    #[test]
    fn a_cameras_word_is_found_in_either_byte_order_and_either_kind_of_file() {
        let check = |orientation: u16, direction: Option<&'static str>, is_sideways: bool| {
            let expected = Upright {
                direction,
                is_sideways,
            };
            for is_little in [true, false] {
                let tiff = tiff(is_little, orientation);
                assert_eq!(Upright::of(&jpeg(&tiff)), expected, "{orientation}");
                assert_eq!(Upright::of(&png(&tiff)), expected, "{orientation}");
            }
        };
        check(1, None, false);
        check(3, Some("180"), false);
        check(6, Some("90r"), true);
        check(8, Some("90l"), true);
        // No orientation at all.
        check(0, None, false);
        check(9, None, false);
    }

    #[test]
    fn a_picture_without_a_word_stays_as_it_is() {
        for head in [
            &b""[..],
            b"\xff\xd8",
            b"\xff\xd8\xff\xe1\0\0",
            b"\xff\xd8\xff\xda\0\x02",
        ] {
            assert_eq!(Upright::of(head), Upright::AS_IT_IS, "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange(
            noise in proptest::collection::vec(any::<u8>(), 0..200),
            cut in 0usize..64,
            change in (0usize..64, any::<u8>()),
        ) {
            let _ = Upright::of(&noise);
            let _ = Upright::of(&jpeg(&noise));
            let _ = Upright::of(&png(&noise));
            let mut tiff = tiff(true, 6);
            tiff.truncate(cut);
            if let Some(byte) = tiff.get_mut(change.0) {
                *byte = change.1;
            }
            let _ = Upright::of(&jpeg(&tiff));
        }
    }
}
