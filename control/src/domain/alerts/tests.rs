use std::collections::BTreeMap;

use fleet_protocol::alert::{AlertKind, AlertRules};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn at(seconds: i64) -> Timestamp {
    START + SignedDuration::from_secs(seconds)
}

fn device(now: Timestamp) -> DeviceFacts {
    DeviceFacts {
        device_id: "dev_a".parse().unwrap(),
        heard_at: now,
        silence: SignedDuration::from_mins(3),
        disk_free_bytes: Some(1 << 32),
        temperature_mc: Some(50_000),
        under_voltage: false,
        update_failure: None,
        player: Some(PlayerFacts {
            heard_at: now,
            error_screen: false,
        }),
        certificate_until: Some(now + SignedDuration::from_hours(60 * 24)),
        errors: 0,
        download_failures: 0,
    }
}

/// What is known, as the store keeps it, and how often each alert was opened and ended.
#[derive(Default)]
struct Book {
    known: BTreeMap<Key, Known>,
    opened: u32,
    resolved: u32,
}

impl Book {
    fn look(&mut self, rules: &AlertRules, facts: &Facts, now: Timestamp) -> Vec<(Key, Change)> {
        let changes = evaluate(rules, &self.known, facts, now);
        for (key, change) in changes.clone() {
            self.apply(key, change);
        }
        changes
    }

    fn apply(&mut self, key: Key, change: Change) {
        let before = self.known.get(&key);
        let open = matches!(before, Some(Known::Open { .. }));
        match change {
            Change::Watch { since } => {
                assert!(before.is_none());
                self.known.insert(key, Known::Watched { since });
            }
            Change::Forget => {
                assert!(matches!(before, Some(Known::Watched { .. })));
                self.known.remove(&key);
            }
            Change::Open { detail, .. } => {
                assert!(!open, "{key:?} is open already");
                self.opened += 1;
                let over_since = None;
                self.known.insert(key, Known::Open { detail, over_since });
            }
            Change::Update { detail, over_since } => {
                assert!(open);
                self.known.insert(key, Known::Open { detail, over_since });
            }
            Change::Resolve => {
                assert!(open);
                self.resolved += 1;
                self.known.remove(&key);
            }
        }
    }

    fn is_open(&self, kind: AlertKind) -> bool {
        let mut all = self.known.iter();
        all.any(|((of, _), known)| *of == kind && matches!(known, Known::Open { .. }))
    }
}

fn of(device: DeviceFacts) -> Facts {
    Facts {
        devices: vec![device],
        ..nothing()
    }
}

fn nothing() -> Facts {
    Facts {
        listening_since: START,
        devices: Vec::new(),
        stopped: Vec::new(),
    }
}

#[test]
fn heat_has_to_last_before_it_is_an_alert_and_be_over_for_a_while_before_it_is_none() {
    let rules = AlertRules::default();
    let mut book = Book::default();
    let mut check = |seconds: i64, degrees: i64, open: bool| {
        let now = at(seconds);
        let facts = DeviceFacts {
            temperature_mc: Some(degrees * 1_000),
            ..device(now)
        };
        book.look(&rules, &of(facts), now);
        assert_eq!(book.is_open(AlertKind::Hot), open, "at {seconds}");
    };
    check(0, 81, false);
    check(240, 81, false);
    // One cooler look, and it begins anew.
    check(270, 79, false);
    check(300, 81, false);
    check(600, 82, true);
    // Between the thresholds nothing is over.
    check(700, 77, true);
    check(800, 74, true);
    check(1_300, 74, true);
    check(1_350, 78, true);
    check(1_400, 74, true);
    check(2_000, 74, false);
    assert_eq!((book.opened, book.resolved), (1, 1));
}

#[test]
fn a_device_that_is_silent_is_offline_and_keeps_the_alerts_that_it_had() {
    let rules = AlertRules::default();
    let mut book = Book::default();
    let heard = at(0);
    let weak = DeviceFacts {
        under_voltage: true,
        ..device(heard)
    };
    book.look(&rules, &of(weak.clone()), heard);
    assert!(book.is_open(AlertKind::UnderVoltage));
    for (seconds, offline) in [(180, false), (181, false), (480, true), (10_000, true)] {
        book.look(&rules, &of(weak.clone()), at(seconds));
        assert_eq!(book.is_open(AlertKind::Offline), offline, "{seconds}");
        assert!(book.is_open(AlertKind::UnderVoltage), "{seconds}");
    }
    let now = at(10_010);
    book.look(&rules, &of(device(now)), now);
    assert!(book.is_open(AlertKind::Offline), "heard a moment ago");
    let now = at(10_070);
    book.look(&rules, &of(device(now)), now);
    assert!(!book.is_open(AlertKind::Offline));
}

#[test]
fn silence_while_nobody_listened_neither_opens_an_alert_nor_ends_one() {
    let rules = AlertRules::default();
    let day = SignedDuration::from_hours(24);
    let heard = at(0);
    let began = heard + day;
    let facts = Facts {
        listening_since: began,
        ..of(device(heard))
    };
    let mut book = Book::default();
    let mut opened_before = Book::default();
    opened_before.look(&rules, &of(device(heard)), began);
    assert!(opened_before.is_open(AlertKind::Offline));
    for (seconds, open) in [(0, false), (180, false), (400, false), (480, true)] {
        let now = began + SignedDuration::from_secs(seconds);
        book.look(&rules, &facts, now);
        assert_eq!(book.is_open(AlertKind::Offline), open, "{seconds}");
        opened_before.look(&rules, &facts, now);
        assert!(opened_before.is_open(AlertKind::Offline), "{seconds}");
    }
}

