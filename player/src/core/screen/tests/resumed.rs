//! A player that takes over from one that ended.

use super::*;

/// A player that begins with this on its disk.
fn started(
    current: &Manifest,
    previous: Option<&Manifest>,
    names: &[&str],
    left_at: Option<Bookmark>,
) -> Bench {
    let mut bench = Bench::new(&[], &[], &[]);
    bench.screen = Screen::default();
    bench.log.clear();
    bench.step(Event::Loaded {
        current: Some(Box::new(current.clone())),
        previous: previous.cloned().map(Box::new),
        present: names.iter().map(|name| asset(name)).collect(),
        left_at,
    });
    bench
}

#[test]
fn a_player_that_dies_in_every_item_still_shows_them_all() {
    let names = ["a", "v1", "b"];
    let current = manifest("current", &names);
    let mut left_at = None;
    for expected in ["a", "v1", "b", "a", "v1"] {
        let mut bench = started(&current, None, &names, left_at);
        check(&mut bench, 0, &[expected]);
        left_at = bench.screen.bookmark();
    }
}

fn at(index: usize) -> Bookmark {
    Bookmark {
        playlist_id: "pl_1".parse().unwrap(),
        published_version: 1,
        index,
    }
}

#[test]
fn what_is_missing_by_then_is_left_out() {
    let current = manifest("current", &["a", "b", "c"]);
    let mut bench = started(&current, None, &["a", "c"], Some(at(0)));
    check(&mut bench, 2, &["c", "a", "c"]);
    assert_eq!(bench.screen.loop_count(), 1);
}

#[test]
fn another_playlist_begins_at_its_first_item() {
    let check_with = |left_at: Bookmark| {
        let current = manifest("current", &["a", "b"]);
        let mut bench = started(&current, None, &["a", "b"], Some(left_at));
        check(&mut bench, 1, &["a", "b"]);
    };
    check_with(Bookmark {
        published_version: 2,
        ..at(0)
    });
    check_with(Bookmark {
        playlist_id: "pl_other".parse().unwrap(),
        ..at(0)
    });
    check_with(at(usize::MAX));
}

#[test]
fn what_was_fallen_back_to_goes_on_too() {
    let mut current = manifest("current", &["x"]);
    current.playlist.as_mut().unwrap().published_version = 2;
    let previous = manifest("previous", &["a", "b"]);
    let mut bench = started(&current, Some(&previous), &["a", "b"], Some(at(0)));
    check(&mut bench, 1, &["FALLBACK_TO_PREVIOUS_MANIFEST", "b", "a"]);
}

#[test]
fn an_operator_who_restarts_the_playlist_is_heard_before_the_first_picture() {
    let names = ["a", "b", "c"];
    let mut bench = started(&manifest("current", &names), None, &names, Some(at(0)));
    bench.step(Event::RestartPlayback);
    check(&mut bench, 1, &["a", "b"]);
}
