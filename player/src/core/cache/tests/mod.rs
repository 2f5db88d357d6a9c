//! The policy, story by story; whatever else may happen is in `any_order`.

mod any_order;
mod world;

use super::*;
use world::{World, asset, item, sha};

#[test]
fn the_most_urgent_are_fetched_first_and_a_few_at_a_time() {
    let mut world = World::with(&[]);
    world.want(&[("a", 10), ("b", 10), ("c", 10), ("a", 10)], &[]);
    assert_eq!(world.said(), ["begin a", "begin b"]);
    world.finish(sha("b"));
    assert_eq!(world.said(), ["ready b", "begin c"]);
    assert_eq!(world.policy.status().pending_downloads, 2);
    world.finish(sha("a"));
    world.finish(sha("c"));
    assert_eq!(world.policy.status().asset_count, 3);
    assert_eq!(world.policy.next_tick(), None);
}

#[test]
fn what_is_here_already_is_ready_at_once() {
    let mut world = World::with(&[("a", 10)]);
    world.want(&[("a", 10)], &["a"]);
    assert_eq!(world.said(), ["ready a"]);
}

#[test]
fn two_assets_of_one_content_are_one_file() {
    let mut world = World::with(&[]);
    let other = Item {
        asset_id: "other".parse().unwrap(),
        url: "https://elsewhere.example/other".to_owned(),
        ..item("a", 10)
    };
    world.step(Event::Wanted {
        items: vec![item("a", 10), other],
        protected: BTreeSet::new(),
    });
    assert_eq!(world.said(), ["begin a"]);
    // One address is as good as the other.
    world.fail(sha("a"), 0, Fault::Http(404), 0);
    assert_eq!(world.said(), ["failed a Some(404) 0", "begin other"]);
    world.finish(sha("a"));
    assert_eq!(world.said(), ["ready a", "ready other"]);
}

#[test]
fn a_failure_pauses_its_asset_alone_and_for_longer_each_time() {
    let mut world = World::with(&[]);
    world.want(&[("a", 10), ("b", 10)], &[]);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        world.fail(sha("a"), 0, Fault::Http(503), u64::MAX / 2);
        let next = world.policy.next_tick().unwrap();
        pauses.push(next.since(world.now().mono));
        world.pass(60);
    }
    assert!(pauses.iter().max() > Some(&1_000), "{pauses:?}");
    let expected = [
        "begin a",
        "begin b",
        "failed a Some(503) 0",
        "begin a",
        "failed a Some(503) 1",
        "begin a",
        "begin a",
        "failed a Some(503) 3",
        "begin a",
    ];
    assert_eq!(world.said(), expected);
    assert_eq!(world.policy.failures(), 4);
}

#[test]
fn getting_further_than_before_begins_the_count_anew() {
    let check = |kept: [u64; 3], expected: u32| {
        let mut world = World::with(&[]);
        world.want(&[("a", 100)], &[]);
        for kept_bytes in kept {
            world.fail(sha("a"), kept_bytes, Fault::Network, 0);
            world.pass(60);
        }
        let trouble = &world.policy.troubles[&asset("a")];
        assert_eq!(trouble.failures, expected, "{kept:?}");
    };
    check([10, 20, 30], 1);
    check([10, 20, 20], 2);
    // A server with another file would be asked without a pause for ever.
    check([50, 0, 50], 3);
}

#[test]
fn another_address_is_another_chance() {
    let mut world = World::with(&[]);
    world.want(&[("a", 10)], &[]);
    world.fail(sha("a"), 0, Fault::Http(403), 0);
    world.want(&[("a", 10)], &[]);
    assert_eq!(world.said(), ["begin a", "failed a Some(403) 0"]);
    let url = "https://cdn.example/a?newer".to_owned();
    let renewed = Item {
        url,
        ..item("a", 10)
    };
    world.step(Event::Wanted {
        items: vec![renewed],
        protected: BTreeSet::new(),
    });
    assert_eq!(world.said(), ["begin a"]);
}

