//! What players ask for and tell.

use serde_json::{Value, json};

use crate::content::{picture, published};
use crate::world::{Answer, Device, World};

/// As a player does: its token goes where the signage contract has it.
pub(crate) fn ask(world: &World, device: &Device, path: &str, known: Option<&str>) -> Answer {
    let token = format!("Bearer {}", device.token);
    let mut headers = vec![("authorization", token.as_str())];
    headers.extend(known.map(|etag| ("if-none-match", etag)));
    device.anonymous(world, "GET", path, &headers, b"")
}

fn tell(world: &World, device: &Device, path: &str, key: Option<&str>, body: &Value) -> Answer {
    let token = format!("Bearer {}", device.token);
    let mut headers = vec![("authorization", token.as_str())];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    device.anonymous(world, "POST", path, &headers, body.to_string().as_bytes())
}

#[test]
fn a_screen_plays_what_was_published_last_until_it_is_told_otherwise() {
    let world = World::new();
    let device = world.device("lobby");
    let manifest = |known: Option<&str>| ask(&world, &device, "/v1/player/manifest", known);
    let nothing = manifest(None);
    assert_eq!(nothing.body["playlist"], Value::Null);
    let day = published(&world, "Day", 1);
    let shown = manifest(nothing.etag.as_deref());
    assert_eq!(shown.body["playlist"]["playlistId"], day["playlistId"]);
    let again = manifest(shown.etag.as_deref());
    assert_eq!((again.status, &again.etag), (304, &shown.etag));

    // The file comes under the certificate alone, from the address that the manifest has.
    let item = &shown.body["playlist"]["items"][0];
    let url = item["url"].as_str().unwrap();
    let path = &url[url.find("/v1/").unwrap()..];
    let file = device.anonymous_raw(&world, "GET", path, &[], b"");
    assert_eq!(file.status().as_u16(), 200);
    assert_eq!(file.headers()["content-type"], "image/png");
    assert_eq!(file.into_body().read_to_vec().unwrap(), picture(1));

    // The venue's schedule goes before, for this device alone and for all day.
    let other = world.device("window");
    let lunch = published(&world, "Lunch", 2);
    let settings =
        json!({"name": "Default", "timezone": "UTC", "fallbackPlaylistId": day["playlistId"]});
    let venue = "/v1/tenants/ten_default/venues/ven_default";
    world.change("PUT", venue, 1, &settings).ok();
    let slot = json!({
        "targetType": "DEVICE", "targetId": device.id, "playlistId": lunch["playlistId"],
        "daysOfWeekMask": 127, "startMinutes": 0, "endMinutes": 0,
    });
    world
        .change("POST", "/v1/venues/ven_default/scheduleset/slots", 1, &slot)
        .ok();
    let unpublished = manifest(None);
    assert_eq!(
        unpublished.body["playlist"]["playlistId"],
        day["playlistId"]
    );
    world
        .post("/v1/venues/ven_default/scheduleset/publish", &json!({}))
        .ok();
    let scheduled = manifest(unpublished.etag.as_deref());
    assert_eq!(
        scheduled.body["playlist"]["playlistId"],
        lunch["playlistId"]
    );
    let elsewhere = ask(&world, &other, "/v1/player/manifest", None);
    assert_eq!(elsewhere.body["playlist"]["playlistId"], day["playlistId"]);
    // Whoever is cut off can still follow.
    let ahead = &scheduled.body["lookAhead"];
    assert_eq!(ahead["schedule"]["slots"].as_array().unwrap().len(), 1);
    assert_eq!(ahead["schedule"]["fallbackPlaylistId"], day["playlistId"]);

    // When the screens of the venue are on.
    let hours = json!([{"daysOfWeekMask": 31, "startMinutes": 480, "endMinutes": 1320}]);
    let mut settings = settings;
    settings["screenHours"] = hours.clone();
    world.change("PUT", venue, 2, &settings).ok();
    let within = manifest(scheduled.etag.as_deref());
    assert_eq!(
        within.body["settings"]["screenPower"],
        json!({"timezone": "UTC", "on": hours})
    );
}

