//! What is noticed, by which rules, who is told so, and who may say that they know.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::world::{Device, World};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A world, and since when it listens.
fn world() -> (World, Timestamp) {
    let world = World::new();
    let began = world.now();
    (world, began)
}

/// Passes time in steps in which the device is heard, with these figures and a look each.
fn live(world: &World, device: &Device, minutes: u32, metrics: &Value) {
    for _ in 0..minutes {
        world.pass(SignedDuration::from_mins(1));
        beat(world, device, metrics);
        world.look(world.now() - HOUR);
    }
}

fn beat(world: &World, device: &Device, metrics: &Value) {
    let mut all =
        json!({"cpuPercent": 3.0, "memPercent": 20.0, "diskFreeBytes": 1_000_000_000_u64});
    let fields = all.as_object_mut().unwrap();
    fields.extend(metrics.as_object().unwrap().clone());
    let idle = json!({"state": "idle"});
    let more = json!({"metrics": all});
    device.heartbeat_with(world, "1.0.0", &idle, more).ok();
}

fn play(world: &World, device: &Device, state: &str) {
    let heartbeat = json!({
        "deviceTime": world.now(), "appVersion": "1.2.0", "state": state, "manifestEtag": null,
        "playback": {"playlistId": null, "publishedVersion": null, "currentAssetId": null,
            "currentItemIndex": null, "loopCount": 0},
        "cache": {"totalBytes": 2_147_483_648_u64, "usedBytes": 5, "assetCount": 12, "pendingDownloads": 1},
        "network": {"connected": true, "type": "ETHERNET", "lastSyncAtUtc": world.now()},
        "errors": {"playbackFailures": 0, "downloadFailures": 2, "manifestFetchFailures": 0},
    });
    let body = heartbeat.to_string();
    let path = "/v1/player/heartbeat";
    let sent = device.raw(world, "POST", path, &[], body.as_bytes());
    assert_eq!(sent.status().as_u16(), 204);
}

fn alerts(world: &World, query: &str) -> Vec<Value> {
    let page = world.get(&format!("/v1/alerts?{query}")).ok();
    page["items"].as_array().unwrap().clone()
}

/// The kinds of those that are not over.
fn kinds(world: &World) -> Vec<String> {
    let all = alerts(world, "status=unresolved");
    let mut kinds: Vec<_> = all.iter().map(|a| text(a, "kind")).collect();
    kinds.sort();
    kinds
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap().to_owned()
}

fn path(alert: &Value) -> String {
    format!("/v1/alerts/{}", text(alert, "alertId"))
}

#[test]
fn a_silent_device_is_an_alert_until_it_has_been_heard_for_a_while() {
    let (world, began) = world();
    let device = world.device("lobby");
    beat(&world, &device, &json!({}));
    let heard = world.now();
    for (seconds, open) in [(181, 0), (298, 0), (1, 1), (60, 1)] {
        world.pass(SignedDuration::from_secs(seconds));
        world.look(began);
        assert_eq!(alerts(&world, "").len(), open, "{}", world.now() - heard);
    }
    let alert = &alerts(&world, "kind=offline&status=open")[0];
    assert_eq!(alert["deviceId"], device.id.as_str());
    assert_eq!(alert["deviceName"], "lobby");
    assert_eq!(alert["venueId"], "ven_default");
    assert_eq!(alert["since"], json!(heard + SignedDuration::from_mins(3)));
    assert!(text(alert, "detail").starts_with("not heard since "));
    assert!(alerts(&world, "kind=hot").is_empty());
    assert!(alerts(&world, "deviceId=dev_elsewhere").is_empty());

    let acknowledge = format!("{}/acknowledge", path(alert));
    let known = world.post(&acknowledge, &json!({"note": "on my way"})).ok();
    assert_eq!(known["state"], "acknowledged");
    assert_eq!(known["acknowledged"]["by"], "admin");
    assert_eq!(known["acknowledged"]["note"], "on my way");
    let again = world.post(&acknowledge, &json!({"note": "me too"})).ok();
    assert_eq!(again, known, "whoever was first stays");
    let long = json!({"note": "x".repeat(501)});
    let refused = world.post(&acknowledge, &long);
    let refused = refused.refused(422, "VALIDATION_FAILED");
    assert_eq!(refused["errors"][0]["field"], "note");
    assert!(alerts(&world, "status=open").is_empty());
    assert_eq!(alerts(&world, "status=unresolved").len(), 1);

    beat(&world, &device, &json!({}));
    world.look(began);
    assert_eq!(alerts(&world, "status=unresolved").len(), 1, "a moment ago");
    world.pass(SignedDuration::from_mins(1));
    world.look(began);
    let over = world.get(&path(alert)).ok();
    assert_eq!(over["state"], "resolved");
    assert_eq!(over["resolvedAt"], json!(world.now()));
    let other = world.post(&acknowledge, &json!({}));
    other.refused(409, "ALERT_RESOLVED");
    world
        .get("/v1/alerts/alt_elsewhere")
        .refused(404, "NOT_FOUND");
}

