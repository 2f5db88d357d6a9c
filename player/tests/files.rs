//! What kinds of file come to the glass, through real decoder processes with all their fences.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod cinema;

use std::path::Path;

use cinema::hall::{Cinema, job};
use cinema::{HEIGHT, WIDTH, codes, program};
use fleet_player::media::decoder::Program;
use fleet_player::media::engine::Report;
use fleet_player::profile::DecoderProfile;
use fleet_protocol::player::{DecodeFailure, Fit, ItemKind, Orientation};
use fleet_tests::code::{self, Code};
use fleet_tests::media::{self, Film, Kind};

#[test]
fn a_jpeg_is_shown() {
    let mut cinema = Cinema::open();
    let path = cinema.path("picture.jpg");
    media::write_picture(&path, 11, 1280, 720).unwrap();
    let ticket = cinema.prepared(job(&path, ItemKind::Image));
    cinema.engine.show(ticket);
    cinema.eyes.watch_for(11);
}

#[test]
fn a_photograph_is_upright_however_the_camera_was_held() {
    let mut cinema = Cinema::open();
    let path = cinema.path("photo.jpg");
    for orientation in 1..=8u8 {
        let item = 20 + u16::from(orientation);
        media::write_photo(&path, item, (WIDTH, HEIGHT), orientation).unwrap();
        let ticket = cinema.prepared(job(&path, ItemKind::Image));
        let screen = cinema.show_another(ticket);
        let code = code::read(&screen, WIDTH, HEIGHT);
        let expected = Some(Code { item, frame: 0 });
        assert_eq!(code, expected, "orientation {orientation}");
    }
}

#[test]
fn a_tall_photograph_keeps_its_shape_on_a_screen_of_either_kind() {
    let mut cinema = Cinema::open();
    let path = cinema.path("tall.jpg");
    media::write_photo(&path, 31, (360, 640), 6).unwrap();
    let mut photo = job(&path, ItemKind::Image);
    let ticket = cinema.prepared(photo.clone());
    let screen = cinema.show_another(ticket);
    // 360 × 640 in a height of 360, black beside it.
    let code = code::read_within(&screen, WIDTH, (219, 0, 202, HEIGHT));
    assert_eq!(code, Some(Code { item: 31, frame: 0 }));
    assert_eq!(code::read(&screen, WIDTH, HEIGHT), None);
    // On a screen that stands on its side it fills the whole: what was stored sideways is sideways again.
    photo.orientation = Orientation::PortraitFlipped;
    let ticket = cinema.prepared(photo);
    let screen = cinema.show_another(ticket);
    let black = screen.chunks_exact(4).filter(|pixel| pixel[..3] == [0; 3]);
    assert_eq!(black.count(), 0);
}

#[test]
fn films_of_every_kind_are_shown_frame_by_frame() {
    let mut cinema = Cinema::open();
    for (item, kind) in (1u16..).zip(Kind::OPTIONAL) {
        play(&mut cinema, item, kind);
    }
}

/// As the reference image does; a machine that runs this may have libav, which goes first.
#[test]
fn films_are_decoded_by_what_the_reference_image_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut cinema = Cinema::with(program_behind("without-libav", folder.path()));
    for (item, (kind, element)) in (11u16..).zip([
        (Kind::H264Mp4, "openh264dec"),
        (Kind::HevcMp4, "libde265dec"),
        (Kind::Vp9WebM, "vp9dec"),
        (Kind::Av1Mp4, "av1dec"),
    ]) {
        if media::has(element) {
            play(&mut cinema, item, kind);
        } else {
            eprintln!("not tried: {kind:?}, for want of {element}");
        }
    }
}

/// The decoder behind a script of `tests/cinema`; `folder` is to last as long as it.
fn program_behind(script: &str, folder: &Path) -> Program {
    let link = |to: &Path, name: &str| {
        let path = folder.join(name);
        std::os::unix::fs::symlink(to, &path).unwrap();
        path
    };
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cinema");
    link(&program().path, "decoder");
    Program {
        path: link(&scripts.join(script), script),
        ..program()
    }
}