#[test]
fn the_least_recently_played_goes_first_and_what_is_protected_never() {
    let mut world = World::with(&[("old", 300), ("used", 300), ("kept", 300)]);
    world.step(Event::Played(asset("old")));
    assert_eq!(world.said(), [""; 0], "before the manifests are known");
    world.want(&[("new", 300)], &["kept"]);
    let expected = ["lost used", "evicted used 300", "begin new"];
    assert_eq!(world.said(), expected);
    world.finish(sha("new"));
    assert_eq!(world.said(), ["ready new"], "nine tenths are in use");
    world.step(Event::BudgetChanged { budget_bytes: 990 });
    assert_eq!(world.said(), ["lost old", "evicted old 300"]);
}

#[test]
fn what_can_never_fit_is_refused_once_and_does_not_hold_the_others_up() {
    let mut world = World::with(&[("kept", 500)]);
    world.want(&[("large", 501), ("small", 500)], &["kept"]);
    let expected = ["refuse large", "failed large None 0", "begin small"];
    assert_eq!(world.said(), expected);
    world.pass(60);
    assert_eq!(world.said(), [""; 0]);
    world.step(Event::BudgetChanged {
        budget_bytes: 2_000,
    });
    assert_eq!(world.said(), ["begin large"]);
}

#[test]
fn a_less_urgent_file_does_not_take_the_room_of_one_that_waits() {
    let mut world = World::with(&[]);
    world.want(&[("gone", 500)], &[]);
    world.want(&[("large", 800), ("small", 300)], &[]);
    assert_eq!(world.said(), ["begin gone"]);
    world.fail(sha("gone"), 400, Fault::Cancelled, 0);
    assert_eq!(world.said(), ["begin large"]);
    assert!(world.partials.is_empty());
}

#[test]
fn a_full_medium_pauses_all_downloads_and_gives_up_what_is_not_needed() {
    let mut world = World::with(&[("unused", 100), ("kept", 100)]);
    world.want(&[("a", 50), ("b", 50), ("c", 50)], &["kept"]);
    world.said();
    world.fail(sha("a"), 20, Fault::Full, 0);
    world.fail(sha("b"), 0, Fault::Full, 0);
    let expected = ["failed a None 0", "lost unused", "evicted unused 100"];
    assert_eq!(world.said(), expected);
    world.pass(59);
    assert_eq!(world.said(), [""; 0]);
    assert!(world.policy.file(&sha("kept")).is_some());
    world.pass(1);
    assert_eq!(world.said(), ["begin a", "begin b"]);
}

#[test]
fn a_file_that_cannot_be_removed_is_tried_again_later() {
    let mut world = World::with(&[("stuck", 600)]);
    world.sticky = true;
    world.want(&[("a", 600)], &[]);
    // The download had begun already.
    assert_eq!(world.said(), ["lost stuck", "evicted stuck 600", "begin a"]);
    world.finish(sha("a"));
    world.sticky = false;
    world.pass(300);
    assert!(world.stuck.is_empty());
    assert_eq!(world.policy.status().used_bytes, 600);
}

#[test]
fn a_damaged_file_is_fetched_again() {
    let mut world = World::with(&[("a", 100), ("b", 100)]);
    world.want(&[("a", 100), ("b", 100)], &[]);
    assert_eq!(world.said(), ["ready a", "ready b"]);
    assert_eq!(world.checking.take(), Some(sha("b")), "played last");
    world.step(Event::Checked {
        sha256: sha("b"),
        verdict: Verdict::Damaged,
    });
    assert_eq!(world.said(), ["lost b", "evicted b 100", "begin b"]);
    assert_eq!(world.checking, Some(sha("a")));
}

#[test]
fn a_check_of_a_file_that_is_gone_says_nothing_of_the_one_in_its_place() {
    let mut world = World::with(&[("a", 100)]);
    world.want(&[("a", 100)], &[]);
    world.step(Event::ClearAll);
    world.finish(sha("a"));
    world.said();
    world.checking = None;
    world.step(Event::Checked {
        sha256: sha("a"),
        verdict: Verdict::Damaged,
    });
    assert_eq!(world.said(), [""; 0]);
}

#[test]
fn an_operator_can_clear_what_is_unused_and_all_but_the_picture() {
    let mut world = World::with(&[("unused", 100), ("shown", 100), ("next", 100)]);
    world.want(&[], &["shown", "next"]);
    world.step(Event::Played(asset("shown")));
    world.step(Event::ClearUnused);
    assert_eq!(world.said(), ["lost unused"]);
    world.step(Event::ClearAll);
    assert_eq!(world.said(), ["lost next"]);
    assert_eq!(world.policy.status().used_bytes, 100);
}
