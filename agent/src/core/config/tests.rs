use proptest::prelude::*;
use serde_json::json;

use fleet_protocol::config::IMAGE_DEFAULTS;

use super::*;

fn base() -> Base {
    Base {
        layers: vec![Layer::parse("the image's defaults", IMAGE_DEFAULTS).unwrap()],
        roles: vec!["signage".parse().unwrap(), "menu".parse().unwrap()],
    }
}

fn map(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else {
        panic!("an object is expected")
    };
    map
}

fn interval(seconds: u32) -> Map<String, Value> {
    map(json!({"control": {"heartbeat_interval_s": seconds}}))
}

fn delivered(version: u64, seconds: u32) -> Event {
    delivered_by("this one", version, interval(seconds))
}

fn delivered_by(fleet: &str, version: u64, document: Map<String, Value>) -> Event {
    Event::Delivered {
        fleet: Some(Sha256::of(fleet)),
        target: Some(TargetConfig { version, document }),
    }
}

fn none_delivered_by(fleet: &str) -> Event {
    Event::Delivered {
        fleet: Some(Sha256::of(fleet)),
        target: None,
    }
}

fn started(boot: u64) -> Event {
    Event::Started {
        boot_id: boot.to_string(),
    }
}

fn failed() -> Event {
    Event::GateFailed {
        checks: vec!["units".to_owned()],
    }
}

#[derive(Default)]
struct Seen {
    configuration: Configuration,
    interval_s: u32,
    log: Vec<String>,
}

fn run(events: Vec<Event>) -> Seen {
    let mut seen = Seen::default();
    for event in events {
        let (next, effects) = seen.configuration.step(event, &base());
        let json = serde_json::to_string(&next).unwrap();
        seen.configuration = serde_json::from_str(&json).unwrap();
        for effect in effects {
            match effect {
                Effect::Persist(_) => {}
                Effect::Apply {
                    config, on_trial, ..
                } => {
                    seen.interval_s = config.control.heartbeat_interval_s;
                    seen.log
                        .push(if on_trial { "try" } else { "apply" }.to_owned());
                }
                Effect::Kept { version } => seen.log.push(format!("kept {version}")),
                Effect::Confirmed { version } => seen.log.push(format!("confirmed {version}")),
                Effect::Rejected { version, .. } => seen.log.push(format!("rejected {version}")),
                Effect::Unusable { .. } => seen.log.push("unusable".to_owned()),
            }
        }
    }
    seen
}

fn check(events: Vec<Event>, version: u64, interval_s: u32, expected: &[&str]) {
    let seen = run(events);
    assert_eq!(seen.configuration.version(), version);
    assert_eq!(
        (seen.interval_s, seen.log.as_slice()),
        (
            interval_s,
            expected
                .iter()
                .map(|s| (*s).to_owned())
                .collect::<Vec<_>>()
                .as_slice()
        )
    );
}

#[test]
fn a_delivered_configuration_is_kept_once_it_proved_healthy() {
    check(
        vec![started(1), delivered(1, 120), Event::GatePassed],
        1,
        120,
        &["apply", "try", "kept 1"],
    );
}

#[test]
fn an_unhealthy_one_is_taken_back_and_not_tried_again() {
    check(
        vec![started(1), delivered(1, 120), failed(), delivered(1, 120)],
        0,
        60,
        &["apply", "try", "rejected 1", "apply"],
    );
}

