//! The whole agent, as a process, through the life of a device: RAUC and systemd are fakes on a private
//! bus, the control plane is a small server, the boot loader is its model.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::sync::atomic::Ordering;

use fleet_protocol::Version;
use fleet_protocol::command::CommandOutcome;
use fleet_protocol::event::EventKind;
use fleet_protocol::target::{TargetConfig, TargetKind};
use fleet_protocol::update::{FailureReason, RefuseReason, Slot, UpdateState};
use fleet_tests::fake_rauc::{Trouble, Unit};
use support::control::PATIENCE;
use support::device::{Device, root_hash};

const ONE: Version = Version::new(1, 0, 0);
const TWO: Version = Version::new(2, 0, 0);

/// Enrolled and at rest in release 1.
fn enrolled() -> Device {
    let mut device = Device::new();
    device.provision();
    device.boot();
    device
        .control
        .wait("a first heartbeat", |s| !s.heartbeats.is_empty());
    device
}

/// Release 2 installed and booted on trial.
fn on_trial() -> Device {
    let mut device = enrolled();
    device.publish(&TWO);
    device.reboot_when_asked();
    assert_eq!(device.slot(), Slot::B);
    device
}

fn assert_committed(device: &Device) {
    device.wait_for_report("committed");
    let env = device.boot_env();
    assert_eq!(env.first, Slot::B);
    assert!(env.b.ok && env.b.locked && env.b.tries == 0, "{env:?}");
    let state = device.control.state();
    let last = state.reports.last().unwrap();
    assert_eq!(last.booted.root_hash, root_hash(&TWO));
    assert_eq!(last.booted.slot, Slot::B);
}

#[test]
fn a_fresh_device_enrols_and_its_token_is_gone_from_the_boot_partition() {
    let device = enrolled();
    let state = device.control.state();
    assert_eq!(state.enrolments, 1);
    assert_eq!(state.heartbeats[0].booted.version, ONE);
    drop(state);
    let provision = std::fs::read_to_string(device.path("boot/esp/fleet/provision.json")).unwrap();
    assert!(!provision.contains("one-time-secret"));
    assert!(provision.contains("https://"));
}

#[test]
fn an_enrolled_device_does_not_enrol_again() {
    let mut device = enrolled();
    let before = device.control.state().heartbeats.len();
    device.power_cut();
    device
        .control
        .wait("a heartbeat after the cut", |s| s.heartbeats.len() > before);
    assert_eq!(device.control.state().enrolments, 1);
}

#[test]
fn a_good_update_is_installed_tried_and_committed() {
    let mut device = on_trial();
    assert_committed(&device);
    let names: Vec<String> = device
        .control
        .state()
        .reports
        .iter()
        .map(|r| r.state.name().to_owned())
        .collect();
    let position = |name: &str| names.iter().position(|n| n == name).unwrap();
    assert!(
        position("installing") < position("rebootPending"),
        "{names:?}"
    );
    assert!(position("rebootPending") < position("trial"), "{names:?}");
    assert!(position("trial") < position("committed"), "{names:?}");
    // It stays there.
    device.power_cut();
    assert_eq!(device.slot(), Slot::B);
}

#[test]
fn an_agent_killed_at_each_step_still_ends_up_committed() {
    let mut device = enrolled();
    device.rauc.trouble(Trouble::Pause);
    device.publish(&TWO);
    assert!(
        device
            .rauc
            .wait_for_progress(PATIENCE, |percent| percent >= 49)
    );
    device.kill_agent();
    device.rauc.trouble(Trouble::None);
    device.start_agent();
    assert!(
        device.systemd.wait_for_job("start reboot.target", PATIENCE),
        "{}",
        device.log()
    );
    device.kill_agent();
    device.systemd.forget_jobs();
    device.start_agent();
    assert!(
        device.systemd.wait_for_job("start reboot.target", PATIENCE),
        "{}",
        device.log()
    );
    device.power_cut();
    assert_eq!(device.slot(), Slot::B);
    device.wait_for_report("trial");
    device.kill_agent();
    device.start_agent();
    assert_committed(&device);
    device.kill_agent();
    device.start_agent();
    let before = device.control.state().heartbeats.len();
    device
        .control
        .wait("heartbeats go on", |s| s.heartbeats.len() > before);
    assert!(device.boot_env().b.locked);
}

