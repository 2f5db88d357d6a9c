//! How long a resolve takes, and how long the six hours of look-ahead: a venue with 1,000 slots, all of
//! them for one screen (the worst there is) or spread over its screens and groups, and the same with a
//! history of 100,000 slots that are over. The median over instants of a whole year, clock changes included.

use std::hint::black_box;
use std::time::Instant;

use fleet_protocol::TargetId;
use fleet_protocol::schedule::{DaysOfWeek, MinuteOfDay, ScheduleSlot, Target, ValidDates};
use fleet_schedule::{Fallbacks, Published, Schedule, Screen, Snapshot};
use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};

const SLOTS: i64 = 1_000;
const OVER: i64 = 100_000;
const INSTANTS: i32 = 2_000;
const ROUNDS: u32 = 10;

/// For whom the slots are.
#[derive(Clone, Copy)]
enum Spread {
    OneScreen,
    /// A tenth for the screen's group, the others for other screens.
    Venue,
}

fn id(text: &str) -> TargetId {
    text.parse().expect("plain letters and digits")
}

fn slot(index: i64, spread: Spread, valid: ValidDates) -> ScheduleSlot {
    let minute = |minute: i64| MinuteOfDay::try_from(minute % 1_440).expect("within a day");
    // Steps without a common divisor, so that boundaries and days are as different as they can be.
    let start = index * 37;
    ScheduleSlot {
        slot_id: format!("slot_{index}").parse().expect("digits"),
        target: match spread {
            Spread::OneScreen => Target::Device(id("screen_0")),
            Spread::Venue if index % 10 == 0 => Target::Group(id("group_0")),
            Spread::Venue => Target::Device(id(&format!("screen_{}", index % 50))),
        },
        playlist_id: format!("playlist_{}", index % 40).parse().expect("digits"),
        days_of_week: DaysOfWeek::try_from(1 + index % 127).expect("within a week"),
        start: minute(start),
        end: minute(start + 30 + index * 13 % 300),
        valid,
        priority: index % 7,
        enabled: true,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

fn schedule(spread: Spread, over: i64) -> Schedule {
    let past = ValidDates::new(Some(date(2020, 1, 1)), Some(date(2025, 6, 30)));
    let past = past.expect("in order");
    let present = (0..SLOTS).map(|index| slot(index, spread, ValidDates::ALWAYS));
    let history = (SLOTS..SLOTS + over).map(|index| slot(index, spread, past));
    Schedule::new(Snapshot {
        slots: present.chain(history).collect(),
        fallbacks: Fallbacks::default(),
        published: Published::All,
    })
}

/// The median over instants, of the mean over a few rounds of the same question.
fn measure<T>(name: &str, mut ask: impl FnMut(Timestamp) -> T) {
    let first: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a constant");
    let step = SignedDuration::from_secs(365 * 86_400 / i64::from(INSTANTS));
    let mut millis: Vec<f64> = (0..INSTANTS)
        .map(|index| {
            let at = first + step * index;
            let begun = Instant::now();
            for _ in 0..ROUNDS {
                black_box(ask(black_box(at)));
            }
            begun.elapsed().as_secs_f64() * 1e3 / f64::from(ROUNDS)
        })
        .collect();
    millis.sort_by(f64::total_cmp);
    let at = |share: usize| millis[millis.len() * share / 100];
    println!("schedule_{name}_ms {:.5}", at(50));
    println!("schedule_{name}_99th_ms {:.5}", at(99));
}

fn main() {
    let zone = "Europe/London".parse().expect("a zone");
    let screen = Screen::new(id("screen_0"), [id("group_0")], zone);
    for (name, spread, over) in [
        ("one_screen", Spread::OneScreen, 0),
        ("venue", Spread::Venue, 0),
        ("venue_with_history", Spread::Venue, OVER),
    ] {
        let schedule = schedule(spread, over);
        measure(&format!("resolve_{name}"), |at| {
            schedule.winner(&screen, at).slot_id()
        });
        measure(&format!("look_ahead_{name}"), |at| {
            schedule.decide(&screen, at).valid_to
        });
        measure(&format!("whole_six_hours_{name}"), |at| {
            let horizon = at + fleet_schedule::MAX_VALIDITY;
            schedule.timeline(&screen, at, horizon).len()
        });
    }
    let schedule = schedule(Spread::OneScreen, 0);
    let begun = Instant::now();
    black_box(schedule.warnings(&screen));
    println!(
        "schedule_warnings_ms {:.1}",
        begun.elapsed().as_secs_f64() * 1e3
    );
    let begun = Instant::now();
    let from: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a constant");
    let year = SignedDuration::from_hours(365 * 24);
    let segments = schedule.timeline(&screen, from, from + year);
    println!(
        "schedule_timeline_of_a_year_ms {:.1}",
        begun.elapsed().as_secs_f64() * 1e3
    );
    println!("schedule_timeline_of_a_year_segments {}", segments.len());
}
