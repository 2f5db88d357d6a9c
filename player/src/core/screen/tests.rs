//! A screen with an engine that does what it is told, or fails on demand.

mod any_order;
mod orientation;
mod rejected;
mod resumed;

use std::collections::BTreeMap;

use fleet_protocol::instant::Monotonic;
use fleet_protocol::player::ItemKind;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;

const NOON: i64 = 1_800_000_000;

/// `names`: `v…` is a video, everything else an image of ten seconds. The engine cannot decode `bad…`.
fn manifest(etag: &str, names: &[&str]) -> Box<Manifest> {
    let items: Vec<Value> = names
        .iter()
        .map(|name| {
            let kind = if name.starts_with('v') {
                "VIDEO"
            } else {
                "IMAGE"
            };
            json!({
                "assetId": name, "type": kind, "url": format!("https://cdn.example/{name}"),
                "checksumSha256": "0".repeat(64), "durationSeconds": 10,
                "widthPx": 640, "heightPx": 360, "fileSizeBytes": 1000
            })
        })
        .collect();
    let text = json!({
        "manifestEtag": etag,
        "validToUtc": Timestamp::from_second(NOON + 3_600).unwrap(),
        "nextCheckSeconds": 60,
        "playlist": {"playlistId": "pl_1", "publishedVersion": 1, "items": items},
    });
    Box::new(Manifest::parse(text.to_string().as_bytes()).unwrap())
}

fn urgent(etag: &str, names: &[&str]) -> Box<Manifest> {
    let mut manifest = manifest(etag, names);
    manifest.settings.urgent = true;
    manifest.settings.temporary = true;
    manifest
}

fn asset(name: &str) -> AssetRef {
    AssetRef {
        asset_id: name.parse().unwrap(),
        checksum_sha256: "0".repeat(64).parse().unwrap(),
    }
}

/// What is seen and said, in order.
struct Bench {
    screen: Screen,
    now_s: u64,
    prepared: BTreeMap<Ticket, Box<Item>>,
    /// In which orientation what was last prepared.
    turned: BTreeMap<String, Orientation>,
    log: Vec<String>,
    /// Tickets whose preparation the engine has still to answer.
    pending: Vec<Ticket>,
}

impl Bench {
    fn new(current: &[&str], previous: &[&str], present: &[&str]) -> Self {
        let mut bench = Self {
            screen: Screen::default(),
            now_s: 0,
            prepared: BTreeMap::new(),
            turned: BTreeMap::new(),
            log: Vec::new(),
            pending: Vec::new(),
        };
        let some = |etag, names: &[&str]| (!names.is_empty()).then(|| manifest(etag, names));
        bench.step(Event::Loaded {
            current: some("current", current),
            previous: some("previous", previous),
            present: present.iter().map(|name| asset(name)).collect(),
            left_at: None,
        });
        bench
    }

    fn now(&self) -> Now {
        let wall = NOON + i64::try_from(self.now_s).unwrap();
        Now {
            wall: Timestamp::from_second(wall).unwrap(),
            mono: Monotonic::from_secs(self.now_s),
        }
    }

