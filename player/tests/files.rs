//! What kinds of file come to the glass, through real decoder processes with all their fences.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod cinema;

use cinema::hall::{Cinema, job};
use cinema::{HEIGHT, WIDTH};
use fleet_protocol::player::{ItemKind, Orientation};
use fleet_tests::code::{self, Code};
use fleet_tests::media;

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
        cinema.engine.show(ticket);
        let seen = cinema.eyes.watch(|_| true).pop().unwrap();
        let expected = Some(Code { item, frame: 0 });
        assert_eq!(seen.code, expected, "orientation {orientation}");
    }
}

#[test]
fn a_tall_photograph_keeps_its_shape_on_a_screen_of_either_kind() {
    let mut cinema = Cinema::open();
    let path = cinema.path("tall.jpg");
    media::write_photo(&path, 31, (360, 640), 6).unwrap();
    let mut photo = job(&path, ItemKind::Image);
    let ticket = cinema.prepared(photo.clone());
    cinema.engine.show(ticket);
    let screen = cinema.eyes.watch(|_| true).pop().unwrap().screen;
    // 360 × 640 in a height of 360, black beside it.
    let code = code::read_within(&screen, WIDTH, (219, 0, 202, HEIGHT));
    assert_eq!(code, Some(Code { item: 31, frame: 0 }));
    assert_eq!(code::read(&screen, WIDTH, HEIGHT), None);
    // On a screen that stands on its side it fills the whole: what was stored sideways is sideways again.
    photo.orientation = Orientation::PortraitFlipped;
    let ticket = cinema.prepared(photo);
    cinema.engine.show(ticket);
    let screen = cinema.eyes.watch(|_| true).pop().unwrap().screen;
    let black = screen.chunks_exact(4).filter(|pixel| pixel[..3] == [0; 3]);
    assert_eq!(black.count(), 0);
}
