//! What screens are told, in Berlin in June.

use super::*;

const MEDIA: &str = "https://fleet.example/v1/player/media/";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn slot(id: &str, target: (&str, &str), playlist: &str, hours: (i64, i64)) -> ScheduleSlot {
    serde_json::from_value(json!({
        "slotId": id, "targetType": target.0, "targetId": target.1, "playlistId": playlist,
        "daysOfWeekMask": 127, "startMinutes": hours.0 * 60, "endMinutes": hours.1 * 60,
    }))
    .unwrap()
}

/// In Berlin (UTC+2 in summer): lunch from 12 to 14 for everyone in the group, else the newest playlist.
fn facts() -> ScreenFacts {
    let published = |id: &str, when: &str| (id.parse().unwrap(), 3, at(when));
    ScreenFacts {
        venue_id: "ven_1".parse().unwrap(),
        epoch: 47,
        timezone: "Europe/Berlin".to_owned(),
        orientation: Orientation::Portrait,
        groups: vec!["grp_1".parse().unwrap()],
        fallback: None,
        screen_hours: Vec::new(),
        overrides: Vec::new(),
        slots: vec![
            slot("s1", ("GROUP", "grp_1"), "pl_lunch", (12, 14)),
            slot("s2", ("GROUP", "grp_2"), "pl_other", (0, 23)),
        ],
        playlists: vec![
            published("pl_lunch", "2026-06-01T00:00:00Z"),
            published("pl_day", "2026-06-02T00:00:00Z"),
            published("pl_other", "2026-06-01T00:00:00Z"),
        ],
    }
}

fn playlists(programme: &Programme<'_>) -> BTreeMap<PlaylistId, PlaylistFacts> {
    let with_one = |id: &PlaylistId| {
        let asset_id: AssetId = format!("ast_{id}").parse().unwrap();
        let asset = PlayableAsset {
            kind: AssetKind::Image,
            width_px: 4,
            height_px: 3,
            duration_ms: None,
            sha256: Sha256::of("x"),
            size_bytes: 1,
        };
        PlaylistFacts {
            version: 3,
            entries: vec![
                Entry::new(asset_id.clone()),
                Entry::new("ast_gone".parse().unwrap()),
            ],
            assets: BTreeMap::from([(asset_id, asset)]),
        }
    };
    let ids = programme.playlists().into_iter();
    ids.map(|id| (id.clone(), with_one(id))).collect()
}

fn manifest(facts: &ScreenFacts, now: &str) -> Manifest {
    let device = "dev_1".parse().unwrap();
    let programme = Programme::new(&device, facts, at(now)).unwrap();
    programme.manifest(&playlists(&programme), MEDIA, 30)
}

fn shown(manifest: &Manifest) -> Option<&str> {
    manifest.playlist.as_ref().map(|p| p.playlist_id.as_str())
}

#[test]
fn a_screen_shows_what_its_groups_slot_says_and_else_what_was_published_last() {
    let facts = facts();
    let check = |now: &str, expected: &str, until: &str| {
        let manifest = manifest(&facts, now);
        assert_eq!(shown(&manifest), Some(expected), "{now}");
        assert_eq!(manifest.valid_to_utc, at(until), "{now}");
    };
    check("2026-06-15T09:30:00Z", "pl_day", "2026-06-15T10:00:00Z");
    check("2026-06-15T10:00:00Z", "pl_lunch", "2026-06-15T12:00:00Z");
    check("2026-06-15T11:59:59Z", "pl_lunch", "2026-06-15T12:00:00Z");
    // Nothing changes within what is looked at.
    let long = manifest(&facts, "2026-06-15T12:10:00Z");
    let after = long.valid_to_utc.duration_since(at("2026-06-15T12:10:00Z"));
    assert!((6..=7).contains(&after.as_hours()), "{after}");
}

#[test]
fn screens_are_told_the_hours_of_their_venue() {
    let mut facts = facts();
    let told = |facts: &ScreenFacts| {
        let manifest = manifest(facts, "2026-06-15T09:30:00Z");
        serde_json::to_value(manifest.settings).unwrap()["screenPower"].clone()
    };
    assert_eq!(told(&facts), json!(null));
    let hours = json!([{"daysOfWeekMask": 31, "startMinutes": 480, "endMinutes": 1320}]);
    facts.screen_hours = serde_json::from_value(hours.clone()).unwrap();
    assert_eq!(
        told(&facts),
        json!({"timezone": "Europe/Berlin", "on": hours})
    );
}

