use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::world::{Device, World};

fn fleet(world: &World, count: usize) -> Vec<Device> {
    (0..count)
        .map(|i| world.device(&format!("screen-{i}")))
        .collect()
}

fn start(world: &World, request: &Value) -> String {
    let rollout = world.post("/v1/rollouts", request).ok();
    format!("/v1/rollouts/{}", rollout["rolloutId"].as_str().unwrap())
}

fn heartbeat_all(world: &World, devices: &[Device]) {
    for device in devices {
        device
            .heartbeat(world, "1.0.0", &json!({"state": "idle"}))
            .ok();
    }
}

/// Those that are to install now, and have not yet.
fn offered(world: &World, devices: &[Device]) -> Vec<usize> {
    let wanted = Some(("install".to_owned(), "2.0.0".to_owned()));
    (0..devices.len())
        .filter(|i| devices[*i].target_version(world) == wanted)
        .collect()
}

#[test]
fn a_rollout_goes_through_its_phases_by_verified_boots_and_survives_restarts() {
    let mut world = World::new();
    let mut devices = fleet(&world, 10);
    heartbeat_all(&world, &devices);
    world.publish("2.0.0");
    let phases = json!([{"percentage": 10, "waitSeconds": 600}, {"percentage": 100}]);
    let path = start(&world, &json!({"version": "2.0.0", "phases": phases}));
    let first = offered(&world, &devices);
    assert_eq!(first.len(), 1);

    let canary = &mut devices[first[0]];
    canary.report(
        &world,
        "1.0.0",
        &json!({"state": "rebootPending", "version": "2.0.0", "slot": "B"}),
    );
    world.plan();
    world.restart();
    assert_eq!(
        world.get(&path).ok()["counts"]["offered"],
        1,
        "an installed release is no progress"
    );
    canary.commit(&world, "2.0.0");
    world.plan();
    assert_eq!(world.get(&path).ok()["counts"]["verified"], 1);
    assert_eq!(offered(&world, &devices).len(), 1, "the wait is not over");

    world.restart();
    world.pass(SignedDuration::from_mins(10));
    world.plan();
    assert_eq!(offered(&world, &devices).len(), 10);
    for device in &mut devices {
        device.update(&world, "1.0.0", "2.0.0");
    }
    world.plan();
    let done = world.get(&path).ok();
    assert_eq!(
        (&done["status"], &done["counts"]["verified"]),
        (&json!("completed"), &json!(10))
    );
    assert!(done["finishedAt"].is_string());
}