    fn step(&mut self, event: Event) {
        let (screen, effects) = std::mem::take(&mut self.screen).step(event, self.now());
        self.screen = screen;
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Prepare {
                ticket,
                item,
                orientation,
            } => {
                self.turned.insert(item.asset_id.to_string(), orientation);
                assert!(self.prepared.insert(ticket, item).is_none(), "a new ticket");
                self.pending.push(ticket);
            }
            Effect::Discard { ticket } => {
                assert!(self.prepared.remove(&ticket).is_some(), "was in hand");
                self.pending.retain(|t| *t != ticket);
            }
            Effect::Show { ticket } => {
                assert!(!self.pending.contains(&ticket), "only what is ready");
                let item = self.prepared.remove(&ticket).expect("was prepared");
                self.log.push(item.asset_id.to_string());
            }
            Effect::ShowCard(card) => self.log.push(format!("{card:?}")),
            Effect::Tell(kind) => {
                let value = serde_json::to_value(&kind).unwrap();
                self.log
                    .push(value["eventType"].as_str().unwrap().to_owned());
            }
            Effect::Persist { .. } => self.log.push("persist".to_owned()),
            Effect::Fetch(_) => {}
        }
    }

    fn answer_one(&mut self) {
        let ticket = self.pending.pop().expect("something is being prepared");
        self.step(Event::Prepared { ticket });
    }

    /// The engine answers everything that is asked of it.
    fn engine(&mut self) {
        while let Some(ticket) = self.pending.last() {
            if self.prepared[ticket].asset_id.as_str().starts_with("bad") {
                self.fail_next(DecodeFailure::DecodeError);
            } else {
                self.answer_one();
            }
        }
    }

    /// Nothing is in hand any more, and nobody needs to be told.
    fn replace_engine(&mut self) {
        self.prepared.clear();
        self.pending.clear();
        self.step(Event::EngineReplaced);
    }

    fn on_glass(&self) -> Option<(Ticket, ItemKind, String)> {
        let shown = self.screen.on_glass()?;
        Some((
            shown.ticket,
            shown.item.kind,
            shown.item.asset_id.to_string(),
        ))
    }

    /// Ten seconds pass, after which a video has ended too.
    fn item(&mut self) {
        self.engine();
        self.now_s += 10;
        if let Some((ticket, ItemKind::Video, _)) = self.on_glass() {
            self.step(Event::Ended { ticket });
        }
        self.step(Event::Tick);
        self.engine();
    }

    fn fail_next(&mut self, reason: DecodeFailure) {
        let ticket = self.pending.pop().expect("something is being prepared");
        // The engine has nothing in hand any more.
        self.prepared.remove(&ticket);
        self.step(Event::Failed {
            ticket,
            reason,
            message: String::new(),
        });
    }

    fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

fn check(bench: &mut Bench, items: usize, expected: &[&str]) {
    bench.engine();
    for _ in 0..items {
        bench.item();
    }
    assert_eq!(bench.said(), expected);
}

#[test]
fn items_are_shown_in_their_order_over_and_over() {
    let mut bench = Bench::new(&["a", "v1", "b"], &[], &["a", "v1", "b"]);
    check(&mut bench, 6, &["a", "v1", "b", "a", "v1", "b", "a"]);
    assert_eq!(bench.screen.loop_count(), 2);
    assert_eq!(bench.screen.state(), PlayerState::Playing);
}

#[test]
fn a_single_item_goes_on_for_ever() {
    let mut bench = Bench::new(&["a"], &[], &["a"]);
    check(&mut bench, 3, &["a", "a", "a", "a"]);
    assert_eq!(bench.screen.loop_count(), 3);
}

#[test]
fn what_is_missing_or_fails_is_left_out() {
    let mut bench = Bench::new(&["a", "b", "c"], &[], &["a", "c"]);
    check(&mut bench, 2, &["a", "c", "a"]);
    bench.now_s += 10;
    bench.step(Event::Tick);
    bench.fail_next(DecodeFailure::DecodeError);
    check(&mut bench, 2, &["c", "PLAYBACK_FAILED", "c", "c"]);
    // After a pause it gets another chance.
    bench.now_s += 60;
    check(&mut bench, 2, &["a", "c"]);
}

#[test]
fn the_last_picture_stays_until_the_next_one_is_ready() {
    let mut bench = Bench::new(&["a", "b"], &[], &["a", "b"]);
    bench.answer_one();
    bench.now_s += 12;
    bench.step(Event::Tick);
    assert_eq!(bench.said(), ["a"]);
    bench.answer_one();
    assert_eq!(bench.said(), ["b"]);
}

