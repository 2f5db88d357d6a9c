//! What an operator asks about a schedule in a file.

use serde_json::{Value, json};

use crate::support::{Bench, Ran};

/// The week of a bar in London: breakfast for all screens, a match on Saturday night for the lobby, and
/// a slot that somebody forgot.
fn bar() -> Value {
    let slot = |id: &str, target: [&str; 2], mask: u8, start: u16, end: u16, priority: i64| {
        json!({
            "slotId": id, "targetType": target[0], "targetId": target[1], "playlistId": format!("pl_{id}"),
            "daysOfWeekMask": mask, "startMinutes": start, "endMinutes": end, "priority": priority,
            "enabled": true, "updatedAt": "2026-10-01T00:00:00Z",
        })
    };
    json!({
        "timezone": "Europe/London",
        "devices": [
            {"deviceId": "lobby", "groupIds": ["all"]},
            {"deviceId": "tokyo", "groupIds": ["all"], "timezone": "Asia/Tokyo"},
        ],
        "slots": [
            slot("breakfast", ["GROUP", "all"], 127, 360, 660, 5),
            slot("forgotten", ["GROUP", "all"], 31, 420, 480, 1),
            slot("match", ["DEVICE", "lobby"], 32, 1200, 90, 0),
            slot("elsewhere", ["DEVICE", "garden"], 127, 0, 0, 0),
        ],
    })
}

struct Venue(Bench);

impl Venue {
    fn new(schedule: &Value) -> Self {
        let bench = Bench::new();
        std::fs::write(bench.path("schedule.json"), schedule.to_string()).unwrap();
        Self(bench)
    }

    fn ask(&self, command: &str, args: &[&str]) -> Ran {
        let common = ["schedule", command, "--file", "schedule.json"];
        self.0.fleet(&[&common[..], args].concat())
    }

    fn night_of_the_clock_change(&self, args: &[&str]) -> Ran {
        let range = [
            "--from",
            "2026-10-24T00:00:00Z",
            "--to",
            "2026-10-26T00:00:00Z",
        ];
        let device = ["--device", "lobby"];
        self.ask("timeline", &[&device[..], &range, args].concat())
    }
}

#[test]
fn a_timeline_covers_the_range_without_a_hole() {
    let venue = Venue::new(&bar());
    let ran = venue.night_of_the_clock_change(&["--json"]).ok();
    let segment = |from: &str, to: &str, name: Option<&str>| {
        json!({
            "fromUtc": from, "toUtc": to,
            "playlistId": name.map(|name| format!("pl_{name}")), "slotId": name,
        })
    };
    // The match goes on until the first 01:30 of the night in which 01:00 to 02:00 comes twice.
    let expected = json!([
        segment("2026-10-24T00:00:00Z", "2026-10-24T05:00:00Z", None),
        segment(
            "2026-10-24T05:00:00Z",
            "2026-10-24T10:00:00Z",
            Some("breakfast")
        ),
        segment("2026-10-24T10:00:00Z", "2026-10-24T19:00:00Z", None),
        segment(
            "2026-10-24T19:00:00Z",
            "2026-10-25T00:30:00Z",
            Some("match")
        ),
        segment("2026-10-25T00:30:00Z", "2026-10-25T06:00:00Z", None),
        segment(
            "2026-10-25T06:00:00Z",
            "2026-10-25T11:00:00Z",
            Some("breakfast")
        ),
        segment("2026-10-25T11:00:00Z", "2026-10-26T00:00:00Z", None),
    ]);
    assert_eq!(ran.json(), expected);
    assert!(
        ran.stderr
            .contains("forgotten can never win: breakfast goes before it"),
        "{ran:?}"
    );
}

#[test]
fn a_timeline_shows_dead_air_and_slots_that_never_win() {
    let venue = Venue::new(&bar());
    let shown = venue.night_of_the_clock_change(&[]).ok().stdout;
    for part in [
        "Sun 2026-10-25  BBB×××××××××AAAAAAAAAA",
        "a day of 1d 1h",
        "Sat 2026-10-24 20:00 +01:00  5h 30m  pl_match",
        "Dead air: nothing plays 4 times",
        "Hint: ",
        "forgotten can never win",
    ] {
        assert!(shown.contains(part), "no `{part}` in\n{shown}");
    }
    let mut lit = bar();
    lit["fallbackPlaylistId"] = json!("pl_house");
    let shown = Venue::new(&lit).night_of_the_clock_change(&[]).ok().stdout;
    assert!(
        shown.contains("pl_house") && !shown.contains("Dead air"),
        "{shown}"
    );
}

