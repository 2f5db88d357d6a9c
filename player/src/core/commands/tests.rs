//! A player that is stopped at any point, between any two effects.

use std::collections::{BTreeMap, BTreeSet};

use fleet_protocol::instant::Monotonic;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOON: i64 = 1_800_000_000;

fn at(second: i64) -> Now {
    Now {
        wall: Timestamp::from_second(NOON + second).unwrap(),
        mono: Monotonic(0),
    }
}

fn id(number: u64) -> CommandId {
    format!("cmd_{number}").parse().unwrap()
}

/// Expires after a hundred seconds.
fn item(number: u64, kind: &str) -> Value {
    let mut item = json!({
        "commandId": id(number), "type": kind, "createdAt": at(0).wall, "expiresAt": at(100).wall,
    });
    if kind == "SET_LOG_LEVEL" {
        item["payload"] = json!({"level": "debug"});
    }
    item
}

fn listed(items: &[(u64, &str)]) -> Event {
    Event::Listed(
        items
            .iter()
            .map(|(number, kind)| item(*number, kind))
            .collect(),
    )
}

fn ended(number: u64) -> Event {
    Event::Ended {
        id: id(number),
        outcome: CommandOutcome::Succeeded,
        detail: String::new(),
        output: None,
    }
}

/// What was run and told, in order.
fn run(commands: &mut Commands, events: Vec<Event>, second: i64) -> Vec<String> {
    let mut seen = Vec::new();
    for event in events {
        let (next, effects) = std::mem::take(commands).step(event, at(second));
        *commands = next;
        for effect in effects {
            match effect {
                Effect::Persist(_) | Effect::ResultsWait => {}
                Effect::Run(command) => seen.push(format!("run {}", command.command_id)),
                Effect::Tell(PlayerEventKind::CommandExecuted { command_id, .. }) => {
                    seen.push(format!("done {command_id}"));
                }
                Effect::Tell(PlayerEventKind::CommandFailed { command_id, .. }) => {
                    seen.push(format!("failed {command_id}"));
                }
                Effect::Tell(other) => panic!("{other:?}"),
                Effect::Ignored { .. } => seen.push("ignored".to_owned()),
            }
        }
    }
    seen
}

fn check(events: Vec<Event>, second: i64, expected: &[&str]) {
    assert_eq!(run(&mut Commands::default(), events, second), expected);
}

#[test]
fn commands_run_one_after_another_as_they_are_listed() {
    check(
        vec![
            listed(&[(2, "SET_LOG_LEVEL"), (1, "TAKE_SCREENSHOT")]),
            ended(2),
            ended(1),
        ],
        0,
        &["run cmd_2", "done cmd_2", "run cmd_1", "done cmd_1"],
    );
}

#[test]
fn what_would_cut_off_a_video_waits_for_the_end_of_an_item() {
    for kind in ["RESTART_PLAYBACK_LOOP", "CLEAR_CACHE_ALL", "REBOOT_APP"] {
        let waits = || vec![listed(&[(1, kind), (2, "CLEAR_CACHE_UNUSED")]), Event::Tick];
        check(waits(), 0, &[]);
        let mut events = waits();
        events.extend([Event::Boundary, ended(1)]);
        check(events, 0, &["run cmd_1", "done cmd_1", "run cmd_2"]);
        // Each end lets one command through.
        let two = vec![listed(&[(1, kind), (2, kind)]), Event::Boundary, ended(1)];
        check(two, 0, &["run cmd_1", "done cmd_1"]);
    }
    for kind in [
        "REQUEST_MANIFEST_REFRESH",
        "CLEAR_CACHE_UNUSED",
        "SET_LOG_LEVEL",
    ] {
        check(vec![listed(&[(1, kind)])], 0, &["run cmd_1"]);
    }
}

#[test]
fn what_came_too_late_is_not_begun() {
    check(
        vec![listed(&[(1, "TAKE_SCREENSHOT")])],
        101,
        &["failed cmd_1"],
    );
    let mut commands = Commands::default();
    run(&mut commands, vec![listed(&[(1, "REBOOT_APP")])], 0);
    let seen = run(&mut commands, vec![Event::Boundary], 101);
    assert_eq!(seen, ["failed cmd_1"]);
    let (_, result) = commands.next_result().unwrap();
    assert_eq!(result.outcome, CommandOutcome::Expired);
}