#[test]
fn silence_says_nothing_of_a_time_in_which_nobody_listened() {
    let (world, _) = world();
    let device = world.device("lobby");
    beat(&world, &device, &json!({}));
    world.pass(HOUR);
    let began = world.now();
    world.look(began);
    world.pass(SignedDuration::from_mins(3));
    world.look(began);
    assert!(alerts(&world, "").is_empty());
    world.pass(SignedDuration::from_mins(6));
    world.look(began);
    assert_eq!(kinds(&world), ["offline"]);
}

#[test]
fn figures_that_go_up_and_down_are_one_alert() {
    let (world, _) = world();
    let device = world.device("lobby");
    let degrees = |celsius: f64| json!({"temperatureC": celsius});
    live(&world, &device, 4, &degrees(82.0));
    assert!(alerts(&world, "").is_empty(), "not for long");
    live(&world, &device, 2, &degrees(82.0));
    for celsius in [78.0, 81.0, 74.0, 79.0, 83.0, 74.0] {
        live(&world, &device, 3, &degrees(celsius));
    }
    let all = alerts(&world, "");
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["state"], "open");
    assert_eq!(all[0]["detail"], "83 °C, 80 °C or more are too hot");
    live(&world, &device, 10, &degrees(74.0));
    assert_eq!(alerts(&world, "")[0]["state"], "resolved");
    live(&world, &device, 7, &degrees(90.0));
    assert_eq!(alerts(&world, "").len(), 2, "that is another one");
}

#[test]
fn what_devices_say_of_themselves_is_noticed() {
    let (world, _) = world();
    let device = world.device("lobby");
    live(&world, &device, 1, &json!({"underVoltage": true}));
    assert_eq!(kinds(&world), ["underVoltage"]);
    live(&world, &device, 11, &json!({"diskFreeBytes": 1_000}));
    assert_eq!(kinds(&world), ["lowDisk", "underVoltage"]);
    live(&world, &device, 61, &json!({}));
    assert!(kinds(&world).is_empty());

    let failed = json!({
        "state": "rolledBack", "version": "2.0.0", "why": {"reason": "didNotBoot", "attempts": 3},
    });
    device.heartbeat(&world, "1.0.0", &failed).ok();
    world.look(world.now() - HOUR);
    let alert = &alerts(&world, "status=open&kind=updateFailed")[0];
    assert!(text(alert, "detail").starts_with("the update to 2.0.0: "));
    live(&world, &device, 1, &json!({}));
    assert!(kinds(&world).is_empty());

    for state in ["PLAYING", "ERROR_SCREEN"] {
        for minute in 0..6 {
            play(&world, &device, state);
            live(&world, &device, 1, &json!({}));
            let bad = state == "ERROR_SCREEN" && minute == 5;
            assert_eq!(!kinds(&world).is_empty(), bad, "{state}, {minute}");
        }
    }
    assert_eq!(kinds(&world), ["blankScreen"]);
    play(&world, &device, "PLAYING");
    live(&world, &device, 2, &json!({}));
    assert!(kinds(&world).is_empty());
    live(&world, &device, 8, &json!({}));
    assert_eq!(kinds(&world), ["blankScreen"], "its player is not heard");
}