#[test]
fn a_committed_boot_with_another_root_hash_is_a_failure() {
    let world = World::new();
    let mut device = world.device("lobby");
    world.publish("2.0.0");
    let path = start(
        &world,
        &json!({"version": "2.0.0", "rollbackOnFailure": false}),
    );
    device.report(
        &world,
        "1.0.0",
        &json!({"state": "rebootPending", "version": "2.0.0", "slot": "B"}),
    );
    let body = json!({
        "sequence": 9, "at": world.now(), "state": "committed", "version": "2.0.0", "slot": "B",
        "booted": {"slot": "B", "version": "2.0.0", "rootHash": "00".repeat(32), "bootId": "x"},
    });
    device
        .send(&world, "POST", "/v1/device/update-report", &body)
        .ok();
    world.plan();
    let rollout = world.get(&path).ok();
    assert_eq!(rollout["status"], "failed");
    assert!(
        rollout["members"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("root hash"),
        "{rollout}"
    );
}

#[test]
fn too_many_failures_take_everyone_back() {
    let world = World::new();
    let mut devices = fleet(&world, 4);
    heartbeat_all(&world, &devices);
    world.publish("1.0.0");
    world.publish("2.0.0");
    let path = start(
        &world,
        &json!({"version": "2.0.0", "phases": [{"percentage": 100}]}),
    );
    for device in &mut devices[..3] {
        device.update(&world, "1.0.0", "2.0.0");
    }
    world.plan();
    let failed = json!({
        "state": "rolledBack", "version": "2.0.0",
        "why": {"reason": "unhealthy", "failedChecks": ["player"]},
    });
    devices[3].report(&world, "1.0.0", &failed);
    world.plan();
    assert_eq!(world.get(&path).ok()["status"], "rollingBack");
    let back = Some(("rollback".to_owned(), "1.0.0".to_owned()));
    assert_eq!(devices[0].target_version(&world), back);
    assert_eq!(devices[3].target_version(&world), None);
    let busy = world.post("/v1/rollouts", &json!({"version": "2.0.0"}));
    busy.refused(409, "DEVICES_BUSY");
    for device in &mut devices[..3] {
        device.commit(&world, "1.0.0");
    }
    world.plan();
    let done = world.get(&path).ok();
    assert_eq!(done["status"], "rolledBack", "{done}");
    assert_eq!(done["counts"]["rolledBack"], 3);
    let detail = done["members"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["status"] == "failed");
    assert!(
        detail.unwrap()["detail"]
            .as_str()
            .unwrap()
            .contains("player")
    );
}

#[test]
fn a_rollout_with_a_way_back_needs_the_releases_that_devices_run() {
    let world = World::new();
    let devices = fleet(&world, 3);
    devices[0]
        .heartbeat(&world, "1.5.0", &json!({"state": "idle"}))
        .ok();
    world.publish_alone("2.0.0");
    let request = json!({"version": "2.0.0"});
    let problem = world
        .post("/v1/rollouts", &request)
        .refused(409, "ROLLBACK_IMPOSSIBLE");
    assert_eq!(problem["errors"][0]["field"], "rollbackOnFailure");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("1.0.0 (2), 1.5.0 (1)"), "{detail}");
    let hint = problem["hint"].as_str().unwrap();
    assert!(
        hint.contains("fleet rollout start 2.0.0 --no-rollback"),
        "{hint}"
    );
    world.publish_alone("1.0.0");
    world
        .post("/v1/rollouts", &request)
        .refused(409, "ROLLBACK_IMPOSSIBLE");
    let some = json!({"version": "2.0.0", "devices": [devices[1].id]});
    let path = start(&world, &some);
    world.post(&format!("{path}/abort"), &json!({})).ok();
    start(
        &world,
        &json!({"version": "2.0.0", "rollbackOnFailure": false}),
    );
}

#[test]
fn a_paused_rollout_offers_nothing_and_an_aborted_one_withdraws() {
    let world = World::new();
    let devices = fleet(&world, 2);
    world.publish("2.0.0");
    let path = start(
        &world,
        &json!({"version": "2.0.0", "phases": [{"percentage": 100}]}),
    );
    assert_eq!(offered(&world, &devices).len(), 2);
    let act = |verb: &str| world.post(&format!("{path}/{verb}"), &json!({}));
    assert_eq!(act("pause").ok()["status"], "paused");
    assert_eq!(offered(&world, &devices).len(), 0);
    assert_eq!(act("resume").ok()["status"], "running");
    assert_eq!(offered(&world, &devices).len(), 2);
    assert_eq!(act("abort").ok()["status"], "aborted");
    assert_eq!(offered(&world, &devices).len(), 0);
    act("resume").refused(409, "WRONG_STATUS");
    start(&world, &json!({"version": "2.0.0"}));
}

#[test]
fn a_report_that_comes_late_changes_nothing() {
    let world = World::new();
    let device = world.device("lobby");
    world.publish("2.0.0");
    let report = |sequence: u64, state: &str| {
        let body = json!({
            "sequence": sequence, "at": world.now(), "state": state, "version": "2.0.0",
            "slot": "B", "percent": 5, "downloadedBytes": 1, "message": "",
            "booted": {"slot": "A", "version": "1.0.0", "rootHash": "00".repeat(32), "bootId": "x"},
        });
        assert_eq!(
            device
                .send(&world, "POST", "/v1/device/update-report", &body)
                .status,
            204
        );
    };
    report(5, "rebootPending");
    report(4, "installing");
    let shown = world.get(&format!("/v1/devices/{}", device.id)).ok();
    assert_eq!(shown["updateReport"]["state"], "rebootPending");
}

