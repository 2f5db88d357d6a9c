//! What a slot does when the clock is changed, as a person reads it off a calendar. Each instant here was
//! worked out by hand from the law of the place, not by the resolver.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use fleet_protocol::TargetId;
use fleet_protocol::schedule::{ScheduleSlot, Segment};
use fleet_schedule::{Fallbacks, Published, Schedule, Screen, Snapshot};
use jiff::Timestamp;
use serde_json::json;

/// `Mon-Sun 01:30-03:00`, or with dates: `Sun 01:30-03:00 2026-10-25..2026-10-25`.
fn slot(id: &str, text: &str, priority: i64) -> ScheduleSlot {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let mut words = text.split(' ');
    let (days, times) = (words.next().unwrap(), words.next().unwrap());
    let day = |name: &str| DAYS.iter().position(|d| *d == name).unwrap();
    let (first, last) = days.split_once('-').unwrap_or((days, days));
    let minute = |time: &str| {
        let (hours, minutes) = time.split_once(':').unwrap();
        hours.parse::<u16>().unwrap() * 60 + minutes.parse::<u16>().unwrap()
    };
    let (start, end) = times.split_once('-').unwrap();
    let mut slot = json!({
        "slotId": id, "targetType": "DEVICE", "targetId": "d", "playlistId": id, "priority": priority,
        "daysOfWeekMask": (day(first)..=day(last)).map(|d| 1 << d).sum::<i32>(),
        "startMinutes": minute(start), "endMinutes": minute(end),
    });
    if let Some((first, last)) = words.next().and_then(|dates| dates.split_once("..")) {
        slot["validFromDate"] = json!(first);
        slot["validToDate"] = json!(last);
    }
    serde_json::from_value(slot).unwrap()
}

fn timeline(zone: &str, slots: &[&str], range: &str) -> Vec<Segment> {
    let ranked = slots.iter().enumerate().map(|(index, text)| {
        let id = char::from(b'a' + u8::try_from(index).unwrap()).to_string();
        slot(&id, text, 100 - i64::try_from(index).unwrap())
    });
    let schedule = Schedule::new(Snapshot {
        slots: ranked.collect(),
        fallbacks: Fallbacks::default(),
        published: Published::All,
    });
    let device: TargetId = "d".parse().unwrap();
    let screen = Screen::new(device, [], zone.parse().unwrap());
    let (from, to) = range.split_once("..").unwrap();
    schedule.timeline(&screen, from.parse().unwrap(), to.parse().unwrap())
}