#[test]
fn an_invalid_one_changes_nothing_and_names_the_field() {
    let (configuration, _) = Configuration::default().step(started(1), &base());
    let (configuration, effects) = configuration.step(delivered(4, 1), &base());
    assert_eq!(configuration.version(), 0);
    let reason = effects.iter().find_map(|e| match e {
        Effect::Rejected { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    let reason = reason.unwrap();
    assert!(reason.contains("control.heartbeat_interval_s"), "{reason}");
    assert!(reason.contains("the delivered version 4"), "{reason}");
}

#[test]
fn a_role_that_the_image_does_not_have_is_invalid_and_its_own_is_kept() {
    let role = |name: &str| delivered_by("this one", 1, map(json!({ "role": name })));
    let (configuration, effects) = Configuration::default().step(role("kiosk"), &base());
    let told = effects.iter().find_map(|effect| match effect {
        Effect::Rejected { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    let expected = "`role`: this image has no role `kiosk`, but signage, menu";
    assert_eq!(told, Some(expected));
    assert_eq!(configuration.in_force(), &Documents::default());
    assert_eq!(run(vec![role("menu")]).log, ["try"]);
}

#[test]
fn an_unknown_time_zone_is_invalid() {
    let document = map(json!({"updates": {"maintenance_window":
        {"start": "02:00", "end": "03:00", "timezone": "Mars/Olympus"}}}));
    let event = delivered_by("this one", 1, document);
    assert_eq!(run(vec![event]).log, ["rejected 1"]);
}

#[test]
fn a_restart_begins_the_trial_again() {
    check(
        vec![started(1), delivered(1, 120), started(1)],
        1,
        120,
        &["apply", "try", "try"],
    );
}

#[test]
fn a_trial_that_the_agent_does_not_survive_is_taken_back() {
    let crashes = |boots: [u64; 4]| {
        let mut events = vec![delivered(1, 120)];
        events.extend(boots.map(started));
        events
    };
    check(
        crashes([1, 1, 1, 1]),
        0,
        60,
        &["try", "try", "try", "try", "rejected 1", "apply"],
    );
    // Mains switched off in between.
    check(crashes([1, 2, 3, 4]), 1, 120, &["try"; 5]);
}

#[test]
fn what_is_delivered_during_a_trial_of_own_changes_waits_for_its_end() {
    let level = map(json!({"log_level": "debug"}));
    let events = |end| vec![Event::OwnChanges(level.clone()), delivered(1, 120), end];
    check(events(Event::GatePassed), 1, 120, &["try", "kept 0", "try"]);
    let kept = run(events(Event::GatePassed)).configuration;
    assert_eq!(kept.good.own, level);
    check(
        events(failed()),
        1,
        120,
        &["try", "rejected 0", "apply", "try"],
    );
}

#[test]
fn the_devices_own_changes_lie_below_the_delivered_document() {
    let own = |seconds| Event::OwnChanges(interval(seconds));
    check(
        vec![started(1), own(90), Event::GatePassed],
        0,
        90,
        &["apply", "try", "kept 0"],
    );
    check(
        vec![
            own(90),
            Event::GatePassed,
            delivered(1, 120),
            Event::GatePassed,
        ],
        1,
        120,
        &["try", "kept 0", "try", "kept 1"],
    );
    check(vec![started(1), own(1)], 0, 60, &["apply", "rejected 0"]);
}

#[test]
fn a_document_that_a_new_image_does_not_accept_is_dropped() {
    let good = Documents {
        delivered: map(json!({"gone": true})),
        own: interval(90),
        version: 3,
    };
    let configuration = Configuration {
        good,
        ..Configuration::default()
    };
    let (configuration, effects) = configuration.step(started(1), &base());
    assert_eq!(configuration.version(), 0);
    assert!(effects.iter().any(|e| matches!(
        e,
        Effect::Apply { config, .. } if config.control.heartbeat_interval_s == 90
    )));
}

#[test]
fn a_version_that_is_given_out_again_is_another_document() {
    let kept = |version, seconds| [delivered(version, seconds), Event::GatePassed];
    let events = [kept(7, 120), kept(7, 90), kept(3, 300)].concat();
    check(
        events,
        3,
        300,
        &["try", "kept 7", "try", "kept 7", "try", "kept 3"],
    );
    // Refused by its content too, not by its number.
    check(
        vec![
            delivered(1, 120),
            failed(),
            delivered(1, 90),
            delivered(2, 120),
        ],
        1,
        90,
        &["try", "rejected 1", "apply", "try"],
    );
}

#[test]
fn the_document_in_force_is_not_tried_again_under_another_version() {
    check(
        vec![
            delivered(7, 120),
            delivered(2, 120),
            Event::GatePassed,
            delivered(3, 120),
        ],
        3,
        120,
        &["try", "confirmed 2", "kept 2", "confirmed 3"],
    );
}

#[test]
fn a_trial_ends_when_the_good_document_is_wanted_again() {
    check(
        vec![
            delivered(1, 120),
            Event::GatePassed,
            delivered(2, 90),
            delivered(3, 120),
            Event::GatePassed,
        ],
        3,
        120,
        &["try", "kept 1", "try", "apply", "confirmed 3"],
    );
}

#[test]
fn without_a_document_the_devices_own_layers_count_again() {
    check(
        vec![
            delivered(4, 120),
            Event::GatePassed,
            none_delivered_by("this one"),
            Event::GatePassed,
            none_delivered_by("this one"),
        ],
        0,
        60,
        &["try", "kept 4", "try", "kept 0", "confirmed 0"],
    );
}

#[test]
fn another_fleet_inherits_nothing() {
    let own = Event::OwnChanges(map(json!({"log_level": "debug"})));
    let events = |last| {
        vec![
            own.clone(),
            Event::GatePassed,
            delivered(4, 120),
            failed(),
            delivered(5, 90),
            Event::GatePassed,
            last,
        ]
    };
    let begun = [
        "try",
        "kept 0",
        "try",
        "rejected 4",
        "apply",
        "try",
        "kept 5",
    ];
    let log = |more: &[&'static str]| [&begun, more].concat();
    let none = none_delivered_by("another one");
    check(events(none), 0, 60, &log(&["apply", "confirmed 0"]));
    // What the other one rejected is tried here.
    let same = delivered_by("another one", 4, interval(120));
    let seen = run(events(same));
    assert_eq!(seen.log, log(&["apply", "try"]));
    assert_eq!(seen.configuration.good, Documents::default());
}

#[test]
fn a_trial_ends_with_the_fleet_that_wanted_it() {
    let own = Event::OwnChanges(interval(90));
    let events = vec![
        none_delivered_by("this one"),
        own,
        none_delivered_by("another one"),
    ];
    let expected = ["confirmed 0", "try", "rejected 0", "apply", "confirmed 0"];
    check(events, 0, 60, &expected);
}

#[test]
fn what_an_older_agent_kept_is_read_and_adopted() {
    let kept = json!({
        "good": {"own": {}, "delivered": {"control": {"heartbeat_interval_s": 120}}, "version": 9},
        "provisional": null,
        "rejected": [{"version": 10, "reason": "not healthy with it: units"}],
    });
    let configuration: Configuration = serde_json::from_value(kept).unwrap();
    let (configuration, _) = configuration.step(started(1), &base());
    // Rejected there without a trace of the document: its version has to do.
    let (configuration, effects) = configuration.step(delivered(10, 300), &base());
    assert!(matches!(effects[..], [Effect::Persist(_)]), "{effects:?}");
    assert_eq!(configuration.version(), 9);
    let (configuration, _) = configuration.step(delivered(8, 300), &base());
    assert_eq!(configuration.version(), 8);
}

fn any_event() -> impl Strategy<Value = Event> {
    let fleet = prop_oneof![Just("this one"), Just("another one")];
    (0u8..8, 0u64..6, 0u32..200, fleet).prop_map(|(step, version, seconds, fleet)| match step {
        0 => started(version),
        1..=3 => delivered_by(fleet, version, interval(seconds)),
        4 => none_delivered_by(fleet),
        5 => Event::OwnChanges(interval(seconds)),
        6 => Event::GatePassed,
        _ => failed(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_in_force_is_always_valid(events in prop::collection::vec(any_event(), 0..40)) {
        let seen = run(events);
        let in_force = seen.configuration.in_force().clone();
        prop_assert!(validate(&base(), &in_force).is_ok());
        prop_assert!(validate(&base(), &seen.configuration.good).is_ok());
    }

    #[test]
    fn what_is_wanted_comes_into_force_whatever_its_version(
        mut events in prop::collection::vec(any_event(), 0..40), version in 0u64..6,
    ) {
        // Twice: the device's own changes may be on trial before it.
        events.extend([delivered(version, 1_000), Event::GatePassed, Event::GatePassed]);
        let seen = run(events);
        prop_assert_eq!(seen.interval_s, 1_000);
        prop_assert_eq!(&seen.configuration.good.delivered, &interval(1_000));
        prop_assert_eq!(seen.configuration.version(), version);
    }

    #[test]
    fn of_another_fleet_nothing_stays(events in prop::collection::vec(any_event(), 0..40)) {
        let mut events = events;
        events.push(none_delivered_by("this one"));
        events.push(none_delivered_by("a third one"));
        let seen = run(events);
        let expected = Configuration {
            fleet: Some(Sha256::of("a third one")),
            ..Configuration::default()
        };
        prop_assert_eq!(seen.configuration, expected);
        prop_assert_eq!(seen.interval_s, 60);
    }
}
