//! The engine with real decoder processes and real files; only the glass is a sink that reads codes.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod cinema;

use std::path::Path;
use std::time::{Duration, Instant};

use cinema::hall::{Cinema, job};
use cinema::{HEIGHT, WIDTH, codes};
use fleet_player::media::engine::Report;
use fleet_protocol::player::{
    DecodeFailure, Fit, ItemKind, Orientation, Transition, TransitionKind,
};
use fleet_tests::code::{self, Code};
use fleet_tests::media;

#[test]
fn a_film_is_shown_frame_by_frame_to_its_end() {
    let mut cinema = Cinema::open();
    let film = cinema.film(5, 30);
    let ticket = cinema.prepared(film);
    cinema.engine.show(ticket);
    let seen = cinema
        .eyes
        .watch(|seen| seen.code.is_some_and(|code| code.frame == 29));
    let codes = codes(&seen);
    assert!(codes.iter().all(|code| code.item == 5), "{codes:?}");
    assert!(codes.is_sorted(), "{codes:?}");
    assert_eq!(codes[0].frame, 0);
    cinema.expect(&Report::Ended(ticket));
}

#[test]
fn between_two_items_nothing_else_is_seen() {
    let mut cinema = Cinema::open();
    let (first, second) = (cinema.film(1, 10), cinema.film(2, 10));
    let picture = cinema.picture(3, WIDTH, HEIGHT);
    let first = cinema.prepared(first);
    cinema.engine.show(first);
    cinema.expect(&Report::Ended(first));
    // Nothing is ready yet: the last picture stays.
    let second = cinema.prepared(second);
    cinema.engine.show(second);
    let picture = cinema.prepared(picture);
    cinema.expect(&Report::Ended(second));
    cinema.engine.show(picture);
    let seen = cinema.eyes.watch_for(3);
    let items: Vec<u16> = codes(&seen).iter().map(|code| code.item).collect();
    assert!(items.is_sorted(), "{items:?}");
    assert!(items.contains(&1) && items.contains(&2), "{items:?}");
}

#[test]
fn an_image_is_handed_on_again_while_it_stays() {
    let mut cinema = Cinema::open();
    let picture = cinema.picture(9, WIDTH, HEIGHT);
    let ticket = cinema.prepared(picture);
    cinema.engine.show(ticket);
    let mut times = 0;
    let seen = cinema.eyes.watch(|_| {
        times += 1;
        times == 3
    });
    assert!(codes(&seen).iter().all(|code| code.item == 9));
    let counts = cinema.engine.counts().unwrap();
    assert!(counts.presented >= 3, "{counts:?}");
    let snapshot = cinema.engine.snapshot().unwrap();
    assert_eq!(snapshot.as_ref(), seen[0].screen);
}

#[test]
fn a_file_that_cannot_be_decoded_fails_and_the_picture_stays() {
    let mut cinema = Cinema::open();
    let whole = cinema.film(1, 10);
    let shown = cinema.picture(7, WIDTH, HEIGHT);
    let shown = cinema.prepared(shown);
    cinema.engine.show(shown);
    cinema.eyes.watch_for(7);
    let bytes = std::fs::read(&whole.path).unwrap();
    let cases: [(&str, ItemKind, &[u8], DecodeFailure); 6] = [
        (
            "text.mp4",
            ItemKind::Video,
            b"no film at all",
            DecodeFailure::DecodeError,
        ),
        (
            "cut.mp4",
            ItemKind::Video,
            &bytes[..bytes.len() / 2],
            DecodeFailure::DecodeError,
        ),
        (
            "film.jpg",
            ItemKind::Image,
            &bytes,
            DecodeFailure::DecodeError,
        ),
        (
            "empty.png",
            ItemKind::Image,
            b"",
            DecodeFailure::DecodeError,
        ),
        (
            "bomb.png",
            ItemKind::Image,
            &media::png_bomb(20_000),
            DecodeFailure::LimitExceeded,
        ),
        (
            "noise.png",
            ItemKind::Image,
            b"\x89PNG\r\n\x1a\nnoise",
            DecodeFailure::DecodeError,
        ),
    ];
    for (name, kind, bytes, expected) in cases {
        let path = cinema.path(name);
        std::fs::write(&path, bytes).unwrap();
        cinema.prepare(job(&path, kind));
        let (reason, message) = cinema.failure();
        assert_eq!(reason, expected, "{name}: {message}");
        assert!(!message.is_empty(), "{name}");
    }
    cinema.prepare(job(&cinema.path("absent.png"), ItemKind::Image));
    assert_eq!(cinema.failure().0, DecodeFailure::FileDamaged);
    // What comes after it plays, and nothing else was seen in the meantime.
    let after = cinema.picture(8, WIDTH, HEIGHT);
    let after = cinema.prepared(after);
    cinema.engine.show(after);
    let seen = cinema.eyes.watch_for(8);
    assert!(codes(&seen).iter().all(|code| matches!(code.item, 7 | 8)));
}

