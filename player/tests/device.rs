//! A whole player against a control plane that can misbehave: real requests, files, decoders; only the glass
//! is a sink that reads codes.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![allow(
    clippy::disallowed_methods,
    reason = "a manifest ends at some real instant"
)]

mod cinema;

use std::time::{Duration, Instant};

use cinema::player::Player;
use cinema::venue::{Venue, film};
use cinema::{DEADLINE, codes};
use fleet_cards::{Card, Notice};
use fleet_player::media::output::Glass;
use fleet_tests::fake_control_plane::{FakeControlPlane, Fault, TOKEN, screen_off_at};
use fleet_tests::media::{self, Film};
use serde_json::{Value, json};

#[test]
fn content_is_fetched_played_in_order_and_told() {
    let venue = Venue::new();
    venue.pair();
    venue.publish("one", &[venue.film(1), venue.picture(2)]);
    let player = venue.play();
    // Before there is content there is a card, which has no code.
    player.eyes.watch_for(1);
    let mut rounds = 0;
    let mut last = 1;
    let seen = player.eyes.watch(|seen| {
        let item = seen.code.map_or(0, |code| code.item);
        rounds += usize::from(last == 2 && item == 1);
        last = item;
        rounds == 2
    });
    let mut items: Vec<u16> = codes(&seen).iter().map(|code| code.item).collect();
    items.dedup();
    assert_eq!(items, [1, 2, 1, 2, 1]);
    let proofs = venue.wait(|server| {
        let proofs = server.proofs();
        (proofs.len() >= 2).then_some(proofs)
    });
    assert_eq!(proofs[0]["assetId"], "ast_1_mp4");
    assert_eq!(proofs[1]["assetId"], "ast_2_png");
    let completed = |proof: &Value| proof["outcome"] == "COMPLETED";
    assert!(proofs.iter().all(completed), "{proofs:?}");
    let heartbeat = venue.wait(|server| {
        let mut heartbeats = server.heartbeats().into_iter();
        heartbeats.find(|heartbeat| heartbeat["state"] == "PLAYING")
    });
    assert_eq!(heartbeat["manifestEtag"], "one");
    let presented = heartbeat["frames"]["presented"].as_u64();
    assert!(presented > Some(0), "{heartbeat}");
    venue.wait_for_event("MANIFEST_APPLIED");
}

#[test]
fn a_restart_plays_from_the_disk_when_nobody_can_be_reached() {
    let venue = Venue::new();
    venue.pair();
    venue.publish("one", &[venue.picture(1)]);
    let first = venue.play();
    first.eyes.watch_for(1);
    drop(first);
    let Venue { server, device, .. } = venue;
    drop(server);
    let second = Player::start(device.path());
    let seen = second.eyes.watch_for(1);
    // The very first picture: no card before it.
    assert_eq!(codes(&seen).len(), 1);
}

#[test]
fn a_restart_goes_on_with_the_item_after_the_one_that_was_seen() {
    let venue = Venue::new();
    venue.pair();
    let items = [1, 2, 3].map(|item| venue.picture(item));
    venue.publish("one", &items);
    let first = venue.play();
    // All three are there, and what was written down is the first.
    for item in [1, 2, 3] {
        first.eyes.watch_for(item);
    }
    drop(first);
    let bookmark = venue.device.path().join("state/bookmark.json");
    let bookmark: Value = serde_json::from_slice(&std::fs::read(bookmark).unwrap()).unwrap();
    let index = bookmark["index"].as_u64().unwrap();
    let expected = [2, 3, 1][usize::try_from(index).unwrap()];
    let second = venue.play();
    let seen = second.eyes.watch(|_| true);
    assert_eq!(codes(&seen)[0].item, expected, "after {bookmark}");
}

