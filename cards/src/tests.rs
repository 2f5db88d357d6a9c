//! Cards as pixels: the same in bands as in one piece.

use proptest::prelude::*;

use super::{Band, Card, Message, SafeModeCard, render, render_band, render_message};

fn safe_mode() -> Card {
    Card::SafeMode(SafeModeCard {
        reason: "The system could not start: both slots failed their checks".to_owned(),
        advice: "A technician is needed. The device keeps this page open.".to_owned(),
        device: "dev_4f2a9c0d11e07b3a".to_owned(),
        version: "Version 2.4.0, slot B".to_owned(),
        url: Some("http://192.168.178.120/".to_owned()),
        addresses: vec!["192.168.178.120".to_owned(), "10.4.0.17".to_owned()],
        pin: None,
    })
}

fn cards() -> Vec<(&'static str, Card)> {
    let with_pin = match safe_mode() {
        Card::SafeMode(card) => Card::SafeMode(SafeModeCard {
            pin: Some("4821 9037".to_owned()),
            ..card
        }),
        other => other,
    };
    vec![
        ("safe-mode", safe_mode()),
        ("safe-mode-pin", with_pin),
        (
            "identify",
            Card::Identify {
                device: "dev_4f2a9c0d11e07b3a".to_owned(),
                version: "2.4.0".to_owned(),
                addresses: vec!["192.168.178.120".to_owned()],
                url: Some("http://192.168.178.120/".to_owned()),
            },
        ),
        (
            "pairing",
            Card::Pairing {
                status: "Waiting to be enrolled".to_owned(),
                code: None,
                url: None,
                device: "Serial 10000000a1b2c3d4".to_owned(),
            },
        ),
        (
            "pairing-code",
            Card::Pairing {
                status: "Pair this screen with its code".to_owned(),
                code: Some("K7QF-2MXA".to_owned()),
                url: Some("http://192.168.178.120/".to_owned()),
                device: "Serial 10000000a1b2c3d4".to_owned(),
            },
        ),
        (
            "boot",
            Card::Boot {
                version: "2.4.0".to_owned(),
            },
        ),
    ]
}

fn write_png(path: &std::path::Path, band: &Band, (width, height): (u32, u32)) {
    let rgb: Vec<u8> = band
        .rows()
        .flat_map(|row| row.chunks_exact(4).flat_map(|p| [p[2], p[1], p[0]]))
        .collect();
    let file = std::fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(std::io::BufWriter::new(file), width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&rgb).unwrap();
}

/// `FLEET_CARD_PNG=folder` keeps the pictures for a person to look at.
#[test]
fn every_card_is_drawn_on_wide_tall_and_small_screens() {
    let kept = std::env::var_os("FLEET_CARD_PNG");
    let folder = tempfile::tempdir().unwrap();
    let folder = kept.as_ref().map_or(folder.path(), std::path::Path::new);
    let alarm = Message {
        title: "Fire alarm".to_owned(),
        text: "Please leave the building by the stairs. Don't use the lift.".to_owned(),
        urgent: true,
    };
    for (width, height) in [(1920, 1080), (1080, 1920), (1280, 800), (640, 480)] {
        let cards = cards().into_iter();
        let cards = cards.map(|(name, card)| (name, render(&card, width, height)));
        let message = ("message", render_message(&alarm, width, height));
        for (name, band) in cards.chain([message]) {
            let path = folder.join(format!("{name}-{width}x{height}.png"));
            write_png(&path, &band, (width, height));
            assert!(std::fs::metadata(&path).unwrap().len() > 1_000, "{name}");
        }
    }
}

#[test]
fn the_qr_code_on_the_card_has_its_finder_pattern() {
    let (width, height) = (1280u32, 800u32);
    let band = render(&safe_mode(), width, height);
    let side = 800 * 2 / 5;
    let (x, y) = (width - 800 / 14 - side, height - 800 / 14 - side);
    let row: Vec<bool> = band.rows().nth((y + side / 2) as usize).unwrap()
        [x as usize * 4..(x + side) as usize * 4]
        .chunks_exact(4)
        .map(|p| p[0] > 127)
        .collect();
    assert!(row.iter().any(|white| *white) && row.iter().any(|white| !*white));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bands_put_together_are_the_whole_picture(
        reason in "\\PC{0,120}", width in 1u32..400, height in 1u32..400, rows in 1u32..90,
    ) {
        let card = Card::SafeMode(SafeModeCard {
            reason,
            url: Some("http://10.0.0.7/".to_owned()),
            ..SafeModeCard::default()
        });
        let whole: Vec<Vec<u8>> = render(&card, width, height).rows().map(<[u8]>::to_vec).collect();
        let mut banded = Vec::new();
        let mut top = 0;
        while top < height {
            banded.extend(render_band(&card, width, height, top, rows).rows().map(<[u8]>::to_vec));
            top += rows;
        }
        prop_assert_eq!(whole, banded);
    }
}