#[test]
fn a_revoked_device_gets_neither_manifest_nor_files() {
    let world = World::new();
    let device = world.device("lobby");
    published(&world, "Day", 1);
    let manifest = ask(&world, &device, "/v1/player/manifest", None).ok();
    let url = manifest["playlist"]["items"][0]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    let file = &url[url.find("/v1/").unwrap()..];
    let path = format!("/v1/devices/{}", device.id);
    world.operator_raw("DELETE", &path, b"").ok();
    ask(&world, &device, "/v1/player/manifest", None).refused(401, "UNAUTHENTICATED");
    device
        .anonymous(&world, "GET", file, &[], b"")
        .refused(401, "UNAUTHENTICATED");
    world
        .anyone("GET", file, &[], b"")
        .refused(401, "UNAUTHENTICATED");
}

#[test]
fn what_a_player_tells_is_kept_once() {
    let world = World::new();
    let device = world.device("lobby");
    let heartbeat = json!({
        "deviceTime": world.now(), "appVersion": "1.2.0", "state": "PLAYING", "manifestEtag": "e:1",
        "playback": {"playlistId": "pl_042", "publishedVersion": 3, "currentAssetId": "ast_101",
            "currentItemIndex": 0, "loopCount": 14},
        "cache": {"totalBytes": 2_147_483_648_u64, "usedBytes": 5, "assetCount": 12, "pendingDownloads": 1},
        "network": {"connected": true, "type": "ETHERNET", "lastSyncAtUtc": world.now()},
        "errors": {"playbackFailures": 0, "downloadFailures": 2, "manifestFetchFailures": 0},
        "frames": {"presented": 100, "late": 1, "blankMs": 0},
    });
    assert_eq!(
        tell(&world, &device, "/v1/player/heartbeat", None, &heartbeat).status,
        204
    );
    let detail = world.get(&format!("/v1/devices/{}", device.id)).ok();
    assert_eq!(detail["player"]["playback"]["currentAssetId"], "ast_101");
    assert_eq!(detail["online"], false, "its agent has said nothing yet");

    let batch = json!({"deviceTime": world.now(), "events": [
        {"eventType": "PLAYBACK_FAILED", "eventTimeUtc": world.now(), "severity": "ERROR",
            "payload": {"assetId": "ast_1", "reason": "DECODE_ERROR", "message": "no"}},
        {"eventType": "SOMETHING_NEWER", "eventTimeUtc": world.now(), "severity": "INFO", "payload": {}},
    ]});
    for key in [Some("bat_1"), Some("bat_1"), None, None] {
        assert_eq!(
            tell(&world, &device, "/v1/player/events", key, &batch).status,
            204
        );
    }
    let events = world.get(&format!("/v1/devices/{}/events", device.id)).ok();
    let events = events["items"].as_array().unwrap();
    assert_eq!(events.len(), 4, "once under its key, and once under none");
    assert!(
        events
            .iter()
            .any(|event| event["eventType"] == "SOMETHING_NEWER")
    );
    tell(&world, &device, "/v1/player/events", Some("no key"), &batch)
        .refused(400, "BAD_IDEMPOTENCY_KEY");

    let proof = json!({
        "assetId": "ast_1", "playlistId": "pl_1", "publishedVersion": 3, "startedAtUtc": world.now(),
        "endedAtUtc": world.now(), "durationMs": 10_000, "outcome": "COMPLETED",
    });
    let proofs = |count: usize| {
        json!({"batchId": "bat_2", "deviceTime": world.now(), "droppedTotal": 0,
            "proofs": vec![&proof; count]})
    };
    for _ in 0..2 {
        assert_eq!(
            tell(
                &world,
                &device,
                "/v1/player/proof-of-play",
                None,
                &proofs(2)
            )
            .status,
            204
        );
    }
    let mut absurd = proofs(3);
    absurd["batchId"] = json!("bat_3");
    for proof in absurd["proofs"].as_array_mut().unwrap() {
        proof["assetId"] = json!("ast_2");
        proof["durationMs"] = json!(u64::MAX);
    }
    let absurd = tell(&world, &device, "/v1/player/proof-of-play", None, &absurd);
    assert_eq!(absurd.status, 204);
    let many = tell(
        &world,
        &device,
        "/v1/player/proof-of-play",
        None,
        &proofs(101),
    );
    many.refused(422, "VALIDATION_FAILED");
    check_report(&world);
}