#[test]
fn a_power_cut_in_mid_install_leaves_the_old_slot_and_is_made_good() {
    let mut device = enrolled();
    device.rauc.trouble(Trouble::Pause);
    device.publish(&TWO);
    assert!(
        device
            .rauc
            .wait_for_progress(PATIENCE, |percent| percent >= 49)
    );
    device.kill_agent();
    device.rauc.trouble(Trouble::Crash);
    device.boot();
    assert_eq!(device.slot(), Slot::A);
    device.reboot_when_asked();
    assert_eq!(device.slot(), Slot::B);
    assert_committed(&device);
}

#[test]
fn an_unhealthy_slot_is_left_again_and_not_tried_twice() {
    let mut device = enrolled();
    device.publish(&TWO);
    device.systemd.set_unit(
        "fleet-agent.service",
        Unit {
            active: "failed".to_owned(),
            restarts: 0,
        },
    );
    device.reboot_when_asked();
    assert_eq!(device.slot(), Slot::B);
    device.reboot_when_asked();
    assert_eq!(device.slot(), Slot::A);
    device.control.wait("a rolled back release", |s| {
        s.reports.iter().any(|r| {
            matches!(&r.state, UpdateState::RolledBack { version, why: FailureReason::Unhealthy { .. } }
                if *version == TWO)
        })
    });
    let before = device.control.state().heartbeats.len();
    device
        .control
        .wait("two more heartbeats", |s| s.heartbeats.len() >= before + 2);
    assert_eq!(device.rauc.installations(), 1);
}

#[test]
fn a_release_that_the_control_plane_refuses_to_speak_to_is_left_again() {
    let mut device = enrolled();
    device.control.state().refuse_version = Some(TWO);
    device.publish(&TWO);
    device.reboot_when_asked();
    assert_eq!(device.slot(), Slot::B);
    device.reboot_when_asked();
    assert_eq!(device.slot(), Slot::A);
    device.control.wait("a rolled back release", |s| {
        s.reports.iter().any(|r| {
            matches!(&r.state, UpdateState::RolledBack { why: FailureReason::Unhealthy { failed_checks }, .. }
                if failed_checks.iter().any(|check| check == "control-plane"))
        })
    });
}

#[test]
fn a_bad_slot_is_left_even_when_rauc_is_what_is_broken_in_it() {
    let mut device = enrolled();
    device.publish(&TWO);
    let failed = Unit {
        active: "failed".to_owned(),
        restarts: 0,
    };
    device.systemd.set_unit("fleet-agent.service", failed);
    device.reboot_when_asked();
    assert_eq!(device.slot(), Slot::B);
    device.rauc.set_away(true);
    device.reboot_when_asked();
    assert_eq!(device.slot(), Slot::A);
    device.wait_for_report("rolledBack");
}

#[test]
fn a_healthy_slot_is_committed_as_soon_as_rauc_marks_it_good() {
    let mut device = enrolled();
    device.publish(&TWO);
    device.rauc.refuse_marks(true);
    device.reboot_when_asked();
    device.wait_for_log("a slot could not be marked");
    assert!(!device.boot_env().b.locked);
    device.rauc.refuse_marks(false);
    assert_committed(&device);
}

#[test]
fn a_bundle_that_rauc_does_not_accept_is_refused_with_its_reason() {
    let device = enrolled();
    let text = "signature verification failed: Verify error: self-signed certificate";
    device.rauc.trouble(Trouble::Error(text.to_owned()));
    device.publish(&TWO);
    device.control.wait("a refusal", |s| {
        s.reports.iter().any(|r| {
            matches!(&r.state, UpdateState::Refused { why: RefuseReason::BundleRejected { detail }, .. }
                if detail.contains("signature verification failed"))
        })
    });
    assert_eq!(device.boot_env().first, Slot::A);
}

#[test]
fn a_release_that_nobody_signed_never_reaches_rauc() {
    let device = enrolled();
    let mut metadata = device.publish(&ONE);
    metadata.version = TWO;
    let unsigned = metadata.to_envelope();
    device.aim_at(&metadata, unsigned, TargetKind::Install);
    device.control.wait("a refusal", |s| {
        s.reports.iter().any(|r| {
            matches!(
                &r.state,
                UpdateState::Refused {
                    why: RefuseReason::Unsigned,
                    ..
                }
            )
        })
    });
    assert_eq!(device.rauc.installations(), 0);
}