fn play(cinema: &mut Cinema, item: u16, kind: Kind) {
    if !media::has(kind.encoder()) {
        eprintln!("not tried: {kind:?}, for want of {}", kind.encoder());
        return;
    }
    let path = cinema.path(&format!("{item}.{}", kind.ending()));
    let film = Film {
        item,
        frames: 12,
        frames_a_second: 12,
        width: WIDTH,
        height: HEIGHT,
        sound: false,
    };
    media::write_film_as(&path, &film, kind).unwrap();
    let ticket = cinema.prepared(job(&path, ItemKind::Video));
    cinema.engine.show(ticket);
    let seen = cinema
        .eyes
        .watch(|seen| seen.is_of(item) && seen.code.is_some_and(|code| code.frame == 11));
    let mut codes = codes(&seen);
    // The picture before stays until the first frame is there.
    codes.retain(|code| code.item == item);
    assert!(codes.is_sorted(), "{kind:?}: {codes:?}");
    assert_eq!(codes[0].frame, 0, "{kind:?}");
    cinema.expect(&Report::Ended(ticket));
}

#[test]
fn pictures_as_large_as_8k_are_shown_within_a_decoders_memory() {
    let mut cinema = Cinema::open();
    let jpeg = cinema.path("8k.jpg");
    media::write_picture(&jpeg, 41, 7680, 4320).unwrap();
    let turned = cinema.path("8k-turned.jpg");
    media::write_photo(&turned, 42, (7680, 4320), 6).unwrap();
    let png = cinema.path("8k.png");
    media::write_large_png(&png, 43, (7680, 4320), 1).unwrap();
    let deep = cinema.path("8k-deep.png");
    media::write_large_png(&deep, 44, (7680, 4320), 2).unwrap();
    let square = cinema.path("square.png");
    media::write_large_png(&square, 45, (8192, 8192), 1).unwrap();
    for (path, item) in [
        (jpeg, 41),
        (turned, 42),
        (png, 43),
        (deep, 44),
        (square, 45),
    ] {
        let mut job = job(&path, ItemKind::Image);
        job.item.fit = Fit::Stretch;
        // Every turn that there is takes memory too.
        for orientation in [Orientation::Landscape, Orientation::LandscapeFlipped] {
            job.orientation = orientation;
            let ticket = cinema.prepared(job.clone());
            let screen = cinema.show_another(ticket);
            let upright = match orientation {
                Orientation::LandscapeFlipped => upside_down(&screen),
                _ => screen,
            };
            let code = code::read(&upright, WIDTH, HEIGHT);
            assert_eq!(code, Some(Code { item, frame: 0 }), "{}", path.display());
        }
    }
}

fn upside_down(screen: &[u8]) -> Vec<u8> {
    screen.chunks_exact(4).rev().flatten().copied().collect()
}

#[test]
fn a_picture_beyond_a_decoders_memory_costs_itself_alone() {
    let mut cinema = Cinema::with(Program {
        profile: DecoderProfile::software(96).unwrap(),
        ..program()
    });
    let large = cinema.path("large.png");
    media::write_large_png(&large, 50, (4096, 4096), 1).unwrap();
    cinema.prepare(job(&large, ItemKind::Image));
    let (reason, message) = cinema.failure();
    assert_eq!(reason, DecodeFailure::LimitExceeded, "{message}");
    assert!(message.contains("a decoder has 96 MiB"), "{message}");
    let small = cinema.picture(51, WIDTH, HEIGHT);
    let small = cinema.prepared(small);
    cinema.engine.show(small);
    cinema.eyes.watch_for(51);
}

#[test]
fn an_item_whose_preferred_decoder_fails_is_decoded_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut cinema = Cinema::with(program_behind("first-one-fails", folder.path()));
    let film = cinema.film(7, 10);
    // No failure is told: it was not the film's.
    let ticket = cinema.prepared(film);
    assert!(folder.path().join("first").is_dir());
    cinema.engine.show(ticket);
    cinema.expect(&Report::Ended(ticket));
}
