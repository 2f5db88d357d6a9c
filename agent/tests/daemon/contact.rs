//! A control plane that is away, and one that calls.

use std::sync::atomic::Ordering;

use fleet_protocol::event::EventKind;

use super::{TWO, enrolled, enrolled_with};

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
fn a_wake_up_is_followed_without_waiting_for_a_heartbeat() {
    let device = enrolled_with("[control]\nheartbeat_interval_s = 3600\n");
    // What it does at its start is over: the next heartbeat would be in an hour, the next look in a quarter of one.
    device.control.wait("an open stream and silence", |s| {
        let is_over = s.heartbeats.len() >= 2 && s.commands_asked >= 2 && s.target_asked >= 2;
        is_over && !s.wakeups.is_empty()
    });
    let identify = serde_json::json!({
        "commandId": "cmd_1", "sequence": 1, "createdAt": "2026-01-01T00:00:00Z",
        "expiresAt": "2200-01-01T00:00:00Z", "type": "identify", "payload": { "seconds": 1 }
    });
    let mut state = device.control.state();
    state.commands = vec![identify];
    state.wake("command");
    drop(state);
    device
        .control
        .wait("the answer", |s| s.results.contains_key("cmd_1"));
    device.publish(&TWO);
    device.control.wait("word of the target", |s| {
        s.reports.iter().any(|r| r.state.version() == Some(&TWO))
    });
}
