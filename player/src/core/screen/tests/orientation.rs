//! Screens that stand on their side, or are told to.

use super::*;

fn portrait(etag: &str, names: &[&str]) -> Box<Manifest> {
    let mut manifest = manifest(etag, names);
    manifest.settings.orientation = Orientation::Portrait;
    manifest
}

#[test]
fn an_item_is_turned_as_its_own_manifest_says_and_not_as_the_one_before() {
    let mut bench = Bench::new(&["a"], &[], &["a", "x"]);
    bench.engine();
    bench.step(Event::Received(portrait("newer", &["x"])));
    assert_eq!(bench.turned["x"], Orientation::Portrait);
    assert_eq!(bench.turned["a"], Orientation::Landscape);
    // What is fallen back to is seen on the screen as it is mounted now.
    bench.item();
    bench.step(Event::AssetLost(asset("x")));
    assert_eq!(bench.turned["a"], Orientation::Portrait);
}

#[test]
fn the_first_item_of_the_first_manifest_is_turned_already() {
    let mut bench = Bench::new(&[], &[], &["x"]);
    bench.step(Event::Received(portrait("first", &["x"])));
    assert_eq!(bench.turned["x"], Orientation::Portrait);
}

#[test]
fn a_card_is_drawn_anew_once_it_is_known_how_the_screen_is_mounted() {
    let mut bench = Bench::new(&["a"], &[], &[]);
    check(
        &mut bench,
        0,
        &["NO_PLAYABLE_CONTENT", "ERROR_SCREEN_ENTERED", "Status"],
    );
    assert_eq!(bench.screen.orientation(), Orientation::Landscape);
    bench.step(Event::Received(portrait("newer", &["x"])));
    check(&mut bench, 1, &["MANIFEST_STAGED", "Status"]);
    assert_eq!(bench.screen.orientation(), Orientation::Portrait);
    // And remembered when the device belongs to nobody any more.
    bench.step(Event::TokenInvalid);
    check(&mut bench, 0, &["Pairing"]);
    assert_eq!(bench.screen.orientation(), Orientation::Portrait);
}

#[test]
fn a_screen_that_starts_knows_how_it_was_mounted() {
    let loaded = Event::Loaded {
        current: None,
        previous: Some(portrait("previous", &["a"])),
        present: Vec::new(),
        left_at: None,
    };
    let now = Bench::new(&[], &[], &[]).now();
    let (screen, effects) = Screen::default().step(loaded, now);
    assert_eq!(screen.orientation(), Orientation::Portrait);
    let cards = effects.iter().filter(|e| matches!(e, Effect::ShowCard(_)));
    assert_eq!(cards.count(), 1, "drawn once");
}