#[test]
fn the_budget_of_the_manifest_counts_after_a_restart_and_until_it_is_taken_back() {
    let venue = Venue::new();
    venue.pair();
    let items = [venue.picture(1)];
    let budget = json!({"cacheBudgetBytes": 50_000_000});
    venue.server.publish_with(&budget, "one", 5, &items);
    let first = venue.play();
    venue.wait_for_budget(50_000_000);
    drop(first);
    let heartbeats = venue.server.heartbeats().len();
    let second = venue.play();
    let heartbeat = venue.wait(|server| server.heartbeats().into_iter().nth(heartbeats));
    assert_eq!(heartbeat["cache"]["totalBytes"], 50_000_000, "{heartbeat}");
    assert_eq!(heartbeat["manifestEtag"], "one");
    venue.publish("two", &items);
    venue.wait_for_budget(2 * 1024 * 1024 * 1024);
    drop(second);
}

#[test]
fn media_are_fetched_no_faster_than_the_manifest_allows() {
    let venue = Venue::new();
    venue.pair();
    let item = venue.film_of(&Film {
        frames: 100,
        ..film(1)
    });
    let size_bytes = item["fileSizeBytes"].as_u64().unwrap();
    let bytes_per_s = (size_bytes / 3).max(16_384);
    let limit = json!({"bandwidthLimitBytesPerS": bytes_per_s});
    venue.server.publish_with(&limit, "one", 5, &[item]);
    let began = Instant::now();
    let player = venue.play();
    player.eyes.watch_for(1);
    // A quarter of a second's worth may come at once.
    let least = Duration::from_millis(size_bytes * 1_000 / bytes_per_s - 250);
    assert!(
        began.elapsed() >= least,
        "{size_bytes} bytes within {:?}",
        began.elapsed()
    );
    assert!(
        least > Duration::from_secs(2),
        "{size_bytes} bytes are too few to tell"
    );
}

#[test]
fn a_newer_manifest_takes_over_at_the_end_of_an_item() {
    let venue = Venue::new();
    venue.pair();
    venue.publish("one", &[venue.film(1)]);
    let player = venue.play();
    player.eyes.watch_for(1);
    venue.publish("two", &[venue.film(2)]);
    let seen = player.eyes.watch_for(2);
    let codes = codes(&seen);
    let last = codes[codes.len() - 2];
    assert_eq!((last.item, last.frame), (1, 24), "{codes:?}");
}

#[test]
fn an_urgent_manifest_takes_over_in_the_middle_of_a_film() {
    let venue = Venue::new();
    venue.pair();
    let slow = Film {
        frames: 200,
        frames_a_second: 10,
        ..film(1)
    };
    venue.publish("one", &[venue.film_of(&slow)]);
    let player = venue.play();
    player.eyes.watch_for(1);
    let urgent = json!({"urgent": true});
    let items = [venue.picture(2)];
    venue.server.publish_with(&urgent, "two", 5, &items);
    let seen = player.eyes.watch_for(2);
    let codes = codes(&seen);
    let last = codes[codes.len() - 2];
    assert!(last.item == 1 && last.frame < 199, "{last:?}");
    assert_eq!(codes.len(), seen.len(), "never blank");
}

#[test]
fn what_cannot_be_fetched_or_decoded_costs_itself_alone() {
    let venue = Venue::new();
    venue.pair();
    let mut wrong = venue.picture(3);
    wrong["checksumSha256"] = json!("ab".repeat(32));
    let mut missing = venue.picture(4);
    missing["url"] = json!(venue.server.asset_url("nowhere.png"));
    missing["checksumSha256"] = json!("cd".repeat(32));
    let items = [
        venue.picture(1),
        venue.file("bomb.png", "IMAGE", &media::png_bomb(20_000)),
        venue.file("text.mp4", "VIDEO", b"no film at all"),
        wrong,
        missing,
        venue.film(2),
    ];
    let fail_next = |path, fault| venue.server.fail_next(path, fault);
    fail_next("/assets/1.png", Fault::Status(503));
    fail_next("/assets/2.mp4", Fault::CutAfter(1_000));
    venue.publish("one", &items);
    // What came so far is shown, although not everything will ever come.
    let player = venue.play();
    player.eyes.watch(|seen| seen.code.is_some());
    let mut both = (false, false);
    let seen = player.eyes.watch(|seen| {
        both = (both.0 || seen.is_of(1), both.1 || seen.is_of(2));
        both.0 && both.1
    });
    assert!(codes(&seen).iter().all(|code| matches!(code.item, 1 | 2)));
    venue.wait_for_event("PLAYBACK_FAILED");
    venue.wait_for_event("DOWNLOAD_FAILED");
}

