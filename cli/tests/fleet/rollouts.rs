//! An operator's day with a simulated fleet on a real control plane: what `fleet` shows, and how it
//! ends.

use fleet_protocol::rollout::RolloutView;
use serde_json::Value;

use crate::support::plane::Plane;
use crate::support::simulator::{Bad, Operator, Simulation, version};

const ALL_AT_ONCE: [&str; 4] = ["--phases", "5%,20%,100%", "--watch", "--json"];

/// So many devices on 1.0.0, which is published.
fn fleet(plane: &Plane, count: usize, bad: &[Bad]) -> (Operator, Simulation) {
    let operator = Operator::of(&plane.bench.path("fleet-data"));
    operator.publish("1.0.0");
    let uses = count.to_string();
    plane
        .fleet(&["device", "enrol", "--name", "screen", "--uses", &uses])
        .ok();
    let provision = plane.bench.path("provision.json");
    let simulation = Simulation::start(&provision, count, "1.0.0", bad);
    let begun = std::time::Instant::now();
    while plane.fleet(&["status", "--json"]).ok().json()["online"] != count {
        assert!(begun.elapsed().as_secs() < 60, "not all have enrolled");
    }
    (operator, simulation)
}

/// The views that `--watch --json` printed, a line each.
fn views(stdout: &str) -> Vec<RolloutView> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    stdout.lines().map(parse).collect()
}

#[test]
fn a_rollout_to_two_hundred_devices_completes_and_a_bad_one_is_taken_back() {
    let plane = Plane::logged_in();
    let bad = Bad {
        version: version("3.0.0"),
        percent: 30,
    };
    let (operator, _simulation) = fleet(&plane, 200, &[bad]);
    operator.publish("2.0.0");
    let start = |version| plane.fleet(&[&["rollout", "start", version][..], &ALL_AT_ONCE].concat());
    let good = start("2.0.0").ok();
    let watched = views(&good.stdout);
    let last = watched.last().unwrap();
    assert_eq!(
        (last.counts.verified, last.counts.failed),
        (200, 0),
        "{last:?}"
    );
    for view in &watched {
        let allowed = [10, 40, 200][view.current_phase as usize];
        let touched = view.counts.total - view.counts.waiting;
        assert!(
            touched <= allowed,
            "{touched} in phase {}",
            view.current_phase
        );
    }

    operator.publish("3.0.0");
    let ran = start("3.0.0");
    assert_eq!(ran.code, 4, "{ran:?}");
    let last = views(&ran.stdout).pop().unwrap();
    assert_eq!(last.status.name(), "rolledBack");
    assert!(last.counts.failed > 0, "{last:?}");
    assert!(
        last.counts.waiting >= 160,
        "the last phase never began: {last:?}"
    );
    assert!(ran.stderr.contains("without completing"), "{ran:?}");
    // One that was told just before the end may still be on its way back.
    let all_back = serde_json::json!([{"version": "2.0.0", "devices": 200}]);
    let begun = std::time::Instant::now();
    while plane.fleet(&["status", "--json"]).ok().json()["versions"] != all_back {
        assert!(begun.elapsed().as_secs() < 60, "not everyone is back");
    }
    let failed = last
        .members
        .iter()
        .find(|m| m.status == fleet_protocol::rollout::MemberStatus::Failed);
    let trace = plane
        .fleet(&["device", "why", failed.unwrap().device_id.as_str()])
        .ok();
    assert!(trace.stdout.contains("✗"), "{trace:?}");
    let shown = plane.fleet(&["status"]).ok().stdout;
    assert!(
        shown.contains("200 devices") && shown.contains("rolledBack"),
        "{shown}"
    );
}

#[test]
fn a_device_is_shown_told_heard_renamed_revoked_and_restored() {
    let plane = Plane::logged_in();
    let (_operator, _simulation) = fleet(&plane, 1, &[]);
    let list = plane.fleet(&["device", "list", "--json"]).ok().json();
    let id = list["items"][0]["deviceId"].as_str().unwrap();
    plane.fleet(&["device", "rename", id, "lobby"]).ok();
    plane.fleet(&["device", "rename", id, ""]).fails(4, "name");
    let shown = plane.fleet(&["device", "show", "lobby"]).ok().stdout;
    assert!(
        shown.contains("Simulated Board") && shown.contains("all active"),
        "{shown}"
    );

    let done = plane.fleet(&["device", "command", "lobby", "identify", "--wait", "--json"]);
    assert_eq!(done.ok().json()["result"]["outcome"], "SUCCEEDED");
    plane
        .fleet(&["device", "command", "lobby", "bundle", "--wait"])
        .ok();
    plane
        .fleet(&["device", "bundle", "lobby", "latest", "--out", "b.tar.zst"])
        .ok();
    assert_eq!(
        std::fs::read_to_string(plane.bench.path("b.tar.zst")).unwrap(),
        format!("bundle of {id}")
    );

    plane
        .fleet(&["device", "revoke", "lobby"])
        .fails(2, "confirm");
    let revoked = plane
        .fleet(&["device", "revoke", "lobby", "--yes", "--json"])
        .ok();
    assert_eq!(revoked.json()["revoked"], true);
    let kept = plane.fleet(&["device", "command", "lobby", "refresh", "--json"]);
    let command = kept.ok().json()["commandId"].as_str().unwrap().to_owned();
    plane
        .fleet(&["device", "command", "lobby", "cancel", &command])
        .ok();
    let restored = plane.fleet(&["device", "restore", "lobby", "--json"]).ok();
    assert_eq!(restored.json()["revoked"], false);
    plane
        .fleet(&["device", "restore", "nobody"])
        .fails(3, "nobody");
}

