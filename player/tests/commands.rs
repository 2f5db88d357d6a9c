//! Every command of the contract (seed 003, §28.7), run by a whole player.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod cinema;

use base64::Engine as _;
use cinema::codes;
use cinema::venue::Venue;
use fleet_tests::code::{self, Code};
use fleet_tests::fake_control_plane::FakeControlPlane;
use fleet_tests::media;
use serde_json::{Value, json};

impl Venue {
    /// A device that plays these pictures, of a second each.
    fn playing(pictures: &[u16]) -> Self {
        let venue = Self::new();
        venue.pair();
        venue.publish_pictures("one", pictures);
        venue
    }

    fn publish_pictures(&self, etag: &str, pictures: &[u16]) {
        let items: Vec<Value> = pictures.iter().map(|item| self.picture(*item)).collect();
        self.publish(etag, &items);
    }

    fn list(&self, kind: &str, payload: &Value) {
        self.server.set_commands(vec![json!({
            "commandId": "cmd_1", "type": kind, "payload": payload,
            "createdAt": "2026-01-01T00:00:00Z", "expiresAt": "2099-01-01T00:00:00Z",
        })]);
    }

    /// Until the command has been run, answered, and told of.
    fn wait_for_result(&self, kind: &str) -> Value {
        let result = self.wait(|server| server.results("cmd_1").pop());
        assert_eq!(result["outcome"], "SUCCEEDED", "{result}");
        let event = self.wait_for_event("COMMAND_EXECUTED");
        assert_eq!(event["payload"]["commandType"], kind, "{event}");
        result
    }

    fn wait_for_heartbeat(&self, what: impl Fn(&Value) -> bool) -> Value {
        self.wait(|server| {
            server
                .heartbeats()
                .into_iter()
                .rfind(|heartbeat| what(heartbeat))
        })
    }
}

