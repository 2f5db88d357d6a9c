//! The small languages of the command line: durations, instants, weekdays, times of day, and the phases of a
//! rollout.

use std::time::Duration;

use fleet_protocol::player::OnWindow;
use fleet_protocol::rollout::Phase;
use fleet_protocol::schedule::{DaysOfWeek, MinuteOfDay};
use fleet_protocol::{ParsePercentError, Percent};
use jiff::Timestamp;

/// Longer than any rollout or release lives, and far from any overflow.
const MAX_DURATION: Duration = Duration::from_hours(100 * 365 * 24);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no duration: {reason}; write it like 30m, 24h, 90d or 1h30m")]
pub struct ParseDurationError {
    pub text: String,
    pub reason: &'static str,
}

/// `45s`, `30m`, `24h`, `90d`, `2w`, or several of them in a row (`1h30m`); a bare `0` too.
///
/// # Errors
/// On anything else, and beyond a hundred years.
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let error = |reason| ParseDurationError {
        text: text.chars().take(40).collect(),
        reason,
    };
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    if trimmed.is_empty() {
        return Err(error("it is empty"));
    }
    let mut total = Duration::ZERO;
    let mut rest = trimmed;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(error("a number is expected"));
        }
        let number: u64 = rest[..digits]
            .parse()
            .map_err(|_| error("the number is too large"))?;
        rest = &rest[digits..];
        let unit = match rest.chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            Some('w') => 7 * 86_400,
            Some(_) => return Err(error("the unit is none of s, m, h, d, w")),
            None => return Err(error("the unit (s, m, h, d or w) is missing")),
        };
        rest = &rest[1..];
        total = number
            .checked_mul(unit)
            .and_then(|seconds| total.checked_add(Duration::from_secs(seconds)))
            .filter(|total| *total <= MAX_DURATION)
            .ok_or_else(|| error("it is longer than a hundred years"))?;
    }
    Ok(total)
}

/// `1h 30m`, the two largest units: for people.
pub fn human_duration(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    let mut parts = Vec::new();
    for (unit, size) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if seconds >= size {
            parts.push(format!("{}{unit}", seconds / size));
            seconds %= size;
        }
    }
    parts.truncate(2);
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// The name that a value has on the wire, such as `INVALID_CODEC`.
pub fn wire_name(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value).expect("plain data") {
        serde_json::Value::String(name) => name,
        other => other.to_string(),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no instant; write it in UTC like 2026-10-24T08:00:00Z, or with its distance from UTC like 2026-10-24T09:00:00+01:00"
)]
pub struct ParseInstantError {
    pub text: String,
}

/// RFC 3339: a time without `Z` or an offset would be anybody's.
///
/// # Errors
/// On anything else.
pub fn parse_instant(text: &str) -> Result<Timestamp, ParseInstantError> {
    text.trim().parse().map_err(|_| ParseInstantError {
        text: text.chars().take(40).collect(),
    })
}

/// When screens are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnHours {
    Always,
    Within(OnWindow),
}

/// In the order of the bits of [`DaysOfWeek`].
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no day of the week; write days like mon,tue or mon-fri,sun")]
pub struct ParseDaysError {
    pub text: String,
}

