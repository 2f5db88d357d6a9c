//! What is not installed, or not kept: refused releases, slots that are left again.

use fleet_protocol::event::EventKind;
use fleet_protocol::target::TargetKind;
use fleet_protocol::update::{FailureReason, RefuseReason, Slot, UpdateState};
use fleet_tests::fake_rauc::{Trouble, Unit};

use super::{HASTY, ONE, TWO, enrolled, enrolled_with};

#[test]
fn an_unhealthy_slot_is_left_again_and_not_tried_twice() {
    let mut device = enrolled_with(HASTY);
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
    let mut device = enrolled_with(HASTY);
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
    let mut device = enrolled_with(HASTY);
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
