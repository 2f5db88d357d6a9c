//! When the screen is on: by the hours in the manifest in force.
//!
//! Invariants:
//! - The screen is on unless hours that are understood say off, at an instant at which the clock can be right, while
//!   nobody asks which device this is.
//! - What it is to be follows from the manifest and the instant alone: a clock that jumps, a change of season or a
//!   restart leaves nothing to make good.
//! - Each change is told once, and so are hours that are not understood.

use fleet_protocol::player::{
    Manifest, OnWindow, PlayerEventKind, Power, ScreenPower, ScreenPowerStatus,
};
use fleet_schedule::{Hours, Window, Zone};
use jiff::Timestamp;

/// This program is younger (2026): a clock that shows less was never set.
const EARLIEST: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// Whether somebody before the screen wants to see something on it, whatever the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    Wanted,
    None,
}

/// What a manifest says of the screen's hours.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    power: ScreenPower,
    /// Of its schedule, for hours that name none.
    timezone: Option<String>,
}

/// The screen's hours, and what they have come to so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScreenHours {
    said: Option<Said>,
    /// What was made of it.
    hours: Option<Hours>,
    wanted: Power,
    /// The screen was on at some time since [`Self::begin_item`].
    was_on: bool,
}

impl ScreenHours {
    /// To be called at the start and then often; `current` is the manifest in force. Gives what there is to tell.
    pub fn look(
        &mut self,
        current: Option<&Manifest>,
        attention: Attention,
        at: Timestamp,
    ) -> Vec<PlayerEventKind> {
        let mut told = Vec::new();
        let said = current.and_then(said);
        if said != self.said {
            self.hours = said.as_ref().and_then(|said| {
                said.hours()
                    .map_err(|reason| told.push(PlayerEventKind::ScreenPowerFailed { reason }))
                    .ok()
            });
            self.said = said;
        }
        let wanted = match &self.hours {
            Some(hours) if attention == Attention::None && at >= EARLIEST && !hours.contain(at) => {
                Power::Off
            }
            _ => Power::On,
        };
        if wanted != self.wanted {
            self.wanted = wanted;
            told.push(PlayerEventKind::ScreenSwitched {
                power: wanted,
                until_utc: self.until(at),
            });
        }
        self.was_on |= wanted == Power::On;
        told
    }

    /// What the screen is to be.
    pub const fn wanted(&self) -> Power {
        self.wanted
    }

    /// The same; `None` for a screen without hours.
    pub fn wanted_by_hours(&self) -> Option<Power> {
        self.hours.as_ref().map(|_| self.wanted)
    }

    /// `None` for a screen without hours.
    pub fn status(&self, at: Timestamp) -> Option<ScreenPowerStatus> {
        self.hours.as_ref().map(|_| ScreenPowerStatus {
            wanted: self.wanted,
            until_utc: self.until(at),
        })
    }

    /// Something else plays from now on. Whether anybody could see what played before.
    pub fn begin_item(&mut self) -> bool {
        std::mem::replace(&mut self.was_on, self.wanted == Power::On)
    }

    fn until(&self, at: Timestamp) -> Option<Timestamp> {
        self.hours.as_ref()?.next_change(at)
    }
}

fn said(manifest: &Manifest) -> Option<Said> {
    let power = manifest.settings.screen_power.clone()?;
    let ahead = manifest.look_ahead.as_ref();
    let timezone = ahead.and_then(|ahead| ahead.schedule.get("timezone")?.as_str());
    Some(Said {
        power,
        timezone: timezone.map(str::to_owned),
    })
}