#[test]
fn rauc_dying_in_the_middle_is_a_passing_failure() {
    let device = enrolled();
    device.rauc.trouble(Trouble::Crash);
    device.publish(&TWO);
    device.wait_for_report("deferred");
    assert_eq!(device.slot(), Slot::A);
}

#[test]
fn a_connection_cut_in_mid_download_does_not_end_the_installation() {
    let mut device = enrolled();
    device
        .control
        .wait("a quiet line", |s| !s.events.is_empty());
    device.publish(&TWO);
    *device.control.server.faults.cut_after.lock().unwrap() = Some(300_000);
    device.reboot_when_asked();
    assert_eq!(device.rauc.installations(), 1);
    assert_committed(&device);
}

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

#[test]
fn a_delivered_configuration_is_kept_when_healthy_and_a_wrong_one_is_not_taken() {
    let device = enrolled();
    let deliver = |version: u64, document: serde_json::Value| {
        let mut state = device.control.state();
        state.target.generation += 1;
        state.target.config = Some(TargetConfig {
            version,
            document: document.as_object().unwrap().clone(),
        });
    };
    deliver(1, serde_json::json!({ "thermal": { "warn_c": 60.0 } }));
    device.control.wait("version 1 in force", |s| {
        s.events
            .iter()
            .any(|e| e.event_type == EventKind::ConfigApplied)
            && s.heartbeats.last().is_some_and(|h| h.config_version == 1)
    });
    deliver(2, serde_json::json!({ "thermal": { "warn_c": 600.0 } }));
    device.control.wait("a rejection", |s| {
        s.events.iter().any(|e| {
            e.event_type == EventKind::ConfigRejected
                && e.payload["reason"]
                    .as_str()
                    .is_some_and(|r| r.contains("thermal.warn_c"))
        })
    });
    assert_eq!(
        device
            .control
            .state()
            .heartbeats
            .last()
            .unwrap()
            .config_version,
        1
    );
}

#[test]
fn a_configuration_that_loses_the_control_plane_is_taken_back() {
    let device = enrolled();
    let delay_ms = &device.control.server.faults.delay_ms;
    delay_ms.store(1_500, Ordering::Relaxed);
    let hasty = serde_json::json!({ "control": { "request_timeout_s": 1 } });
    let mut state = device.control.state();
    state.target.generation += 1;
    state.target.config = Some(TargetConfig {
        version: 1,
        document: hasty.as_object().unwrap().clone(),
    });
    drop(state);
    device.wait_for_log("a configuration is on trial");
    device.control.wait("a rejection", |s| {
        s.events.iter().any(|e| {
            e.event_type == EventKind::ConfigRejected
                && e.payload["reason"]
                    .as_str()
                    .is_some_and(|r| r.contains("control-plane"))
        })
    });
    delay_ms.store(0, Ordering::Relaxed);
}

#[test]
fn events_wait_for_a_control_plane_that_is_away() {
    let mut device = enrolled();
    device
        .control
        .server
        .faults
        .refuse
        .store(u64::MAX, Ordering::Relaxed);
    device.power_cut();
    device.wait_for_log("the control plane is away");
    device
        .control
        .server
        .faults
        .refuse
        .store(0, Ordering::Relaxed);
    device.control.wait("the events of the time away", |s| {
        let has = |kind: &EventKind| s.events.iter().any(|e| e.event_type == *kind);
        has(&EventKind::OfflineEntered)
            && has(&EventKind::OnlineRestored)
            && s.events
                .iter()
                .filter(|e| e.event_type == EventKind::ResetDetected)
                .count()
                == 2
    });
}

#[test]
fn a_corrupt_boot_environment_is_written_anew_from_what_is_booted() {
    let mut device = enrolled();
    device.kill_agent();
    device.write("boot/esp/EFI/fleet/grubenv", "not a block");
    device.start_agent();
    device.control.wait("a repair", |s| {
        s.events
            .iter()
            .any(|e| e.event_type == EventKind::BootEnvironmentRepaired)
    });
    let env = device.boot_env();
    assert!(env.first == Slot::A && env.a.locked && env.a.ok, "{env:?}");
}
