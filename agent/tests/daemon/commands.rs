//! Commands: run once, answered.

use fleet_protocol::command::CommandOutcome;

use super::enrolled;

#[test]
fn commands_are_run_once_and_answered() {
    let device = enrolled();
    let command = |id: &str, sequence: u64, kind: serde_json::Value| {
        let mut command = serde_json::json!({
            "commandId": id, "sequence": sequence, "createdAt": "2026-01-01T00:00:00Z",
            "expiresAt": "2200-01-01T00:00:00Z"
        });
        command
            .as_object_mut()
            .unwrap()
            .extend(kind.as_object().unwrap().clone());
        command
    };
    let restart = |service: &str| serde_json::json!({ "type": "restart_service", "payload": { "service": service } });
    device.control.state().commands = vec![
        command(
            "cmd_1",
            1,
            serde_json::json!({ "type": "refresh", "payload": {} }),
        ),
        command("cmd_2", 2, restart("fleet-player.service")),
        command("cmd_3", 3, restart("sshd.service")),
        command(
            "cmd_4",
            4,
            serde_json::json!({ "type": "dance", "payload": {} }),
        ),
        command(
            "cmd_5",
            5,
            serde_json::json!({ "type": "bundle", "payload": {} }),
        ),
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
    device.control.state().commands = vec![serde_json::json!({
        "commandId": "cmd_r", "sequence": 1, "createdAt": "2026-01-01T00:00:00Z",
        "expiresAt": "2200-01-01T00:00:00Z", "type": "reboot", "payload": { "delaySeconds": 0 }
    })];
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
