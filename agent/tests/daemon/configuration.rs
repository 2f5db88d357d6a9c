//! Delivered configuration: kept only if the device is healthy with it.

use std::sync::atomic::Ordering;

use fleet_protocol::event::EventKind;
use fleet_protocol::target::TargetConfig;

use super::enrolled;

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
