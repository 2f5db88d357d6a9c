//! What is wrong in a fleet, seen and looked after by `fleet`, against a real control plane.

use serde_json::Value;

use crate::support::people::Person;
use crate::support::plane::Plane;
use crate::support::simulator::Simulation;

/// One device that has joined, and says nothing any more.
fn silent_device(plane: &Plane) {
    plane.fleet(&["device", "enrol", "--name", "lobby"]).ok();
    let provision = plane.bench.path("provision.json");
    let simulation = Simulation::start(&provision, 1, "1.0.0", &[]);
    let begun = std::time::Instant::now();
    while json(plane, &["device", "list"])["items"] == serde_json::json!([]) {
        assert!(begun.elapsed().as_secs() < 60, "it has not enrolled");
    }
    drop(simulation);
    plane.wait_minutes(20);
    plane.look_for_trouble();
}

fn json(plane: &Plane, args: &[&str]) -> Value {
    plane.fleet(&[args, &["--json"]].concat()).ok().json()
}

#[test]
fn a_silent_device_is_listed_until_somebody_looks_after_it() {
    let plane = Plane::logged_in();
    let nothing = plane.fleet(&["alert", "list"]).ok().stdout;
    assert_eq!(nothing, "No alerts.\n");
    silent_device(&plane);
    let listed = json(&plane, &["alert", "list", "--kind", "offline"]);
    let alert = &listed["items"][0];
    assert_eq!(alert["state"], "open");
    let id = alert["alertId"].as_str().unwrap();
    let device = alert["deviceName"].as_str().unwrap();
    let shown = plane.fleet(&["alert", "list", "--device", device]).ok();
    assert!(shown.stdout.contains("not heard since"), "{shown:?}");
    let shown = plane.fleet(&["alert", "show", id]).ok().stdout;
    assert!(shown.contains(&format!("fleet alert ack {id}")), "{shown}");

    let note = ["alert", "ack", id, "--note", "the plug is out"];
    let said = plane.fleet(&note).ok().stdout;
    assert!(said.contains("is looked after by"), "{said}");
    let open = json(&plane, &["alert", "list", "--status", "open"]);
    assert_eq!(open["items"].as_array().unwrap().len(), 0);
    let shown = plane.fleet(&["alert", "show", id]).ok().stdout;
    assert!(shown.contains("the plug is out"), "{shown}");

    plane.fleet(&["alert", "rules", "disable", "offline"]).ok();
    plane.look_for_trouble();
    let left = plane.fleet(&["alert", "list"]).ok().stdout;
    assert_eq!(left, "No alerts.\n");
    let over = json(&plane, &["alert", "list", "--all"]);
    assert_eq!(over["items"][0]["state"], "resolved");
    plane.fleet(&["alert", "ack", id]).fails(4, "is over");
    plane.fleet(&["alert", "show", "alt_none"]).fails(3, "");
}

#[test]
fn rules_are_shown_replaced_by_a_file_and_reset() {
    let plane = Plane::logged_in();
    let shown = plane.fleet(&["alert", "rules", "show"]).ok().stdout;
    assert!(shown.contains("80 °C"), "{shown}");
    let hot = "[hot]\nenabled = true\ncelsius = 70\nholdSeconds = 60\nresolveSeconds = 60\n";
    std::fs::write(plane.bench.path("rules.toml"), hot).unwrap();
    let set = json(&plane, &["alert", "rules", "set", "rules.toml"]);
    assert_eq!(set["version"], 1);
    assert_eq!(set["rules"]["hot"]["celsius"], 70);
    let bad = hot.replace("70", "7");
    std::fs::write(plane.bench.path("rules.toml"), bad).unwrap();
    plane
        .fleet(&["alert", "rules", "set", "rules.toml"])
        .fails(4, "hot.celsius");
    let reset = json(&plane, &["alert", "rules", "reset"]);
    assert_eq!(reset["rules"]["hot"]["celsius"], 80);
}

#[test]
fn whoever_manages_a_venue_looks_after_its_alerts_alone() {
    let plane = Plane::logged_in();
    silent_device(&plane);
    let rights = ["--venue", "ven_default=manager"];
    let bob = Person::logged_in(&plane, "bob", &rights);
    bob.fleet(&["alert", "list"]).fails(4, "");
    let here = ["--venue", "ven_default"];
    let listed = bob.json(&[&["alert", "list"], &here[..]].concat());
    let id = listed["items"][0]["alertId"].as_str().unwrap();
    bob.fleet(&["alert", "ack", id]).fails(4, "");
    let known = bob.json(&[&["alert", "ack", id], &here[..]].concat());
    let by = &known["items"][0]["acknowledged"]["by"];
    assert_eq!(*by, bob.email().as_str());
}

#[test]
fn a_webhook_is_made_tried_out_changed_and_deleted() {
    let plane = Plane::logged_in();
    let none = plane.fleet(&["webhook", "list"]).ok().stdout;
    assert!(none.contains("fleet webhook create"), "{none}");
    let inside = ["webhook", "create", "Ops", "https://127.0.0.1/hook"];
    plane.fleet(&inside).fails(4, "not on the public internet");
    let url = "https://localhost:1/hook";
    let create = ["webhook", "create", "Ops", url, "--kind", "hot"];
    let made = json(&plane, &[&create[..], &["--out", "secret"]].concat());
    assert_eq!(made["webhook"]["kinds"][0], "hot");
    let secret = std::fs::read_to_string(plane.bench.path("secret")).unwrap();
    assert!(secret.starts_with("whsec_"), "{secret}");
    // The name is judged by where it leads.
    let tried = plane.fleet(&["webhook", "test", "Ops"]);
    tried.fails(1, "not on the public internet");
    let sent = json(&plane, &["webhook", "deliveries", "Ops"]);
    assert_eq!(sent["items"][0]["state"], "failed");
    let disable = ["webhook", "set", "Ops", "--all-kinds", "--disable"];
    let disabled = json(&plane, &disable);
    assert_eq!(disabled["state"], "disabled");
    assert_eq!(disabled["kinds"], serde_json::json!([]));
    let shown = plane.fleet(&["webhook", "show", "Ops"]).ok().stdout;
    assert!(shown.contains(url) && shown.contains("disabled"), "{shown}");
    plane.fleet(&["webhook", "delete", "Ops"]).ok();
    plane.fleet(&["webhook", "show", "Ops"]).fails(3, "Ops");
}

#[test]
fn where_no_mail_is_sent_nobody_is_told_by_it() {
    let plane = Plane::logged_in();
    let listed = plane.fleet(&["alert", "mail", "list"]).ok().stdout;
    assert!(
        listed.starts_with("Nobody is told of alerts by mail."),
        "{listed}"
    );
    let add = ["alert", "mail", "add", "ops@example.org", "--kind", "hot"];
    plane.fleet(&add).fails(4, "sends no mail");
    for command in ["test", "deliveries", "remove"] {
        plane
            .fleet(&["alert", "mail", command, "ops@example.org"])
            .fails(3, "ops@example.org");
    }
}