#[test]
fn logs_are_followed_while_a_device_updates() {
    let plane = Plane::logged_in();
    let (operator, _simulation) = fleet(&plane, 1, &[]);
    let list = plane.fleet(&["device", "list", "--json"]).ok().json();
    let id = list["items"][0]["deviceId"].as_str().unwrap().to_owned();
    let mut following = plane.bench.follow(&["device", "logs", "-f", "--json", &id]);
    operator.publish("2.0.0");
    plane
        .fleet(&[&["rollout", "start", "2.0.0"][..], &ALL_AT_ONCE].concat())
        .ok();
    let states: Vec<String> = (0..2)
        .map(|_| {
            let event: Value = serde_json::from_str(&following.line()).unwrap();
            event["payload"]["state"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(states, ["rebootPending", "committed"]);
}

#[test]
fn a_configuration_is_set_from_toml_and_json_and_nobodys_change_is_lost() {
    let plane = Plane::logged_in();
    let (_operator, _simulation) = fleet(&plane, 1, &[]);
    let write = |name: &str, text: &str| std::fs::write(plane.bench.path(name), text).unwrap();
    write("all.toml", "[control]\nheartbeat_interval_s = 30\n");
    let set = plane
        .fleet(&["config", "set", "default", "all.toml", "--json"])
        .ok()
        .json();
    assert_eq!(set["document"]["control"]["heartbeat_interval_s"], 30);
    let shown = plane.fleet(&["config", "show"]).ok().stdout;
    assert!(shown.contains("heartbeat_interval_s = 30"), "{shown}");
    let list = plane.fleet(&["device", "list", "--json"]).ok().json();
    let id = list["items"][0]["deviceId"].as_str().unwrap();
    write("one.json", r#"{"updates": {"paused": true}}"#);
    plane.fleet(&["config", "set", id, "one.json"]).ok();
    plane
        .fleet(&["config", "set", "default", "all.toml", "--if-version", "99"])
        .fails(4, "version");
    write("bad.toml", "[control]\nheartbeat_interval_s = 1\n");
    plane
        .fleet(&["config", "set", "default", "bad.toml"])
        .fails(4, "control.heartbeat_interval_s");
    write("no.yaml", "a: 1");
    plane
        .fleet(&["config", "set", "default", "no.yaml"])
        .fails(2, "TOML or JSON");
    let emptied = plane.fleet(&["config", "rm", id, "--json"]).ok().json();
    assert_eq!(emptied["document"], serde_json::json!({}));
    let shown = plane.fleet(&["config", "show", id]).ok().stdout;
    assert!(shown.contains("# empty"), "{shown}");
}

#[test]
fn a_bundle_that_no_release_refers_to_is_listed_and_pruned() {
    let plane = Plane::logged_in();
    let operator = Operator::of(&plane.bench.path("fleet-data"));
    operator.publish("1.0.0");
    let left = operator.upload(b"left behind").to_string();
    let kept = plane.fleet(&["bundle", "prune"]).ok();
    assert!(kept.stdout.contains("too new"), "{kept:?}");
    let all = ["bundle", "prune", "--older-than", "0", "--dry-run"];
    let dry = plane.fleet(&all).ok().stdout;
    assert!(
        dry.contains(&left) && dry.contains("11 B would be freed"),
        "{dry}"
    );
    let pruned = plane.fleet(&[&all[..4], &["--json"]].concat()).ok().json();
    assert_eq!(
        (&pruned["items"][0]["sha256"], &pruned["freedBytes"]),
        (&left.into(), &11.into())
    );
    let listed = plane.fleet(&["bundle", "list", "--json"]).ok().json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["releases"], serde_json::json!(["1.0.0"]));
}
