//! What an operator does with content, against a real control plane: pictures, playlists, venues, and what is on when.

use serde_json::{Value, json};

use crate::support::network::BadNetwork;
use crate::support::picture::write_png;
use crate::support::plane::Plane;
use crate::support::simulator::Simulation;

/// A control plane beside which these pictures lie, `a.png` and so on.
fn with_pictures(names: &[&str]) -> Plane {
    let plane = Plane::logged_in();
    for (seed, name) in (0..).zip(names) {
        write_png(&plane.bench.path(name), 64, 36, seed);
    }
    plane
}

/// So many screens, called `screen`, or `screen-1` and so on.
fn screens(plane: &Plane, count: usize) -> (Simulation, Vec<String>) {
    let uses = count.to_string();
    plane
        .fleet(&["device", "enrol", "--name", "screen", "--uses", &uses])
        .ok();
    let provision = plane.bench.path("provision.json");
    let simulation = Simulation::start(&provision, count, "1.0.0", &[]);
    let begun = std::time::Instant::now();
    loop {
        let list = items(plane, &["device", "list"]);
        if list.len() == count {
            let id = |device: &Value| device["deviceId"].as_str().unwrap().to_owned();
            return (simulation, list.iter().map(id).collect());
        }
        assert!(begun.elapsed().as_secs() < 60, "not all have enrolled");
    }
}

#[track_caller]
fn json(plane: &Plane, args: &[&str]) -> Value {
    plane.fleet(&[args, &["--json"]].concat()).ok().json()
}

#[track_caller]
fn items(plane: &Plane, args: &[&str]) -> Vec<Value> {
    json(plane, args)["items"].as_array().unwrap().clone()
}

/// A playlist of one picture, published; its id.
fn published(plane: &Plane, name: &str, picture: &str) -> String {
    plane.fleet(&["asset", "upload", picture]).ok();
    let made = json(plane, &["playlist", "create", name, picture, "--publish"]);
    assert_eq!(made["publishedVersion"], 1, "{made}");
    made["playlistId"].as_str().unwrap().to_owned()
}

#[test]
fn pictures_come_to_the_screens_in_one_step_and_again_without_being_sent_again() {
    let plane = with_pictures(&["a.png", "b.png", "c.png"]);
    let (_simulation, _) = screens(&plane, 2);
    let first = json(&plane, &["publish", "a.png", "b.png", "--seconds", "7"]);
    assert_eq!(first["playlist"]["name"], "Default");
    assert_eq!(first["playlist"]["publishedVersion"], 1);
    assert_eq!(first["playlist"]["items"][1]["durationSeconds"], 7);
    assert_eq!(first["fallback"], "set");
    let venue = json(&plane, &["venue", "show"]);
    assert_eq!(venue["fallbackPlaylistId"], first["playlist"]["playlistId"]);

    let again = json(&plane, &["publish", "a.png", "b.png", "--seconds", "7"]);
    assert_eq!(again["playlist"]["publishedVersion"], 1);
    assert_eq!(again["fallback"], "kept");
    let more = plane.fleet(&["publish", "c.png", "a.png"]).ok().stdout;
    assert!(
        more.contains("as version 2") && more.contains("2 screens"),
        "{more}"
    );
    assert_eq!(items(&plane, &["asset", "list"]).len(), 3);
    let other = json(&plane, &["publish", "b.png", "--name", "Other"]);
    assert_eq!(other["fallback"], "other");
}

#[test]
fn a_file_that_cannot_be_played_is_named_and_the_others_go_on() {
    let plane = with_pictures(&["good.png"]);
    std::fs::write(plane.bench.path("bad.png"), "not a picture").unwrap();
    let files = ["missing.png", "bad.png", "good.png"];
    let ran = plane
        .fleet(&[&["asset", "upload"], &files[..]].concat())
        .fails(1, "2 of 3 files can't be played");
    assert!(
        ran.stderr.contains("missing.png: ") && ran.stderr.contains("bad.png: "),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("✓  good.png"), "{ran:?}");
    assert_eq!(
        items(&plane, &["asset", "list", "--status", "ready"]).len(),
        1
    );
    let bad = json(&plane, &["asset", "show", "bad.png"]);
    assert_eq!(bad["status"], "FAILED");
    let shown = plane.fleet(&["asset", "show", "bad.png"]).ok().stdout;
    assert!(
        shown.contains(bad["failureReason"].as_str().unwrap()),
        "{shown}"
    );
    plane
        .fleet(&["publish", "good.png", "bad.png"])
        .fails(1, "can't be played");
    assert!(items(&plane, &["playlist", "list"]).is_empty());
}