#[test]
fn a_newer_manifest_waits_for_its_files_and_for_the_end_of_a_video() {
    let mut bench = Bench::new(&["v1"], &[], &["v1"]);
    bench.engine();
    bench.step(Event::Received(manifest("newer", &["x", "y"])));
    check(&mut bench, 1, &["v1", "MANIFEST_STAGED", "v1"]);
    bench.step(Event::AssetReady(asset("x")));
    check(&mut bench, 1, &["v1"]);
    bench.step(Event::AssetReady(asset("y")));
    bench.engine();
    bench.now_s += 5;
    bench.step(Event::Tick);
    assert_eq!(bench.said(), [""; 0], "not in the middle of a video");
    check(&mut bench, 2, &["persist", "MANIFEST_APPLIED", "x", "y"]);
    let manifests = bench.screen.manifests();
    assert_eq!(manifests.current().unwrap().manifest_etag, "newer");
    assert_eq!(manifests.previous().unwrap().manifest_etag, "current");
}

#[test]
fn an_urgent_manifest_takes_over_in_the_middle_of_a_video_once_its_picture_is_there() {
    let mut bench = Bench::new(&["v1"], &[], &["v1"]);
    bench.engine();
    bench.step(Event::Received(urgent("fire", &["x", "y"])));
    bench.step(Event::AssetReady(asset("x")));
    bench.engine();
    assert_eq!(
        bench.said(),
        ["v1", "MANIFEST_STAGED"],
        "not before all files are here"
    );
    bench.step(Event::AssetReady(asset("y")));
    assert_eq!(bench.said(), [""; 0], "not before the picture is there");
    bench.engine();
    assert_eq!(bench.said(), ["persist", "MANIFEST_APPLIED", "x"]);
    // The same with another tag interrupts nothing.
    bench.step(Event::Received(urgent("fire still", &["x", "y"])));
    bench.engine();
    assert_eq!(bench.said(), ["MANIFEST_STAGED"]);
    check(&mut bench, 1, &["persist", "MANIFEST_APPLIED", "x"]);
    // What comes after it waits for the end of an item again.
    bench.step(Event::Received(manifest("after", &["v1"])));
    bench.engine();
    assert_eq!(bench.said(), ["MANIFEST_STAGED"]);
    check(&mut bench, 1, &["persist", "MANIFEST_APPLIED", "v1"]);
}

#[test]
fn what_an_override_said_is_nothing_to_fall_back_to() {
    let mut bench = Bench::new(&["a"], &[], &["a", "x"]);
    check(&mut bench, 1, &["a", "a"]);
    bench.step(Event::Received(urgent("fire", &["x"])));
    check(
        &mut bench,
        1,
        &["MANIFEST_STAGED", "persist", "MANIFEST_APPLIED", "x", "x"],
    );
    bench.step(Event::Received(manifest("after", &["b"])));
    bench.step(Event::AssetReady(asset("b")));
    check(
        &mut bench,
        1,
        &["MANIFEST_STAGED", "persist", "MANIFEST_APPLIED", "b"],
    );
    // Nothing of it can be played any more: what was before the override is.
    bench.step(Event::AssetLost(asset("b")));
    check(&mut bench, 1, &["FALLBACK_TO_PREVIOUS_MANIFEST", "a"]);
}

#[test]
fn part_of_a_newer_manifest_is_enough_when_the_current_one_has_ended() {
    let mut bench = Bench::new(&["a"], &[], &["a"]);
    bench.step(Event::Received(manifest("newer", &["x", "y"])));
    bench.step(Event::AssetReady(asset("x")));
    check(&mut bench, 1, &["MANIFEST_STAGED", "a", "a"]);
    bench.now_s += 3_600;
    check(&mut bench, 2, &["persist", "MANIFEST_APPLIED", "x", "x"]);
}

#[test]
fn without_anything_of_the_current_manifest_the_previous_one_plays() {
    let mut bench = Bench::new(&["x"], &["a"], &["a"]);
    check(&mut bench, 1, &["FALLBACK_TO_PREVIOUS_MANIFEST", "a", "a"]);
    bench.step(Event::AssetReady(asset("x")));
    check(&mut bench, 1, &["x"]);
}

