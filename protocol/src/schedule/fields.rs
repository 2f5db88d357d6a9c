//! The parts of a slot that hold only what makes sense: weekdays, minutes of a day, dates in order.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// A number outside what its field can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{number} is no {what}: expected {expected}")]
pub struct ParseFieldError {
    pub number: i64,
    pub what: &'static str,
    pub expected: &'static str,
}

/// Days of the week, bit 0 Monday to bit 6 Sunday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(with = "i64", extend("minimum" = 0, "maximum" = 127))
)]
#[serde(try_from = "i64", into = "i64")]
pub struct DaysOfWeek(u8);

impl DaysOfWeek {
    pub const EVERY_DAY: Self = Self(127);

    /// `weekday`: 0 Monday to 6 Sunday.
    pub const fn contains(self, weekday: usize) -> bool {
        weekday < 7 && self.0 & (1 << weekday) != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl TryFrom<i64> for DaysOfWeek {
    type Error = ParseFieldError;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        u8::try_from(number)
            .ok()
            .filter(|mask| *mask <= Self::EVERY_DAY.0)
            .map(Self)
            .ok_or(ParseFieldError {
                number,
                what: "mask of weekdays",
                expected: "0 to 127, the sum of Monday 1, Tuesday 2, Wednesday 4, … Sunday 64",
            })
    }
}

impl From<DaysOfWeek> for i64 {
    fn from(days: DaysOfWeek) -> Self {
        days.0.into()
    }
}

impl std::fmt::Display for DaysOfWeek {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        if *self == Self::EVERY_DAY {
            return f.write_str("every day");
        }
        let days: Vec<&str> = (0..7)
            .filter(|day| self.contains(*day))
            .map(|day| NAMES[day])
            .collect();
        f.write_str(&if days.is_empty() {
            "no day".to_owned()
        } else {
            days.join(", ")
        })
    }
}

/// Minutes since local midnight, as the wall clock shows them: 0 to 1439.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(with = "i64", extend("minimum" = 0, "maximum" = 1439))
)]
#[serde(try_from = "i64", into = "i64")]
pub struct MinuteOfDay(u16);

impl MinuteOfDay {
    pub const PER_DAY: i64 = 1440;

    pub const fn minutes(self) -> i64 {
        self.0 as i64
    }
}

impl TryFrom<i64> for MinuteOfDay {
    type Error = ParseFieldError;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        u16::try_from(number)
            .ok()
            .filter(|minute| i64::from(*minute) < Self::PER_DAY)
            .map(Self)
            .ok_or(ParseFieldError {
                number,
                what: "minute of a day",
                expected: "0 to 1439; midnight is 0, also as an end",
            })
    }
}

impl From<MinuteOfDay> for i64 {
    fn from(minute: MinuteOfDay) -> Self {
        minute.minutes()
    }
}

impl std::fmt::Display for MinuteOfDay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`validToDate` {last} is before `validFromDate` {first}: swap the two, or leave one of them out"
)]
pub struct ValidDatesError {
    pub first: Date,
    pub last: Date,
}

/// The local dates on which something may begin, both ends included, each end optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ValidDates {
    first: Option<Date>,
    last: Option<Date>,
}

impl ValidDates {
    pub const ALWAYS: Self = Self {
        first: None,
        last: None,
    };

    /// # Errors
    /// When the last date is before the first.
    pub fn new(first: Option<Date>, last: Option<Date>) -> Result<Self, ValidDatesError> {
        match (first, last) {
            (Some(first), Some(last)) if last < first => Err(ValidDatesError { first, last }),
            _ => Ok(Self { first, last }),
        }
    }

    pub const fn first(self) -> Option<Date> {
        self.first
    }

    pub const fn last(self) -> Option<Date> {
        self.last
    }
}

impl std::fmt::Display for ValidDates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.first, self.last) {
            (None, None) => f.write_str("on any date"),
            (Some(first), None) => write!(f, "from {first} on"),
            (None, Some(last)) => write!(f, "until {last}"),
            (Some(first), Some(last)) => write!(f, "from {first} to {last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_zero_is_monday() {
        let days = DaysOfWeek::try_from(0b100_0001).unwrap();
        assert_eq!(days.to_string(), "Mon, Sun");
        assert!(days.contains(0) && days.contains(6) && !days.contains(7));
        assert_eq!(DaysOfWeek::EVERY_DAY.to_string(), "every day");
        assert_eq!(DaysOfWeek::try_from(0).unwrap().to_string(), "no day");
    }

    #[test]
    fn a_minute_is_shown_as_a_clock_shows_it() {
        assert_eq!(MinuteOfDay::try_from(605).unwrap().to_string(), "10:05");
    }
}