#[test]
fn an_override_goes_before_the_schedule_until_it_ends_and_an_emergency_before_all() {
    let mut facts = facts();
    let hours = json!([{"daysOfWeekMask": 1, "startMinutes": 480, "endMinutes": 1320}]);
    facts.screen_hours = serde_json::from_value(hours).unwrap();
    let begun = |id: &str, playlist: &str, target: Option<Target>, ends: &str| Override {
        override_id: id.parse().unwrap(),
        shows: Shown::Playlist(playlist.parse().unwrap()),
        targets: target.into_iter().collect(),
        emergency: false,
        begins_at: at("2026-06-15T09:00:00Z"),
        ends_at: at(ends),
    };
    let other_group = Some(Target::Group("grp_2".parse().unwrap()));
    let group = Some(Target::Group("grp_1".parse().unwrap()));
    let device = Some(Target::Device("dev_1".parse().unwrap()));
    let shows = |facts: &ScreenFacts, now: &str| {
        let manifest = manifest(facts, now);
        let power = manifest.settings.screen_power.is_some();
        (
            shown(&manifest).unwrap().to_owned(),
            manifest.valid_to_utc,
            power,
        )
    };
    let now = "2026-06-15T09:30:00Z";
    let check = |facts: &ScreenFacts, now: &str, playlist: &str, until: &str, power: bool| {
        let expected = (playlist.to_owned(), at(until), power);
        assert_eq!(shows(facts, now), expected, "at {now}");
    };
    let noon = "2026-06-15T10:00:00Z";
    facts.overrides = vec![begun(
        "ovr_b",
        "pl_other",
        other_group,
        "2026-06-15T09:40:00Z",
    )];
    check(&facts, now, "pl_day", noon, true);
    facts
        .overrides
        .push(begun("ovr_c", "pl_other", group, "2026-06-15T09:40:00Z"));
    check(&facts, now, "pl_other", "2026-06-15T09:40:00Z", true);
    check(&facts, "2026-06-15T09:40:00Z", "pl_day", noon, true);
    // Begun at the same moment: the first by its id. One that is not published shows nothing.
    facts
        .overrides
        .push(begun("ovr_a", "pl_lunch", device, "2026-06-15T09:50:00Z"));
    facts
        .overrides
        .push(begun("ovr_0", "pl_draft", None, "2026-06-15T09:50:00Z"));
    check(&facts, now, "pl_lunch", "2026-06-15T09:50:00Z", true);
    // An emergency goes before what began later, and nobody sleeps through it.
    facts.overrides[1].emergency = true;
    facts.overrides[1].begins_at = at("2026-06-15T08:00:00Z");
    check(&facts, now, "pl_other", "2026-06-15T09:40:00Z", false);
    // The schedule comes along for afterwards.
    let manifest = manifest(&facts, now);
    let ahead = manifest.look_ahead.unwrap();
    let ids: Vec<_> = ahead
        .playlists
        .iter()
        .map(|p| p.playlist_id.as_str())
        .collect();
    assert_eq!(ids, ["pl_day", "pl_lunch"]);
}

#[test]
fn a_message_is_a_picture_that_stands_as_the_screen_does() {
    let mut facts = facts();
    let picture = |id: &str, width_px, height_px| MessagePicture {
        asset_id: id.parse().unwrap(),
        width_px,
        height_px,
        sha256: Sha256::of(id),
        size_bytes: 9,
    };
    let pictures = vec![picture("msg_a", 1920, 1080), picture("msg_b", 1080, 1920)];
    facts.overrides = vec![Override {
        override_id: "ovr_1".parse().unwrap(),
        shows: Shown::Message(pictures),
        targets: Vec::new(),
        emergency: true,
        begins_at: at("2026-06-15T09:00:00Z"),
        ends_at: at("2026-06-15T11:00:00Z"),
    }];
    let mut check = |orientation, asset: &str| {
        facts.orientation = orientation;
        let manifest = manifest(&facts, "2026-06-15T09:30:00Z");
        assert_eq!(shown(&manifest), Some("ovr_1"));
        assert_eq!(manifest.items()[0].asset_id.as_str(), asset);
        assert_eq!(manifest.items()[0].url, format!("{MEDIA}{asset}"));
        // What plays afterwards comes along.
        let ahead = manifest.look_ahead.unwrap();
        assert_eq!(ahead.playlists.len(), 2);
    };
    check(Orientation::Portrait, "msg_b");
    check(Orientation::Landscape, "msg_a");
}