#[test]
fn events_are_counted_until_they_are_old() {
    let (world, _) = world();
    let device = world.device("lobby");
    let tell = |path: &str, kind: &str, severity: &str, count: usize| {
        let event = |n: usize| {
            json!({
                "eventId": format!("evt_{}-{n}", kind.to_lowercase()), "eventType": kind, "eventTimeUtc": world.now(),
                "severity": severity, "payload": {},
            })
        };
        let events: Vec<_> = (0..count).map(event).collect();
        let body = json!({"deviceTime": world.now(), "events": events}).to_string();
        let sent = device.raw(&world, "POST", path, &[], body.as_bytes());
        assert!(sent.status().is_success(), "{}", sent.status());
    };
    tell("/v1/device/events", "COMMAND_FAILED", "ERROR", 9);
    tell("/v1/player/events", "DOWNLOAD_FAILED", "WARNING", 5);
    tell("/v1/player/events", "MANIFEST_STAGED", "INFO", 50);
    live(&world, &device, 1, &json!({}));
    assert_eq!(kinds(&world), ["downloadFailures"]);
    tell("/v1/device/events", "UPDATE_REFUSED", "ERROR", 1);
    live(&world, &device, 1, &json!({}));
    assert_eq!(kinds(&world), ["downloadFailures", "errorTrend"]);
    assert_eq!(
        alerts(&world, "kind=errorTrend")[0]["detail"],
        "10 errors within 60 minutes"
    );
    live(&world, &device, 70, &json!({}));
    assert!(kinds(&world).is_empty());
}

#[test]
fn a_certificate_that_is_not_renewed_is_noticed_before_it_ends() {
    let (world, _) = world();
    let device = world.device("lobby");
    live(&world, &device, 1, &json!({}));
    assert!(kinds(&world).is_empty());
    world.pass(HOUR * (80 * 24));
    // It can't speak any more by then in these tests: the clock of TLS is the system's.
    world.look(world.now());
    assert_eq!(kinds(&world), ["certificateExpiring"]);
    let path = format!("/v1/devices/{}", device.id);
    world.operator_raw("DELETE", &path, b"").ok();
    world.look(world.now());
    assert!(
        kinds(&world).is_empty(),
        "nobody waits for a revoked device"
    );
}

#[test]
fn a_stopped_rollout_is_an_alert_until_another_one_begins() {
    let (world, _) = world();
    let mut device = world.device("lobby");
    beat(&world, &device, &json!({}));
    world.publish("2.0.0");
    let rollout = world.post("/v1/rollouts", &json!({"version": "2.0.0"}));
    let rollout = rollout.ok();
    world.plan();
    device.report(
        &world,
        "1.0.0",
        &json!({
            "state": "rolledBack", "version": "2.0.0", "why": {"reason": "didNotBoot", "attempts": 3},
        }),
    );
    world.plan();
    world.look(world.now());
    assert_eq!(kinds(&world), ["rolloutStopped"]);
    let alert = &alerts(&world, "")[0];
    assert_eq!(alert["rolloutId"], rollout["rolloutId"]);
    assert_eq!(alert["deviceId"], Value::Null);
    world.publish_alone("3.0.0");
    world
        .post("/v1/rollouts", &json!({"version": "3.0.0"}))
        .ok();
    world.look(world.now());
    assert!(kinds(&world).is_empty());
}