#[test]
fn when_the_manifest_has_ended_the_schedule_in_it_goes_on() {
    let venue = Venue::new();
    venue.pair();
    let playlist = |id: &str, items: &[Value]| json!({"playlistId": id, "publishedVersion": 1, "items": items});
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4);
    venue.server.set_manifest(json!({
        "manifestEtag": "one", "validToUtc": ends, "nextCheckSeconds": 3600,
        "playlist": playlist("pl_now", &[venue.picture(1)]),
        "lookAhead": {
            "untilUtc": "2099-01-01T00:00:00Z",
            "schedule": {
                "timezone": "Europe/Berlin", "slots": [], "fallbackPlaylistId": "pl_later",
                "devices": [{"deviceId": "screen", "groupIds": []}],
            },
            "playlists": [playlist("pl_later", &[venue.picture(2)])],
        },
    }));
    let player = venue.play();
    player.eyes.watch_for(1);
    let Venue { server, device, .. } = venue;
    drop(server);
    let seen = player.eyes.watch_for(2);
    assert!(codes(&seen).iter().all(|code| matches!(code.item, 1 | 2)));
    // And after a restart, with nobody to ask.
    drop(player);
    let seen = Player::start(device.path()).eyes.watch_for(2);
    assert_eq!(codes(&seen).len(), 1);
}

#[test]
fn what_plays_while_the_screen_is_off_by_its_hours_is_told_and_not_proven() {
    let venue = Venue::new();
    venue.pair();
    let items = [venue.film(1), venue.picture(2)];
    let off = screen_off_at(jiff::Timestamp::now());
    venue.server.publish_with(&off, "one", 5, &items);
    let player = venue.play();
    let instant = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let event = venue.wait_for_event("SCREEN_SWITCHED");
    assert_eq!(event["payload"]["power"], "OFF", "{event}");
    let since = instant(&event["eventTimeUtc"]);
    assert!(instant(&event["payload"]["untilUtc"]) > since, "{event}");
    for item in [1, 2, 1, 2] {
        player.eyes.watch_for(item);
    }
    let heartbeat = venue.wait(|server| {
        let mut heartbeats = server.heartbeats().into_iter();
        heartbeats.find(|heartbeat| heartbeat["screenPower"]["wanted"] == "OFF")
    });
    assert_eq!(heartbeat["state"], "PLAYING");
    // By another manifest it is on again: what plays then is proven, and nothing from before.
    venue.publish("two", &items);
    let proof = venue.wait(|server| {
        let mut proofs = server.proofs().into_iter();
        proofs.find(|proof| instant(&proof["startedAtUtc"]) >= since)
    });
    let on = venue.wait(|server| {
        let mut events = server.events().into_iter();
        events.find(|event| event["payload"]["power"] == "ON")
    });
    let until = instant(&on["eventTimeUtc"]);
    assert!(instant(&proof["endedAtUtc"]) >= until, "{proof}");
}

#[test]
fn what_plays_while_no_screen_is_there_is_neither_shown_nor_proven() {
    let venue = Venue::new();
    venue.pair();
    let items = [venue.film(1), venue.picture(2)];
    venue.publish("one", &items);
    let (_, nobody) = cinema::glass();
    let unseen = Player::start_on(Glass::Dark, nobody, venue.device.path());
    let heartbeat = venue.wait(|server| {
        let mut heartbeats = server.heartbeats().into_iter();
        heartbeats.find(|heartbeat| heartbeat["playback"]["loopCount"].as_u64() > Some(0))
    });
    let frames = &heartbeat["frames"];
    assert_eq!(
        (&frames["presented"], &frames["blankMs"]),
        (&json!(0), &json!(0))
    );
    assert!(frames["unseen"].as_u64() > Some(5), "{frames}");
    drop(unseen);
    // The oldest proof arrives first, and is of what is seen now.
    let begin = jiff::Timestamp::now();
    let seen = venue.play();
    let proof = venue.wait(|server| server.proofs().into_iter().next());
    let started: jiff::Timestamp = proof["startedAtUtc"].as_str().unwrap().parse().unwrap();
    assert!(started >= begin, "{proof}");
    drop(seen);
}

