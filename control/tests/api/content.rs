//! The library, venues and schedules, as operators work with them.

use std::io::Cursor;
use std::time::Duration;

use fleet_protocol::Sha256;
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

use crate::world::World;

/// A picture of one colour, as a PNG.
pub(crate) fn picture(shade: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(64, 36, image::Rgb([shade, 90, 90]))
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

pub(crate) fn announce(world: &World, name: &str, bytes: &[u8]) -> Value {
    let digest = Sha256::of(bytes).to_string();
    let request = json!({
        "fileName": name, "fileSizeBytes": bytes.len(), "checksumSha256": digest,
    });
    world.post("/v1/library/assets/uploads", &request).ok()
}

pub(crate) fn complete(world: &World, session: &Value) -> String {
    let upload = session["uploadId"].as_str().unwrap();
    let path = format!("/v1/library/assets/uploads/{upload}/complete");
    world.post(&path, &json!({})).ok();
    session["assetId"].as_str().unwrap().to_owned()
}

/// The asset as soon as it is known what it is.
pub(crate) fn looked_at(world: &World, asset: &str) -> Value {
    for _ in 0..600 {
        let view = world.get(&format!("/v1/library/assets/{asset}")).ok();
        if view["status"] != "PROCESSING" {
            return view;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{asset} is being looked at for ever");
}

pub(crate) fn upload(world: &World, name: &str, bytes: &[u8]) -> Value {
    let session = announce(world, name, bytes);
    let content = session["uploadUrl"].as_str().unwrap();
    world.operator_raw("PUT", content, bytes).ok();
    looked_at(world, &complete(world, &session))
}

/// A published playlist of one picture.
pub(crate) fn published(world: &World, name: &str, shade: u8) -> Value {
    let asset = upload(world, "a.png", &picture(shade));
    let request = json!({"name": name, "items": [{"assetId": asset["assetId"]}]});
    let playlist = world.post("/v1/library/playlists", &request).ok();
    let path = playlist_path(&playlist, "/publish");
    world.post(&path, &json!({})).ok()
}

fn playlist_path(playlist: &Value, rest: &str) -> String {
    let id = playlist["playlistId"].as_str().unwrap();
    format!("/v1/library/playlists/{id}{rest}")
}

fn venue_path(venue: &Value, rest: &str) -> String {
    format!("/v1/venues/{}{rest}", venue["venueId"].as_str().unwrap())
}

/// One of each, in a venue of its own.
pub(crate) struct Content {
    pub(crate) asset: Value,
    pub(crate) upload: String,
    pub(crate) playlist: Value,
    pub(crate) venue: Value,
    pub(crate) group: Value,
    pub(crate) slot: Value,
}

impl Content {
    pub(crate) fn of(world: &World) -> Self {
        let session = announce(world, "other.png", &picture(2));
        let playlist = published(world, "Everything", 1);
        let asset = playlist["items"][0]["assetId"].as_str().unwrap();
        let asset = world.get(&format!("/v1/library/assets/{asset}")).ok();
        let venue = json!({"name": "Berlin", "timezone": "Europe/Berlin"});
        let venue = world.post("/v1/tenants/ten_default/venues", &venue).ok();
        let groups = venue_path(&venue, "/groups");
        let group = world.post(&groups, &json!({"name": "Windows"})).ok();
        let slots = venue_path(&venue, "/scheduleset/slots");
        let slot = slot(&playlist, &group);
        let set = world.change("POST", &slots, 1, &slot).ok();
        Self {
            asset,
            upload: session["uploadId"].as_str().unwrap().to_owned(),
            playlist,
            venue,
            group,
            slot: set["slots"][0].clone(),
        }
    }
}

fn slot(playlist: &Value, group: &Value) -> Value {
    json!({
        "targetType": "GROUP", "targetId": group["groupId"], "playlistId": playlist["playlistId"],
        "daysOfWeekMask": 127, "startMinutes": 0, "endMinutes": 720,
    })
}

#[test]
fn a_draft_is_changed_by_whoever_knows_it_and_nobody_else() {
    let world = World::new();
    let playlist = published(&world, "Lobby", 1);
    let items = playlist_path(&playlist, "/items");
    let entry = playlist["items"][0].clone();
    let two = json!({"items": [entry, {"assetId": entry["assetId"], "durationSeconds": 5}]});
    world
        .put(&items, &two)
        .refused(428, "PRECONDITION_REQUIRED");
    let stale = world.change("PUT", &items, 9, &two);
    assert_eq!(
        stale.refused(412, "PRECONDITION_FAILED")["currentEtag"],
        "\"1\""
    );
    let changed = world.change("PUT", &items, 1, &two).ok();
    assert_eq!(
        (&changed["draftVersion"], &changed["changed"]),
        (&json!(2), &json!(true))
    );
    let ids: Vec<_> = changed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| &i["playlistItemId"])
        .collect();
    assert_eq!(*ids[0], entry["playlistItemId"], "an item keeps its id");

    let order = playlist_path(&playlist, "/reorder");
    let turned = json!({"playlistItemIds": [ids[1], ids[0]]});
    let turned = world.change("PUT", &order, 2, &turned).ok();
    assert_eq!(turned["items"][0]["durationSeconds"], 5);
    let twice = json!({"playlistItemIds": [ids[1], ids[1]]});
    let refused = world
        .change("PUT", &order, 3, &twice)
        .refused(422, "VALIDATION_FAILED");
    assert_eq!(refused["errors"][0]["field"], "playlistItemIds[1]");

    let bad = |item: Value, field: &str| {
        let body = json!({"items": [item]});
        let refused = world
            .change("PUT", &items, 3, &body)
            .refused(422, "VALIDATION_FAILED");
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
    };
    bad(json!({"assetId": "ast_none"}), "items[0].assetId");
    bad(
        json!({"assetId": entry["assetId"], "durationSeconds": 0}),
        "items[0].durationSeconds",
    );
    bad(
        json!({"assetId": entry["assetId"], "volumePercent": 101}),
        "items[0].volumePercent",
    );
    bad(
        json!({"assetId": entry["assetId"], "seconds": 1}),
        "items[0].seconds",
    );
}

#[test]
fn what_was_published_can_be_published_again() {
    let world = World::new();
    let playlist = published(&world, "Lobby", 1);
    let other = upload(&world, "b.png", &picture(2));
    let second = json!({"items": [{"assetId": other["assetId"]}]});
    world
        .change("PUT", &playlist_path(&playlist, "/items"), 1, &second)
        .ok();
    let publish = playlist_path(&playlist, "/publish");
    assert_eq!(world.post(&publish, &json!({})).ok()["publishedVersion"], 2);
    let back = playlist_path(&playlist, "/rollback");
    let again = world.post(&back, &json!({"publishedVersion": 1})).ok();
    assert_eq!(again["publishedVersion"], 3);
    world
        .post(&back, &json!({"publishedVersion": 9}))
        .refused(404, "NOT_FOUND");
    let history = world.get(&playlist_path(&playlist, "/publishes")).ok();
    let shown = |index: usize| &history["items"][index]["items"][0]["assetId"];
    assert_eq!(shown(0), &playlist["items"][0]["assetId"]);
    assert_eq!(shown(1), &other["assetId"]);

    // Both are in use: one in the draft, one in what is published.
    for asset in [&other["assetId"], &playlist["items"][0]["assetId"]] {
        let path = format!("/v1/library/assets/{}", asset.as_str().unwrap());
        world
            .operator_raw("DELETE", &path, b"")
            .refused(409, "ASSET_IN_USE");
    }
    world
        .change(
            "PUT",
            &playlist_path(&playlist, "/items"),
            2,
            &json!({"items": []}),
        )
        .ok();
    let empty = world
        .post(&publish, &json!({}))
        .refused(422, "VALIDATION_FAILED");
    assert_eq!(empty["errors"][0]["field"], "items");
}

#[test]
fn a_schedule_is_checked_before_and_while_it_is_published() {
    let world = World::new();
    let content = Content::of(&world);
    let slots = venue_path(&content.venue, "/scheduleset/slots");
    let publish = venue_path(&content.venue, "/scheduleset/publish");
    let draft = json!({"name": "Draft"});
    let draft = world.post("/v1/library/playlists", &draft).ok();
    let mut unpublished = slot(&draft, &content.group);
    unpublished["priority"] = json!(1);
    let set = world.change("POST", &slots, 2, &unpublished).ok();
    assert_eq!(set["slots"].as_array().unwrap().len(), 2);
    let refused = world
        .post(&publish, &json!({}))
        .refused(422, "VALIDATION_FAILED");
    assert_eq!(refused["errors"][0]["field"], "slots[1].playlistId");

    let id = set["slots"][1]["slotId"].as_str().unwrap();
    let one = format!("{slots}/{id}");
    let changed = slot(&content.playlist, &content.group);
    let set = world.change("PUT", &one, 3, &changed).ok();
    assert_eq!(
        set["slots"][1]["playlistId"],
        content.playlist["playlistId"]
    );
    assert_eq!(world.post(&publish, &json!({})).ok()["publishedVersion"], 1);
    let set = world.change("DELETE", &one, 4, &json!({})).ok();
    assert_eq!(set["slots"].as_array().unwrap().len(), 1);
    assert_eq!(set["changed"], true);

    let bad = |change: (&str, Value), says: &str| {
        let mut wrong = slot(&content.playlist, &content.group);
        wrong[change.0] = change.1;
        let refused = world
            .change("POST", &slots, 5, &wrong)
            .refused(422, "VALIDATION_FAILED");
        assert!(
            refused["detail"].as_str().unwrap().contains(says),
            "{refused}"
        );
    };
    bad(("startMinutes", json!(1440)), "startMinutes");
    bad(("daysOfWeekMask", json!(200)), "0 to 127");
    bad(("priorty", json!(1)), "priorty");
    let stranger = json!({"groupId": "grp_nobody"});
    let set = world
        .change("POST", &slots, 5, &slot(&content.playlist, &stranger))
        .ok();
    let warnings = set["warnings"].as_array().unwrap();
    assert!(
        warnings
            .iter()
            .any(|w| w.as_str().unwrap().contains("grp_nobody")),
        "{set}"
    );
}

#[test]
fn a_venue_needs_a_time_zone_that_there_is_and_devices_of_its_own() {
    let world = World::new();
    let device = world.device("lobby");
    let venues = "/v1/tenants/ten_default/venues";
    let refused = world.post(venues, &json!({"name": "Rome", "timezone": "Europe/Rom"}));
    let refused = refused.refused(422, "VALIDATION_FAILED");
    assert_eq!(refused["errors"][0]["field"], "timezone");
    let never = json!({
        "name": "Rome", "timezone": "Europe/Rome",
        "screenHours": [{"daysOfWeekMask": 0, "startMinutes": 0, "endMinutes": 0}],
    });
    let refused = world.post(venues, &never).refused(422, "VALIDATION_FAILED");
    assert_eq!(refused["errors"][0]["field"], "screenHours");
    let venue = world
        .post(venues, &json!({"name": "Rome", "timezone": "Europe/Rome"}))
        .ok();
    let groups = venue_path(&venue, "/groups");
    let group = json!({"name": "All", "deviceIds": [device.id]});
    let refused = world
        .post(&groups, &group)
        .refused(422, "VALIDATION_FAILED");
    assert_eq!(refused["errors"][0]["field"], "deviceIds[0]");

    let path = format!("/v1/devices/{}", device.id);
    let nowhere = json!({"venueId": "ven_nowhere"}).to_string();
    world
        .operator_raw("PATCH", &path, nowhere.as_bytes())
        .refused(422, "VALIDATION_FAILED");
    let there = json!({"venueId": venue["venueId"], "orientation": "PORTRAIT"}).to_string();
    let moved = world.operator_raw("PATCH", &path, there.as_bytes()).ok();
    assert_eq!(
        (&moved["venueId"], &moved["name"]),
        (&venue["venueId"], &json!("lobby"))
    );
    let group = world.post(&groups, &group).ok();
    let devices = world.get(&venue_path(&venue, "/devices")).ok();
    assert_eq!(devices["items"][0]["deviceId"], json!(device.id));
    let home = json!({"venueId": "ven_default"}).to_string();
    world.operator_raw("PATCH", &path, home.as_bytes()).ok();
    let left = world.get(&groups).ok();
    assert_eq!(left["items"][0]["groupId"], group["groupId"]);
    assert_eq!(
        left["items"][0]["deviceIds"],
        json!([]),
        "who moves leaves its groups"
    );
}

#[test]
fn a_program_that_is_older_than_screen_hours_takes_them_from_no_venue() {
    let world = World::new();
    let venue = "/v1/tenants/ten_default/venues/ven_default";
    let hours = json!([{"daysOfWeekMask": 31, "startMinutes": 480, "endMinutes": 1320}]);
    let check = |version: u64, said: Option<Value>, shown: Option<&Value>| {
        let mut settings = json!({"name": "Bar", "timezone": "UTC"});
        if let Some(said) = said {
            settings["screenHours"] = said;
        }
        let view = world.change("PUT", venue, version, &settings).ok();
        assert_eq!(view.get("screenHours"), shown, "{settings}");
    };
    check(1, Some(hours.clone()), Some(&hours));
    check(2, None, Some(&hours));
    check(3, Some(Value::Null), None);
    check(4, Some(hours.clone()), Some(&hours));
    check(5, Some(json!([])), None);
}
