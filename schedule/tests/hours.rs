//! Hours against the resolver of slots: the same windows as slots win exactly when the hours contain the instant.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use fleet_protocol::schedule::{DaysOfWeek, MinuteOfDay, ScheduleSlot, Target, ValidDates};
use fleet_schedule::{
    Fallbacks, Hours, Published, Schedule, Screen, Snapshot, Window, Winner, Zone,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;

/// Around a clock change, and where there is none.
const MOMENTS: &[(&str, &str)] = &[
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("UTC", "2026-06-15T12:00:00Z"),
];

fn window() -> impl Strategy<Value = Window> {
    let minute = || prop_oneof![2 => 0i64..240, 1 => 0i64..1440];
    (0i64..128, minute(), minute()).prop_map(|(mask, start, end)| Window {
        days_of_week: DaysOfWeek::try_from(mask).unwrap(),
        start: MinuteOfDay::try_from(start).unwrap(),
        end: MinuteOfDay::try_from(end).unwrap(),
    })
}

fn schedule(windows: &[Window]) -> Schedule {
    let slot = |(index, window): (usize, &Window)| ScheduleSlot {
        slot_id: format!("s{index}").parse().unwrap(),
        target: Target::Device("screen".parse().unwrap()),
        playlist_id: "on".parse().unwrap(),
        days_of_week: window.days_of_week,
        start: window.start,
        end: window.end,
        valid: ValidDates::new(None, None).unwrap(),
        priority: 0,
        enabled: true,
        updated_at: Timestamp::MIN,
    };
    Schedule::new(Snapshot {
        slots: windows.iter().enumerate().map(slot).collect(),
        fallbacks: Fallbacks::default(),
        published: Published::All,
    })
}

proptest! {
    #[test]
    fn hours_are_what_slots_of_the_same_windows_are(
        (zone, moment) in select(MOMENTS),
        windows in prop::collection::vec(window(), 0..5),
        minutes in prop::collection::vec(-3_000i64..3_000, 1..40),
    ) {
        let zone: Zone = zone.parse().unwrap();
        let hours = Hours::new(zone.clone(), windows.clone());
        let screen = Screen::new("screen".parse::<fleet_protocol::TargetId>().unwrap(), [], zone);
        let schedule = schedule(&windows);
        let on = |at| matches!(schedule.winner(&screen, at), Winner::Slot(_));
        for minute in minutes {
            let at = moment.parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minute);
            prop_assert_eq!(hours.contain(at), on(at), "{}", at);
            // Nothing changes before the change, and then it does.
            let horizon = at + SignedDuration::from_hours(7 * 24);
            let change = hours.next_change(at);
            let until = change.unwrap_or(horizon).min(horizon);
            for segment in schedule.timeline(&screen, at, until) {
                prop_assert_eq!(segment.slot_id.is_some(), on(at), "{}", at);
            }
            if let Some(change) = change {
                prop_assert_ne!(on(change), on(at), "{} {}", at, change);
            }
        }
    }
}
