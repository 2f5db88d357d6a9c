use proptest::prelude::*;

use super::*;
use crate::core::fixtures::{NOW, at};

const LIMITS: Limits = Limits {
    max_failures: 3,
    window_s: 100,
};

fn unit(name: &str) -> UnitName {
    format!("{name}.service").parse().unwrap()
}

fn booted(forced_by_bootloader: bool, data_trouble: Option<&str>) -> Event {
    Event::Booted {
        forced_by_bootloader,
        data_trouble: data_trouble.map(str::to_owned),
    }
}

fn failed(name: &str) -> Event {
    Event::UnitFailed { unit: unit(name) }
}

/// The cause after these events at these seconds.
fn run(events: &[(i64, Event)]) -> Option<Cause> {
    let mut watch = Watch::default();
    for (second, event) in events {
        let (next, effects) = watch.step(event.clone(), at(NOW + second), &LIMITS);
        if let Some(persisted) = effects.iter().find_map(|e| match e {
            Effect::Persist(watch) => Some(watch),
            _ => None,
        }) {
            assert_eq!(*persisted, next);
        }
        let json = serde_json::to_string(&next).unwrap();
        watch = serde_json::from_str(&json).unwrap();
    }
    watch.cause
}

fn check(events: &[(i64, Event)], expected: Option<&Cause>) {
    assert_eq!(run(events).as_ref(), expected, "{events:?}");
}

#[test]
fn a_crash_loop_counts_over_restarts_and_boots() {
    let looping = Cause::CrashLoop {
        unit: unit("fleet-agent"),
        failures: 3,
    };
    let a = || failed("fleet-agent");
    check(&[(0, a()), (10, a())], None);
    check(&[(0, a()), (10, a()), (20, a())], Some(&looping));
    let boot = || booted(false, None);
    check(
        &[(0, a()), (10, boot()), (20, a()), (30, boot()), (40, a())],
        Some(&looping),
    );
    check(&[(0, a()), (60, a()), (120, a())], None);
    check(&[(0, a()), (10, failed("player")), (20, a())], None);
}

#[test]
fn health_forgives_and_each_boot_decides_anew() {
    let a = || failed("fleet-agent");
    check(&[(0, a()), (1, a()), (2, Event::Healthy), (3, a())], None);
    check(
        &[(0, a()), (1, a()), (2, a()), (200, booted(false, None))],
        None,
    );
}

#[test]
fn the_bootloader_and_broken_data_enter_at_once() {
    check(&[(0, booted(true, None))], Some(&Cause::Bootloader));
    check(
        &[(0, booted(false, Some("no superblock")))],
        Some(&Cause::DataUnreadable {
            detail: "no superblock".to_owned(),
        }),
    );
}

#[test]
fn leaving_forgets_the_failures() {
    let a = || failed("fleet-agent");
    let (watch, _) = Watch::default().step(Event::Asked, at(NOW), &LIMITS);
    let (watch, effects) = watch.step(Event::LeaveAsked, at(NOW), &LIMITS);
    assert!(effects.contains(&Effect::Leave));
    assert_eq!(watch, Watch::default());
    check(
        &[
            (0, a()),
            (1, a()),
            (2, a()),
            (3, Event::LeaveAsked),
            (4, booted(false, None)),
        ],
        None,
    );
}

#[test]
fn a_device_that_nobody_helps_tries_again_ever_more_seldom_and_a_good_day_forgives() {
    let mut watch = Watch::default();
    let mut now = at(NOW);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let seconds = watch.pause_s(now);
        pauses.push(seconds / 60);
        now = crate::core::after(now, seconds);
        let (next, effects) = watch.step(Event::RetryDue, now, &LIMITS);
        assert!(effects.contains(&Effect::Leave));
        assert_eq!(next.cause, None);
        watch = next;
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480, 480]);
    assert_eq!(
        watch.pause_s(crate::core::after(now, 90_000)),
        FIRST_PAUSE_S
    );
    let (watch, _) = watch.step(Event::Healthy, now, &LIMITS);
    assert_eq!(watch.pause_s(now), FIRST_PAUSE_S);
}

proptest! {
    #[test]
    fn the_pause_is_never_shorter_than_the_first_or_longer_than_the_longest(
        steps in prop::collection::vec(0u64..200_000, 0..40),
    ) {
        let mut watch = Watch::default();
        let mut now = at(NOW);
        for seconds in steps {
            now = crate::core::after(now, seconds);
            let pause = watch.pause_s(now);
            prop_assert!((FIRST_PAUSE_S..=LONGEST_PAUSE_S).contains(&pause));
            watch = watch.step(Event::RetryDue, now, &LIMITS).0;
        }
    }

    #[test]
    fn fewer_failures_than_the_limit_never_enter(
        failures in prop::collection::vec((0i64..10_000, 0u8..4), 0..40),
    ) {
        let mut failures = failures;
        failures.sort_unstable();
        let mut watch = Watch::default();
        for (index, (second, name)) in failures.iter().enumerate() {
            let event = failed(&format!("u{name}"));
            let (next, _) = watch.step(event, at(NOW + second), &LIMITS);
            let recent = failures[..=index].iter()
                .filter(|(s, n)| n == name && second - s <= 100).count();
            if next.cause.is_some() {
                prop_assert!(recent >= 3);
                break;
            }
            prop_assert!(recent < 3);
            watch = next;
        }
    }
}