#[test]
fn nothing_scheduled_plays_what_was_scheduled_before() {
    let mut bench = Bench::new(&["a"], &[], &["a"]);
    let mut nothing = manifest("nothing", &[]);
    nothing.playlist = None;
    bench.answer_one();
    bench.step(Event::Received(nothing.clone()));
    check(
        &mut bench,
        1,
        &[
            "a",
            "MANIFEST_STAGED",
            "persist",
            "MANIFEST_APPLIED",
            "FALLBACK_TO_PREVIOUS_MANIFEST",
            "a",
        ],
    );
    nothing.manifest_etag = "still nothing".to_owned();
    bench.step(Event::Received(nothing));
    bench.item();
    let previous = bench.screen.manifests().previous().unwrap();
    assert_eq!(previous.manifest_etag, "current");
}

#[test]
fn an_empty_cache_shows_a_card_until_something_comes() {
    let mut bench = Bench::new(&["a"], &[], &[]);
    check(
        &mut bench,
        2,
        &["NO_PLAYABLE_CONTENT", "ERROR_SCREEN_ENTERED", "Status"],
    );
    assert_eq!(bench.screen.state(), PlayerState::ErrorScreen);
    bench.step(Event::AssetReady(asset("a")));
    check(&mut bench, 0, &["a"]);
    assert_eq!(bench.screen.state(), PlayerState::Playing);
}

#[test]
fn without_a_token_the_pairing_card_is_shown() {
    let mut bench = Bench::new(&["a"], &[], &["a"]);
    bench.engine();
    bench.step(Event::TokenInvalid);
    check(&mut bench, 1, &["a", "Pairing"]);
    assert_eq!(bench.screen.state(), PlayerState::Pairing);
    bench.step(Event::Registered);
    check(&mut bench, 0, &["a"]);
}

#[test]
fn an_engine_that_does_not_answer_costs_the_item_and_not_the_screen() {
    let mut bench = Bench::new(&["a", "b", "c"], &[], &["a", "b", "c"]);
    bench.answer_one();
    bench.now_s += 15;
    bench.step(Event::Tick);
    assert_eq!(bench.said(), ["a", "PLAYBACK_FAILED"]);
    bench.engine();
    assert_eq!(bench.said(), ["c"]);
}

#[test]
fn playback_restarts_from_the_first_item_without_cutting_a_video_off() {
    let mut bench = Bench::new(&["a", "v1", "b"], &[], &["a", "v1", "b"]);
    bench.item();
    bench.step(Event::RestartPlayback);
    bench.engine();
    assert_eq!(bench.said(), ["a", "v1"]);
    check(&mut bench, 2, &["a", "v1"]);
}

#[test]
fn an_item_whose_decoder_was_killed_is_tried_again_at_once_and_then_left_out() {
    let mut bench = Bench::new(&["a", "b"], &[], &["a", "b"]);
    bench.answer_one();
    let _ = bench.said();
    bench.fail_next(DecodeFailure::DecoderCrashed);
    bench.fail_next(DecodeFailure::DecoderCrashed);
    assert_eq!(bench.said(), ["PLAYBACK_FAILED", "PLAYBACK_FAILED"]);
    check(&mut bench, 2, &["a", "a"]);
}

#[test]
fn another_engine_plays_the_same_item_from_its_beginning() {
    let mut bench = Bench::new(&["a", "v1", "b"], &[], &["a", "v1", "b"]);
    bench.item();
    bench.engine();
    assert_eq!(bench.said(), ["a", "v1"]);
    bench.replace_engine();
    bench.engine();
    assert_eq!(bench.said(), ["v1"]);
    check(&mut bench, 2, &["b", "a"]);
}

#[test]
fn another_engine_shows_the_card_that_was_there() {
    let mut bench = Bench::new(&["a"], &[], &[]);
    bench.engine();
    let _ = bench.said();
    bench.replace_engine();
    assert_eq!(bench.said(), ["Status"]);
    bench.step(Event::TokenInvalid);
    let _ = bench.said();
    bench.replace_engine();
    assert_eq!(bench.said(), ["Pairing"]);
}