#[test]
fn rules_are_changed_under_their_version_and_hold_from_the_next_look() {
    let (world, _) = world();
    let device = world.device("lobby");
    live(&world, &device, 1, &json!({"underVoltage": true}));
    assert_eq!(kinds(&world), ["underVoltage"]);
    let rules = "/v1/alert-rules";
    let first = world.get(rules);
    assert_eq!(first.etag.as_deref(), Some("\"0\""));
    assert_eq!(first.ok()["rules"]["hot"]["celsius"], 80);
    world
        .put(rules, &json!({}))
        .refused(428, "PRECONDITION_REQUIRED");
    let rule = |enabled: bool, resolve: i64| json!({"underVoltage": {"enabled": enabled, "holdSeconds": 0, "resolveSeconds": resolve}});
    let put = |version: u64, rules: &Value| world.change("PUT", "/v1/alert-rules", version, rules);
    put(1, &rule(false, 0)).refused(412, "PRECONDITION_FAILED");
    let bad = put(0, &rule(false, 10_000_000)).refused(422, "VALIDATION_FAILED");
    assert_eq!(bad["errors"][0]["field"], "underVoltage.resolveSeconds");
    put(0, &json!({"smoke": {}})).refused(422, "VALIDATION_FAILED");
    let changed = put(0, &rule(false, 0)).ok();
    assert_eq!(changed["version"], 1);
    world.look(world.now() - HOUR);
    assert!(kinds(&world).is_empty());
    put(0, &rule(true, 0)).refused(412, "PRECONDITION_FAILED");
    put(1, &json!({})).ok();
    world.look(world.now() - HOUR);
    assert_eq!(kinds(&world), ["underVoltage"]);
    assert_eq!(alerts(&world, "").len(), 2);
}

#[test]
fn a_venues_manager_sees_and_acknowledges_what_is_wrong_there_and_nowhere_else() {
    let (world, _) = world();
    let device = world.device("lobby");
    live(&world, &device, 1, &json!({"underVoltage": true}));
    let alert = text(&alerts(&world, "")[0], "alertId");
    let made = json!({"name": "Elsewhere", "timezone": "UTC"});
    let made = world.post("/v1/tenants/ten_default/venues", &made).ok();
    let elsewhere = text(&made, "venueId");
    let role = |venue: &str| json!({"venueRoles": [{"venueId": venue, "role": "VENUE_MANAGER"}]});
    for (name, venue, sees) in [("here", "ven_default", 1), ("there", elsewhere.as_str(), 0)] {
        world.person(name, &role(venue));
        let tokens = world.session(name);
        world.sees(&tokens, "/v1/alerts").refused(403, "FORBIDDEN");
        let list = format!("/v1/venues/{venue}/alerts");
        let list = world.sees(&tokens, &list).ok();
        assert_eq!(list["items"].as_array().unwrap().len(), sees);
        let path = format!("/v1/venues/{venue}/alerts/{alert}/acknowledge");
        let answer = world.asks(&tokens, "POST", &path, &json!({}));
        if sees == 1 {
            let by = format!("{name}@example.com");
            assert_eq!(answer.ok()["acknowledged"]["by"], by);
        } else {
            answer.refused(404, "NOT_FOUND");
        }
    }
}

#[test]
fn a_list_is_read_page_by_page_and_nonsense_is_named() {
    let (world, _) = world();
    for name in ["a", "b", "c"] {
        let device = world.device(name);
        beat(&world, &device, &json!({"underVoltage": true}));
    }
    world.look(world.now());
    let first = world.get("/v1/alerts?limit=2").ok();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let next = format!("/v1/alerts?limit=2&cursor={}", text(&first, "nextCursor"));
    let rest = world.get(&next).ok();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!(rest["nextCursor"], Value::Null);
    for query in ["limit=0", "status=lost", "kind=smoke", "limit=x"] {
        let refused = world.get(&format!("/v1/alerts?{query}"));
        refused.refused(400, "BAD_QUERY");
    }
    world
        .get("/v1/alerts?cursor=x")
        .refused(422, "VALIDATION_FAILED");
}

#[test]
fn control_planes_that_look_at_once_open_one_alert() {
    let (world, began) = world();
    let Some(other) = world.replica() else { return };
    let device = world.device("lobby");
    beat(&world, &device, &json!({"underVoltage": true}));
    std::thread::scope(|scope| {
        for plane in [&world, &other] {
            scope.spawn(move || plane.look(began));
        }
    });
    assert_eq!(alerts(&world, "").len(), 1);
}