/// The slots are `a`, `b`, …, the first one before the others; `-` is nothing.
#[track_caller]
fn check(zone: &str, slots: &[&str], range: &str, expected: &[(&str, &str)]) {
    let found: Vec<(String, Timestamp)> = timeline(zone, slots, range)
        .iter()
        .map(|s| {
            let id = s.slot_id.as_ref().map_or("-", |id| id.as_str());
            (id.to_owned(), s.from_utc)
        })
        .collect();
    let expected: Vec<(String, Timestamp)> = expected
        .iter()
        .map(|(id, from)| ((*id).to_owned(), from.parse().unwrap()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn in_london_a_start_in_the_skipped_hour_begins_after_it() {
    // 2026-03-29 01:00 GMT becomes 02:00 BST.
    check(
        "Europe/London",
        &["Sun 01:30-03:00"],
        "2026-03-29T00:00:00Z..2026-03-29T06:00:00Z",
        &[
            ("-", "2026-03-29T00:00:00Z"),
            ("a", "2026-03-29T01:00:00Z"),
            ("-", "2026-03-29T02:00:00Z"),
        ],
    );
}

#[test]
fn in_london_a_slot_within_the_skipped_hour_never_plays() {
    check(
        "Europe/London",
        &["Sun 01:15-01:45", "Sun 00:00-00:00"],
        "2026-03-29T00:00:00Z..2026-03-29T06:00:00Z",
        &[("b", "2026-03-29T00:00:00Z")],
    );
}

#[test]
fn in_london_the_repeated_hour_is_played_once_and_never_twice() {
    // 2026-10-25 02:00 BST becomes 01:00 GMT; 01:15 first comes at 00:15Z.
    check(
        "Europe/London",
        &["Sun 01:15-01:45", "Sun 00:00-00:00"],
        "2026-10-25T00:00:00Z..2026-10-25T06:00:00Z",
        &[
            ("b", "2026-10-25T00:00:00Z"),
            ("a", "2026-10-25T00:15:00Z"),
            ("b", "2026-10-25T00:45:00Z"),
        ],
    );
}

#[test]
fn in_london_a_slot_that_ends_after_the_repeated_hour_lasts_an_hour_longer() {
    check(
        "Europe/London",
        &["Sun 01:30-02:30"],
        "2026-10-25T00:00:00Z..2026-10-25T06:00:00Z",
        &[
            ("-", "2026-10-25T00:00:00Z"),
            ("a", "2026-10-25T00:30:00Z"),
            ("-", "2026-10-25T02:30:00Z"),
        ],
    );
    // And one that ends where the repetition begins, ends when 02:00 is reached at last.
    check(
        "Europe/London",
        &["Sun 00:30-02:00"],
        "2026-10-24T23:00:00Z..2026-10-25T06:00:00Z",
        &[
            ("-", "2026-10-24T23:00:00Z"),
            ("a", "2026-10-24T23:30:00Z"),
            ("-", "2026-10-25T02:00:00Z"),
        ],
    );
}

#[test]
fn in_new_york_the_night_of_saturday_belongs_to_saturday() {
    // 2026-11-01 02:00 EDT becomes 01:00 EST; the slot is 22:00 to 01:30, first pass: 05:30Z.
    check(
        "America/New_York",
        &["Sat 22:00-01:30 2026-10-31..2026-10-31"],
        "2026-10-31T12:00:00Z..2026-11-02T12:00:00Z",
        &[
            ("-", "2026-10-31T12:00:00Z"),
            ("a", "2026-11-01T02:00:00Z"),
            ("-", "2026-11-01T05:30:00Z"),
        ],
    );
    // 2026-03-08 02:00 EST becomes 03:00 EDT: both ends move to 07:00Z where they are skipped.
    check(
        "America/New_York",
        &["Sat 23:00-02:30"],
        "2026-03-07T12:00:00Z..2026-03-09T00:00:00Z",
        &[
            ("-", "2026-03-07T12:00:00Z"),
            ("a", "2026-03-08T04:00:00Z"),
            ("-", "2026-03-08T07:00:00Z"),
        ],
    );
}

#[test]
fn on_lord_howe_island_half_an_hour_is_repeated_and_skipped() {
    // 2026-04-05 02:00 +11:00 becomes 01:30 +10:30, at 15:00Z; 01:45 first comes at 14:45Z.
    check(
        "Australia/Lord_Howe",
        &["Sun 01:45-02:15", "Mon-Sun 00:00-00:00"],
        "2026-04-04T14:00:00Z..2026-04-04T18:00:00Z",
        &[
            ("b", "2026-04-04T14:00:00Z"),
            ("a", "2026-04-04T14:45:00Z"),
            ("b", "2026-04-04T15:45:00Z"),
        ],
    );
    // 2026-10-04 02:00 +10:30 becomes 02:30 +11:00, at 15:30Z.
    check(
        "Australia/Lord_Howe",
        &["Sun 02:10-02:45"],
        "2026-10-03T15:00:00Z..2026-10-03T18:00:00Z",
        &[
            ("-", "2026-10-03T15:00:00Z"),
            ("a", "2026-10-03T15:30:00Z"),
            ("-", "2026-10-03T15:45:00Z"),
        ],
    );
}

#[test]
fn in_apia_the_friday_that_never_was_has_only_a_night() {
    // 2011-12-29 24:00 -10:00 became 2011-12-31 00:00 +14:00, at 2011-12-30T10:00Z.
    let range = "2011-12-29T22:00:00Z..2011-12-31T22:00:00Z";
    check(
        "Pacific/Apia",
        &["Fri 09:00-17:00", "Fri 22:00-02:00"],
        range,
        &[
            ("-", "2011-12-29T22:00:00Z"),
            ("b", "2011-12-30T10:00:00Z"),
            ("-", "2011-12-30T12:00:00Z"),
        ],
    );
    // Thursday's whole day ends where Saturday begins, and Friday's own is empty.
    check(
        "Pacific/Apia",
        &["Thu 00:00-00:00", "Fri 00:00-00:00", "Sat 00:00-00:00"],
        range,
        &[
            ("a", "2011-12-29T22:00:00Z"),
            ("c", "2011-12-30T10:00:00Z"),
            ("-", "2011-12-31T10:00:00Z"),
        ],
    );
}

#[test]
fn in_casablanca_the_clock_goes_back_for_ramadan_and_forward_after_it() {
    // 2026-02-15 03:00 +01:00 becomes 02:00 +00:00, at 02:00Z; 02:30 first comes at 01:30Z.
    check(
        "Africa/Casablanca",
        &["Sun 02:30-02:45", "Mon-Sun 00:00-00:00"],
        "2026-02-15T00:00:00Z..2026-02-15T06:00:00Z",
        &[
            ("b", "2026-02-15T00:00:00Z"),
            ("a", "2026-02-15T01:30:00Z"),
            ("b", "2026-02-15T01:45:00Z"),
        ],
    );
    // 2026-03-22 02:00 +00:00 becomes 03:00 +01:00, at 02:00Z.
    check(
        "Africa/Casablanca",
        &["Sun 02:30-03:30"],
        "2026-03-22T00:00:00Z..2026-03-22T06:00:00Z",
        &[
            ("-", "2026-03-22T00:00:00Z"),
            ("a", "2026-03-22T02:00:00Z"),
            ("-", "2026-03-22T02:30:00Z"),
        ],
    );
}

#[test]
fn equal_times_are_a_whole_day_of_23_or_25_hours() {
    check(
        "Europe/London",
        &["Sun 06:00-06:00 2026-10-18..2026-10-25"],
        "2026-10-18T12:00:00Z..2026-10-27T00:00:00Z",
        &[
            ("a", "2026-10-18T12:00:00Z"),
            ("-", "2026-10-19T05:00:00Z"),
            ("a", "2026-10-25T06:00:00Z"),
            ("-", "2026-10-26T06:00:00Z"),
        ],
    );
    check(
        "Europe/London",
        &["Sat 12:00-12:00"],
        "2026-10-24T00:00:00Z..2026-10-26T00:00:00Z",
        &[
            ("-", "2026-10-24T00:00:00Z"),
            ("a", "2026-10-24T11:00:00Z"),
            ("-", "2026-10-25T12:00:00Z"),
        ],
    );
}

#[test]
fn a_slot_that_goes_on_the_next_day_is_one_segment() {
    check(
        "Europe/London",
        &["Mon-Sun 06:00-06:00"],
        "2026-10-20T00:00:00.5Z..2026-10-27T00:00:00Z",
        &[("a", "2026-10-20T00:00:00.5Z")],
    );
}
