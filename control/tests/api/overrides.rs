//! What goes before the schedule for a while.

use fleet_protocol::Sha256;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::content::published;
use crate::player::ask;
use crate::world::{Device, World};

const OVERRIDES: &str = "/v1/venues/ven_default/overrides";

/// What the device's screen is to show, with the manifest's tag.
fn shown(world: &World, device: &Device, known: Option<&str>) -> (Value, Option<String>) {
    let manifest = ask(world, device, "/v1/player/manifest", known);
    let playlist = manifest.body["playlist"]["playlistId"].clone();
    (playlist, manifest.etag)
}

fn begin(world: &World, playlist: &Value, more: &Value) -> Value {
    let mut request = json!({"playlistId": playlist["playlistId"], "durationSeconds": 3_600});
    let more = more.as_object().unwrap().clone();
    request.as_object_mut().unwrap().extend(more);
    world.post(OVERRIDES, &request).ok()
}

fn cancel(world: &World, view: &Value) -> crate::world::Answer {
    let id = view["overrideId"].as_str().unwrap();
    world.post(&format!("{OVERRIDES}/{id}/cancel"), &json!({}))
}

#[test]
fn an_override_is_shown_at_once_where_it_is_for_and_ends_by_itself() {
    let world = World::new();
    let (lobby, window) = (world.device("lobby"), world.device("window"));
    let party = published(&world, "Party", 1);
    world.pass(SignedDuration::from_secs(1));
    let day = published(&world, "Day", 2);
    let mut wakeups = lobby.wakeups(&world);
    assert_eq!(wakeups.next().unwrap(), r#"{"reason":"connected"}"#);
    let (before, known) = shown(&world, &lobby, None);
    assert_eq!(before, day["playlistId"]);

    let target = json!({"targetType": "DEVICE", "targetId": lobby.id});
    let more = json!({"targets": [target], "note": "Ann's birthday"});
    let view = begin(&world, &party, &more);
    assert_eq!(
        (&view["state"], &view["note"]),
        (&json!("ACTIVE"), &json!("Ann's birthday"))
    );
    assert_eq!(wakeups.next().unwrap(), r#"{"reason":"content"}"#);
    let (now, known) = shown(&world, &lobby, known.as_deref());
    assert_eq!(now, party["playlistId"]);
    assert_eq!(shown(&world, &window, None).0, day["playlistId"]);
    let again = ask(&world, &lobby, "/v1/player/manifest", known.as_deref());
    assert_eq!(again.status, 304);

    // What is shown by one is not deleted.
    let path = format!(
        "/v1/library/playlists/{}",
        party["playlistId"].as_str().unwrap()
    );
    world
        .operator_raw("DELETE", &path, b"")
        .refused(409, "PLAYLIST_IN_USE");

    world.pass(SignedDuration::from_secs(3_601));
    assert_eq!(shown(&world, &lobby, known.as_deref()).0, day["playlistId"]);
    cancel(&world, &view).refused(409, "OVERRIDE_OVER");
    let active = world.get(&format!("{OVERRIDES}?status=active")).ok();
    assert_eq!(active["items"], json!([]));
    let over = world.get(&format!("{OVERRIDES}?status=over")).ok();
    assert_eq!(over["items"][0]["state"], "ENDED");
    world.operator_raw("DELETE", &path, b"").ok();
}

#[test]
fn an_emergency_goes_before_what_began_later_and_lights_screens_that_are_off() {
    let world = World::new();
    let device = world.device("lobby");
    let leave = published(&world, "Leave", 1);
    let party = published(&world, "Party", 2);
    let venue = json!({
        "name": "Default", "timezone": "UTC",
        "screenHours": [{"daysOfWeekMask": 127, "startMinutes": 0, "endMinutes": 1}],
    });
    let path = "/v1/tenants/ten_default/venues/ven_default";
    world.change("PUT", path, 1, &venue).ok();
    let power = |known: Option<&str>| {
        let manifest = ask(&world, &device, "/v1/player/manifest", known);
        manifest.body["settings"]["screenPower"].clone()
    };
    assert!(power(None).is_object());
    let emergency = begin(&world, &leave, &json!({"emergency": true}));
    begin(&world, &party, &json!({}));
    assert_eq!(shown(&world, &device, None).0, leave["playlistId"]);
    assert_eq!(power(None), Value::Null);

    let cancelled = cancel(&world, &emergency).ok();
    assert_eq!(cancelled["state"], "CANCELLED");
    assert_eq!(cancel(&world, &emergency).ok(), cancelled);
    assert_eq!(shown(&world, &device, None).0, party["playlistId"]);
    assert!(power(None).is_object());
}

#[test]
fn words_come_to_screens_as_a_picture_that_stands_as_they_do() {
    let world = World::new();
    let device = world.device("lobby");
    let message =
        json!({"title": "Fire alarm", "text": "Leave by the stairs.\nDon't use the lift."});
    let request = json!({"message": message, "durationSeconds": 600, "emergency": true});
    let view = world.post(OVERRIDES, &request).ok();
    assert_eq!(view["message"], message);
    let picture = || {
        let manifest = ask(&world, &device, "/v1/player/manifest", None).ok();
        assert_eq!(manifest["playlist"]["playlistId"], view["overrideId"]);
        assert_eq!(manifest["settings"]["urgent"], true);
        let item = manifest["playlist"]["items"][0].clone();
        let url = item["url"].as_str().unwrap();
        let path = &url[url.find("/v1/").unwrap()..];
        let file = device.anonymous_raw(&world, "GET", path, &[], b"");
        assert_eq!(file.headers()["content-type"], "image/png");
        let bytes = file.into_body().read_to_vec().unwrap();
        assert_eq!(item["checksumSha256"], Sha256::of(&bytes).to_string());
        assert_eq!(item["fileSizeBytes"], bytes.len());
        let png = image::load_from_memory(&bytes).unwrap();
        assert_eq!(
            (item["widthPx"].clone(), item["heightPx"].clone()),
            (json!(png.width()), json!(png.height()))
        );
        (png.width(), png.height())
    };
    assert_eq!(picture(), (1920, 1080));
    let path = format!("/v1/devices/{}", device.id);
    let turned = json!({"orientation": "PORTRAIT"});
    world
        .operator_raw("PATCH", &path, turned.to_string().as_bytes())
        .ok();
    assert_eq!(picture(), (1080, 1920));
    let stranger = "/v1/player/media/msg_none";
    device
        .anonymous(&world, "GET", stranger, &[], b"")
        .refused(404, "NOT_FOUND");
}

#[test]
fn an_override_that_makes_no_sense_is_refused_by_the_field() {
    let world = World::new();
    let venues = "/v1/tenants/ten_default/venues";
    let elsewhere = json!({"name": "Elsewhere", "timezone": "UTC"});
    let elsewhere = world.post(venues, &elsewhere).ok();
    let device = world.device("lobby");
    let day = published(&world, "Day", 1);
    let draft = json!({"name": "Draft", "items": []});
    let draft = world.post("/v1/library/playlists", &draft).ok();
    let refused = |venue: &Value, playlist: &Value, more: Value, field: &str| {
        let mut request = json!({"playlistId": playlist, "durationSeconds": 60});
        let more = more.as_object().unwrap().clone();
        request.as_object_mut().unwrap().extend(more);
        let path = format!("/v1/venues/{}/overrides", venue.as_str().unwrap());
        let refused = world
            .post(&path, &request)
            .refused(422, "VALIDATION_FAILED");
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
    };
    let (here, id) = (json!("ven_default"), &day["playlistId"]);
    refused(&here, &json!("pl_none"), json!({}), "playlistId");
    refused(&here, &draft["playlistId"], json!({}), "playlistId");
    refused(&here, id, json!({"durationSeconds": 59}), "durationSeconds");
    refused(
        &here,
        id,
        json!({"durationSeconds": 2_678_401}),
        "durationSeconds",
    );
    refused(&here, id, json!({"note": ""}), "note");
    let words = |text: &str| json!({"playlistId": null, "message": {"text": text}});
    refused(&here, id, words(""), "message.text");
    refused(&here, id, words("火事です"), "message.text");
    refused(&here, id, words(&"long ".repeat(61)), "message.text");
    refused(&here, id, words(&"room\n".repeat(20)), "message.text");
    let both = json!({"message": {"text": "both"}});
    refused(&here, id, both, "playlistId");
    refused(&here, &Value::Null, json!({}), "playlistId");
    let at = |kind: &str, id: &str| json!({"targets": [{"targetType": kind, "targetId": id}]});
    refused(&here, id, at("GROUP", "grp_none"), "targets[0]");
    refused(&here, id, at("DEVICE", "not one"), "targets[0]");
    refused(
        &elsewhere["venueId"],
        id,
        at("DEVICE", &device.id),
        "targets[0]",
    );
    let unknown = "/v1/venues/ven_default/overrides/ovr_none/cancel";
    world.post(unknown, &json!({})).refused(404, "NOT_FOUND");

    for _ in 0..100 {
        begin(&world, &day, &json!({}));
    }
    let request = json!({"playlistId": id, "durationSeconds": 60});
    world
        .post(OVERRIDES, &request)
        .refused(409, "TOO_MANY_OVERRIDES");
    let page = world.get(&format!("{OVERRIDES}?limit=60")).ok();
    let next = page["nextCursor"].as_str().unwrap();
    let rest = world
        .get(&format!("{OVERRIDES}?limit=60&cursor={next}"))
        .ok();
    let count = |page: &Value| page["items"].as_array().unwrap().len();
    assert_eq!((count(&page), count(&rest)), (60, 40));
}