#[test]
fn a_forced_update_command_asks_a_failed_device_once_more() {
    let world = World::new();
    let mut devices = fleet(&world, 20);
    world.publish("2.0.0");
    let request = json!({"version": "2.0.0", "phases": [{"percentage": 100}]});
    let path = start(&world, &request);
    let failed = json!({
        "state": "rolledBack", "version": "2.0.0", "why": {"reason": "didNotBoot", "attempts": 3},
    });
    devices[0].report(&world, "1.0.0", &failed);
    world.plan();
    assert_eq!(
        world.get(&path).ok()["counts"]["failed"],
        1,
        "5 % of 20 is borne"
    );
    // The failure is from before it is asked again, by more than nothing.
    world.pass(SignedDuration::from_secs(1));
    let command = json!({"type": "update", "payload": {"force": true}});
    world
        .post(&format!("/v1/devices/{}/commands", devices[0].id), &command)
        .ok();
    let target = devices[0].get(&world, "/v1/device/target").ok();
    assert_eq!(target["release"]["attempt"], 2);
    assert_eq!(world.get(&path).ok()["counts"]["failed"], 0);
}

#[test]
fn why_names_the_step_that_holds() {
    let world = World::new();
    let mut device = world.device("lobby");
    let why = format!("/v1/devices/{}/why", device.id);
    let holding = |expected: &str| {
        let trace = world.get(&why).ok();
        let steps = trace["steps"].as_array().unwrap();
        let step = steps.iter().find(|s| s["verdict"] != "pass").unwrap();
        assert_eq!(step["step"], expected, "{trace}");
    };
    holding("target");
    world.publish("2.0.0");
    let path = start(&world, &json!({"version": "2.0.0"}));
    holding("online");
    device
        .heartbeat(&world, "1.0.0", &json!({"state": "idle"}))
        .ok();
    holding("admission");
    world.post(&format!("{path}/pause"), &json!({})).ok();
    holding("phase");
    world.post(&format!("{path}/resume"), &json!({})).ok();
    device.report(
        &world,
        "1.0.0",
        &json!({
            "state": "deferred", "version": "2.0.0",
            "why": {"reason": "diskSpace", "freeBytes": 1, "neededBytes": 2},
        }),
    );
    holding("disk");
    device.update(&world, "1.0.0", "2.0.0");
    world.plan();
    let trace = world.get(&why).ok();
    assert!(
        trace["summary"].as_str().unwrap().contains("up to date"),
        "{trace}"
    );
}

#[test]
fn bad_phases_and_empty_fleets_are_refused_with_the_field() {
    let world = World::new();
    world.publish("2.0.0");
    let check = |request: Value, field: &str| {
        let problem = world
            .post("/v1/rollouts", &request)
            .refused(422, "VALIDATION_FAILED");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    };
    check(json!({"version": "2.0.0"}), "devices");
    world.device("lobby");
    let phases = |list: Value| json!({"version": "2.0.0", "phases": list});
    check(phases(json!([])), "phases");
    check(
        phases(json!([{"percentage": 50}, {"percentage": 20}])),
        "phases[1].percentage",
    );
    check(
        json!({"version": "2.0.0", "deadlineSeconds": 1}),
        "deadlineSeconds",
    );
    world
        .post("/v1/rollouts", &json!({"version": "7.0.0"}))
        .refused(404, "NOT_FOUND");
    let strangers = json!({"version": "2.0.0", "devices": ["dev_nobody"]});
    world
        .post("/v1/rollouts", &strangers)
        .refused(404, "NOT_FOUND");
}
