//! The resolver against a slow one that shares no code with it: that one walks along every minute of UTC,
//! looks up what the clock shows, and takes the rules of the specification one sentence at a time.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod walk;

use fleet_protocol::schedule::{
    DaysOfWeek, MinuteOfDay, Rule, ScheduleSlot, Target, ValidDates, Verdict,
};
use fleet_schedule::{MAX_VALIDITY, Published, Warning, Winner};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use walk::{Case, beats, is_for_the_screen};

/// Places and moments where something happens to the clock, and some where nothing does.
const MOMENTS: &[(&str, &str)] = &[
    ("Europe/London", "2026-03-29T01:00:00Z"),
    ("Europe/London", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
    ("Africa/Casablanca", "2026-03-22T02:00:00Z"),
    ("Antarctica/Troll", "2026-10-25T01:00:00Z"),
    ("America/St_Johns", "2006-10-29T02:31:00Z"),
    ("Pacific/Kwajalein", "1993-08-21T12:00:00Z"),
    ("Asia/Pyongyang", "2018-05-04T15:00:00Z"),
    ("America/Caracas", "2016-05-01T07:00:00Z"),
    ("Asia/Kathmandu", "2026-01-01T00:00:00Z"),
    ("UTC", "2024-02-29T00:00:00Z"),
];
const BEFORE: SignedDuration = SignedDuration::from_hours(40);
const AFTER: SignedDuration = SignedDuration::from_hours(40);
/// Minutes that fall on or beside a clock change more often than chance has them.
fn minute() -> impl Strategy<Value = MinuteOfDay> {
    let minute = prop_oneof![
        4 => 0i64..240,
        2 => 0i64..1440,
        2 => select(vec![0, 60, 90, 105, 119, 120, 121, 150, 180, 1320, 1439]),
    ];
    minute.prop_map(|minute| MinuteOfDay::try_from(minute).unwrap())
}

prop_compose! {
    fn slot(around: Date)(
        target in prop_oneof![
            select(vec!["d0", "d1"]).prop_map(|id| Target::Device(id.parse().unwrap())),
            select(vec!["g0", "g1", "g2", "d0"]).prop_map(|id| Target::Group(id.parse().unwrap())),
        ],
        playlist in 0..3,
        mask in prop_oneof![Just(127), 0i64..128],
        start in minute(),
        end in minute(),
        first in prop::option::of(-4i64..3),
        days in prop::option::of(0i64..4),
        priority in 0i64..3,
        updated in 0i64..3,
        enabled in prop::bool::weighted(0.9),
    ) -> ScheduleSlot {
        let first = first.map(|days| around + days.days());
        let last = days.map(|days| first.unwrap_or(around) + days.days());
        ScheduleSlot {
            slot_id: "unnamed".parse().unwrap(),
            target,
            playlist_id: format!("p{playlist}").parse().unwrap(),
            days_of_week: DaysOfWeek::try_from(mask).unwrap(),
            start,
            end,
            valid: ValidDates::new(first, last).unwrap(),
            priority,
            enabled,
            updated_at: Timestamp::from_second(updated).unwrap(),
        }
    }
}

fn case() -> impl Strategy<Value = Case> {
    select(MOMENTS).prop_flat_map(|(zone, moment)| {
        let moment: Timestamp = moment.parse().unwrap();
        let around = moment.to_zoned(TimeZone::UTC).date();
        let published = prop_oneof![
            2 => Just(Published::All),
            1 => Just(Published::Only(["p1", "p2"].map(|p| p.parse().unwrap()).into())),
        ];
        (
            prop::collection::vec(slot(around), 0..10),
            published,
            any::<bool>(),
        )
            .prop_map(move |(mut slots, published, fallback)| {
                for (index, slot) in slots.iter_mut().enumerate() {
                    // Two digits turned round, so that the order of ids is not that of the list.
                    slot.slot_id = format!("s{}", index * 7 % 10).parse().unwrap();
                }
                let (from, to) = (moment - BEFORE, moment + AFTER);
                Case {
                    zone,
                    from,
                    to,
                    slots,
                    published,
                    fallback,
                }
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_timeline_is_what_a_walk_along_the_minutes_finds(case in case()) {
        let (schedule, screen) = (case.schedule(), case.screen());
        let segments = schedule.timeline(&screen, case.from, case.to);
        prop_assert_eq!(segments[0].from_utc, case.from);
        prop_assert_eq!(segments[segments.len() - 1].to_utc, case.to);
        for pair in segments.windows(2) {
            prop_assert_eq!(pair[0].to_utc, pair[1].from_utc);
            prop_assert_ne!(&pair[0].slot_id, &pair[1].slot_id);
        }
        let mut segment = segments.iter().peekable();
        for (at, winner) in case.minutes() {
            while segment.peek().is_some_and(|s| s.to_utc <= at) {
                segment.next();
            }
            let found = segment.peek().unwrap();
            prop_assert_eq!(&found.slot_id, &winner.map(|w| w.slot_id.clone()), "{}", at);
        }
    }

    #[test]
    fn a_decision_holds_until_the_winner_changes(case in case(), second in 0i64..288_000, nanos in 0i64..1_000_000_000) {
        let (schedule, screen) = (case.schedule(), case.screen());
        let at = case.from + SignedDuration::from_secs(second) + SignedDuration::from_nanos(nanos);
        let minutes = case.minutes();
        let index = usize::try_from(second / 60).unwrap();
        let winner = minutes[index].1;
        let decision = schedule.decide(&screen, at);
        prop_assert_eq!(decision.winner.slot_id(), winner.map(|w| &w.slot_id));
        prop_assert_eq!(schedule.winner(&screen, at), decision.winner);
        let horizon = at + MAX_VALIDITY;
        if horizon <= case.to {
            let change = minutes[index..].iter().find(|(_, w)| *w != winner).map(|(at, _)| *at);
            prop_assert_eq!(decision.valid_to, change.unwrap_or(case.to).min(horizon));
        }
        match decision.winner {
            Winner::Slot(_) => {}
            Winner::Fallback(..) => prop_assert!(case.fallback && case.published == Published::All),
            Winner::Nothing => prop_assert!(!case.fallback || case.published != Published::All),
        }
    }

    #[test]
    fn an_explanation_agrees_with_the_decision_and_gives_every_loser_its_reason(case in case(), second in 0i64..288_000) {
        let (schedule, screen) = (case.schedule(), case.screen());
        let at = case.from + SignedDuration::from_secs(second);
        let explained = schedule.explain(&screen, at);
        let decision = schedule.decide(&screen, at);
        prop_assert_eq!(explained.slot_id.as_ref(), decision.winner.slot_id());
        prop_assert_eq!(explained.playlist_id.as_ref(), decision.winner.playlist_id());
        prop_assert_eq!(explained.valid_to_utc, decision.valid_to);
        prop_assert_eq!(explained.candidates.len(), case.slots.len());
        let occurrences = case.occurrences();
        for candidate in &explained.candidates {
            let slot = case.slots.iter().find(|s| s.slot_id == candidate.slot_id).unwrap();
            let own = || occurrences.iter().filter(|o| o.slot.slot_id == slot.slot_id);
            let now = own().any(|o| o.begin <= at && at < o.end);
            match &candidate.verdict {
                Verdict::Plays => prop_assert_eq!(Some(&slot.slot_id), explained.slot_id.as_ref()),
                Verdict::Outranked { by, rule } => {
                    let by = case.slots.iter().find(|s| s.slot_id == *by).unwrap();
                    prop_assert!(now && beats(by, slot));
                    let told = match rule {
                        Rule::Target => by.target != slot.target,
                        Rule::Priority => by.priority > slot.priority,
                        Rule::UpdatedAt => by.priority == slot.priority && by.updated_at > slot.updated_at,
                        Rule::SlotId => by.priority == slot.priority && by.updated_at == slot.updated_at,
                    };
                    prop_assert!(told, "{:?}", rule);
                }
                Verdict::Unpublished => prop_assert!(now && case.published != Published::All),
                Verdict::NotNow { next_utc, .. } => {
                    prop_assert!(!now, "{} at {}", slot.slot_id, at);
                    let next = own().filter(|o| o.begin > at && o.end > o.begin).map(|o| o.begin).min();
                    // Beyond the range the walk knows of nothing.
                    if let Some(next) = next.filter(|next| *next < case.to) {
                        prop_assert_eq!(*next_utc, Some(next));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_shadowed_never_wins_and_what_is_not_wins_some_time(mut case in case(), pick in any::<Index>()) {
        // Where no time is skipped, a slot that leads at some minute of the hand is on at some instant.
        case.zone = "UTC";
        let (schedule, screen) = (case.schedule(), case.screen());
        let warned: Vec<_> = schedule.warnings(&screen).iter().map(|w| w.slot_id().clone()).collect();
        let middle = case.from + BEFORE;
        let segments = schedule.timeline(
            &screen,
            middle - SignedDuration::from_hours(20 * 24),
            middle + SignedDuration::from_hours(20 * 24),
        );
        let wins = |slot: &ScheduleSlot| segments.iter().any(|s| s.slot_id.as_ref() == Some(&slot.slot_id));
        let mine = |slot: &&ScheduleSlot| slot.enabled && is_for_the_screen(&slot.target);
        for slot in case.slots.iter().filter(mine) {
            prop_assert_eq!(wins(slot), !warned.contains(&slot.slot_id), "{}", slot.slot_id);
        }
        for warning in schedule.warnings(&screen) {
            if let Warning::Shadowed { slot_id, by } = warning {
                prop_assert!(!by.is_empty());
                let find = |id| case.slots.iter().find(|s| s.slot_id == id).unwrap();
                let shadowed = find(slot_id);
                prop_assert!(beats(find(pick.get(&by).clone()), shadowed));
            }
        }
    }
}