#[test]
fn a_picture_whose_connection_is_cut_goes_on_where_it_was() {
    let plane = Plane::logged_in();
    let path = plane.bench.path("large.png");
    write_png(&path, 1280, 720, 1);
    let size = std::fs::metadata(path).unwrap().len();
    // Cut three times, each after a quarter.
    let network = BadNetwork::before(plane.address(), 3, size / 4);
    let server = format!("https://{}", network.address);
    let ran = plane
        .fleet(&["asset", "upload", "large.png", "--server", &server])
        .ok();
    assert_eq!(network.cuts(), 3);
    assert!(ran.stderr.contains("going on with it"), "{ran:?}");
    let carried = network.carried();
    assert!(carried < size * 2, "{carried} bytes for {size}");
}

#[test]
fn a_playlist_is_made_changed_published_and_taken_back() {
    let plane = with_pictures(&["a.png", "b.png"]);
    plane.fleet(&["asset", "upload", "a.png", "b.png"]).ok();
    let made = json(&plane, &["playlist", "create", "Menu", "a.png"]);
    assert_eq!(made.get("publishedVersion"), None);
    plane.fleet(&["playlist", "publish", "Menu"]).ok();
    let set = [
        "playlist",
        "set",
        "Menu",
        "b.png",
        "a.png",
        "--seconds",
        "4",
    ];
    let changed = json(&plane, &set);
    assert_eq!(changed["changed"], true);
    let first = &made["items"][0]["playlistItemId"];
    assert_eq!(&changed["items"][1]["playlistItemId"], first);
    let shown = plane.fleet(&["playlist", "show", "Menu"]).ok().stdout;
    assert!(
        shown.contains("draft changed") && shown.contains("4 s"),
        "{shown}"
    );
    json(&plane, &["playlist", "publish", "Menu"]);
    let back = json(&plane, &["playlist", "rollback", "Menu", "1"]);
    assert_eq!(back["publishedVersion"], 3);
    assert_eq!(items(&plane, &["playlist", "history", "Menu"]).len(), 3);

    plane.fleet(&["asset", "delete", "a.png"]).fails(4, "a.png");
    plane
        .fleet(&["playlist", "set", "Lunch", "a.png"])
        .fails(3, "no playlist is called `Lunch`");
    plane
        .fleet(&["playlist", "rollback", "Menu", "9"])
        .fails(3, "9");
    plane
        .fleet(&["playlist", "create", "Empty", "--publish"])
        .fails(4, "");
    plane.fleet(&["playlist", "delete", "Menu"]).ok();
    plane.fleet(&["playlist", "delete", "Empty"]).ok();
    let deleted = json(&plane, &["asset", "delete", "a.png", "b.png"]);
    assert_eq!(deleted["deleted"].as_array().unwrap().len(), 2);
}

#[test]
fn the_screens_of_a_venue_are_on_by_its_hours() {
    let plane = Plane::logged_in();
    let bar = ["venue", "create", "Bar", "--timezone", "Europe/London"];
    json(&plane, &bar);
    let hours = [
        "--screen-hours",
        "mon-fri 08:00-22:00",
        "--screen-hours",
        "sat 10:00-02:00",
    ];
    let set = json(&plane, &[&["venue", "set", "Bar"], &hours[..]].concat());
    assert_eq!(
        set["screenHours"],
        json!([
            {"daysOfWeekMask": 31, "startMinutes": 480, "endMinutes": 1320},
            {"daysOfWeekMask": 32, "startMinutes": 600, "endMinutes": 120},
        ])
    );
    let shown = plane.fleet(&["venue", "show", "Bar"]).ok().stdout;
    assert!(shown.contains("Sat 10:00–02:00 next day"), "{shown}");
    let late = ["venue", "set", "Bar", "--screen-hours", "mon 8-22"];
    plane.fleet(&late).fails_usage("time of day");
    let set = json(&plane, &["venue", "set", "Bar", "--screen-hours", "always"]);
    assert_eq!(set.get("screenHours"), None);
}

