//! Release keys that are replaced while the device runs.

use fleet_protocol::target::TargetKind;
use fleet_protocol::update::{RefuseReason, Slot, UpdateState};

use super::support::device::{FIRST_KEY, key_set, signed};
use super::{TWO, enrolled};

const NEXT_KEY: u8 = 8;

#[test]
fn after_a_rotation_the_new_keys_release_is_installed_and_the_old_ones_is_not() {
    let mut device = enrolled();
    let release = device.offer(&TWO);
    device.control.state().target.key_sets = vec![key_set(2, NEXT_KEY, FIRST_KEY)];
    device.aim(&release, TargetKind::Install);
    device.control.wait("a refusal", |s| {
        s.reports.iter().any(|r| {
            matches!(
                &r.state,
                UpdateState::Refused {
                    why: RefuseReason::ForeignSignature { .. },
                    ..
                }
            )
        })
    });
    let by_the_next = signed(&release, NEXT_KEY);
    device.aim_at(&release, by_the_next, TargetKind::Install);
    device.reboot_when_asked();
    assert_eq!(device.slot(), Slot::B);
    device.control.wait("a heartbeat of release 2", |s| {
        s.heartbeats
            .last()
            .is_some_and(|h| h.booted.version == TWO && h.key_set_version == 2)
    });
}