#[test]
fn each_kind_is_noticed_by_its_own_figures() {
    let now = at(1_000_000);
    let fine = device(now);
    let check = |kind: AlertKind, facts: DeviceFacts| {
        let mut rules = AlertRules::default();
        rules.low_disk.hold_seconds = 0.try_into().unwrap();
        rules.hot.hold_seconds = 0.try_into().unwrap();
        rules.blank_screen.hold_seconds = 0.try_into().unwrap();
        let found = evaluate(&rules, &BTreeMap::new(), &of(facts), now);
        let opened: Vec<_> = found.iter().map(|((kind, _), _)| *kind).collect();
        assert_eq!(opened, [kind], "{found:?}");
    };
    let day = SignedDuration::from_hours(24);
    check(
        AlertKind::Offline,
        DeviceFacts {
            heard_at: now - day,
            ..fine.clone()
        },
    );
    check(
        AlertKind::ErrorTrend,
        DeviceFacts {
            errors: 10,
            ..fine.clone()
        },
    );
    check(
        AlertKind::LowDisk,
        DeviceFacts {
            disk_free_bytes: Some(1),
            ..fine.clone()
        },
    );
    check(
        AlertKind::DownloadFailures,
        DeviceFacts {
            download_failures: 5,
            ..fine.clone()
        },
    );
    check(
        AlertKind::BlankScreen,
        DeviceFacts {
            player: Some(PlayerFacts {
                heard_at: now,
                error_screen: true,
            }),
            ..fine.clone()
        },
    );
    check(
        AlertKind::BlankScreen,
        DeviceFacts {
            player: Some(PlayerFacts {
                heard_at: now - day,
                error_screen: false,
            }),
            ..fine.clone()
        },
    );
    check(
        AlertKind::UpdateFailed,
        DeviceFacts {
            update_failure: Some("2.0.0 did not boot".to_owned()),
            ..fine.clone()
        },
    );
    check(
        AlertKind::Hot,
        DeviceFacts {
            temperature_mc: Some(80_000),
            ..fine.clone()
        },
    );
    check(
        AlertKind::UnderVoltage,
        DeviceFacts {
            under_voltage: true,
            ..fine.clone()
        },
    );
    check(
        AlertKind::CertificateExpiring,
        DeviceFacts {
            certificate_until: Some(now + day),
            ..fine
        },
    );
}

#[test]
fn what_can_not_be_wrong_any_more_ends_at_once() {
    let mut rules = AlertRules::default();
    let now = at(0);
    let weak = DeviceFacts {
        under_voltage: true,
        ..device(now)
    };
    let opened = || {
        let mut book = Book::default();
        book.look(&AlertRules::default(), &of(weak.clone()), now);
        assert!(book.is_open(AlertKind::UnderVoltage));
        book
    };
    let mut book = opened();
    // It was revoked.
    book.look(&rules, &nothing(), now);
    assert!(book.known.is_empty());

    let mut book = opened();
    rules.under_voltage.enabled = false;
    book.look(&rules, &of(weak.clone()), now);
    assert!(book.known.is_empty());
}

#[test]
fn a_stopped_rollout_is_an_alert_until_another_one_follows() {
    let rules = AlertRules::default();
    let mut book = Book::default();
    let stopped = Facts {
        stopped: vec![StoppedRollout {
            rollout_id: "rol_a".parse().unwrap(),
            summary: "2 of 10 failed".to_owned(),
        }],
        ..nothing()
    };
    book.look(&rules, &stopped, at(0));
    assert!(book.is_open(AlertKind::RolloutStopped));
    assert!(book.look(&rules, &stopped, at(9)).is_empty());
    book.look(&rules, &nothing(), at(10));
    assert!(book.known.is_empty());
}

fn figures() -> impl Strategy<Value = (i64, u64, i64, bool, u64, u64, bool, i64)> {
    (
        // Seconds until the next look, and silence before this one.
        0..900_i64,
        0..(1_u64 << 30),
        60_000..90_000_i64,
        any::<bool>(),
        0..15_u64,
        0..8_u64,
        prop::bool::weighted(0.05),
        0..1_000_i64,
    )
}

proptest! {
    #[test]
    fn no_alert_is_ever_there_twice_and_each_ends_when_its_time_is_over(
        looks in prop::collection::vec(figures(), 1..60),
    ) {
        let rules = AlertRules::default();
        let mut book = Book::default();
        let mut now = START;
        for (pause, disk, temperature, weak, errors, downloads, revoked, silence) in looks {
            now += SignedDuration::from_secs(pause);
            let heard = now - SignedDuration::from_secs(silence);
            let facts = of(DeviceFacts {
                disk_free_bytes: Some(disk),
                temperature_mc: Some(temperature),
                under_voltage: weak,
                errors,
                download_failures: downloads,
                ..device(heard)
            });
            let facts = if revoked { nothing() } else { facts };
            let before = book.known.clone();
            // `apply` fails on an alert that is opened twice or ended without being open.
            let changes = book.look(&rules, &facts, now);
            prop_assert_eq!(&changes, &evaluate(&rules, &before, &facts, now));
            prop_assert!(evaluate(&rules, &book.known, &facts, now).is_empty(), "a second look changes nothing");
            for (key, known) in &book.known {
                let Known::Open { over_since: Some(since), .. } = known else { continue };
                let time = timing(&rules, key.0).resolve;
                prop_assert!(now.duration_since(*since) < time, "{:?} is over for long enough", key);
            }
        }
        // All is well for as long as the longest rule asks: nothing is left.
        for minutes in [1, 61] {
            let now = now + SignedDuration::from_mins(minutes);
            book.look(&rules, &of(device(now)), now);
        }
        prop_assert!(book.known.is_empty(), "{:?}", book.known);
        prop_assert_eq!(book.opened, book.resolved);
    }
}
