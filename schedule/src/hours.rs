//! Hours of the week without a playlist: whether an instant lies in them, and when that changes.
//!
//! The same occurrences as a slot's ([`crate::Schedule`]), by the same hand; only nothing wins here.

use std::ops::Range;

use fleet_protocol::schedule::{DaysOfWeek, MinuteOfDay};
use jiff::Timestamp;

use crate::hand::{Day, HandMinute};
use crate::zone::Zone;

/// A week holds every change that there is; twice that, for the week whose only one falls into a skipped hour.
const DAYS_AHEAD: i64 = 15;

/// From a minute to a minute, on some days of the week; an end at or before the start is on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub days_of_week: DaysOfWeek,
    pub start: MinuteOfDay,
    pub end: MinuteOfDay,
}

impl Window {
    /// The minutes that it fills if it begins on this day; `None` if it does not.
    fn on(self, day: Day) -> Option<Range<HandMinute>> {
        let end_day = day.plus(i64::from(self.end <= self.start));
        let occurs = self.days_of_week.contains(day.weekday());
        occurs.then(|| day.at(self.start)..end_day.at(self.end))
    }
}

/// Windows in a time zone; they may overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    zone: Zone,
    windows: Vec<Window>,
}

impl Hours {
    pub const fn new(zone: Zone, windows: Vec<Window>) -> Self {
        Self { zone, windows }
    }

    /// Whether an occurrence of a window contains the instant.
    pub fn contain(&self, at: Timestamp) -> bool {
        let hand = self.zone.hand(at);
        let today = hand.day();
        let days = [today.plus(-1), today].into_iter();
        days.flat_map(|day| self.beginning_on(day))
            .any(|minutes| minutes.contains(&hand))
    }

    /// The first instant after `at` at which [`Self::contain`] answers otherwise; `None` if there is none within two
    /// weeks.
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        let before = self.contain(at);
        let today = self.zone.hand(at).day();
        let days = (-1..=DAYS_AHEAD).map(|ahead| today.plus(ahead));
        let minutes = days.flat_map(|day| self.beginning_on(day));
        let mut bounds: Vec<HandMinute> = minutes.flat_map(|m| [m.start, m.end]).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let instants = bounds
            .into_iter()
            .map(|bound| self.zone.first_instant(bound));
        instants
            .filter(|instant| *instant > at)
            .find(|instant| self.contain(*instant) != before)
    }

    fn beginning_on(&self, day: Day) -> impl Iterator<Item = Range<HandMinute>> {
        self.windows.iter().filter_map(move |window| window.on(day))
    }
}