#[test]
fn an_override_is_begun_listed_and_cancelled() {
    let plane = with_pictures(&["a.png"]);
    published(&plane, "Menu", "a.png");
    let bar = ["venue", "create", "Bar", "--timezone", "Europe/London"];
    json(&plane, &bar);
    let begin = [
        "override", "begin", "Menu", "--within", "2h", "--venue", "Bar",
    ];
    let view = json(
        &plane,
        &[&begin[..], &["--emergency", "--note", "fire drill"]].concat(),
    );
    assert_eq!(
        (&view["state"], &view["emergency"]),
        (&json!("ACTIVE"), &json!(true))
    );
    let shown = plane
        .fleet(&["override", "list", "--venue", "Bar"])
        .ok()
        .stdout;
    for part in [
        "Menu",
        "all screens",
        "EMERGENCY, 1h 59m left",
        "fire drill",
    ] {
        assert!(shown.contains(part), "no `{part}` in\n{shown}");
    }
    let there = [&begin[..], &["--for", "device:nobody"]].concat();
    plane.fleet(&there).fails(3, "fleet device list");
    let cancel = [
        "override",
        "cancel",
        view["overrideId"].as_str().unwrap(),
        "--venue",
        "Bar",
    ];
    assert_eq!(json(&plane, &cancel)["state"], "CANCELLED");
    assert!(items(&plane, &["override", "list", "--venue", "Bar"]).is_empty());
    let all = items(&plane, &["override", "list", "--venue", "Bar", "--all"]);
    assert_eq!(all.len(), 1);
}

#[test]
fn a_venue_has_its_time_zone_its_fallback_its_screens_and_groups_of_them() {
    let plane = with_pictures(&["a.png"]);
    let (_simulation, devices) = screens(&plane, 2);
    let menu = published(&plane, "Menu", "a.png");
    let bar = ["venue", "create", "Bar", "--timezone", "Europe/London"];
    let bar = json(&plane, &bar)["venueId"].as_str().unwrap().to_owned();
    plane
        .fleet(&["venue", "create", "Roof", "--timezone", "London"])
        .fails_usage("Europe/London");
    plane.fleet(&["venue", "set", "Bar"]).fails_usage("--name");
    let set = json(&plane, &["venue", "set", "Bar", "--fallback", "Menu"]);
    assert_eq!(set["fallbackPlaylistId"], menu.as_str());
    plane.fleet(&["playlist", "delete", "Menu"]).fails(4, "");
    let set = json(
        &plane,
        &["venue", "set", "Bar", "--name", "Pub", "--fallback", "none"],
    );
    assert_eq!(set.get("fallbackPlaylistId"), None);
    assert_eq!(set["timezone"], "Europe/London");
    let moved = json(&plane, &["device", "move", &devices[0], "Pub"]);
    assert_eq!(moved["venueId"], bar.as_str());
    json(
        &plane,
        &["device", "orient", &devices[0], "portrait-flipped"],
    );
    let shown = plane.fleet(&["device", "show", &devices[0]]).ok().stdout;
    assert!(
        shown.contains("portrait-flipped") && shown.contains(&bar),
        "{shown}"
    );
    assert_eq!(json(&plane, &["venue", "show"])["deviceCount"], 1);

    let in_bar = ["--venue", "Pub"];
    let group = |args: &[&str]| json(&plane, &[&["venue", "group"], args, &in_bar].concat());
    let made = group(&["create", "Windows", &devices[0]]);
    assert_eq!(made["deviceIds"], json!([devices[0]]));
    assert_eq!(group(&["list"])["items"].as_array().unwrap().len(), 1);
    let named = group(&["set", "Windows", "--name", "Doors"]);
    assert_eq!(named["deviceIds"], json!([devices[0]]));
    assert_eq!(group(&["set", "Doors", "--empty"])["deviceIds"], json!([]));
    group(&["delete", "Doors"]);
    assert!(group(&["list"])["items"].as_array().unwrap().is_empty());
}

