//! What in a venue's schedule nobody will have meant, seen over all of its screens.

use std::collections::{BTreeMap, BTreeSet};

use fleet_protocol::schedule::{ScheduleSlot, Target};
use fleet_protocol::{SlotId, TargetId};
use fleet_schedule::{Schedule, Screen, Snapshot, Zone};

/// More say nothing new.
const MAX_WARNINGS: usize = 100;
/// Different kinds of screens that are looked at; those of one kind are all alike to the schedule.
const MAX_KINDS: usize = 50;

/// A screen, by its id and its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub device: TargetId,
    pub groups: Vec<TargetId>,
}

/// Each sentence once. A slot is told of only if it is in vain on every screen that it is for.
pub fn warnings(
    snapshot: Snapshot,
    zone: &Zone,
    places: &[Place],
    groups: &BTreeSet<TargetId>,
) -> Vec<String> {
    let mut found = unknown_groups(&snapshot.slots, groups);
    if snapshot.fallbacks == fleet_schedule::Fallbacks::default() {
        found.insert("nothing plays when no slot does: give the venue a fallback".to_owned());
    }
    let targets: BTreeSet<Target> = snapshot
        .slots
        .iter()
        .map(|slot| slot.target.clone())
        .collect();
    let of_target = of_target(&snapshot.slots);
    let schedule = Schedule::new(snapshot);
    let (mut shown, mut in_vain) = (BTreeMap::new(), BTreeMap::new());
    for screen in kinds(places, &targets, zone) {
        let relevant = screen.1.iter().filter_map(|target| of_target.get(target));
        for slot in relevant.flatten() {
            *shown.entry(slot.clone()).or_insert(0_usize) += 1;
        }
        for warning in schedule.warnings(&screen.0) {
            let entry = in_vain.entry(warning.slot_id().clone());
            let (times, _) = entry.or_insert((0_usize, warning.to_string()));
            *times += 1;
        }
    }
    for (slot, (times, sentence)) in in_vain {
        if shown.get(&slot) == Some(&times) {
            found.insert(sentence);
        }
    }
    found.into_iter().take(MAX_WARNINGS).collect()
}

/// The slots of each target.
fn of_target(slots: &[ScheduleSlot]) -> BTreeMap<Target, Vec<SlotId>> {
    let mut of_target: BTreeMap<Target, Vec<SlotId>> = BTreeMap::new();
    for slot in slots {
        let slots = of_target.entry(slot.target.clone()).or_default();
        slots.push(slot.slot_id.clone());
    }
    of_target
}

/// One screen for each set of targets that slots are for, with that set.
fn kinds(
    places: &[Place],
    targets: &BTreeSet<Target>,
    zone: &Zone,
) -> impl Iterator<Item = (Screen, BTreeSet<Target>)> {
    let mut kinds: BTreeMap<BTreeSet<Target>, Screen> = BTreeMap::new();
    for place in places {
        let groups = place.groups.iter().cloned().map(Target::Group);
        let own = groups.chain([Target::Device(place.device.clone())]);
        let relevant: BTreeSet<Target> = own.filter(|target| targets.contains(target)).collect();
        if !relevant.is_empty() && kinds.len() < MAX_KINDS {
            kinds.entry(relevant).or_insert_with(|| {
                Screen::new(
                    place.device.clone(),
                    place.groups.iter().cloned(),
                    zone.clone(),
                )
            });
        }
    }
    kinds.into_iter().map(|(targets, screen)| (screen, targets))
}

/// Slots for groups that are not there. A device may still be on its way.
fn unknown_groups(slots: &[ScheduleSlot], groups: &BTreeSet<TargetId>) -> BTreeSet<String> {
    let unknown = slots.iter().filter_map(|slot| match &slot.target {
        Target::Group(id) if !groups.contains(id) => Some(format!(
            "{} is for group {id}, which is not there",
            slot.slot_id
        )),
        _ => None,
    });
    unknown.collect()
}

#[cfg(test)]
mod tests {
    use fleet_schedule::{Fallbacks, Published};
    use serde_json::json;

    use super::*;

    fn slot(id: &str, kind: &str, target: &str) -> ScheduleSlot {
        serde_json::from_value(json!({
            "slotId": id, "targetType": kind, "targetId": target, "playlistId": "pl_1",
            "daysOfWeekMask": 127, "startMinutes": 540, "endMinutes": 600,
        }))
        .unwrap()
    }

    fn place(device: &str) -> Place {
        Place {
            device: device.parse().unwrap(),
            groups: vec!["grp_1".parse().unwrap()],
        }
    }

    fn found(slots: Vec<ScheduleSlot>, places: &[Place]) -> Vec<String> {
        let snapshot = Snapshot {
            slots,
            fallbacks: Fallbacks {
                venue: Some("pl_1".parse().unwrap()),
                ..Fallbacks::default()
            },
            published: Published::All,
        };
        let groups = ["grp_1".parse().unwrap()].into();
        warnings(snapshot, &"UTC".parse().unwrap(), places, &groups)
    }

    #[test]
    fn a_slot_that_one_screen_goes_past_is_no_mistake() {
        let slots = || {
            vec![
                slot("s_all", "GROUP", "grp_1"),
                slot("s_one", "DEVICE", "dev_1"),
            ]
        };
        let both = [place("dev_1"), place("dev_2")];
        assert_eq!(found(slots(), &both), Vec::<String>::new());
        let alone = found(slots(), &both[..1]);
        assert_eq!(alone.len(), 1, "{alone:?}");
        assert!(alone[0].contains("s_all can never win"), "{alone:?}");
    }

    #[test]
    fn a_slot_for_nobody_is_told() {
        let found = found(vec![slot("s_1", "GROUP", "grp_none")], &[place("dev_1")]);
        assert_eq!(found, ["s_1 is for group grp_none, which is not there"]);
    }
}
