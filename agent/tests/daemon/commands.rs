//! Commands: run once, answered.

use fleet_protocol::command::CommandOutcome;
use serde_json::{Value, json};

use super::enrolled;

/// A command of this `type` and `payload`.
fn command(id: &str, sequence: u64, kind: &str, payload: &Value) -> Value {
    json!({
        "commandId": id, "sequence": sequence, "createdAt": "2026-01-01T00:00:00Z",
        "expiresAt": "2200-01-01T00:00:00Z", "type": kind, "payload": payload
    })
}

#[test]
fn commands_are_run_once_and_answered() {
    let device = enrolled();
    let restart = |service: &str| json!({ "service": service });
    device.control.state().commands = vec![
        command("cmd_1", 1, "refresh", &json!({})),
        command(
            "cmd_2",
            2,
            "restart_service",
            &restart("fleet-player.service"),
        ),
        command("cmd_3", 3, "restart_service", &restart("sshd.service")),
        command("cmd_4", 4, "dance", &json!({})),
        command("cmd_5", 5, "bundle", &json!({})),
    ];
    device.control.wait("all results", |s| s.results.len() == 5);
    let state = device.control.state();
    let outcome = |id: &str| state.results[id].outcome;
    assert_eq!(outcome("cmd_1"), CommandOutcome::Succeeded);
    assert_eq!(outcome("cmd_2"), CommandOutcome::Succeeded);
    assert_eq!(outcome("cmd_3"), CommandOutcome::Refused);
    assert_eq!(outcome("cmd_4"), CommandOutcome::Refused);
    assert_eq!(
        outcome("cmd_5"),
        CommandOutcome::Succeeded,
        "{:?}",
        state.results["cmd_5"]
    );
    assert_eq!(state.uploads.len(), 1);
    let restarts = device.systemd.jobs();
    let restarts: Vec<&String> = restarts
        .iter()
        .filter(|j| j.starts_with("restart"))
        .collect();
    assert_eq!(restarts, ["restart fleet-player.service"]);
}

#[test]
fn a_reboot_command_is_answered_by_the_next_boot() {
    let mut device = enrolled();
    let reboot = command("cmd_r", 1, "reboot", &json!({ "delaySeconds": 0 }));
    device.control.state().commands = vec![reboot];
    device.reboot_when_asked();
    device
        .control
        .wait("the answer", |s| s.results.contains_key("cmd_r"));
    assert_eq!(
        device.control.state().results["cmd_r"].outcome,
        CommandOutcome::Succeeded
    );
    assert!(device.systemd.jobs().is_empty(), "it does not reboot again");
}

#[test]
fn a_command_that_comes_too_late_is_told_and_not_run() {
    let device = enrolled();
    let service = json!({ "service": "fleet-player.service" });
    let mut late = command("cmd_1", 1, "restart_service", &service);
    late["expiresAt"] = "2026-01-01T00:05:00Z".into();
    let mut state = device.control.state();
    state.commands = vec![late, command("cmd_2", 2, "refresh", &json!({}))];
    state.wake("command");
    drop(state);
    // The one behind it is not held up.
    device
        .control
        .wait("both results", |s| s.results.len() == 2);
    let state = device.control.state();
    let result = &state.results["cmd_1"];
    assert_eq!(result.outcome, CommandOutcome::Expired, "{result:?}");
    assert!(result.detail.contains("send it again"), "{result:?}");
    assert_eq!(state.results["cmd_2"].outcome, CommandOutcome::Succeeded);
    assert!(device.systemd.jobs().is_empty());
}

#[test]
fn log_level_identify_config_and_update_do_what_they_say() {
    let device = enrolled();
    let warmer = json!({ "changes": { "thermal": { "warn_c": 60.5 } } });
    let hotter = json!({ "changes": { "thermal": { "warn_c": 600 } } });
    let mut state = device.control.state();
    state.commands = vec![
        command("cmd_1", 1, "log_level", &json!({ "level": "warn" })),
        command("cmd_2", 2, "identify", &json!({ "seconds": 60 })),
        command("cmd_3", 3, "config", &hotter),
        command("cmd_4", 4, "config", &warmer),
        command("cmd_5", 5, "update", &json!({ "version": "9.9.9" })),
    ];
    state.wake("command");
    drop(state);
    device.wait_for_card(r#""kind": "identify""#);
    device.control.wait("all results", |s| s.results.len() == 5);
    let state = device.control.state();
    let check = |id: &str, outcome: CommandOutcome, detail: &str| {
        let result = &state.results[id];
        let is_so = result.outcome == outcome && result.detail.contains(detail);
        assert!(is_so, "{id}: {result:?}");
    };
    check("cmd_1", CommandOutcome::Succeeded, "until the next start");
    check("cmd_2", CommandOutcome::Succeeded, "for 60 s");
    check("cmd_3", CommandOutcome::Refused, "thermal.warn_c");
    check("cmd_4", CommandOutcome::Succeeded, "kept");
    check(
        "cmd_5",
        CommandOutcome::Refused,
        "nothing is; start a rollout",
    );
    let log = device.log();
    let begun: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("a command begins"))
        .collect();
    let is_logged = |id: &str| begun.iter().any(|line| line.contains(id));
    // A changed configuration brings its own level back.
    let logged = ["cmd_1", "cmd_2", "cmd_3", "cmd_5"].map(is_logged);
    assert_eq!(logged, [true, false, false, true], "{begun:?}");
    let kept = std::fs::read_to_string(device.path("data/fleet/state/configuration.json"));
    assert!(kept.unwrap().contains("60.5"));
}
