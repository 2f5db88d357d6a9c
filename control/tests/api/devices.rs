use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::world::{Device, World};

fn idle() -> Value {
    json!({"state": "idle"})
}

#[test]
fn a_heartbeat_shows_in_the_registry_and_goes_stale() {
    let world = World::new();
    let device = world.device("lobby");
    let ack = device.heartbeat(&world, "1.2.0", &idle()).ok();
    assert_eq!(
        ack,
        json!({
            "ack": true, "commandsPending": 0, "targetGeneration": 1, "serverTime": world.now(),
        })
    );
    let path = format!("/v1/devices/{}", device.id);
    let shown = world.get(&path).ok();
    assert_eq!(
        (&shown["online"], &shown["version"]),
        (&json!(true), &json!("1.2.0"))
    );
    assert_eq!(shown["heartbeat"]["role"], "signage");
    world.pass(SignedDuration::from_mins(10));
    assert_eq!(world.get(&path).ok()["online"], false);
    assert_eq!(
        world.get("/v1/devices?status=online").ok()["items"],
        json!([])
    );
    let history = world.get(&format!("{path}/heartbeats")).ok();
    assert_eq!(history["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_device_that_seldom_calls_is_online_until_three_of_its_pauses_went_by() {
    let world = World::new();
    let device = world.device("lobby");
    let online = |after: SignedDuration| {
        world.pass(after);
        let shown = world.get(&format!("/v1/devices/{}", device.id)).ok()["online"] == true;
        let listed = world.get("/v1/devices?status=online").ok();
        let counted = world.get("/v1/overview").ok();
        assert_eq!(
            listed["items"].as_array().unwrap().len(),
            usize::from(shown)
        );
        assert_eq!(counted["online"], u64::from(shown));
        shown
    };
    let call = |pause_s: u64| {
        let more = json!({"nextWithinSeconds": pause_s});
        device.heartbeat_with(&world, "1.0.0", &idle(), more).ok();
    };
    let hours = SignedDuration::from_hours;
    call(86_400);
    assert!(online(hours(71)));
    assert!(!online(hours(2)));
    call(20);
    assert!(
        online(SignedDuration::from_secs(170)),
        "never less than the setting"
    );
    assert!(!online(SignedDuration::from_secs(20)));
    call(u64::from(u32::MAX));
    assert!(
        !online(hours(24 * 7)),
        "no claim makes a device online for good"
    );
}

#[test]
fn a_heartbeat_carries_the_applications_status_and_is_told_the_wanted_version() {
    let world = World::new();
    let device = world.device("lobby");
    world.publish("2.0.0");
    let all = json!({"version": "2.0.0", "phases": [{"percentage": 100}]});
    world.post("/v1/rollouts", &all).ok();
    world.plan();
    let status = json!({"degradationLevel": 2, "recordingActive": false});
    let more = json!({"status": status});
    let ack = device.heartbeat_with(&world, "1.0.0", &idle(), more).ok();
    assert_eq!(ack["targetVersion"], "2.0.0");
    let shown = world.get(&format!("/v1/devices/{}", device.id)).ok();
    assert_eq!(shown["heartbeat"]["status"], status);
}

#[test]
fn a_list_is_no_body_whatever_is_in_it() {
    let world = World::new();
    // Read as a list of fields, this would be a token with all defaults.
    let response = world.operator_raw("POST", "/v1/enrolment-tokens", b"[null, null]");
    let problem = response.refused(422, "VALIDATION_FAILED");
    assert_eq!(problem["errors"][0]["field"], "body");
    let broken = world.operator_raw("POST", "/v1/enrolment-tokens", b"[null");
    broken.refused(400, "MALFORMED_JSON");
}

#[test]
fn a_bad_heartbeat_names_its_field() {
    let world = World::new();
    let device = world.device("lobby");
    let body = json!({"deviceTime": "yesterday"});
    let problem = device.send(&world, "POST", "/v1/device/heartbeat", &body);
    let problem = problem.refused(422, "VALIDATION_FAILED");
    assert_eq!(problem["errors"][0]["field"], "deviceTime");
    let broken = device.raw(&world, "POST", "/v1/device/heartbeat", &[], b"{");
    assert_eq!(broken.status().as_u16(), 400);
    let huge = device.raw(
        &world,
        "POST",
        "/v1/device/heartbeat",
        &[],
        &vec![b' '; 2 << 20],
    );
    assert_eq!(huge.status().as_u16(), 413);
}

#[test]
fn of_heartbeats_that_come_together_each_is_kept_and_a_bad_one_costs_itself() {
    const ROUNDS: u64 = 20;
    let world = World::new();
    let devices = ["north", "south", "east", "west"].map(|name| world.device(name));
    let bad = world.device("bad");
    let say = |device: &Device, more: Value| device.heartbeat_with(&world, "1.0.0", &idle(), more);
    std::thread::scope(|scope| {
        for device in &devices {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    say(device, json!({"uptimeSeconds": round})).ok();
                    let path = format!("/v1/devices/{}", device.id);
                    let kept = world.get(&path).ok()["heartbeat"]["uptimeSeconds"].clone();
                    assert_eq!(kept, round, "what is answered is kept");
                }
            });
        }
        scope.spawn(|| {
            for _ in 1..=ROUNDS {
                // PostgreSQL takes no NUL into a text; SQLite does.
                let answer = say(&bad, json!({"hardware": "Q\u{0}EMU"}));
                assert!([200, 422].contains(&answer.status), "{answer:?}");
            }
        });
    });
}

