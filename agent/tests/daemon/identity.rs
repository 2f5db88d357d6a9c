//! Enrolment, revocation and the certificate: who the device is to the control plane.

use fleet_protocol::enrolment::PairingState;
use fleet_protocol::event::EventKind;

use super::support::control::State;
use super::support::device::Device;
use super::{ONE, enrolled};

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
fn a_device_without_a_token_shows_a_code_and_joins_once_it_is_claimed() {
    let mut device = Device::new();
    device.provision_for_pairing();
    device.boot();
    device.wait_for_card("K7QF-2MX2");
    // A restart changes nothing about it.
    let asked = device.control.state().pairing_asked;
    device.power_cut();
    device
        .control
        .wait("it is asked about again", |s| s.pairing_asked > asked);
    assert_eq!(device.control.state().pairings, 1);
    device.control.state().pairing = Some(PairingState::Expired);
    device.wait_for_card("K7QF-2MX3");
    device.control.state().pairing = Some(PairingState::Claimed);
    device
        .control
        .wait("a heartbeat", |s| !s.heartbeats.is_empty());
    let state = device.control.state();
    assert_eq!((state.enrolments, state.pairings), (1, 2));
    assert_eq!(state.enrolled_with.as_deref(), Some("pairing-2"));
    drop(state);
    let identity = std::fs::read_to_string(device.path("data/fleet/identity/identity.json"));
    assert!(identity.unwrap().contains(r#""role": "signage""#));
    assert!(!device.path("data/fleet/identity/pairing.json").exists());
    // The file stays for the next card, and has nothing that is used up.
    device.power_cut();
    let before = device.control.state().heartbeats.len();
    device
        .control
        .wait("another heartbeat", |s| s.heartbeats.len() > before);
    assert_eq!(device.control.state().pairings, 2);
}

fn raised(state: &State, kind: &EventKind) -> bool {
    state.events.iter().any(|event| event.event_type == *kind)
}

const NOT_ACCEPTED: &str = "the control plane does not accept this device any more";

#[test]
fn a_revoked_device_says_so_and_goes_on_once_it_is_let_in_again() {
    let device = enrolled();
    device.control.state().revoked = true;
    device.wait_for_log(NOT_ACCEPTED);
    device.control.state().revoked = false;
    device.control.wait("word of both", |s| {
        raised(s, &EventKind::IdentityRefused) && raised(s, &EventKind::IdentityRestored)
    });
    assert_eq!(device.control.state().enrolments, 1);
}

#[test]
fn a_revoked_device_enrols_again_when_a_new_provisioning_file_appears() {
    let mut device = enrolled();
    device.control.state().revoked = true;
    device.wait_for_log(NOT_ACCEPTED);
    device.provision_with("another-secret");
    device
        .control
        .wait("a second enrolment", |s| s.enrolments == 2);
    device.control.wait("heartbeats that are answered", |s| {
        raised(s, &EventKind::IdentityRestored)
    });
    // The file is used up: neither it nor a restart makes it enrol once more.
    device.power_cut();
    let before = device.control.state().heartbeats.len();
    device
        .control
        .wait("two more heartbeats", |s| s.heartbeats.len() >= before + 2);
    assert_eq!(device.control.state().enrolments, 2);
    let provision = std::fs::read_to_string(device.path("boot/esp/fleet/provision.json")).unwrap();
    assert!(!provision.contains("another-secret"));
}

/// Paired by a code, and refused until it shows another one.
fn paired_and_refused() -> Device {
    let mut device = Device::new();
    device.provision_for_pairing();
    device.boot();
    device.wait_for_card("K7QF-2MX2");
    device.control.state().pairing = Some(PairingState::Claimed);
    device
        .control
        .wait("a heartbeat", |s| !s.heartbeats.is_empty());
    device.control.state().revoked = true;
    device.wait_for_card("K7QF-2MX3");
    device
}

#[test]
fn a_paired_device_that_is_not_known_any_more_joins_by_another_code() {
    let device = paired_and_refused();
    device.control.state().pairing = Some(PairingState::Claimed);
    device.control.wait("that it is accepted", |s| {
        raised(s, &EventKind::IdentityRestored)
    });
    assert_eq!(device.control.state().enrolments, 2);
}

#[test]
fn a_device_that_is_let_in_again_takes_its_code_down() {
    let device = paired_and_refused();
    device.control.state().revoked = false;
    device.wait_for_card(r#""online": true"#);
    assert_eq!(device.control.state().enrolments, 1);
}

#[test]
fn a_used_token_that_stays_on_the_boot_partition_is_not_used_again() {
    let device = enrolled();
    device.provision();
    let before = device.control.state().heartbeats.len();
    device.control.wait("three more heartbeats", |s| {
        s.heartbeats.len() >= before + 3
    });
    assert_eq!(device.control.state().enrolments, 1);
}

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
