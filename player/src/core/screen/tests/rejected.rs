//! Manifests of which nothing can be shown.

use super::*;

#[test]
fn a_manifest_of_which_nothing_can_be_shown_is_rejected_once() {
    let mut bench = Bench::new(&["a"], &[], &["a"]);
    let mut useless = manifest("useless", &["x"]);
    let playlist = useless.playlist.as_mut().unwrap();
    playlist.items.clear();
    playlist.skipped.push(fleet_protocol::player::SkippedItem {
        index: 0,
        asset_id: None,
        reason: String::new(),
    });
    bench.step(Event::Received(useless.clone()));
    bench.step(Event::Received(useless));
    check(&mut bench, 1, &["MANIFEST_REJECTED", "a", "a"]);
}

/// Receives it, with the files that are not here yet, and plays on for an item.
fn receive(bench: &mut Bench, etag: &str, names: &[&str]) {
    bench.step(Event::Received(manifest(etag, names)));
    for asset in names.iter().map(|name| asset(name)) {
        if !bench.screen.library().has(&asset) {
            bench.step(Event::AssetReady(asset));
        }
    }
    bench.item();
}

#[test]
fn manifests_that_cannot_be_decoded_take_nothing_from_the_screen_however_many_come() {
    let mut bench = Bench::new(&["a", "b"], &[], &["a", "b"]);
    bench.engine();
    let _ = bench.said();
    for (etag, shown) in [("second", "b"), ("third", "a")] {
        receive(&mut bench, etag, &["bad1", "bad2"]);
        let expected = [
            "MANIFEST_STAGED",
            "PLAYBACK_FAILED",
            "PLAYBACK_FAILED",
            "MANIFEST_REJECTED",
            shown,
        ];
        // The second time they are known to be no use.
        let known: &[&str] = &[expected[0], expected[3], expected[4]];
        let expected: &[&str] = if etag == "second" { &expected } else { known };
        assert_eq!(bench.said(), expected, "{etag}");
    }
    let manifests = bench.screen.manifests();
    assert_eq!(manifests.current().unwrap().manifest_etag, "current");
    assert!(matches!(manifests.staged(), Staged::Rejected(_)));
    // It is tried again, and not told again.
    for _ in 0..6 {
        bench.item();
    }
    let said = bench.said();
    assert!(
        said.iter().any(|line| line == "PLAYBACK_FAILED"),
        "{said:?}"
    );
    let told = |line: &String| line == "MANIFEST_REJECTED" || line == "Status";
    assert!(!said.iter().any(told), "{said:?}");
}

#[test]
fn a_rejected_manifest_takes_over_once_something_of_it_can_be_decoded() {
    let mut bench = Bench::new(&["a"], &[], &["a"]);
    check(&mut bench, 0, &["a"]);
    bench.step(Event::Received(manifest("newer", &["x"])));
    bench.step(Event::AssetReady(asset("x")));
    bench.fail_next(DecodeFailure::DecodeError);
    let rejected = [
        "MANIFEST_STAGED",
        "PLAYBACK_FAILED",
        "MANIFEST_REJECTED",
        "a",
    ];
    check(&mut bench, 1, &rejected);
    // Its file comes anew, and is whole this time.
    bench.step(Event::AssetLost(asset("x")));
    check(&mut bench, 1, &["a"]);
    bench.step(Event::AssetReady(asset("x")));
    check(&mut bench, 1, &["persist", "MANIFEST_APPLIED", "x"]);
}

#[test]
fn a_manifest_that_plays_no_more_does_not_push_out_one_that_does() {
    let mut bench = Bench::new(&["x"], &["a"], &["a"]);
    check(&mut bench, 0, &["FALLBACK_TO_PREVIOUS_MANIFEST", "a"]);
    receive(&mut bench, "newer", &["b"]);
    bench.step(Event::AssetLost(asset("b")));
    check(
        &mut bench,
        1,
        &[
            "MANIFEST_STAGED",
            "persist",
            "MANIFEST_APPLIED",
            "b",
            "FALLBACK_TO_PREVIOUS_MANIFEST",
            "a",
        ],
    );
}

#[test]
fn a_staged_manifest_whose_file_was_lost_waits_for_it_again() {
    let mut bench = Bench::new(&["v1"], &[], &["v1"]);
    bench.engine();
    bench.step(Event::Received(manifest("newer", &["x", "y"])));
    bench.step(Event::AssetReady(asset("x")));
    bench.step(Event::AssetReady(asset("y")));
    bench.step(Event::AssetLost(asset("x")));
    check(&mut bench, 1, &["v1", "MANIFEST_STAGED", "v1"]);
    bench.step(Event::AssetReady(asset("x")));
    check(&mut bench, 1, &["persist", "MANIFEST_APPLIED", "x"]);
}
