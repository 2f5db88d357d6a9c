//! Slots that will never be seen, because of what stands in the schedule and not because of the hour.
//!
//! Who leads depends on the hand alone, and between two dates at which some slot begins or ceases to be
//! valid every week is like the next. So a week after each such date, and one before the first, say
//! everything about all time.

use std::collections::{BTreeMap, BTreeSet};

use fleet_protocol::{PlaylistId, SlotId};

use crate::hand::Day;
use crate::schedule::{Rank, RankedSlot, Schedule};
use crate::screen::Screen;
use crate::timeline::{Active, Boundary, events_of};

/// A day more than a week: what began on the day before reaches into the first one.
const DAYS_LOOKED_AT: i64 = 8;
/// Of those that go before a slot, no more than these are looked for.
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
    let names: Vec<&str> = by.iter().map(SlotId::as_str).collect();
    match names.as_slice() {
        [one] => format!("{one} goes"),
        names if names.len() < NAMED => format!("{} go", names.join(", ")),
        names => format!("{} or others go", names.join(", ")),
    }
}

impl Schedule {
    /// What is wrong with this screen's enabled slots, in the order of their precedence.
    pub fn warnings(&self, screen: &Screen) -> Vec<Warning> {
        let days = days_that_matter(self, screen);
        let shadowed = shadowed(self, screen, &days);
        let before = leaders_before(self, screen, &days, &shadowed);
        let ranked = self.ranked().iter().enumerate();
        ranked
            .filter(|(_, ranked)| is_asked_about(ranked, screen))
            .filter_map(|(rank, ranked)| {
                let slot_id = ranked.slot.slot_id.clone();
                if !begins(ranked) {
                    return Some(Warning::NeverBegins { slot_id });
                }
                if !ranked.playable {
                    let playlist_id = ranked.slot.playlist_id.clone();
                    return Some(Warning::Unpublished {
                        slot_id,
                        playlist_id,
                    });
                }
                shadowed.contains(&rank).then(|| {
                    let by = before.get(&rank).into_iter().flatten();
                    let by = by.map(|rank| self.ranked()[*rank].slot.slot_id.clone());
                    Warning::Shadowed {
                        slot_id,
                        by: by.collect(),
                    }
                })
            })
            .collect()
    }
}

fn is_asked_about(ranked: &RankedSlot, screen: &Screen) -> bool {
    ranked.slot.enabled && screen.targets().contains(&ranked.slot.target)
}

/// Whether there is a day on which it begins.
fn begins(ranked: &RankedSlot) -> bool {
    let from = match ranked.valid_days() {
        (Day::MIN, Day::MAX) => Day::EPOCH,
        (Day::MIN, last) => last.plus(-6),
        (first, _) => first,
    };
    let mut days = (0..7).map(|days| from.plus(days));
    days.any(|day| ranked.is_valid_on(day) && ranked.slot.days_of_week.contains(day.weekday()))
}

/// Those that lead at no minute of these days.
fn shadowed(schedule: &Schedule, screen: &Screen, days: &BTreeSet<Day>) -> BTreeSet<Rank> {
    let ranked = schedule.ranked().iter().enumerate();
    let mut undecided: BTreeSet<Rank> = ranked
        .filter(|(_, ranked)| is_asked_about(ranked, screen) && ranked.playable)
        .map(|(rank, _)| rank)
        .collect();
    for day in days {
        if has_any(schedule, screen, *day, &undecided) {
            walk(schedule, screen, *day, |leader, _, _| {
                undecided.remove(&leader);
            });
        }
    }
    undecided
}

/// Who leads while each of `shadowed` would play.
fn leaders_before(
    schedule: &Schedule,
    screen: &Screen,
    days: &BTreeSet<Day>,
    shadowed: &BTreeSet<Rank>,
) -> BTreeMap<Rank, BTreeSet<Rank>> {
    let mut wanted = shadowed.clone();
    let mut before: BTreeMap<Rank, BTreeSet<Rank>> = BTreeMap::new();
    for day in days {
        if !has_any(schedule, screen, *day, &wanted) {
            continue;
        }
        let mut last = None;
        walk(schedule, screen, *day, |leader, active, begun| {
            // Under the same leader as before, there is news only of those that have just begun.
            let news: Vec<Rank> = if last == Some(leader) {
                begun.filter(|rank| wanted.contains(rank)).collect()
            } else {
                wanted
                    .iter()
                    .copied()
                    .filter(|rank| active.contains(*rank))
                    .collect()
            };
            last = Some(leader);
            for rank in news {
                let leaders = before.entry(rank).or_default();
                leaders.insert(leader);
                if leaders.len() == NAMED {
                    wanted.remove(&rank);
                }
            }
        });
    }
    before
}

/// Whether one of these begins on the day, or goes on into it.
fn has_any(schedule: &Schedule, screen: &Screen, day: Day, ranks: &BTreeSet<Rank>) -> bool {
    let mut slots = schedule
        .beginning_on(screen, day)
        .chain(schedule.beginning_on(screen, day.plus(-1)));
    slots.any(|rank| ranks.contains(&rank))
}

/// Calls `note` for each stretch of the day in which somebody leads: with the leader, all whose time it
/// is, and those whose time has just begun.
fn walk(
    schedule: &Schedule,
    screen: &Screen,
    day: Day,
    mut note: impl FnMut(Rank, &Active, &mut dyn Iterator<Item = Rank>),
) {
    let mut active = Active::at(schedule, screen, day.midnight());
    let mut events = events_of(schedule, screen, day);
    // What happens at midnight is in `active` already.
    events.retain(|event| event.at > day.midnight());
    if let Some(leader) = active.leader() {
        note(leader, &active, &mut active.iter());
    }
    for now in events.chunk_by(|one, next| one.at == next.at) {
        for event in now {
            active.apply(*event);
        }
        if let Some(leader) = active.leader() {
            let started = now.iter().filter(|event| event.boundary == Boundary::Start);
            note(leader, &active, &mut started.map(|event| event.rank));
        }
    }
}

fn days_that_matter(schedule: &Schedule, screen: &Screen) -> BTreeSet<Day> {
    let mut turns = BTreeSet::new();
    for ranked in schedule.ranked() {
        if is_asked_about(ranked, screen) {
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