#[test]
fn a_schedule_is_worked_on_published_and_taken_back() {
    let plane = with_pictures(&["a.png"]);
    let (_simulation, devices) = screens(&plane, 1);
    let menu = published(&plane, "Menu", "a.png");
    plane
        .fleet(&["venue", "group", "create", "All", &devices[0]])
        .ok();
    let shown = plane.fleet(&["schedule", "show"]).ok().stdout;
    assert!(shown.contains("Nothing is scheduled"), "{shown}");
    let add = ["schedule", "add", "--playlist", "Menu", "--for"];
    let days = ["--days", "mon-fri", "--from", "06:00", "--to", "11:00"];
    let draft = json(&plane, &[&add[..], &["group:All"], &days].concat());
    assert_eq!(draft["slots"][0]["playlistId"], menu.as_str());
    assert_eq!(draft["slots"][0]["daysOfWeekMask"], 31);
    assert_eq!(draft.get("publishedVersion"), None);
    let device = format!("device:{}", devices[0]);
    let both = plane
        .fleet(&[&add[..], &[device.as_str(), "--publish"]].concat())
        .ok();
    for part in ["Menu", "group All", "06:00–11:00", "all day", "version 1"] {
        assert!(both.stdout.contains(part), "no `{part}` in {both:?}");
    }
    plane
        .fleet(&[&add[..], &["group:Nobody"]].concat())
        .fails(3, "no group is called `Nobody`");

    let slot = draft["slots"][0]["slotId"].as_str().unwrap();
    let removed = json(&plane, &["schedule", "remove", slot, "--publish"]);
    assert_eq!(removed["slots"].as_array().unwrap().len(), 1);
    assert_eq!(removed["publishedVersion"], 2);
    plane
        .fleet(&["schedule", "remove", "nothing"])
        .fails(3, "nothing");
    json(&plane, &["schedule", "rollback", "1"]);
    let history = items(&plane, &["schedule", "history"]);
    assert_eq!(history.len(), 3);

    let file = json!({"timezone": "Europe/London", "devices": [], "slots": [{
        "targetType": "DEVICE", "targetId": devices[0], "playlistId": menu, "daysOfWeekMask": 96,
        "startMinutes": 1200, "endMinutes": 90,
    }]});
    std::fs::write(plane.bench.path("schedule.json"), file.to_string()).unwrap();
    let set = json(&plane, &["schedule", "set", "schedule.json", "--publish"]);
    assert_eq!(set["slots"].as_array().unwrap().len(), 1);
    assert_eq!(set["publishedVersion"], 4);
    std::fs::write(plane.bench.path("no.json"), "{\"slots\": [{}]}").unwrap();
    plane.fleet(&["schedule", "set", "no.json"]).fails(4, "");
}

#[test]
fn what_was_let_in_by_mistake_is_taken_out_again() {
    let plane = Plane::logged_in();
    let (simulation, devices) = screens(&plane, 1);
    drop(simulation);
    let token = |used: u64| {
        let all = items(&plane, &["device", "token", "list"]);
        let found = all.iter().find(|token| token["used"] == used);
        found.unwrap()["tokenId"].as_str().unwrap().to_owned()
    };
    let revoke = |token: &str| plane.fleet(&["device", "token", "revoke", token]);
    revoke(&token(1)).fails(4, "used up");
    let remove = ["device", "remove", "screen"];
    plane.fleet(&remove).fails(2, "--yes");
    let removed = json(&plane, &[&remove[..], &["--yes"]].concat());
    assert_eq!(removed["deviceId"], devices[0].as_str());
    assert!(items(&plane, &["device", "list"]).is_empty());
    plane
        .fleet(&["device", "remove", &devices[0], "--yes"])
        .fails(3, "");

    plane
        .fleet(&["device", "enrol", "--out", "other.json"])
        .ok();
    revoke(&token(0)).ok();
    let list = plane.fleet(&["device", "token", "list"]).ok().stdout;
    assert!(list.contains("over") && list.contains("used up"), "{list}");
    revoke("tok_nowhere").fails(3, "");
}