/// `mon,tue` or `mon-fri,sun`; a range may go over the end of the week.
///
/// # Errors
/// On anything else.
pub fn parse_days(text: &str) -> Result<DaysOfWeek, ParseDaysError> {
    let mut mask = 0;
    for part in text.split(',') {
        let error = || ParseDaysError {
            text: part.chars().take(40).collect(),
        };
        let day = |name: &str| {
            let name = name.trim().to_lowercase();
            DAYS.iter().position(|day| *day == name).ok_or_else(error)
        };
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        mask |= 1 << last;
        while at != last {
            mask |= 1 << at;
            at = (at + 1) % DAYS.len();
        }
    }
    Ok(DaysOfWeek::try_from(mask).expect("seven bits"))
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no time of day; write it from 00:00 to 23:59, and midnight also 24:00")]
pub struct ParseTimeOfDayError {
    pub text: String,
}

/// `HH:MM` of the clock on the wall.
///
/// # Errors
/// On anything else.
pub fn parse_time_of_day(text: &str) -> Result<MinuteOfDay, ParseTimeOfDayError> {
    let number = |digits: &str, below: i64| {
        let plain = (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        digits
            .parse()
            .ok()
            .filter(|number: &i64| plain && *number < below)
    };
    let minutes = match text.trim() {
        "24:00" => Some(0),
        text => text
            .split_once(':')
            .filter(|(_, minutes)| minutes.len() == 2)
            .and_then(|(hours, minutes)| Some(number(hours, 24)? * 60 + number(minutes, 60)?)),
    };
    minutes
        .and_then(|minutes| MinuteOfDay::try_from(minutes).ok())
        .ok_or_else(|| ParseTimeOfDayError {
            text: text.chars().take(40).collect(),
        })
}

/// From a time of day to another, for people; an end at or before the start is on the next day.
pub fn time_span(start: MinuteOfDay, end: MinuteOfDay) -> String {
    match (start.minutes(), end.minutes()) {
        (0, 0) => "all day".to_owned(),
        (_, 0) => format!("{start}–24:00"),
        (from, to) if to <= from => format!("{start}–{end} next day"),
        _ => format!("{start}–{end}"),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseScreenHoursError {
    #[error(
        "`{text}` are no hours; write them like \"mon-fri 08:00-22:00\", 08:00-22:00 for every day, or always"
    )]
    Shape { text: String },
    #[error(transparent)]
    Days(#[from] ParseDaysError),
    #[error(transparent)]
    Time(#[from] ParseTimeOfDayError),
}

/// `mon-fri 08:00-22:00`, `08:00-22:00` of every day, or `always`.
///
/// # Errors
/// On anything else.
pub fn parse_screen_hours(text: &str) -> Result<OnHours, ParseScreenHoursError> {
    let text = text.trim();
    if text == "always" {
        return Ok(OnHours::Always);
    }
    let (days, times) = match text.rsplit_once(' ') {
        Some((days, times)) => (parse_days(days)?, times),
        None => (DaysOfWeek::EVERY_DAY, text),
    };
    let shape = || ParseScreenHoursError::Shape {
        text: text.chars().take(40).collect(),
    };
    let (start, end) = times.split_once('-').ok_or_else(shape)?;
    Ok(OnHours::Within(OnWindow {
        days_of_week_mask: days,
        start_minutes: parse_time_of_day(start)?,
        end_minutes: parse_time_of_day(end)?,
    }))
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParsePhasesError {
    #[error("phase {position}: {source}")]
    Percent {
        position: usize,
        source: ParsePercentError,
    },
    #[error("phase {position}: {source}")]
    Wait {
        position: usize,
        source: ParseDurationError,
    },
    #[error(
        "phase {position} ({percentage}) is not larger than the one before it: phases grow, such as 5%:24h,20%:48h,100%"
    )]
    NotGrowing {
        position: usize,
        percentage: Percent,
    },
    #[error("the last phase is {last}, but must be 100 %: add `,100%`")]
    NotComplete { last: Percent },
    #[error("more than 100 phases")]
    TooMany,
}

/// `5%:24h,20%:48h,100%`: cumulative shares of the fleet, each with the wait after it.
///
/// # Errors
/// When a share or wait does not parse, shares do not grow, or the last is not 100 %.
pub fn parse_phases(text: &str) -> Result<Vec<Phase>, ParsePhasesError> {
    let mut phases: Vec<Phase> = Vec::new();
    for (index, part) in text.split(',').enumerate() {
        let position = index + 1;
        if position > 100 {
            return Err(ParsePhasesError::TooMany);
        }
        let (share, wait) = part.split_once(':').unwrap_or((part, "0"));
        let percentage: Percent = share
            .trim()
            .parse()
            .map_err(|source| ParsePhasesError::Percent { position, source })?;
        let wait =
            parse_duration(wait).map_err(|source| ParsePhasesError::Wait { position, source })?;
        let before = phases.last().map_or(Percent::ZERO, |p| p.percentage);
        if percentage <= before {
            return Err(ParsePhasesError::NotGrowing {
                position,
                percentage,
            });
        }
        phases.push(Phase {
            percentage,
            wait_seconds: wait.as_secs(),
        });
    }
    match phases.last() {
        Some(phase) if phase.percentage == Percent::HUNDRED => Ok(phases),
        last => Err(ParsePhasesError::NotComplete {
            last: last.map_or(Percent::ZERO, |p| p.percentage),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_add_up_over_their_units() {
        let check =
            |text, seconds| assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        check("45s", 45);
        check("24h", 86_400);
        check("1h30m", 5400);
        check("2w", 14 * 86_400);
        check(" 0 ", 0);
    }

    #[test]
    fn a_duration_without_unit_or_sense_is_refused() {
        for bad in [
            "",
            "5",
            "h",
            "5x",
            "-5m",
            "1.5h",
            "99999999999999999999d",
            "9999999d",
            "5µ",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_instant_says_how_far_it_is_from_utc() {
        let utc = parse_instant("2026-10-24T08:00:00Z");
        assert!(utc.is_ok());
        assert_eq!(parse_instant("2026-10-24T09:00:00+01:00"), utc);
        for bad in ["", "2026-10-24", "2026-10-24T08:00:00", "tomorrow"] {
            assert!(parse_instant(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn days_are_listed_or_reach_from_one_to_another() {
        let check = |text, mask: i64| {
            assert_eq!(parse_days(text).map(i64::from), Ok(mask), "{text}");
        };
        check("mon", 1);
        check("mon,tue", 3);
        check("Mon-Fri", 31);
        check("sat-mon", 0b110_0001);
        check("mon-fri, sun", 0b101_1111);
        check("mon-sun", 127);
        for bad in ["", "mon,", "monday", "mon-", "0", "mon tue", "-"] {
            assert!(parse_days(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_of_day_is_what_the_clock_shows() {
        let check = |text, minutes: i64| {
            assert_eq!(
                parse_time_of_day(text).map(i64::from),
                Ok(minutes),
                "{text}"
            );
        };
        check("00:00", 0);
        check("9:30", 570);
        check("23:59", 1439);
        check("24:00", 0);
        for bad in [
            "", "24:01", "12:60", "12", "12:5", "-1:00", "+1:00", "12:30:00", "noon",
        ] {
            assert!(parse_time_of_day(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_phases_of_the_manual_parse_and_are_the_default() {
        let phases = parse_phases("5%:24h,20%:48h,100%").unwrap();
        let plain: Vec<_> = phases
            .iter()
            .map(|p| (f64::from(p.percentage), p.wait_seconds))
            .collect();
        assert_eq!(plain, [(5.0, 86_400), (20.0, 172_800), (100.0, 0)]);
        assert_eq!(phases, fleet_protocol::rollout::default_phases());
    }

    #[test]
    fn phases_that_shrink_or_stop_short_are_refused() {
        assert!(matches!(
            parse_phases("20%,5%,100%"),
            Err(ParsePhasesError::NotGrowing { position: 2, .. })
        ));
        assert!(matches!(
            parse_phases("5%,20%"),
            Err(ParsePhasesError::NotComplete { .. })
        ));
        assert!(parse_phases("").is_err());
        assert!(parse_phases("5%:later,100%").is_err());
        assert!(parse_phases(&"0,".repeat(500)).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_typed_gives_an_answer(text in "\\PC{0,60}") {
            let _ = parse_duration(&text);
            let _ = parse_phases(&text);
            let _ = parse_instant(&text);
            let _ = parse_days(&text);
            let _ = parse_time_of_day(&text);
        }

        #[test]
        fn a_shown_duration_below_an_hour_reads_back(seconds in 0u64..3600) {
            let shown = human_duration(Duration::from_secs(seconds)).replace(' ', "");
            prop_assert_eq!(parse_duration(&shown), Ok(Duration::from_secs(seconds)));
        }
    }
}