#[test]
fn a_command_for_the_player_is_not_the_agents_and_is_answered_once() {
    let world = World::new();
    let device = world.device("lobby");
    let commands = format!("/v1/venues/ven_default/devices/{}/commands", device.id);
    let queued = world
        .post(&commands, &json!({"type": "TAKE_SCREENSHOT"}))
        .ok();
    let id = queued["commandId"].as_str().unwrap();
    assert_eq!(
        device.get(&world, "/v1/device/commands").ok()["items"],
        json!([])
    );
    let listed = ask(&world, &device, "/v1/player/commands", None).ok();
    assert_eq!(listed["items"][0]["commandId"], id);
    assert_eq!(listed["items"][0]["type"], "TAKE_SCREENSHOT");

    let result = |outcome: &str| {
        json!({"outcome": outcome, "finishedAt": world.now(), "detail": "what is on the screen",
            "output": {"mediaType": "image/jpeg", "base64": "/9j/"}})
    };
    let agents = format!("/v1/device/commands/{id}/result");
    device
        .send(&world, "POST", &agents, &result("FAILED"))
        .refused(404, "NOT_FOUND");
    let path = format!("/v1/player/commands/{id}/result");
    for outcome in ["SUCCEEDED", "FAILED"] {
        assert_eq!(
            tell(&world, &device, &path, None, &result(outcome)).status,
            204
        );
    }
    let seen = &world.get(&commands).ok()["items"][0];
    assert_eq!(
        (&seen["status"], &seen["result"]["outcome"]),
        (&json!("FINISHED"), &json!("SUCCEEDED"))
    );
    assert_eq!(
        ask(&world, &device, "/v1/player/commands", None).ok()["items"],
        json!([])
    );
    let others = world
        .get(&format!("/v1/devices/{}/commands", device.id))
        .ok();
    assert_eq!(
        others["items"],
        json!([]),
        "the agent's own list has nothing of it"
    );

    let taken = world.post(&commands, &json!({"type": "REBOOT_APP"})).ok();
    let cancel = format!("{commands}/{}/cancel", taken["commandId"].as_str().unwrap());
    assert_eq!(world.post(&cancel, &json!({})).ok()["status"], "CANCELLED");
    world
        .post(&commands, &json!({"type": "DANCE"}))
        .refused(422, "VALIDATION_FAILED");
}

/// Of two plays of ten seconds.
fn check_report(world: &World) {
    let report = world.get("/v1/proof-of-play").ok();
    let row = &report["items"][0];
    assert_eq!(
        (&row["plays"], &row["durationMs"]),
        (&json!(2), &json!(20_000)),
        "{report}"
    );
    let token = format!("Bearer {}", world.running().admin_token);
    let headers = [("authorization", token.as_str()), ("accept", "text/csv")];
    let csv = world.raw("GET", "/v1/proof-of-play", &headers, b"");
    let csv = csv.into_body().read_to_string().unwrap();
    assert!(csv.contains(",ven_default,ast_1,2,2,20000\r\n"), "{csv}");
    let backwards = world.get("/v1/proof-of-play?from=2026-06-15&to=2026-06-14");
    backwards.refused(422, "VALIDATION_FAILED");
    world
        .get("/v1/proof-of-play?from=June")
        .refused(400, "BAD_QUERY");
}

#[test]
fn a_batch_that_is_too_long_is_a_problem_like_others() {
    let world = World::new();
    let device = world.device("lobby");
    let body = json!({"events": [], "padding": "x".repeat(2 << 20)});
    device
        .send(&world, "POST", "/v1/player/events", &body)
        .refused(413, "TOO_LARGE");
}