#[test]
fn a_file_that_was_damaged_meanwhile_is_fetched_again_and_seen() {
    let venue = Venue::new();
    venue.pair();
    let items = [venue.picture(1), venue.picture(2)];
    venue.publish("one", &items);
    let first = venue.play();
    first.eyes.watch_for(2);
    drop(first);
    let asset = format!(
        "cache/assets/{}",
        items[1]["checksumSha256"].as_str().unwrap()
    );
    let asset = venue.device.path().join(asset);
    let mut bytes = std::fs::read(&asset).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0);
    std::fs::write(&asset, bytes).unwrap();
    let fetched = |server: &FakeControlPlane| {
        let requests = server.requests().into_iter();
        requests.filter(|r| r.path == "/assets/2.png").count()
    };
    assert_eq!(fetched(&venue.server), 1);
    let second = venue.play();
    venue.wait(|server| (fetched(server) == 2).then_some(()));
    let mut seen = second.eyes.watch_for(1);
    seen.extend(second.eyes.watch_for(2));
    assert!(codes(&seen).iter().all(|code| matches!(code.item, 1 | 2)));
}

#[test]
fn a_token_that_is_refused_twice_costs_the_picture_until_there_is_a_new_one() {
    let venue = Venue::new();
    venue.pair();
    venue.publish("one", &[venue.picture(1)]);
    let player = venue.play();
    player.eyes.watch_for(1);
    venue.server.set_token("of somebody else");
    // One refusal may be a proxy's mistake: for half a minute or a whole one everything stays as it is.
    let mut seen = player
        .eyes
        .watch_within(2 * DEADLINE, |seen| seen.code.is_none());
    let card = seen.pop().unwrap();
    let drawn = card.screen.iter().any(|byte| *byte != card.screen[0]);
    assert!(drawn, "an empty screen is no card");
    assert!(codes(&seen).iter().all(|code| code.item == 1));
    venue.server.set_token(TOKEN);
    venue.pair();
    player.eyes.watch_for(1);
    let event = venue.wait_for_event("DEVICE_TOKEN_INVALID");
    assert_eq!(event["payload"]["httpStatus"], 401, "{event}");
}

#[test]
fn a_device_that_is_not_paired_says_so_and_plays_once_it_is() {
    let venue = Venue::new();
    venue.publish("one", &[venue.picture(1)]);
    let player = venue.play();
    let seen = player.eyes.watch(|_| true);
    let card = &seen[0];
    assert_eq!(card.code, None);
    let drawn = card.screen.iter().any(|byte| *byte != card.screen[0]);
    assert!(drawn, "an empty screen is no card");
    venue.pair();
    player.eyes.watch_for(1);
}

#[test]
fn what_the_agent_says_covers_the_content_for_as_long_as_it_is_to() {
    let venue = Venue::new();
    venue.pair();
    venue.publish("one", &[venue.picture(1)]);
    let player = venue.play();
    player.eyes.watch_for(1);
    let notice = |over_content| {
        let notice = Notice {
            card: Card::Identify {
                device: "dev_1".to_owned(),
                version: "1.2.3".to_owned(),
                addresses: Vec::new(),
                url: None,
            },
            over_content,
            content_wakes: 0,
        };
        let text = serde_json::to_vec(&notice).unwrap();
        std::fs::write(venue.device.path().join("card.json"), text).unwrap();
    };
    notice(true);
    player.eyes.watch(|seen| seen.code.is_none());
    notice(false);
    player.eyes.watch_for(1);
}
