//! The slow resolver.

use std::cmp::Ordering;

use fleet_protocol::TargetId;
use fleet_protocol::schedule::{MinuteOfDay, ScheduleSlot, Target};
use fleet_schedule::{Fallbacks, Published, Schedule, Screen, Snapshot};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan as _};

/// Beyond the range on both sides, so that every occurrence that touches it is known whole.
const MARGIN: SignedDuration = SignedDuration::from_hours(4 * 24);

/// What the clock on the wall shows at each minute of UTC.
struct Clock {
    first: Timestamp,
    shown: Vec<DateTime>,
}

impl Clock {
    fn new(zone: &TimeZone, from: Timestamp, to: Timestamp) -> Self {
        let (first, last) = (from - MARGIN, to + MARGIN);
        let minutes = last.duration_since(first).as_mins();
        Self {
            first,
            shown: (0..=minutes)
                .map(|minute| zone.to_datetime(first + SignedDuration::from_mins(minute)))
                .collect(),
        }
    }

    /// The earliest minute whose local date-time is at or after this one.
    fn inst(&self, date: Date, minute: MinuteOfDay) -> Timestamp {
        let wanted =
            date.to_datetime(Time::midnight()) + SignedDuration::from_mins(minute.minutes());
        let index = self.shown.iter().position(|shown| *shown >= wanted);
        let index = index.unwrap_or(self.shown.len());
        self.first + SignedDuration::from_mins(i64::try_from(index).unwrap())
    }

    fn dates(&self) -> impl Iterator<Item = Date> {
        let (first, last) = (
            self.shown[0].date(),
            self.shown[self.shown.len() - 1].date(),
        );
        first
            .series(1.day())
            .skip(1)
            .take_while(move |date| *date < last)
    }
}

pub(crate) struct Occurrence<'a> {
    pub(crate) slot: &'a ScheduleSlot,
    pub(crate) begin: Timestamp,
    pub(crate) end: Timestamp,
}

/// DEVICE over GROUP, then larger priority, then later `updatedAt`, then smaller `slotId`.
pub(crate) fn beats(one: &ScheduleSlot, other: &ScheduleSlot) -> bool {
    match (&one.target, &other.target) {
        (Target::Device(_), Target::Group(_)) => return true,
        (Target::Group(_), Target::Device(_)) => return false,
        _ => {}
    }
    match one.priority.cmp(&other.priority) {
        Ordering::Greater => return true,
        Ordering::Less => return false,
        Ordering::Equal => {}
    }
    match one.updated_at.cmp(&other.updated_at) {
        Ordering::Greater => true,
        Ordering::Less => false,
        Ordering::Equal => one.slot_id.as_str().as_bytes() < other.slot_id.as_str().as_bytes(),
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) zone: &'static str,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) slots: Vec<ScheduleSlot>,
    pub(crate) published: Published,
    pub(crate) fallback: bool,
}

impl Case {
    fn winner<'a>(
        &self,
        occurrences: &[Occurrence<'a>],
        at: Timestamp,
    ) -> Option<&'a ScheduleSlot> {
        let playable = |slot: &ScheduleSlot| match &self.published {
            Published::All => true,
            Published::Only(playlists) => playlists.contains(&slot.playlist_id),
        };
        let mut best: Option<&ScheduleSlot> = None;
        for occurrence in occurrences {
            let now = occurrence.begin <= at && at < occurrence.end;
            let better = best.is_none_or(|best| beats(occurrence.slot, best));
            if now && playable(occurrence.slot) && better {
                best = Some(occurrence.slot);
            }
        }
        best
    }

    /// Every occurrence of a slot that the screen has to do with.
    pub(crate) fn occurrences(&self) -> Vec<Occurrence<'_>> {
        let zone = TimeZoneDatabase::bundled().get(self.zone).unwrap();
        let clock = Clock::new(&zone, self.from, self.to);
        let mut all = Vec::new();
        let mine = |slot: &&ScheduleSlot| slot.enabled && is_for_the_screen(&slot.target);
        for slot in self.slots.iter().filter(mine) {
            for date in clock.dates() {
                let mask = i64::from(slot.days_of_week);
                let on_weekday = mask >> date.weekday().to_monday_zero_offset() & 1 == 1;
                let valid = slot.valid.first().is_none_or(|first| first <= date)
                    && slot.valid.last().is_none_or(|last| date <= last);
                if on_weekday && valid {
                    let end_date = if slot.end <= slot.start {
                        date + 1.day()
                    } else {
                        date
                    };
                    all.push(Occurrence {
                        slot,
                        begin: clock.inst(date, slot.start),
                        end: clock.inst(end_date, slot.end),
                    });
                }
            }
        }
        all
    }

    pub(crate) fn schedule(&self) -> Schedule {
        Schedule::new(Snapshot {
            slots: self.slots.clone(),
            fallbacks: Fallbacks {
                tenant: self.fallback.then(|| "p0".parse().unwrap()),
                ..Fallbacks::default()
            },
            published: self.published.clone(),
        })
    }

    pub(crate) fn screen(&self) -> Screen {
        let id = |text: &str| text.parse::<TargetId>().unwrap();
        Screen::new(
            id("d0"),
            [id("g0"), id("g1"), id("g0")],
            self.zone.parse().unwrap(),
        )
    }

    /// Each minute of the range with the slot that wins in it.
    pub(crate) fn minutes(&self) -> Vec<(Timestamp, Option<&ScheduleSlot>)> {
        let occurrences = self.occurrences();
        (0..self.to.duration_since(self.from).as_mins())
            .map(|minute| self.from + SignedDuration::from_mins(minute))
            .map(|at| (at, self.winner(&occurrences, at)))
            .collect()
    }
}

/// The device `d0`, which is in the groups `g0` and `g1`.
pub(crate) fn is_for_the_screen(target: &Target) -> bool {
    match target {
        Target::Device(id) => id.as_str() == "d0",
        Target::Group(id) => ["g0", "g1"].contains(&id.as_str()),
    }
}
