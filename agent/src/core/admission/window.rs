//! The maintenance window: local times of day, whatever the calendar does to them.

use fleet_protocol::config::MaintenanceWindow;
use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _};

/// Times of day in one time zone. `end` before `start` spans midnight, equal times mean all day.
///
/// Where a clock change skips a local time, the next one that exists counts; where it repeats one,
/// the window opens at its first occurrence and closes at its last. So the window is never shorter
/// than on an ordinary day, and each day has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub start: Time,
    pub end: Time,
    pub time_zone: TimeZone,
}

/// The configuration names a time zone that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no time zone: write an IANA name such as `Europe/Oslo`")]
pub struct WindowError {
    pub name: String,
}

impl Window {
    /// With the zone from the data that is built in: nothing is read from disk.
    ///
    /// # Errors
    /// When the time zone is unknown.
    pub fn parse(window: &MaintenanceWindow) -> Result<Self, WindowError> {
        let time_zone = TimeZoneDatabase::bundled()
            .get(&window.timezone)
            .map_err(|_| WindowError {
                name: window.timezone.chars().take(80).collect(),
            })?;
        Ok(Self {
            start: window.start,
            end: window.end,
            time_zone,
        })
    }

    /// When it opens next; `None`: it is open. A calendar at its end counts as open.
    pub fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.start == self.end {
            return None;
        }
        let today = self.time_zone.to_datetime(now).date();
        let mut date = today.checked_sub(1.day()).unwrap_or(today);
        // Yesterday's window may last until today, and today's may be over already.
        for _ in 0..4 {
            let (opens, closes) = self.on(date)?;
            if now < opens {
                return Some(opens);
            }
            if now < closes {
                return None;
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn on(&self, date: Date) -> Option<(Timestamp, Timestamp)> {
        let last = if self.end <= self.start {
            date.tomorrow().ok()?
        } else {
            date
        };
        let opens = self
            .time_zone
            .to_ambiguous_zoned(date.to_datetime(self.start));
        let closes = self
            .time_zone
            .to_ambiguous_zoned(last.to_datetime(self.end));
        let (opens, closes) = (opens.earlier().ok()?, closes.later().ok()?);
        Some((opens.timestamp(), closes.timestamp()))
    }
}

#[cfg(test)]
pub(super) mod tests;
