//! Updates that come to their end, whatever happens on the way.

use fleet_protocol::update::Slot;
use fleet_tests::fake_rauc::Trouble;

use super::support::control::PATIENCE;
use super::{TWO, assert_committed, enrolled, on_trial};

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
fn a_connection_cut_in_mid_download_does_not_end_the_installation() {
    let mut device = enrolled();
    device
        .control
        .wait("a quiet line", |s| !s.events.is_empty());
    *device.control.server.faults.cut_after.lock().unwrap() = Some(300_000);
    device.publish(&TWO);
    device.reboot_when_asked();
    assert_eq!(device.rauc.installations(), 1);
    assert_committed(&device);
}

#[test]
fn rauc_dying_in_the_middle_is_a_passing_failure() {
    let device = enrolled();
    device.rauc.trouble(Trouble::Crash);
    device.publish(&TWO);
    device.wait_for_report("deferred");
    assert_eq!(device.slot(), Slot::A);
}