#[test]
fn devices_are_listed_by_page_and_found_by_text() {
    let world = World::new();
    for name in ["north", "south", "east"] {
        world.device(name);
    }
    let first = world.get("/v1/devices?limit=2").ok();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = world
        .get(&format!("/v1/devices?limit=2&cursor={cursor}"))
        .ok();
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    assert!(second.get("nextCursor").is_none());
    let found = world.get("/v1/devices?q=SOUTH").ok();
    assert_eq!(found["items"][0]["name"], "south");
    world.get("/v1/devices?limit=0").refused(400, "BAD_QUERY");
}

#[test]
fn commands_are_fetched_in_order_and_answered_once() {
    let world = World::new();
    let device = world.device("lobby");
    let path = format!("/v1/devices/{}/commands", device.id);
    let reboot = json!({"type": "reboot", "payload": {"delaySeconds": 5}});
    let identify = json!({"type": "identify", "payload": {"seconds": 9}, "expiresInSeconds": 60});
    let first = world.post(&path, &reboot).ok();
    let second = world.post(&path, &identify).ok();
    assert_eq!(
        (&first["sequence"], &second["sequence"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        device.heartbeat(&world, "1.0.0", &idle()).ok()["commandsPending"],
        2
    );
    let fetched = device.get(&world, "/v1/device/commands").ok();
    assert_eq!(fetched["items"][0]["type"], "reboot");
    assert_eq!(fetched["items"][1]["payload"]["seconds"], 9);
    let id = first["commandId"].as_str().unwrap();
    let result = |detail: &str| {
        json!({
            "outcome": "SUCCEEDED", "finishedAt": world.now(), "detail": detail,
        })
    };
    let answer = format!("/v1/device/commands/{id}/result");
    assert_eq!(
        device.send(&world, "POST", &answer, &result("done")).status,
        204
    );
    assert_eq!(
        device
            .send(&world, "POST", &answer, &result("again"))
            .status,
        204
    );
    let listed = world.get(&path).ok();
    assert_eq!(listed["items"][1]["status"], "FINISHED");
    assert_eq!(listed["items"][1]["result"]["detail"], "done");
    world.pass(SignedDuration::from_mins(2));
    assert_eq!(
        device.get(&world, "/v1/device/commands").ok()["items"],
        json!([])
    );
    assert_eq!(world.get(&path).ok()["items"][0]["status"], "EXPIRED");
    let other = world.device("other");
    other
        .send(&world, "POST", &answer, &result("not mine"))
        .refused(404, "NOT_FOUND");
}

#[test]
fn a_command_is_cancelled_until_the_device_has_it() {
    let world = World::new();
    let device = world.device("lobby");
    let path = format!("/v1/devices/{}/commands", device.id);
    let queue = || {
        let queued = world
            .post(&path, &json!({"type": "refresh", "payload": {}}))
            .ok();
        format!("{path}/{}/cancel", queued["commandId"].as_str().unwrap())
    };
    let (early, late) = (queue(), queue());
    assert_eq!(world.post(&early, &json!({})).ok()["status"], "CANCELLED");
    let fetched = device.get(&world, "/v1/device/commands").ok();
    assert_eq!(fetched["items"].as_array().unwrap().len(), 1);
    world
        .post(&late, &json!({}))
        .refused(409, "NOT_CANCELLABLE");
}

#[test]
fn a_bad_command_is_refused_with_its_reason() {
    let world = World::new();
    let device = world.device("lobby");
    let path = format!("/v1/devices/{}/commands", device.id);
    let bad = json!({"type": "restart_service", "payload": {"service": "rm -rf"}});
    world.post(&path, &bad).refused(422, "VALIDATION_FAILED");
    world
        .post(&path, &json!({"type": "explode"}))
        .refused(422, "VALIDATION_FAILED");
    let far = json!({"type": "refresh", "payload": {}, "expiresInSeconds": 0});
    world.post(&path, &far).refused(422, "VALIDATION_FAILED");
}

#[test]
fn a_new_command_wakes_the_device_up() {
    let world = World::new();
    let device = world.device("lobby");
    let mut wakeups = device.wakeups(&world);
    assert_eq!(wakeups.next().unwrap(), r#"{"reason":"connected"}"#);
    let path = format!("/v1/devices/{}/commands", device.id);
    world
        .post(&path, &json!({"type": "refresh", "payload": {}}))
        .ok();
    assert_eq!(wakeups.next().unwrap(), r#"{"reason":"command"}"#);
    world.put("/v1/config/default", &json!({})).ok();
    assert_eq!(wakeups.next().unwrap(), r#"{"reason":"target"}"#);
}

#[test]
fn events_are_kept_once_whatever_is_sent_again() {
    let world = World::new();
    let device = world.device("lobby");
    let event = |id: &str| {
        json!({
            "eventId": id, "eventType": "DISK_LOW", "eventTimeUtc": world.now(),
            "severity": "WARNING", "payload": {"freeBytes": 1},
        })
    };
    let batch = |events: Vec<Value>| json!({"deviceTime": world.now(), "events": events});
    let send = |events| device.send(&world, "POST", "/v1/device/events", &batch(events));
    assert_eq!(send(vec![event("evt_1"), event("evt_2")]).status, 204);
    assert_eq!(send(vec![event("evt_2"), event("evt_3")]).status, 204);
    let path = format!("/v1/devices/{}/events", device.id);
    let listed = world.get(&path).ok();
    let ids: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["eventId"])
        .collect();
    assert_eq!(ids, ["evt_3", "evt_2", "evt_1"]);
    let many = (0..101).map(|i| event(&format!("evt_m{i}"))).collect();
    send(many).refused(422, "VALIDATION_FAILED");
}

#[test]
fn configuration_is_checked_merged_and_delivered_with_a_growing_version() {
    let world = World::new();
    let device = world.device("lobby");
    let own = format!("/v1/config/{}", device.id);
    let bad = json!({"control": {"heartbeat_interval_s": 1}});
    let problem = world
        .put("/v1/config/default", &bad)
        .refused(422, "VALIDATION_FAILED");
    assert_eq!(
        problem["errors"][0]["field"],
        "control.heartbeat_interval_s"
    );
    let general = json!({"control": {"heartbeat_interval_s": 30, "jitter_percent": 5}});
    world.put("/v1/config/default", &general).ok();
    world
        .put(&own, &json!({"control": {"jitter_percent": 0}}))
        .ok();
    let target = device.get(&world, "/v1/device/target").ok();
    assert_eq!(
        target["config"],
        json!({
            "version": 2,
            "document": {"control": {"heartbeat_interval_s": 30, "jitter_percent": 0}},
        })
    );
    world
        .put("/v1/config/dev_nobody", &json!({}))
        .refused(404, "NOT_FOUND");
    let token = format!("Bearer {}", world.running().admin_token);
    let stale = [("authorization", token.as_str()), ("if-match", "\"0\"")];
    let conflict = world.anyone("PUT", &own, &stale, b"{}");
    let conflict = conflict.refused(412, "PRECONDITION_FAILED");
    let etag = world.get(&own).etag.unwrap();
    assert_eq!(conflict["currentEtag"], etag.as_str());
    let fresh = [
        ("authorization", token.as_str()),
        ("if-match", etag.as_str()),
    ];
    assert_eq!(world.anyone("PUT", &own, &fresh, b"{}").ok()["version"], 3);
}

#[test]
fn a_target_that_is_known_already_is_not_sent_again() {
    let world = World::new();
    let device = world.device("lobby");
    let etag = device.get(&world, "/v1/device/target").etag.unwrap();
    let ask = |etag: &str| {
        let headers = [("if-none-match", etag)];
        device
            .raw(&world, "GET", "/v1/device/target", &headers, b"")
            .status()
            .as_u16()
    };
    assert_eq!(ask(&etag), 304);
    world
        .put("/v1/config/default", &json!({"log_level": "debug"}))
        .ok();
    assert_eq!(ask(&etag), 200);
}