#[test]
fn what_comes_later_comes_along_and_a_player_can_read_it() {
    let now = at("2026-06-15T09:30:00Z");
    let manifest = manifest(&facts(), &now.to_string());
    let read = Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap();
    assert_eq!(read, manifest);
    assert_eq!(read.settings.orientation, Orientation::Portrait);
    let item = &read.items()[0];
    assert_eq!(item.url, format!("{MEDIA}ast_pl_day"));
    assert_eq!(item.duration_seconds, PICTURE_SECONDS);
    assert_eq!(read.items().len(), 1, "an asset that is gone is left out");
    let ahead = read.look_ahead.unwrap();
    assert!(ahead.until_utc.duration_since(now) >= SignedDuration::from_hours(6));
    assert_eq!(
        ahead.playlists.len(),
        1,
        "of other groups nothing comes along"
    );
    assert_eq!(
        ahead.schedule["publishedPlaylistIds"],
        json!(["pl_lunch", "pl_day"])
    );
    let file = fleet_schedule::ScheduleFile::parse(ahead.schedule.to_string().as_bytes());
    let file = file.unwrap();
    assert_eq!(file.ignored, Vec::<String>::new());
    let screen = file.file.screen(&file.file.devices()[0]);
    let schedule = file.file.into_schedule();
    let winner = |now| schedule.winner(&screen, at(now)).playlist_id().cloned();
    let id = |id: &str| Some(id.parse().unwrap());
    assert_eq!(winner("2026-06-15T10:30:00Z"), id("pl_lunch"));
    assert_eq!(winner("2026-06-15T12:30:00Z"), id("pl_day"));
}

#[test]
fn a_manifest_is_the_same_until_something_changes() {
    let facts = facts();
    let (venue, device): (_, DeviceId) = (&facts.venue_id, "dev_1".parse().unwrap());
    let first = at("2026-06-15T06:00:00Z");
    let begin = Timestamp::from_second(Hour::of(&device, first).begin_s).unwrap();
    let later = |minutes: i64| begin + SignedDuration::from_mins(minutes);
    let etag = |at: Timestamp| manifest(&facts, &at.to_string()).manifest_etag;
    let known = etag(later(0));
    assert_eq!(etag(later(59)), known);
    assert_ne!(etag(later(60)), known);
    let check = |venue: &VenueId, epoch: u64, minutes: i64, expected: bool| {
        let found = is_current(&known, &device, venue, epoch, later(minutes));
        assert_eq!(found, expected, "{venue} {epoch} {minutes}");
    };
    check(venue, 47, 59, true);
    check(venue, 47, 60, false);
    check(venue, 48, 1, false);
    check(&"ven_2".parse().unwrap(), 47, 1, false);
    assert!(!is_current("", &device, venue, 47, later(1)));
    // Not before what plays has come to its end, nor after.
    let lunch = etag(at("2026-06-15T09:59:59Z"));
    assert!(!is_current(
        &lunch,
        &device,
        venue,
        47,
        at("2026-06-15T10:00:00Z")
    ));
}

#[test]
fn devices_ask_for_their_next_hour_at_different_moments() {
    let now = at("2026-06-15T06:00:00Z");
    let devices = (0..200).map(|n| format!("dev_{n}").parse().unwrap());
    let begins: BTreeSet<_> = devices
        .map(|device| Hour::of(&device, now).begin_s)
        .collect();
    assert!(begins.len() > 150, "{}", begins.len());
    assert!(
        begins
            .iter()
            .all(|begin| (0..HOUR_S).contains(&(now.as_second() - begin)))
    );
}

#[test]
fn a_screen_for_which_there_is_nothing_gets_an_empty_manifest() {
    let mut facts = facts();
    facts.playlists.clear();
    assert_eq!(shown(&manifest(&facts, "2026-06-15T10:30:00Z")), None);
}
