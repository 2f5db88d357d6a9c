//! JPEG and PNG: decoded as a whole, so that a damaged one is found here and not on a screen.

use std::io::{Cursor, Read};

use fleet_protocol::content::{AssetKind, FailureReason};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, ImageReader};

use super::{Limits, Seen, Unfit, check_edges};

/// Of a thumbnail: pixels.
const THUMBNAIL: (u32, u32) = (320, 180);
const THUMBNAIL_QUALITY: u8 = 80;
/// A decoder needs a few bytes a pixel, and some of its own.
const DECODER_BYTES: u64 = 512 << 20;
/// Some programs append a little to a JPEG.
const JPEG_TAIL_BYTES: usize = 4096;

pub(super) fn look(
    mut file: impl Read,
    format: ImageFormat,
    limits: &Limits,
) -> Result<Seen, Unfit> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(Unfit::corrupt)?;
    let (width_px, height_px) = reader(&bytes, format)
        .into_dimensions()
        .map_err(Unfit::corrupt)?;
    check_edges("picture", (width_px, height_px), limits.picture_edges)?;
    // The decoder fills in what is missing.
    if format == ImageFormat::Jpeg && !ends(&bytes) {
        return Err(Unfit::corrupt("it ends in the middle of the picture"));
    }
    let picture = reader(&bytes, format).decode().map_err(Unfit::corrupt)?;
    Ok(Seen {
        kind: AssetKind::Image,
        width_px,
        height_px,
        duration_ms: None,
        thumbnail: Some(thumbnail(&picture)?),
    })
}

fn reader(bytes: &[u8], format: ImageFormat) -> ImageReader<Cursor<&[u8]>> {
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(DECODER_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    reader
}

/// Whether a JPEG has its end (marker EOI, ITU-T T.81 §B.1.1.3).
fn ends(bytes: &[u8]) -> bool {
    let tail = &bytes[bytes.len().saturating_sub(JPEG_TAIL_BYTES)..];
    tail.windows(2).any(|pair| pair == [0xff, 0xd9])
}

fn thumbnail(picture: &DynamicImage) -> Result<Vec<u8>, Unfit> {
    let small = picture.thumbnail(THUMBNAIL.0, THUMBNAIL.1).into_rgb8();
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, THUMBNAIL_QUALITY)
        .encode_image(&small)
        .map_err(|error| {
            let detail = format!("No small picture could be made: {error}.");
            Unfit::new(FailureReason::ThumbnailFailed, detail)
        })?;
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let picture = image::RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([x.to_le_bytes()[0], y.to_le_bytes()[0], 90])
        });
        DynamicImage::from(picture)
            .write_to(&mut bytes, format)
            .unwrap();
        bytes.into_inner()
    }

    fn seen(bytes: &[u8]) -> Result<Seen, Unfit> {
        super::super::look(Cursor::new(bytes), &Limits::default())
    }

    #[test]
    fn a_picture_has_its_size_and_a_small_one_of_itself() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            let seen = seen(&encoded(format, 640, 480)).unwrap();
            assert_eq!((seen.width_px, seen.height_px), (640, 480));
            assert_eq!(seen.kind, AssetKind::Image);
            let small = image::load_from_memory(&seen.thumbnail.unwrap()).unwrap();
            assert_eq!((small.width(), small.height()), (240, 180));
        }
    }

    #[test]
    fn a_picture_that_breaks_off_is_damaged() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            let whole = encoded(format, 640, 480);
            let unfit = seen(&whole[..whole.len() / 2]).unwrap_err();
            assert_eq!(unfit.reason, FailureReason::FileCorrupt, "{format:?}");
        }
    }

    #[test]
    fn a_picture_of_too_many_pixels_is_not_decoded() {
        // A PNG's header alone says how large it is.
        let mut bytes = encoded(ImageFormat::Png, 8, 8);
        bytes[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        let unfit = seen(&bytes).unwrap_err();
        assert_eq!(unfit.reason, FailureReason::ResolutionExceeded);
        assert!(unfit.detail.contains("60000×8"), "{}", unfit.detail);
    }

    /// Of PNG, annex D.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1))
            })
        })
    }
}
