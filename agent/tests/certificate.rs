//! The agent as a process, with a certificate that comes to its end.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use fleet_protocol::event::EventKind;
use support::control::State;
use support::device::Device;

/// Enrolled 80 days ago.
fn aged() -> Device {
    let device = Device::new();
    device.control.state().enrolled_days = Some((-80, 10));
    device.provision();
    device
}

fn assert_nothing_waits(device: &Device) {
    let waiting = device.path("data/fleet/identity/device.cert.next.pem");
    assert!(!waiting.exists());
}

#[test]
fn a_certificate_near_its_end_is_renewed_and_outlives_a_power_cut() {
    let mut device = aged();
    device.boot();
    device
        .control
        .wait("heartbeats with a new one", State::shows_renewed);
    device.control.wait("word of it", |s| {
        s.events
            .iter()
            .any(|e| e.event_type == EventKind::CertificateRenewed)
    });
    assert_nothing_waits(&device);
    device.control.state().shown = None;
    device.power_cut();
    device
        .control
        .wait("heartbeats after the cut", State::shows_renewed);
    assert_eq!(device.control.state().renewed.len(), 1);
}

#[test]
fn a_renewed_certificate_that_does_not_work_leaves_the_old_one_in_use() {
    let mut device = aged();
    device.control.state().refuse_renewed = true;
    device.boot();
    device.control.wait("word of the failure", |s| {
        s.events
            .iter()
            .any(|e| e.event_type == EventKind::CertificateRenewalFailed)
    });
    assert_nothing_waits(&device);
    device.control.state().shown = None;
    device.control.wait("a heartbeat", |s| s.shown.is_some());
    assert!(!device.control.state().shows_renewed());
}
