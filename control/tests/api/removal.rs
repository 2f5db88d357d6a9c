//! A device that was let in by mistake, or is no more.

use serde_json::json;

use crate::world::World;

#[test]
fn a_removed_device_is_as_one_that_never_enrolled() {
    let world = World::new();
    let mut device = world.device("lobby");
    let stays = world.device("window");
    world.publish("2.0.0");
    world
        .post("/v1/rollouts", &json!({"version": "2.0.0"}))
        .ok();
    device
        .heartbeat(&world, "1.0.0", &json!({"state": "idle"}))
        .ok();
    device.update(&world, "1.0.0", "2.0.0");
    let group = json!({"name": "all", "deviceIds": [device.id, stays.id]});
    world.post("/v1/venues/ven_default/groups", &group).ok();
    let path = format!("/v1/devices/{}", device.id);
    let command = json!({"type": "refresh", "payload": {}});
    world.post(&format!("{path}/commands"), &command).ok();
    let event = json!({"deviceTime": world.now(), "events": [{
        "eventId": "evt_1", "eventType": "DISK_LOW", "eventTimeUtc": world.now(), "severity": "WARNING", "payload": {},
    }]});
    device
        .send(&world, "POST", "/v1/device/events", &event)
        .ok();
    let plays = json!({"batchId": "bat_1", "deviceTime": world.now(), "droppedTotal": 0, "proofs": [{
        "assetId": "ast_1", "playlistId": "pl_1", "publishedVersion": 1, "startedAtUtc": world.now(),
        "endedAtUtc": world.now(), "durationMs": 10_000, "outcome": "COMPLETED",
    }]});
    let told = "/v1/player/proof-of-play";
    device.send(&world, "POST", told, &plays).ok();
    let bundle = "/v1/device/support-bundles/a.tar.zst";
    let sent = device.raw(&world, "PUT", bundle, &[], b"logs");
    assert_eq!(sent.status().as_u16(), 201);

    let remove = format!("{path}/remove");
    world.post(&remove, &json!({})).refused(409, "NOT_REVOKED");
    world.operator_raw("DELETE", &path, b"").ok();
    world.post(&remove, &json!({})).ok();
    world.get(&path).refused(404, "NOT_FOUND");
    world.post(&remove, &json!({})).refused(404, "NOT_FOUND");
    let groups = world.get("/v1/venues/ven_default/groups").ok();
    assert_eq!(groups["items"][0]["deviceIds"], json!([stays.id]));
    device
        .get(&world, "/v1/device/target")
        .refused(401, "UNAUTHENTICATED");
    let files = world
        .data
        .path()
        .join("support-bundles/ten_default")
        .join(&device.id);
    assert!(!files.exists());

    // Nothing of before is left to a device with the same key.
    let token = world.enrolment_token(&json!({"deviceName": "hall"}));
    let again = world.enrol_with(&token, &device.key).ok();
    assert_eq!(again["deviceId"].as_str(), Some(device.id.as_str()));
    let view = world.get(&path).ok();
    assert_eq!(
        (&view["name"], &view["revoked"]),
        (&json!("hall"), &json!(false))
    );
    let events = world.get(&format!("{path}/events")).ok();
    assert_eq!(events["items"], json!([]));
}
