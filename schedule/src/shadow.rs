//! Slots that will never be seen, because of what stands in the schedule and not because of the hour.
//!
//! Who leads depends on the hand alone, and between two dates at which some slot begins or ceases to be
//! valid every week is like the next. So a week after each such date, and one before the first, say
//! everything about all time.

use std::collections::{BTreeMap, BTreeSet};

use fleet_protocol::schedule::Target;
use fleet_protocol::{PlaylistId, SlotId};

use crate::hand::Day;
use crate::schedule::{Rank, Schedule};
use crate::screen::Screen;
use crate::timeline::{Active, events_of};

/// A day more than a week: what began on the day before reaches into the first one.
const DAYS_LOOKED_AT: i64 = 8;
const NAMED: usize = 3;

/// Something that whoever drew up the schedule will not have meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error(
        "{slot_id} can never win: {} before it whenever it is its time",
        goes(by)
    )]
    Shadowed {
        slot_id: SlotId,
        /// In the order of their precedence.
        by: Vec<SlotId>,
    },
    #[error("{slot_id} never begins: none of its weekdays lies in its valid dates")]
    NeverBegins { slot_id: SlotId },
    #[error("{slot_id} is passed over: its playlist {playlist_id} has no published version")]
    Unpublished {
        slot_id: SlotId,
        playlist_id: PlaylistId,
    },
}

impl Warning {
    pub fn slot_id(&self) -> &SlotId {
        match self {
            Self::Shadowed { slot_id, .. }
            | Self::NeverBegins { slot_id }
            | Self::Unpublished { slot_id, .. } => slot_id,
        }
    }
}

fn goes(by: &[SlotId]) -> String {
    let names: Vec<&str> = by.iter().take(NAMED).map(SlotId::as_str).collect();
    let more = by.len().saturating_sub(NAMED);
    match (names.as_slice(), more) {
        ([one], 0) => format!("{one} goes"),
        (names, 0) => format!("{} go", names.join(", ")),
        (names, more) => format!("{} and {more} more go", names.join(", ")),
    }
}

impl Schedule {
    /// What is wrong with this screen's enabled slots, in the order of their precedence.
    pub fn warnings(&self, screen: &Screen) -> Vec<Warning> {
        let reign = Reign::of(self, screen);
        let ranked = self.ranked().iter().enumerate();
        ranked
            .filter(|(_, ranked)| ranked.slot.enabled && is_for(&ranked.slot.target, screen))
            .filter_map(|(rank, ranked)| {
                let slot_id = ranked.slot.slot_id.clone();
                if !begins(self, rank) {
                    return Some(Warning::NeverBegins { slot_id });
                }
                if !ranked.playable {
                    let playlist_id = ranked.slot.playlist_id.clone();
                    return Some(Warning::Unpublished {
                        slot_id,
                        playlist_id,
                    });
                }
                if reign.leaders.contains(&rank) {
                    return None;
                }
                let by = reign.before.get(&rank).into_iter().flatten();
                let by = by.map(|rank| self.ranked()[*rank].slot.slot_id.clone());
                Some(Warning::Shadowed {
                    slot_id,
                    by: by.collect(),
                })
            })
            .collect()
    }
}

fn is_for(target: &Target, screen: &Screen) -> bool {
    screen.targets().contains(target)
}

/// Whether there is a day on which it begins.
fn begins(schedule: &Schedule, rank: Rank) -> bool {
    let ranked = &schedule.ranked()[rank];
    let (first, last) = ranked.valid_days();
    let from = match (first, last) {
        (Day::MIN, Day::MAX) => Day::EPOCH,
        (Day::MIN, last) => last.plus(-6),
        (first, _) => first,
    };
    let mut days = (0..7).map(|days| from.plus(days));
    days.any(|day| ranked.is_valid_on(day) && ranked.slot.days_of_week.contains(day.weekday()))
}

/// Who leads at some minute, and who of the others is led by whom.
struct Reign {
    leaders: BTreeSet<Rank>,
    before: BTreeMap<Rank, BTreeSet<Rank>>,
}

impl Reign {
    fn of(schedule: &Schedule, screen: &Screen) -> Self {
        let mut reign = Self {
            leaders: BTreeSet::new(),
            before: BTreeMap::new(),
        };
        let days = days_that_matter(schedule, screen);
        for day in &days {
            reign.look_at(schedule, screen, *day, |leaders, leader, _| {
                leaders.leaders.insert(leader);
            });
        }
        // Only now is it known of whom the second question is to be asked.
        for day in &days {
            reign.look_at(schedule, screen, *day, |reign, leader, active| {
                for rank in active.iter().filter(|rank| !reign.leaders.contains(rank)) {
                    reign.before.entry(rank).or_default().insert(leader);
                }
            });
        }
        reign
    }