#[test]
fn what_is_not_understood_is_answered_and_what_has_no_id_ignored() {
    let mut commands = Commands::default();
    let items = vec![
        item(1, "DANCE"),
        json!({"commandId": "cmd_2", "type": "SET_LOG_LEVEL"}),
        json!({"commandId": "cmd_3"}),
        json!({"commandId": "nonsense"}),
        json!(7),
    ];
    let seen = run(&mut commands, vec![Event::Listed(items)], 0);
    let expected = [
        "ignored",
        "ignored",
        "failed cmd_1",
        "failed cmd_2",
        "failed cmd_3",
    ];
    assert_eq!(seen, expected);
    let (_, result) = commands.next_result().unwrap();
    assert_eq!(result.outcome, CommandOutcome::Failed);
    assert!(result.detail.contains("`DANCE`"), "{}", result.detail);
}

/// As a file holds it.
fn restarted(commands: &Commands) -> Commands {
    serde_json::from_str(&serde_json::to_string(commands).unwrap()).unwrap()
}

#[test]
fn a_restart_proves_a_restart_and_repeats_the_rest_once() {
    let check = |kind: &str, restarts: usize, expected: &[&str]| {
        let mut commands = Commands::default();
        run(
            &mut commands,
            vec![listed(&[(1, kind)]), Event::Boundary],
            0,
        );
        let mut seen = Vec::new();
        for _ in 0..restarts {
            commands = restarted(&commands);
            seen.extend(run(
                &mut commands,
                vec![Event::Started, Event::Boundary],
                200,
            ));
        }
        assert_eq!(seen, expected, "{kind}");
    };
    check("REBOOT_APP", 2, &["done cmd_1"]);
    check("CLEAR_CACHE_ALL", 1, &["run cmd_1"]);
    check("TAKE_SCREENSHOT", 3, &["run cmd_1", "failed cmd_1"]);
}

#[test]
fn a_result_waits_until_it_is_acknowledged_also_over_a_restart() {
    let mut commands = Commands::default();
    run(
        &mut commands,
        vec![listed(&[(1, "CLEAR_CACHE_UNUSED")]), ended(1)],
        0,
    );
    let (mut commands, effects) = restarted(&commands).step(Event::Started, at(1));
    assert_eq!(effects, [Effect::ResultsWait]);
    assert_eq!(commands.next_result().unwrap().0, &id(1));
    let again = || listed(&[(1, "CLEAR_CACHE_UNUSED")]);
    let seen = run(
        &mut commands,
        vec![again(), Event::Acknowledged(id(1)), again()],
        1,
    );
    assert!(seen.is_empty() && commands.is_empty(), "{seen:?}");
}

#[test]
fn memory_is_bounded() {
    let mut commands = Commands::default();
    for number in 0..MAX_REMEMBERED as u64 + 20 {
        let events = vec![
            listed(&[(number, "CLEAR_CACHE_UNUSED")]),
            ended(number),
            Event::Acknowledged(id(number)),
        ];
        run(&mut commands, events, 0);
    }
    assert_eq!(commands.remembered.len(), MAX_REMEMBERED);
    let many = (1_000..2_000)
        .map(|number| item(number, "TAKE_SCREENSHOT"))
        .collect();
    run(&mut commands, vec![Event::Listed(many)], 0);
    assert_eq!(commands.entries.len(), MAX_HELD);
}

/// The first is the same command whenever its number comes up.
const KINDS: [&str; 6] = [
    "REQUEST_MANIFEST_REFRESH",
    "RESTART_PLAYBACK_LOOP",
    "REBOOT_APP",
    "CLEAR_CACHE_ALL",
    "SET_LOG_LEVEL",
    "DANCE",
];

fn kind(number: u64) -> &'static str {
    KINDS[usize::try_from(number).unwrap() % KINDS.len()]
}

/// A player with its disk; what it runs is done at once, and reported when the test says so.
#[derive(Default)]
struct Player {
    commands: Commands,
    disk: String,
    ran: BTreeMap<CommandId, u32>,
    ran_in_this_life: BTreeSet<CommandId>,
    /// While it ran.
    cut_off: BTreeMap<CommandId, u32>,
    running: Option<Box<PlayerCommand>>,
    results: BTreeMap<CommandId, CommandResult>,
}

