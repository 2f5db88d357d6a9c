use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::fixtures::{NOW, at};

fn id(number: u64) -> CommandId {
    format!("cmd_{number}").parse().unwrap()
}

fn item(number: u64, kind: &str, payload: &Value, expires: i64) -> Value {
    json!({
        "commandId": id(number), "sequence": number,
        "createdAt": at(NOW), "expiresAt": at(expires),
        "type": kind, "payload": payload,
    })
}

fn refresh(number: u64) -> Value {
    item(number, "refresh", &json!({}), NOW + 100)
}

fn ended(number: u64) -> Event {
    Event::Ended {
        id: id(number),
        outcome: CommandOutcome::Succeeded,
        detail: String::new(),
        output: None,
    }
}

/// Steps through events and gives the ids run, and the outcomes sent, in order.
fn run(queue: &mut Queue, events: Vec<Event>, boot_id: &str, now: i64) -> Vec<String> {
    let mut seen = Vec::new();
    for event in events {
        let (next, effects) = std::mem::take(queue).step(event, boot_id, at(now));
        *queue = next;
        for effect in effects {
            match effect {
                Effect::Persist(_) => {}
                Effect::Run(command) => seen.push(format!("run {}", command.command_id)),
                Effect::Send { id, result } => seen.push(format!("{id} {:?}", result.outcome)),
                Effect::Ignored { .. } => seen.push("ignored".to_owned()),
            }
        }
    }
    seen
}

fn check(events: Vec<Event>, now: i64, expected: &[&str]) {
    assert_eq!(run(&mut Queue::default(), events, "b1", now), expected);
}

#[test]
fn commands_run_one_after_another_in_their_order() {
    check(
        vec![
            Event::Fetched(vec![refresh(2), refresh(1)]),
            ended(1),
            ended(2),
        ],
        NOW,
        &[
            "run cmd_1",
            "cmd_1 Succeeded",
            "run cmd_2",
            "cmd_2 Succeeded",
        ],
    );
}

#[test]
fn a_reboot_that_waits_for_its_delay_holds_up_nobody() {
    let reboot = |delay: u32| {
        let payload = json!({ "delaySeconds": delay });
        Event::Fetched(vec![
            item(1, "reboot", &payload, NOW + 100),
            refresh(2),
            refresh(3),
        ])
    };
    check(
        vec![reboot(7_200), ended(2)],
        NOW,
        &["run cmd_1", "run cmd_2", "cmd_2 Succeeded", "run cmd_3"],
    );
    check(vec![reboot(0), ended(2)], NOW, &["run cmd_1"]);
}

#[test]
fn a_command_that_is_listed_again_does_not_run_again() {
    let fetched = || Event::Fetched(vec![refresh(1)]);
    let mut queue = Queue::default();
    let acknowledged = Event::Acknowledged { id: id(1) };
    let events = vec![
        fetched(),
        fetched(),
        ended(1),
        fetched(),
        acknowledged,
        fetched(),
    ];
    let seen = run(&mut queue, events, "b1", NOW);
    assert_eq!(seen.iter().filter(|s| *s == "run cmd_1").count(), 1);
    assert!(queue.entries().is_empty());
}

#[test]
fn what_came_too_late_is_not_begun() {
    check(
        vec![Event::Fetched(vec![item(
            1,
            "refresh",
            &json!({}),
            NOW - 1,
        )])],
        NOW,
        &["cmd_1 Expired"],
    );
}

#[test]
fn what_is_not_understood_is_refused_and_what_has_no_id_ignored() {
    check(
        vec![Event::Fetched(vec![
            item(1, "dance", &json!({}), NOW + 9),
            item(2, "restart_service", &json!({"service": "rm -rf"}), NOW + 9),
            json!({"commandId": "nonsense"}),
            json!(7),
        ])],
        NOW,
        &["ignored", "ignored", "cmd_1 Refused", "cmd_2 Refused"],
    );
}

#[test]
fn a_restart_interrupts_a_command_but_proves_a_reboot() {
    let check = |kind: &str, next_boot: &str, expected: &[&str]| {
        let mut queue = Queue::default();
        let fetched = Event::Fetched(vec![item(1, kind, &json!({}), NOW + 100)]);
        run(&mut queue, vec![fetched], "b1", NOW);
        let json = serde_json::to_string(&queue).unwrap();
        let mut queue: Queue = serde_json::from_str(&json).unwrap();
        let started = Event::Started {
            boot_id: next_boot.to_owned(),
        };
        let seen = run(&mut queue, vec![started], next_boot, NOW + 1);
        assert_eq!(seen, expected, "{kind} {next_boot}");
    };
    check("refresh", "b2", &["cmd_1 Interrupted"]);
    check("refresh", "b1", &["cmd_1 Interrupted"]);
    check("reboot", "b2", &["cmd_1 Succeeded"]);
    check("reboot", "b1", &["run cmd_1"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn each_id_takes_effect_at_most_once_whatever_happens(
        steps in prop::collection::vec((0u8..6, 0u64..8), 1..80),
    ) {
        let mut queue = Queue::default();
        let mut stored = serde_json::to_string(&queue).unwrap();
        let mut ran: BTreeMap<CommandId, u32> = BTreeMap::new();
        let mut boot = 1;
        for (step, number) in steps {
            let event = match step {
                0 => Event::Fetched((0..=number).map(refresh).collect()),
                1 | 2 => ended(number),
                3 => Event::Acknowledged { id: id(number) },
                4 => {
                    boot += 1;
                    queue = serde_json::from_str(&stored).unwrap();
                    Event::Started { boot_id: boot.to_string() }
                }
                _ => Event::Tick,
            };
            let (next, effects) = queue.step(event, &boot.to_string(), at(NOW));
            queue = next;
            for effect in effects {
                match effect {
                    Effect::Persist(queue) => stored = serde_json::to_string(&queue).unwrap(),
                    Effect::Run(command) => {
                        *ran.entry(command.command_id.clone()).or_default() += 1;
                        prop_assert!(stored.contains(command.command_id.as_str()), "persisted first");
                    }
                    Effect::Send { .. } | Effect::Ignored { .. } => {}
                }
            }
            let running = queue.entries().iter()
                .filter(|e| matches!(e.progress, Progress::Running { .. })).count();
            prop_assert!(running <= 1);
        }
        prop_assert!(ran.values().all(|count| *count == 1));
    }
}

#[test]
fn memory_is_bounded() {
    let mut queue = Queue::default();
    for number in 0..MAX_REMEMBERED as u64 + 20 {
        let acknowledged = Event::Acknowledged { id: id(number) };
        let fetched = Event::Fetched(vec![refresh(number)]);
        run(
            &mut queue,
            vec![fetched, ended(number), acknowledged],
            "b1",
            NOW,
        );
    }
    assert_eq!(queue.remembered.len(), MAX_REMEMBERED);
    let many = (1_000..2_000).map(refresh).collect();
    run(&mut queue, vec![Event::Fetched(many)], "b1", NOW);
    assert_eq!(queue.entries().len(), MAX_HELD);
}
