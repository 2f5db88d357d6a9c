//! Which pictures fit into the memory that a decoder has.
//!
//! The kernel holds the limit in any case ([`super::sandbox`]). But a library that gets no memory fails in its own way,
//! or not at all and waits for ever; so what is known beforehand is refused beforehand, with a reason.

use fleet_protocol::player::ItemKind;

use super::super::wire::Order;

/// As 8K pictures of any shape that screens have.
const MAX_PIXELS: u64 = 8_192 * 8_192;
/// Beside the pictures: libraries, threads and a codec's tables. 45 to 55 MiB were measured.
const BESIDE_BYTES: u64 = 64 * 1024 * 1024;
/// Pictures of the screen's size on the way: scaled, turned as the file says, turned as the screen hangs.
const SCREENS: u64 = 3;

/// Why a picture is not decoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum TooLarge {
    #[error("{width}×{height} pixels are more than 8192×8192")]
    Pixels { width: u64, height: u64 },
    #[error(
        "{width}×{height} pixels ({format}) on this screen need {} MiB of memory, and a decoder has {} MiB",
        .needed_bytes >> 20,
        .memory_bytes >> 20
    )]
    Memory {
        width: u64,
        height: u64,
        format: String,
        needed_bytes: u64,
        memory_bytes: u64,
    },
}

/// Of a picture as its decoder delivers it. How many pictures a film's decoder keeps is its codec's business.
pub(super) fn check(order: &Order, width: u64, height: u64, format: &str) -> Result<(), TooLarge> {
    let pixels = width.saturating_mul(height);
    if pixels > MAX_PIXELS {
        return Err(TooLarge::Pixels { width, height });
    }
    let needed_bytes =
        pixels * bits_a_pixel(format) / 8 + SCREENS * order.screen.bytes() as u64 + BESIDE_BYTES;
    if order.kind == ItemKind::Image && needed_bytes > order.profile.memory_bytes() {
        return Err(TooLarge::Memory {
            width,
            height,
            format: format.to_owned(),
            needed_bytes,
            memory_bytes: order.profile.memory_bytes(),
        });
    }
    Ok(())
}

/// Of what decoders of pictures deliver.
fn bits_a_pixel(format: &str) -> u64 {
    match format {
        "GRAY8" => 8,
        "I420" | "YV12" | "NV12" | "Y41B" => 12,
        "Y42B" | "YUY2" | "GRAY16_BE" | "GRAY16_LE" => 16,
        "Y444" | "RGB" | "BGR" => 24,
        "RGBA" | "BGRA" | "ARGB" | "ABGR" | "RGBx" | "BGRx" | "xRGB" | "xBGR" => 32,
        // As much as any has: four channels of 16 bits.
        _ => 64,
    }
}

#[cfg(test)]
mod tests {
    use fleet_protocol::player::{Fit, Orientation};

    use super::*;
    use crate::media::frame::Size;
    use crate::profile::DecoderProfile;

    fn order(kind: ItemKind, screen: (u32, u32), memory_mib: u64) -> Order {
        Order {
            path: "/media/a".into(),
            kind,
            screen: Size::new(screen.0, screen.1).unwrap(),
            orientation: Orientation::Landscape,
            fit: Fit::Letterbox,
            sound: false,
            profile: DecoderProfile::software(memory_mib).unwrap(),
            avoided: Vec::new(),
        }
    }

    #[test]
    fn pictures_of_8192_by_8192_fit_and_larger_ones_do_not() {
        let check = |screen, width, height, format, fits: bool| {
            let order = order(ItemKind::Image, screen, 640);
            let checked = super::check(&order, width, height, format);
            assert_eq!(checked.is_ok(), fits, "{checked:?}");
        };
        let (hd, uhd) = ((1920, 1080), (3840, 2160));
        check(uhd, 8192, 8192, "RGBA", true);
        check(uhd, 7680, 4320, "ARGB64", true);
        check(hd, 8192, 8192, "ARGB64", true);
        check(uhd, 8192, 8192, "ARGB64", false);
        check(hd, 8193, 8192, "GRAY8", false);
        check(hd, u64::MAX, u64::MAX, "GRAY8", false);
        check((7680, 4320), 7680, 4320, "RGBA", true);
    }

    #[test]
    fn less_memory_refuses_smaller_pictures_and_says_how_much_is_missing() {
        let image = order(ItemKind::Image, (1920, 1080), 128);
        assert_eq!(check(&image, 1920, 1080, "RGBA"), Ok(()));
        let refused = check(&image, 4096, 4096, "RGBA").unwrap_err().to_string();
        assert!(refused.contains("need 151 MiB"), "{refused}");
        assert!(refused.contains("has 128 MiB"), "{refused}");
        // Of a film only the decoder knows.
        let film = order(ItemKind::Video, (1920, 1080), 128);
        assert_eq!(check(&film, 4096, 4096, "RGBA"), Ok(()));
    }
}
