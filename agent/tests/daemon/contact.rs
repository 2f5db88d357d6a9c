//! A control plane that is away.

use std::sync::atomic::Ordering;

use fleet_protocol::event::EventKind;

use super::enrolled;

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