impl Player {
    /// Performs the first `performed` effects; `None` is all of them.
    fn step(&mut self, event: Event, performed: Option<usize>) -> Result<(), TestCaseError> {
        let (next, effects) = std::mem::take(&mut self.commands).step(event, at(0));
        self.commands = next;
        let count = performed.unwrap_or(effects.len());
        for effect in effects.into_iter().take(count) {
            match effect {
                Effect::Persist(commands) => self.disk = serde_json::to_string(&commands).unwrap(),
                Effect::Run(command) => self.perform(command)?,
                _ => {}
            }
        }
        for (id, result) in self.commands.results() {
            if performed.is_none() {
                let first = self
                    .results
                    .entry(id.clone())
                    .or_insert_with(|| result.clone());
                prop_assert_eq!(&*first, result, "a result does not change");
            }
        }
        Ok(())
    }

    fn perform(&mut self, command: Box<PlayerCommand>) -> Result<(), TestCaseError> {
        let id = command.command_id.clone();
        prop_assert!(self.disk.contains(id.as_str()), "persisted first");
        prop_assert!(self.running.is_none(), "one at a time");
        prop_assert!(!self.results.contains_key(&id), "{id} ran after its result");
        prop_assert!(
            self.ran_in_this_life.insert(id.clone()),
            "{id} ran twice in one life"
        );
        *self.ran.entry(id).or_default() += 1;
        self.running = Some(command);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), TestCaseError> {
        if let Some(command) = self.running.take() {
            *self.cut_off.entry(command.command_id).or_default() += 1;
        }
        self.ran_in_this_life.clear();
        self.commands = serde_json::from_str(&self.disk).unwrap_or_default();
        self.step(Event::Started, None)
    }

    fn end_running(&mut self) -> Result<(), TestCaseError> {
        match self.running.take() {
            Some(command) if command.kind.name() == "REBOOT_APP" => {
                self.running = Some(command);
                self.restart()
            }
            Some(command) => {
                let event = Event::Ended {
                    id: command.command_id,
                    outcome: CommandOutcome::Succeeded,
                    detail: String::new(),
                    output: None,
                };
                self.step(event, None)
            }
            None => self.step(Event::Boundary, None),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn each_command_takes_effect_exactly_once_whatever_is_cut_repeated_or_restarted(
        steps in prop::collection::vec((0u8..7, 0u64..12, 0usize..4), 1..80),
    ) {
        let mut player = Player::default();
        let everything = || Event::Listed((0..12).map(|number| item(number, kind(number))).collect());
        for (step, number, performed) in steps {
            let listed = || Event::Listed((0..=number).map(|n| item(n, kind(n))).collect());
            match step {
                0 => player.step(listed(), None)?,
                1 | 2 => player.end_running()?,
                3 => player.step(Event::Acknowledged(id(number)), None)?,
                4 => player.restart()?,
                5 => {
                    // Stopped somewhere within one step.
                    player.step(listed(), Some(performed))?;
                    player.restart()?;
                }
                _ => player.step(Event::Boundary, None)?,
            }
        }
        player.step(everything(), None)?;
        for _ in 0..40 {
            player.end_running()?;
            while let Some((id, _)) = player.commands.next_result() {
                let id = id.clone();
                player.step(Event::Acknowledged(id), None)?;
            }
        }
        prop_assert!(player.commands.is_empty());
        for number in 0..12 {
            let id = id(number);
            let ran = player.ran.get(&id).copied().unwrap_or(0);
            let cut_off = player.cut_off.get(&id).copied().unwrap_or(0);
            prop_assert!(player.results.contains_key(&id), "{id} has no result");
            match kind(number) {
                "DANCE" => prop_assert_eq!(ran, 0),
                // Stopped between the record and the act: the stop was the act.
                "REBOOT_APP" => prop_assert!(ran <= 1),
                _ if cut_off == 0 => prop_assert!(ran <= 1, "{id} ran {ran} times"),
                _ => prop_assert!(ran <= MAX_ATTEMPTS && ran <= cut_off + 1, "{id} ran {ran} times"),
            }
            let succeeded = player.results[&id].outcome == CommandOutcome::Succeeded;
            prop_assert!(!succeeded || ran >= 1 || kind(number) == "REBOOT_APP");
        }
    }
}