fn requests(server: &FakeControlPlane, path: &str) -> usize {
    let requests = server.requests().into_iter();
    requests.filter(|request| request.path == path).count()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn the_manifest_is_asked_for_at_once() {
    let venue = Venue::new();
    venue.pair();
    // By itself the player would come again in an hour.
    venue.server.publish("one", 3_600, &[venue.picture(1)]);
    venue.list("REQUEST_MANIFEST_REFRESH", &Value::Null);
    let _player = venue.play();
    let asked = |server: &FakeControlPlane| requests(server, "/v1/player/manifest");
    venue.wait(|server| (asked(server) >= 2).then_some(()));
    let result = venue.wait(|server| server.results("cmd_1").pop());
    assert_eq!(result["outcome"], "SUCCEEDED", "{result}");
}

#[test]
fn the_playlist_begins_anew() {
    let venue = Venue::playing(&[1, 2]);
    let player = venue.play();
    player.eyes.watch_for(2);
    let loops = |heartbeat: &Value| count(&heartbeat["playback"]["loopCount"]);
    // Of the second heartbeat: there are some seven from one to the next.
    let before = venue.wait_for_heartbeat(|heartbeat| loops(heartbeat) >= 11);
    venue.list("RESTART_PLAYBACK_LOOP", &Value::Null);
    venue.wait_for_result("RESTART_PLAYBACK_LOOP");
    // One may have been on its way.
    let told = venue.server.heartbeats().len();
    let begun_anew = |heartbeat: &Value| loops(heartbeat) < loops(&before);
    venue.wait(|server| {
        let mut later = server.heartbeats().into_iter().skip(told);
        later.find(begun_anew)
    });
    let seen = player.eyes.watch_for(1);
    assert!(codes(&seen).iter().all(|code| matches!(code.item, 1 | 2)));
}

#[test]
fn what_no_manifest_names_is_removed_from_the_cache() {
    let venue = Venue::playing(&[1, 2]);
    let player = venue.play();
    player.eyes.watch_for(2);
    for (etag, picture) in [("two", 3), ("three", 4)] {
        venue.publish_pictures(etag, &[picture]);
        player.eyes.watch_for(picture);
    }
    let files = |heartbeat: &Value| count(&heartbeat["cache"]["assetCount"]);
    venue.wait_for_heartbeat(|heartbeat| {
        heartbeat["manifestEtag"] == "three" && files(heartbeat) == 4
    });
    venue.list("CLEAR_CACHE_UNUSED", &Value::Null);
    venue.wait_for_result("CLEAR_CACHE_UNUSED");
    // What plays, and what would be fallen back to.
    venue.wait_for_heartbeat(|heartbeat| files(heartbeat) == 2);
    let mut times = 0;
    let seen = player.eyes.watch(|seen| {
        times += usize::from(seen.is_of(4));
        times == 3
    });
    assert_eq!(codes(&seen).len(), seen.len(), "never blank");
    assert_eq!(requests(&venue.server, "/assets/3.png"), 1);
}

#[test]
fn the_whole_cache_is_fetched_anew_behind_what_plays() {
    let venue = Venue::playing(&[1, 2, 3]);
    let player = venue.play();
    for item in [1, 2, 3] {
        player.eyes.watch_for(item);
    }
    venue.list("CLEAR_CACHE_ALL", &Value::Null);
    venue.wait_for_result("CLEAR_CACHE_ALL");
    let fetched = |server: &FakeControlPlane| -> usize {
        let paths = ["/assets/1.png", "/assets/2.png", "/assets/3.png"];
        paths.iter().map(|path| requests(server, path)).sum()
    };
    // All of them but the one on the glass.
    venue.wait(|server| (fetched(server) >= 5).then_some(()));
    let mut seen = Vec::new();
    for item in [1, 2, 3, 1] {
        seen.extend(player.eyes.watch_for(item));
    }
    assert_eq!(codes(&seen).len(), seen.len(), "never blank");
}

#[test]
fn the_player_ends_and_the_next_one_goes_on() {
    let venue = Venue::playing(&[1, 2]);
    let player = venue.play();
    player.eyes.watch_for(1);
    venue.list("REBOOT_APP", &Value::Null);
    let seen = player.eyes.watch_to_the_end();
    assert!(codes(&seen).iter().all(|code| matches!(code.item, 1 | 2)));
    drop(player);
    let next = venue.play();
    venue.wait_for_result("REBOOT_APP");
    let seen = next.eyes.watch(|_| true);
    assert_eq!(codes(&seen).len(), 1, "no card before the picture");
    assert_eq!(venue.server.results("cmd_1").len(), 1);
}

#[test]
fn the_log_says_as_much_as_it_is_told_to() {
    let venue = Venue::playing(&[1]);
    let _player = venue.play();
    assert_ne!(log::max_level(), log::LevelFilter::Debug);
    venue.list("SET_LOG_LEVEL", &json!({"level": "debug"}));
    venue.wait_for_result("SET_LOG_LEVEL");
    assert_eq!(log::max_level(), log::LevelFilter::Debug);
}

#[test]
fn a_screenshot_is_what_is_on_the_glass() {
    let venue = Venue::playing(&[42]);
    let player = venue.play();
    player.eyes.watch_for(42);
    venue.list("TAKE_SCREENSHOT", &Value::Null);
    let result = venue.wait_for_result("TAKE_SCREENSHOT");
    assert_eq!(result["output"]["mediaType"], "image/jpeg");
    let jpeg = result["output"]["base64"].as_str().unwrap();
    let jpeg = base64::engine::general_purpose::STANDARD
        .decode(jpeg)
        .unwrap();
    let (pixels, width, height) = media::read_jpeg(jpeg).unwrap();
    assert_eq!((width, height), (cinema::WIDTH, cinema::HEIGHT));
    let expected = Code { item: 42, frame: 0 };
    assert_eq!(code::read(&pixels, width, height), Some(expected));
}