impl Said {
    /// Why not is for people.
    fn hours(&self) -> Result<Hours, String> {
        let refused = |reason: &str| format!("the manifest's `settings.screenPower`: {reason}");
        let times = match &self.power {
            ScreenPower::Times(times) => times,
            ScreenPower::NotUnderstood { reason, .. } => return Err(refused(reason)),
        };
        let zone = times.timezone.as_ref().or(self.timezone.as_ref());
        let zone = zone.ok_or_else(|| refused("`timezone` is missing"))?;
        let zone: Zone = zone
            .parse()
            .map_err(|error| refused(&format!("`timezone`: {error}")))?;
        let window = |window: &OnWindow| Window {
            days_of_week: window.days_of_week_mask,
            start: window.start_minutes,
            end: window.end_minutes,
        };
        Ok(Hours::new(zone, times.on.iter().map(window).collect()))
    }
}

#[cfg(test)]
mod tests {
    use fleet_protocol::player::LookAhead;
    use jiff::{SignedDuration, ToSpan as _};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// On weekdays from 8 to 20 in Berlin.
    fn weekdays() -> Value {
        json!({"timezone": "Europe/Berlin",
            "on": [{"daysOfWeekMask": 31, "startMinutes": 480, "endMinutes": 1200}]})
    }

    fn manifest(settings: &Value) -> Manifest {
        let json = json!({
            "manifestEtag": "e:1", "validToUtc": "2030-01-01T00:00:00Z", "nextCheckSeconds": 60,
            "settings": settings, "playlist": null
        });
        Manifest::parse(json.to_string().as_bytes()).unwrap()
    }

    fn with(power: &Value) -> Manifest {
        manifest(&json!({"screenPower": power}))
    }

    fn at(instant: &str) -> Timestamp {
        instant.parse().unwrap()
    }

    fn wanted(power: &Value, attention: Attention, instant: &str) -> Power {
        let mut hours = ScreenHours::default();
        hours.look(Some(&with(power)), attention, at(instant));
        hours.wanted()
    }

    #[test]
    fn the_screen_follows_its_hours_in_their_time_zone() {
        let check = |instant: &str, expected: Power| {
            let power = wanted(&weekdays(), Attention::None, instant);
            assert_eq!(power, expected, "{instant}");
        };
        // A Monday in summer and one in winter.
        check("2026-06-15T05:59:59Z", Power::Off);
        check("2026-06-15T06:00:00Z", Power::On);
        check("2026-12-07T06:59:59Z", Power::Off);
        check("2026-12-07T07:00:00Z", Power::On);
        check("2026-12-07T19:00:00Z", Power::Off);
        check("2026-12-06T12:00:00Z", Power::Off);
        // Before the clock was ever set it is not believed.
        check("1970-01-05T23:00:00Z", Power::On);
    }

    #[test]
    fn somebody_who_asks_which_device_it_is_sees_it_at_any_hour() {
        let night = "2026-06-15T23:00:00Z";
        assert_eq!(wanted(&weekdays(), Attention::None, night), Power::Off);
        assert_eq!(wanted(&weekdays(), Attention::Wanted, night), Power::On);
    }

    #[test]
    fn a_change_is_told_once_with_its_end() {
        let mut hours = ScreenHours::default();
        let manifest = with(&weekdays());
        let mut check = |instant: &str, expected: &[(Power, &str)]| {
            let told = hours.look(Some(&manifest), Attention::None, at(instant));
            let expected = expected
                .iter()
                .map(|(power, until)| PlayerEventKind::ScreenSwitched {
                    power: *power,
                    until_utc: Some(at(until)),
                });
            assert_eq!(told, expected.collect::<Vec<_>>(), "{instant}");
        };
        check("2026-06-19T17:59:59Z", &[]);
        check(
            "2026-06-19T18:00:00Z",
            &[(Power::Off, "2026-06-22T06:00:00Z")],
        );
        check("2026-06-20T12:00:00Z", &[]);
        check(
            "2026-06-22T06:00:01Z",
            &[(Power::On, "2026-06-22T18:00:00Z")],
        );
        // A clock that was set back.
        check(
            "2026-06-21T12:00:00Z",
            &[(Power::Off, "2026-06-22T06:00:00Z")],
        );
    }