#[test]
fn a_decoder_that_is_killed_costs_its_item_alone() {
    let mut cinema = Cinema::open();
    let film = cinema.film(1, 500);
    let picture = cinema.picture(2, WIDTH, HEIGHT);
    let film = cinema.prepared(film);
    cinema.engine.show(film);
    cinema
        .eyes
        .watch(|seen| seen.code.is_some_and(|code| code.frame > 5));
    let path = cinema.path("1.mp4");
    let decoder = decoder_of(&path).expect("a decoder that has the film open");
    nix::sys::signal::kill(decoder, nix::sys::signal::Signal::SIGKILL).unwrap();
    let (reason, message) = cinema.failure();
    assert_eq!(reason, DecodeFailure::DecoderCrashed, "{message}");
    let picture = cinema.prepared(picture);
    cinema.engine.show(picture);
    let seen = cinema.eyes.watch_for(2);
    let codes = codes(&seen);
    assert!(
        codes.iter().all(|code| matches!(code.item, 1 | 2)),
        "{codes:?}"
    );
}

#[test]
fn a_film_that_stalls_is_cut_off_after_5_s_and_its_last_picture_stays() {
    let mut cinema = Cinema::open();
    let film = cinema.film(1, 500);
    let picture = cinema.picture(2, WIDTH, HEIGHT);
    let film = cinema.prepared(film);
    cinema.engine.show(film);
    cinema
        .eyes
        .watch(|seen| seen.code.is_some_and(|code| code.frame > 5));
    let decoder = decoder_of(&cinema.path("1.mp4")).expect("a decoder that has the film open");
    nix::sys::signal::kill(decoder, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let stopped = Instant::now();
    let (reason, message) = cinema.failure();
    let waited = stopped.elapsed();
    assert_eq!(reason, DecodeFailure::Stalled, "{message}");
    // From the last frame that came on, and as soon as the engine looks again.
    let expected = Duration::from_millis(4_500)..Duration::from_secs(15);
    assert!(expected.contains(&waited), "{waited:?}");
    let picture = cinema.prepared(picture);
    cinema.engine.show(picture);
    let seen = cinema.eyes.watch_for(2);
    let codes = codes(&seen);
    assert!(
        codes.iter().all(|code| matches!(code.item, 1 | 2)),
        "{codes:?}"
    );
    // What stood still did not stay.
    let is_gone = nix::sys::signal::kill(decoder, None) == Err(nix::errno::Errno::ESRCH);
    assert!(is_gone);
}

/// The process that has `path` open, among all of this machine.
fn decoder_of(path: &Path) -> Option<nix::unistd::Pid> {
    let path = path.canonicalize().ok()?;
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut decoders = processes.filter_map(|process| {
        let pid: i32 = process.file_name().to_str()?.parse().ok()?;
        let files = std::fs::read_dir(process.path().join("fd")).ok()?.flatten();
        let mut links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        links.any(|link| link == path).then_some(pid)
    });
    decoders.next().map(nix::unistd::Pid::from_raw)
}

#[test]
fn a_crossfade_goes_through_mixed_pictures_and_never_through_black() {
    let mut cinema = Cinema::open();
    let from = cinema.picture(0, WIDTH, HEIGHT);
    let mut to = cinema.picture(63, WIDTH, HEIGHT);
    to.item.transition = Transition {
        kind: TransitionKind::Crossfade,
        duration_ms: 1_000,
    };
    let from = cinema.prepared(from);
    cinema.engine.show(from);
    let before = cinema.eyes.watch_for(0).pop().unwrap();
    let to = cinema.prepared(to);
    cinema.engine.show(to);
    // The picture has settled when it is handed on unchanged.
    let mut last = Vec::new();
    let mut seen = cinema.eyes.watch(|seen| {
        let settled = seen.screen == last && seen.code.is_some_and(|code| code.item == 63);
        last.clone_from(&seen.screen);
        settled
    });
    let after = seen.pop().unwrap();
    let mut mixed = 0;
    for seen in &seen {
        let pixels = before.screen.iter().zip(&after.screen).zip(&seen.screen);
        for ((a, b), pixel) in pixels.step_by(997) {
            let (low, high) = (a.min(b), a.max(b));
            assert!((low.saturating_sub(1)..=high.saturating_add(1)).contains(pixel));
        }
        mixed += usize::from(seen.screen != before.screen && seen.screen != after.screen);
    }
    assert!(mixed > 0, "{} pictures", seen.len());
}

const MOUNTED: [Orientation; 4] = [
    Orientation::Landscape,
    Orientation::Portrait,
    Orientation::LandscapeFlipped,
    Orientation::PortraitFlipped,
];

/// Shows a picture of `size` on a screen that is mounted like this; as somebody before it sees it, and how large.
fn seen(
    cinema: &mut Cinema,
    item: u16,
    fit: Fit,
    orientation: Orientation,
    size: (u32, u32),
) -> (Vec<u8>, (u32, u32)) {
    let mut job = cinema.picture(item, size.0, size.1);
    job.item.fit = fit;
    job.orientation = orientation;
    let ticket = cinema.prepared(job);
    let screen = cinema.show_another(ticket);
    let quarters = orientation.degrees() / 90;
    (0..quarters).fold((screen, (WIDTH, HEIGHT)), |(screen, size), _| {
        turned_clockwise(&screen, size)
    })
}

#[test]
fn a_picture_is_fitted_and_turned_as_asked() {
    let mut cinema = Cinema::open();
    let mut tried = 0u16;
    let mut check = |fit, orientation, size, area: Option<(u32, u32, u32, u32)>| {
        tried += 1;
        let (upright, (width, height)) = seen(&mut cinema, tried, fit, orientation, size);
        let area = area.unwrap_or((0, 0, width, height));
        let expected = Code {
            item: tried,
            frame: 0,
        };
        let code = code::read_within(&upright, width, area);
        assert_eq!(code, Some(expected), "{fit:?} {orientation:?}");
    };
    for orientation in MOUNTED {
        // Of the screen's own shape, and one that is not.
        let (own, middle) = if orientation.is_upright() {
            ((360, 640), (0, 140, 360, 360))
        } else {
            ((1280, 720), (140, 0, 360, 360))
        };
        check(Fit::Letterbox, orientation, own, None);
        // A square in the middle, black beside it.
        check(Fit::Letterbox, orientation, (320, 320), Some(middle));
        check(Fit::Stretch, orientation, (320, 320), None);
    }
}

#[test]
fn a_picture_that_covers_the_screen_loses_its_edges_and_keeps_its_shape() {
    let mut cinema = Cinema::open();
    for (item, orientation) in (21..).zip(MOUNTED) {
        let (width, height) = if orientation.is_upright() {
            (HEIGHT, WIDTH)
        } else {
            (WIDTH, HEIGHT)
        };
        // Twice as wide as the screen: a quarter of it is lost on either side.
        let wide = (2 * width, height);
        let (upright, _) = seen(&mut cinema, item, Fit::Cover, orientation, wide);
        let picture = code::pixels(Code { item, frame: 0 }, wide.0, wide.1);
        let pixel = |pixels: &[u8], stride: u32, x: u32, y: u32| {
            let at = ((y * stride + x) * 4) as usize;
            pixels[at]
        };
        for x in (5..width).step_by(10) {
            for y in [height / 4, height * 3 / 4] {
                let shown = pixel(&upright, width, x, y);
                let expected = pixel(&picture, wide.0, x + width / 2, y);
                assert!(
                    shown.abs_diff(expected) < 30,
                    "{orientation:?}: {shown} and not {expected} at {x}, {y}"
                );
            }
        }
    }
}

/// As seen on a screen that was turned clockwise by 90 degrees, and how large that is.
fn turned_clockwise(screen: &[u8], size: (u32, u32)) -> (Vec<u8>, (u32, u32)) {
    let (width, height) = (size.0 as usize, size.1 as usize);
    let mut turned = vec![0; screen.len()];
    for y in 0..height {
        for x in 0..width {
            let (from, to) = ((y * width + x) * 4, (x * height + (height - 1 - y)) * 4);
            turned[to..to + 4].copy_from_slice(&screen[from..from + 4]);
        }
    }
    (turned, (size.1, size.0))
}
