//! Days and minutes of a wall clock as plain numbers, so that comparing them is all that a resolver does.

use fleet_protocol::schedule::MinuteOfDay;
use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time, date};

const EPOCH: Date = date(1970, 1, 1);
/// 1970-01-01 was a Thursday; Monday is 0.
const EPOCH_WEEKDAY: i64 = 3;

/// A local date, as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    pub const MIN: Self = Self(i64::MIN);
    pub const MAX: Self = Self(i64::MAX);
    pub(crate) const EPOCH: Self = Self(0);

    pub fn of(date: Date) -> Self {
        Self(date.duration_since(EPOCH).as_hours() / 24)
    }

    /// The date; at the ends of the calendar, the last one there is.
    pub fn date(self) -> Date {
        let hours = self.0.saturating_mul(24);
        let end = if hours < 0 { Date::MIN } else { Date::MAX };
        EPOCH
            .checked_add(SignedDuration::from_hours(
                hours.clamp(-200_000_000, 200_000_000),
            ))
            .unwrap_or(end)
    }

    /// 0 Monday to 6 Sunday.
    #[expect(clippy::cast_possible_truncation, reason = "0 to 6")]
    pub const fn weekday(self) -> usize {
        self.0.wrapping_add(EPOCH_WEEKDAY).rem_euclid(7) as usize
    }

    #[must_use]
    pub const fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }

    pub(crate) const fn at(self, minute: MinuteOfDay) -> HandMinute {
        HandMinute(
            self.0
                .saturating_mul(MinuteOfDay::PER_DAY)
                .saturating_add(minute.minutes()),
        )
    }

    pub(crate) const fn midnight(self) -> HandMinute {
        HandMinute(self.0.saturating_mul(MinuteOfDay::PER_DAY))
    }
}

/// A minute that the hand shows, counted from 1970-01-01 00:00 as if every day had 1440 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandMinute(i64);

impl HandMinute {
    pub fn of(shown: DateTime) -> Self {
        let since_midnight = shown.duration_since(shown.date().to_datetime(Time::midnight()));
        Self(Day::of(shown.date()).midnight().0 + since_midnight.as_mins())
    }

    /// The minute that contains this second since 1970-01-01 00:00 of the wall clock.
    pub(crate) const fn containing(second: i64) -> Self {
        Self(second.div_euclid(60))
    }

    pub(crate) const fn first_second(self) -> i64 {
        self.0.saturating_mul(60)
    }

    pub const fn day(self) -> Day {
        Day(self.0.div_euclid(MinuteOfDay::PER_DAY))
    }

    pub fn datetime(self) -> DateTime {
        let minute = self.0.rem_euclid(MinuteOfDay::PER_DAY);
        let midnight = self.day().date().to_datetime(Time::midnight());
        midnight.saturating_add(SignedDuration::from_mins(minute))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_the_same_thing() {
        let check = |date: Date, days: i64, weekday: usize| {
            assert_eq!(Day::of(date), Day(days), "{date}");
            assert_eq!(Day(days).date(), date);
            assert_eq!(Day(days).weekday(), weekday, "{date}");
        };
        check(date(1970, 1, 1), 0, 3);
        check(date(1969, 12, 28), -4, 6);
        check(date(2026, 10, 25), 20_751, 6);
        check(date(2024, 2, 29), 19_782, 3);
    }

    #[test]
    fn the_ends_of_the_calendar_are_no_panic() {
        assert_eq!(Day::MAX.date(), Date::MAX);
        assert_eq!(Day::MIN.date(), Date::MIN);
        assert_eq!(Day::of(Date::MAX).date(), Date::MAX);
        assert_eq!(Day::of(Date::MIN).date(), Date::MIN);
        let _ = Day::MAX.plus(1).midnight().datetime();
        let _ = Day::MIN.weekday();
    }

    #[test]
    fn a_minute_before_the_epoch_belongs_to_the_day_before() {
        let minute = HandMinute::containing(-1);
        assert_eq!(minute.day(), Day(-1));
        assert_eq!(minute.datetime(), date(1969, 12, 31).at(23, 59, 0, 0));
        assert_eq!(HandMinute::of(minute.datetime()), minute);
    }
}