#[test]
fn an_explanation_says_who_wins_and_why_the_others_do_not() {
    let venue = Venue::new(&bar());
    // Monday 07:30 in London.
    let at = ["--device", "lobby", "--at", "2026-10-19T07:30:00+01:00"];
    let explained = venue.ask("explain", &[&at[..], &["--json"]].concat()).ok();
    let explained = explained.json();
    assert_eq!(explained["slotId"], "breakfast");
    assert_eq!(explained["validToUtc"], "2026-10-19T10:00:00Z");
    let of = |id: &str| {
        let candidates = explained["candidates"].as_array().unwrap();
        candidates
            .iter()
            .find(|c| c["slotId"] == id)
            .unwrap()
            .clone()
    };
    assert_eq!(of("breakfast")["verdict"], "plays");
    assert_eq!(
        (
            of("forgotten")["by"].clone(),
            of("forgotten")["rule"].clone()
        ),
        (json!("breakfast"), json!("priority"))
    );
    assert_eq!(of("match")["reason"], "time");
    assert_eq!(of("match")["nextUtc"], "2026-10-24T19:00:00Z");
    assert_eq!(of("elsewhere")["reason"], "otherTarget");
    let shown = venue.ask("explain", &at).ok().stdout;
    for part in [
        "pl_breakfast plays, by slot breakfast\n",
        "breakfast has priority 5, this one 1",
        "begins next on Sat 2026-10-24 20:00 +01:00",
        "1 slot is for other devices and groups",
        "not needed",
    ] {
        assert!(shown.contains(part), "no `{part}` in\n{shown}");
    }
}

#[test]
fn an_explanation_tells_of_the_repeated_hour() {
    let venue = Venue::new(&bar());
    let args = ["--device", "lobby", "--at", "2026-10-25T01:10:00Z"];
    let shown = venue.ask("explain", &args).ok().stdout;
    assert!(shown.contains("shows 01:10 for the second time"), "{shown}");
    assert!(shown.starts_with("nothing plays"), "{shown}");
}

#[test]
fn a_device_has_its_own_clock() {
    let venue = Venue::new(&bar());
    let args = [
        "--device",
        "tokyo",
        "--at",
        "2026-10-24T22:00:00Z",
        "--json",
    ];
    let explained = venue.ask("explain", &args).ok().json();
    assert_eq!(explained["timezone"], "Asia/Tokyo");
    assert_eq!(explained["localTime"], "2026-10-25 07:00:00 +09:00");
    assert_eq!(explained["slotId"], "breakfast");
}

#[test]
fn what_is_wrong_is_named_and_the_way_out_too() {
    let venue = Venue::new(&bar());
    venue.ask("explain", &[]).fails(2, "2 devices");
    venue
        .ask("explain", &["--device", "roof"])
        .fails(3, "no device roof");
    venue
        .ask("explain", &["--device", "roof", "--json"])
        .fails_json(3);
    let backwards = [
        "--from",
        "2026-10-26T00:00:00Z",
        "--to",
        "2026-10-24T00:00:00Z",
    ];
    venue
        .ask("timeline", &backwards)
        .fails(2, "not after --from");
    let ages = [
        "--from",
        "2026-10-26T00:00:00Z",
        "--to",
        "2126-10-26T00:00:00Z",
    ];
    venue.ask("timeline", &ages).fails(2, "ten years");
    let ran = venue.ask("explain", &["--at", "tomorrow"]);
    assert!(
        ran.code == 2 && ran.stderr.contains("2026-10-24T08:00:00Z"),
        "{ran:?}"
    );
    let missing = ["schedule", "explain", "--file", "missing.json"];
    venue.0.fleet(&missing).fails(3, "missing.json");

    let wrong = |change: &dyn Fn(&mut Value), says: &str| {
        let mut schedule = bar();
        change(&mut schedule);
        Venue::new(&schedule)
            .ask("explain", &["--device", "lobby"])
            .fails(1, says);
    };
    wrong(
        &|s| s["slots"][1]["endMinutes"] = json!(1440),
        "slots[1].endMinutes: 1440",
    );
    wrong(
        &|s| s["timezone"] = json!("Europe/london"),
        "write it as `Europe/London`",
    );
    wrong(
        &|s| s["slots"][1]["slotId"] = json!("breakfast"),
        "slots[1].slotId",
    );
}

#[test]
fn a_misspelt_field_is_noted_and_the_rest_is_answered() {
    let mut schedule = bar();
    schedule["slots"][0]["priorty"] = json!(9);
    let ran = Venue::new(&schedule)
        .night_of_the_clock_change(&["--json"])
        .ok();
    assert!(
        ran.stderr.contains("slots[0].priorty is not known"),
        "{ran:?}"
    );
}