    /// Calls `note` for each stretch of a day in which somebody leads.
    fn look_at(
        &mut self,
        schedule: &Schedule,
        screen: &Screen,
        day: Day,
        note: impl Fn(&mut Self, Rank, &Active),
    ) {
        let mut active = Active::at(schedule, screen, day.midnight());
        let events = events_of(schedule, screen, day);
        let mut rest = events.as_slice();
        // What happens at midnight is in `active` already, and does no harm a second time.
        loop {
            let at = rest.first().map(|event| event.at);
            if at != Some(day.midnight())
                && let Some(leader) = active.leader()
            {
                note(self, leader, &active);
            }
            let Some(at) = at else { break };
            let now = rest.partition_point(|event| event.at == at);
            for event in &rest[..now] {
                active.apply(*event);
            }
            rest = &rest[now..];
        }
    }
}

fn days_that_matter(schedule: &Schedule, screen: &Screen) -> BTreeSet<Day> {
    let mut turns = BTreeSet::new();
    for ranked in schedule.ranked() {
        if ranked.slot.enabled && is_for(&ranked.slot.target, screen) {
            let (first, last) = ranked.valid_days();
            turns.extend((first != Day::MIN).then_some(first));
            turns.extend((last != Day::MAX).then(|| last.plus(1)));
        }
    }
    let before = turns.first().copied().unwrap_or(Day::EPOCH);
    turns.insert(before.plus(-DAYS_LOOKED_AT));
    let weeks = turns.iter();
    weeks
        .flat_map(|turn| (0..DAYS_LOOKED_AT).map(|days| turn.plus(days)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Fallbacks, Published, Snapshot};
    use serde_json::{Value, json};

    /// All are for the device `d`, the one named first before the others; in UTC.
    fn warnings(slots: Vec<Value>, published: Published) -> Vec<String> {
        let mut priority = 100;
        let slots = slots.into_iter().map(|mut slot| {
            priority -= 1;
            slot["targetType"] = json!("DEVICE");
            slot["targetId"] = json!("d");
            slot["priority"] = json!(priority);
            serde_json::from_value(slot).unwrap()
        });
        let schedule = Schedule::new(Snapshot {
            slots: slots.collect(),
            fallbacks: Fallbacks::default(),
            published,
        });
        let device: fleet_protocol::TargetId = "d".parse().unwrap();
        let screen = Screen::new(device, [], "UTC".parse().unwrap());
        let warnings = schedule.warnings(&screen);
        warnings.iter().map(ToString::to_string).collect()
    }

    fn slot(id: &str, mask: u8, start: u16, end: u16) -> Value {
        json!({"slotId": id, "playlistId": id, "daysOfWeekMask": mask, "startMinutes": start, "endMinutes": end})
    }

    fn dated(mut slot: Value, first: &str, last: &str) -> Value {
        slot["validFromDate"] = json!(first);
        slot["validToDate"] = json!(last);
        slot
    }

    fn check(slots: Vec<Value>, expected: &[&str]) {
        assert_eq!(warnings(slots, Published::All), expected);
    }

    #[test]
    fn one_that_is_covered_by_two_others_is_shadowed_by_both() {
        check(
            vec![
                slot("a", 127, 0, 720),
                slot("b", 127, 720, 0),
                slot("c", 31, 600, 840),
            ],
            &["c can never win: a, b go before it whenever it is its time"],
        );
    }

    #[test]
    fn one_free_minute_is_enough() {
        check(vec![slot("a", 127, 0, 1439), slot("b", 127, 0, 0)], &[]);
        check(vec![slot("a", 126, 0, 0), slot("b", 127, 0, 0)], &[]);
    }

    #[test]
    fn what_goes_before_it_only_for_some_weeks_does_not_shadow_it() {
        let busy = dated(slot("a", 127, 0, 0), "2026-01-01", "2026-12-31");
        check(vec![busy.clone(), slot("b", 127, 600, 660)], &[]);
        let within = dated(slot("b", 127, 600, 660), "2026-02-01", "2026-03-01");
        check(
            vec![busy, within],
            &["b can never win: a goes before it whenever it is its time"],
        );
    }

    #[test]
    fn the_night_after_the_last_valid_day_counts() {
        let nights = dated(slot("a", 127, 1320, 360), "2026-01-01", "2026-01-31");
        let morning = dated(slot("b", 127, 0, 60), "2026-02-01", "2026-02-01");
        check(
            vec![nights.clone(), morning],
            &["b can never win: a goes before it whenever it is its time"],
        );
        let later = dated(slot("b", 127, 0, 60), "2026-02-01", "2026-02-02");
        check(vec![nights, later], &[]);
    }

    #[test]
    fn a_slot_without_a_day_never_begins() {
        check(
            vec![slot("a", 0, 0, 0)],
            &["a never begins: none of its weekdays lies in its valid dates"],
        );
        // 2026-01-05 and 06 are a Monday and a Tuesday.
        let sunday = dated(slot("a", 64, 0, 0), "2026-01-05", "2026-01-06");
        assert_eq!(warnings(vec![sunday], Published::All).len(), 1);
    }

    #[test]
    fn an_unpublished_playlist_shadows_nobody() {
        let published = Published::Only([("b").parse().unwrap()].into());
        assert_eq!(
            warnings(vec![slot("a", 127, 0, 0), slot("b", 127, 0, 0)], published),
            ["a is passed over: its playlist a has no published version"]
        );
    }
}
