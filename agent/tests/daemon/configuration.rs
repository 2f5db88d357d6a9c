//! Delivered configuration: kept only if the device is healthy with it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fleet_protocol::command::CommandOutcome;
use fleet_protocol::event::EventKind;
use fleet_protocol::target::TargetConfig;
use fleet_protocol::update::{DeferReason, UpdateState};
use jiff::ToSpan as _;
use jiff::tz::TimeZone;

use super::support::control::{Control, PATIENCE, State, now};
use super::support::device::{BUNDLE_BYTES, Device};
use super::{HASTY, TWO, enrolled, enrolled_with};

/// The document comes with the next target.
fn comes_next(control: &Control, version: u64, document: &serde_json::Value) {
    control.state().target.config = Some(TargetConfig {
        version,
        document: document.as_object().unwrap().clone(),
    });
}

fn deliver(control: &Control, version: u64, document: &serde_json::Value) {
    comes_next(control, version, document);
    let mut state = control.state();
    state.target.generation += 1;
    state.wake("target");
}

fn applied(state: &State, version: u64) -> bool {
    let said = state.events.iter().any(|event| {
        event.event_type == EventKind::ConfigApplied && event.payload["configVersion"] == version
    });
    let last = state.heartbeats.last();
    said && last.is_some_and(|beat| beat.config_version == version)
}

#[test]
fn a_delivered_configuration_is_kept_when_healthy_and_a_wrong_one_is_not_taken() {
    let device = enrolled();
    let warn = |degrees: f32| serde_json::json!({ "thermal": { "warn_c": degrees } });
    deliver(&device.control, 1, &warn(60.0));
    let control = &device.control;
    control.wait("version 1 in force", |s| applied(s, 1));
    deliver(&device.control, 2, &warn(600.0));
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
    let device = enrolled_with(HASTY);
    let delay_ms = &device.control.server.faults.delay_ms;
    delay_ms.store(1_500, Ordering::Relaxed);
    let hasty = serde_json::json!({ "control": { "request_timeout_s": 1 } });
    deliver(&device.control, 1, &hasty);
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
fn a_device_that_moves_to_another_fleet_leaves_its_configuration_behind() {
    let mut device = enrolled();
    let interval =
        |seconds: u32| serde_json::json!({ "control": { "heartbeat_interval_s": seconds } });
    deliver(&device.control, 9, &interval(6));
    let control = &device.control;
    control.wait("version 9 in force", |s| applied(s, 9));
    let before = std::mem::replace(&mut device.control, Control::start());
    // So that its number and its ETag are those of the fleet before.
    device.control.state().target.generation = before.state().target.generation;
    device.provision_with("the-token-of-another-fleet");
    device.control.wait("the image's own configuration", |s| {
        s.heartbeats.last().is_some_and(|h| h.config_version == 0)
    });
    deliver(&device.control, 2, &interval(7));
    let control = &device.control;
    control.wait("version 2 in force", |s| applied(s, 2));
    // Nothing of the fleet before comes back from disk.
    device.power_cut();
    let beats = device.control.state().heartbeats.len();
    device.control.wait("a heartbeat after the cut", |s| {
        s.heartbeats.len() > beats && s.heartbeats.last().is_some_and(|h| h.config_version == 2)
    });
}

#[test]
fn a_role_that_the_image_does_not_have_is_told_and_the_images_own_is_kept() {
    let mut device = Device::new();
    let mut file = device.control.provision_file("one-time-secret");
    file.role = Some("kiosk".parse().unwrap());
    let json = serde_json::to_string(&file).unwrap();
    device.write("boot/esp/fleet/provision.json", &json);
    device.boot();
    device.control.wait("the role's problem", |s| {
        let told = s.events.iter().any(|event| {
            let reason = event.payload["reason"].as_str().unwrap_or_default();
            event.event_type == EventKind::ConfigRejected && reason.contains("no role `kiosk`")
        });
        let last = s.heartbeats.last();
        told && last.is_some_and(|beat| beat.role.as_str() == "signage")
    });
    // Of a delivered document too.
    deliver(&device.control, 1, &serde_json::json!({ "role": "menu" }));
    device.control.wait("a rejection", |s| {
        s.events
            .iter()
            .any(|event| event.payload["configVersion"] == 1)
    });
    let state = device.control.state();
    let last = state.heartbeats.last().unwrap();
    assert_eq!((last.role.as_str(), last.config_version), ("signage", 0));
}

#[test]
fn a_window_that_comes_with_the_release_holds_it_back_until_somebody_insists() {
    let device = enrolled();
    let in_hours = |hours: i64| {
        let then = now() + hours.hours();
        then.to_zoned(TimeZone::UTC).time().to_string()
    };
    let window = serde_json::json!({
        "start": in_hours(2), "end": in_hours(3), "timezone": "Etc/UTC"
    });
    let document = serde_json::json!({ "updates": { "maintenance_window": window } });
    comes_next(&device.control, 1, &document);
    device.publish(&TWO);
    device.wait_for_report("deferred");
    let mut state = device.control.state();
    let last = state.reports.last().unwrap();
    let UpdateState::Deferred {
        why: DeferReason::MaintenanceWindow { .. },
        ..
    } = &last.state
    else {
        panic!("{last:?}")
    };
    assert_eq!(device.rauc.installations(), 0);
    state.commands = vec![serde_json::json!({
        "commandId": "cmd_1", "sequence": 1, "createdAt": "2026-01-01T00:00:00Z",
        "expiresAt": "2200-01-01T00:00:00Z", "type": "update", "payload": { "force": true }
    })];
    state.wake("command");
    drop(state);
    let reboots = device.systemd.wait_for_job("start reboot.target", PATIENCE);
    assert!(reboots, "{}", device.log());
    device.control.wait("the answer", |s| {
        let result = s.results.get("cmd_1");
        result.is_some_and(|result| result.outcome == CommandOutcome::Succeeded)
    });
}

#[test]
fn a_bandwidth_limit_slows_the_release_that_it_comes_with() {
    let device = enrolled();
    let limit = serde_json::json!({ "bandwidth_limit_bytes_per_s": BUNDLE_BYTES / 3 });
    comes_next(&device.control, 1, &serde_json::json!({ "updates": limit }));
    device.publish(&TWO);
    assert!(
        device
            .rauc
            .wait_for_progress(PATIENCE, |percent| percent > 0)
    );
    let began = Instant::now();
    let reboots = device.systemd.wait_for_job("start reboot.target", PATIENCE);
    assert!(reboots, "{}", device.log());
    let took = began.elapsed();
    assert!(took > Duration::from_secs(2), "{took:?} for three seconds");
}