    #[test]
    fn hours_that_are_not_understood_leave_the_screen_on_and_are_told_once() {
        let check = |power: &Value, says: &str| {
            let (mut hours, manifest) = (ScreenHours::default(), with(power));
            let night = at("2026-06-15T23:00:00Z");
            let told = hours.look(Some(&manifest), Attention::None, night);
            let [PlayerEventKind::ScreenPowerFailed { reason }] = &told[..] else {
                panic!("{told:?}");
            };
            assert!(reason.contains(says), "{reason}");
            assert_eq!((hours.wanted(), hours.status(night)), (Power::On, None));
            assert_eq!(hours.look(Some(&manifest), Attention::None, night), []);
        };
        check(&json!({"on": []}), "`on` is empty");
        let mut nowhere = weekdays();
        nowhere["timezone"] = json!("Europe/Nowhere");
        check(&nowhere, "Europe/Nowhere");
        nowhere.as_object_mut().unwrap().remove("timezone");
        check(&nowhere, "`timezone` is missing");
    }

    #[test]
    fn without_a_time_zone_the_schedules_counts() {
        let mut power = weekdays();
        power.as_object_mut().unwrap().remove("timezone");
        let mut manifest = with(&power);
        manifest.look_ahead = Some(LookAhead {
            until_utc: at("2030-01-01T00:00:00Z"),
            schedule: json!({"timezone": "Asia/Tokyo"}),
            playlists: Vec::new(),
        });
        let mut hours = ScreenHours::default();
        hours.look(Some(&manifest), Attention::None, at("2026-06-14T23:00:00Z"));
        assert_eq!(hours.wanted(), Power::On);
        hours.look(Some(&manifest), Attention::None, at("2026-06-15T11:00:00Z"));
        assert_eq!(hours.wanted(), Power::Off);
    }

    #[test]
    fn what_played_while_the_screen_was_off_was_not_seen() {
        let mut hours = ScreenHours::default();
        let manifest = with(&weekdays());
        let mut item = |instants: &[&str]| {
            for instant in instants {
                hours.look(Some(&manifest), Attention::None, at(instant));
            }
            hours.begin_item()
        };
        assert!(item(&["2026-06-15T17:59:50Z", "2026-06-15T18:00:00Z"]));
        assert!(!item(&["2026-06-15T18:00:10Z"]));
        assert!(item(&["2026-06-16T06:00:00Z"]));
        assert!(item(&[]));
    }

    proptest! {
        #[test]
        fn the_screen_is_what_the_last_look_says_whatever_came_before(
            looks in prop::collection::vec((any::<bool>(), any::<bool>(), -20_000i64..20_000), 1..40),
        ) {
            let mut hours = ScreenHours::default();
            let (timed, always) = (with(&weekdays()), manifest(&json!({})));
            let mut before = Power::On;
            for (has_hours, asked, minute) in looks {
                let manifest = if has_hours { &timed } else { &always };
                let attention = if asked { Attention::Wanted } else { Attention::None };
                let instant = at("2026-06-15T00:00:00Z") + SignedDuration::from_mins(minute);
                let told = hours.look(Some(manifest), attention, instant);
                let mut fresh = ScreenHours::default();
                fresh.look(Some(manifest), attention, instant);
                prop_assert_eq!(hours.wanted(), fresh.wanted());
                prop_assert_eq!(told.len(), usize::from(hours.wanted() != before));
                if !has_hours || asked {
                    prop_assert_eq!(hours.wanted(), Power::On);
                }
                // Nothing changes before the status says so.
                if let Some(until) = hours.status(instant).and_then(|status| status.until_utc) {
                    let mut later = hours.clone();
                    later.look(Some(manifest), attention, until - 1.second());
                    prop_assert_eq!(later.wanted(), hours.wanted());
                }
                before = hours.wanted();
            }
        }
    }
}
