//! What the simulated device is put through.

use fleet_protocol::target::TargetKind;
use fleet_protocol::trust::VerifyReleaseError;
use fleet_protocol::update::{Slot, UpdateState};
use proptest::prelude::*;

use super::device::UNSIGNED;
use super::{Device, Quality};
use crate::core::fixtures::{candidate, release, version, wanted};
use crate::core::update::{Candidate, Event, OperatorCommand};

/// More than one trial with its whole deadline; a device that rests is left earlier.
const ROUNDS: usize = 250;

fn quality() -> impl Strategy<Value = Quality> {
    prop_oneof![
        2 => Just(Quality::Good),
        1 => Just(Quality::NoKernel),
        1 => Just(Quality::NoBoot),
        1 => Just(Quality::Crashing),
        1 => Just(Quality::Unhealthy),
    ]
}

fn cuts(count: usize) -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0u32..60, 0..=count)
}

fn runs(device: &Device) -> u64 {
    let (_, running) = device.running.clone().unwrap();
    (1..10).find(|major| version(*major) == running).unwrap()
}

fn unsigned() -> Candidate {
    Candidate::Unverified {
        version: Some(version(UNSIGNED)),
        rollout_id: None,
        error: VerifyReleaseError::Unsigned,
    }
}

fn check(quality: Quality, expected_version: u64, expected_state: &str) {
    let mut device = Device::new(&[quality], &[]);
    device.want(Some(candidate(&release(2))));
    device.run(ROUNDS * 3);
    assert_eq!(runs(&device), expected_version, "{quality:?}");
    assert_eq!(device.view().name(), expected_state, "{quality:?}");
    assert_eq!(device.installs, [version(2)], "installed once: {quality:?}");
    assert!(!device.safe_mode);
    let last = device.reported.values().last().unwrap();
    assert_eq!(
        last.name(),
        expected_state,
        "the control plane hears the end"
    );
    device.assert_settled();
}

#[test]
fn a_good_release_is_committed_and_any_other_is_taken_back() {
    check(Quality::Good, 2, "committed");
    check(Quality::NoKernel, 1, "rolledBack");
    check(Quality::NoBoot, 1, "rolledBack");
    check(Quality::Crashing, 1, "rolledBack");
    check(Quality::Unhealthy, 1, "rolledBack");
}

#[test]
fn a_failed_version_is_tried_again_only_when_asked() {
    let mut device = Device::new(&[Quality::Unhealthy], &[]);
    device.want(Some(candidate(&release(2))));
    device.run(ROUNDS * 3);
    device.want(Some(candidate(&release(2))));
    device.run(ROUNDS);
    assert_eq!(device.installs.len(), 1);
    device.send(Event::Operator(OperatorCommand::Update { force: true }));
    device.run(ROUNDS * 3);
    assert_eq!(device.installs.len(), 2);
    let again = wanted(&release(2), TargetKind::Install, 2);
    device.want(Some(Candidate::Verified(Box::new(again))));
    device.run(ROUNDS * 3);
    assert_eq!(device.installs.len(), 3);
    assert_eq!(runs(&device), 1);
}

#[test]
fn a_rollback_boots_what_the_other_slot_holds_without_installing() {
    let mut device = Device::new(&[Quality::Good], &[]);
    device.want(Some(candidate(&release(2))));
    device.run(ROUNDS);
    let back = wanted(&release(1), TargetKind::Rollback, 1);
    device.want(Some(Candidate::Verified(Box::new(back))));
    device.run(ROUNDS);
    assert_eq!(runs(&device), 1);
    assert_eq!(device.installs, [version(2)]);
    assert!(matches!(device.view(), UpdateState::Committed { .. }));
    device.assert_settled();
}

#[test]
fn an_operator_goes_back_and_the_version_is_not_forced_on_him_again() {
    let mut device = Device::new(&[Quality::Good], &[]);
    device.want(Some(candidate(&release(2))));
    device.run(ROUNDS);
    device.send(Event::Operator(OperatorCommand::RollBack));
    device.run(ROUNDS);
    assert_eq!(runs(&device), 1);
    device.assert_settled();
}

#[test]
fn a_committed_slot_that_is_destroyed_falls_back() {
    let mut device = Device::new(&[Quality::Good], &[]);
    device.want(Some(candidate(&release(2))));
    device.run(ROUNDS);
    assert_eq!(runs(&device), 2);
    device.overwrite(Slot::B);
    device.mains_off();
    device.run(ROUNDS);
    assert_eq!(runs(&device), 1);
    assert_eq!(device.view().name(), "rolledBack");
    device.assert_settled();
}

#[test]
fn mains_off_alone_is_not_held_against_a_slot_on_trial() {
    let mut device = Device::new(&[Quality::Good], &[]);
    device.want(Some(candidate(&release(2))));
    for _ in 0..ROUNDS {
        device.run(1);
        if device.view().name() == "trial" {
            break;
        }
    }
    // The third attempt is cut too, so the bootloader falls back.
    for _ in 0..3 {
        device.mains_off();
    }
    assert_eq!(runs(&device), 1);
    device.run(ROUNDS);
    assert_eq!(runs(&device), 2);
    assert_eq!(device.installs, [version(2)], "no second download");
}

#[test]
fn a_trial_that_never_gets_its_window_is_given_up_in_the_end() {
    let mut device = Device::new(&[Quality::Good], &[]);
    device.want(Some(candidate(&release(2))));
    for _ in 0..ROUNDS {
        device.run(1);
        if device.view().name() == "trial" {
            device.mains_off();
        }
    }
    assert_eq!(runs(&device), 1);
    assert_eq!(device.view().name(), "rolledBack");
    device.assert_settled();
}

#[test]
fn a_target_that_is_taken_back_before_the_reboot_is_undone() {
    let mut device = Device::new(&[Quality::Good, Quality::Good], &[]);
    device.want(Some(candidate(&release(2))));
    device.send(Event::Operator(OperatorCommand::Pause));
    device.run(3);
    assert_eq!(device.view().name(), "rebootPending");
    device.want(None);
    device.send(Event::Operator(OperatorCommand::Resume));
    device.run(ROUNDS);
    assert_eq!(runs(&device), 1);
    device.assert_settled();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_always_boots_and_converges_whatever_is_cut(
        qualities in prop::collection::vec(quality(), 1..4), cuts in cuts(12), failures in 0u32..3,
    ) {
        let mut device = Device::new(&qualities, &cuts);
        device.install_failures = failures;
        let mut expected = 1;
        for (index, quality) in qualities.iter().enumerate() {
            let wanted = index as u64 + 2;
            device.want(Some(candidate(&release(wanted))));
            let blind_before = device.blind_cuts;
            device.run(ROUNDS * 8);
            prop_assert!(!device.safe_mode);
            device.assert_settled();
            let attempts_lost = device.blind_cuts - blind_before;
            match (*quality, runs(&device)) {
                (Quality::Good, found) if found == wanted => expected = wanted,
                // Only attempts that were cut before anything could be seen excuse a fallback.
                (Quality::Good, found) => {
                    prop_assert_eq!(found, expected);
                    prop_assert!(attempts_lost > 0 || device.cut_count > 9);
                }
                (_, found) => prop_assert_eq!(found, expected),
            }
        }
    }

    #[test]
    fn a_good_release_survives_any_two_cuts(first in 0u32..80, second in 0u32..80) {
        let mut device = Device::new(&[Quality::Good], &[first, second]);
        device.want(Some(candidate(&release(2))));
        device.run(ROUNDS * 3);
        prop_assert_eq!(runs(&device), 2);
        device.assert_settled();
    }

    #[test]
    fn lost_data_and_a_lost_environment_brick_nothing(
        qualities in prop::collection::vec(quality(), 2), gaps in prop::collection::vec((0u32..60, 0u8..4), 1..5),
    ) {
        let mut device = Device::new(&qualities, &[]);
        for (index, quality) in qualities.iter().enumerate() {
            device.want(Some(candidate(&release(index as u64 + 2))));
            for (gap, lost) in &gaps {
                device.lose_data = *lost == 1 || *lost == 3;
                device.lose_env = *lost >= 2;
                device.cut_after(*gap);
            }
            device.run(ROUNDS * 8);
            prop_assert!(device.running.is_some());
            let found = runs(&device);
            let quality_of_running = if found == 1 { Quality::Good } else { qualities[usize::try_from(found).unwrap() - 2] };
            prop_assert_eq!(quality_of_running, Quality::Good, "{:?}", quality);
            device.assert_settled();
        }
    }

    #[test]
    fn fifty_cuts_in_normal_use_never_change_the_slot(
        gaps in prop::collection::vec(0u32..20, 50), updated in any::<bool>(),
    ) {
        let mut device = Device::new(&[Quality::Good], &[]);
        if updated {
            device.want(Some(candidate(&release(2))));
        }
        device.run(ROUNDS);
        let slot = device.running.clone().unwrap().0;
        device.slot_history.clear();
        for gap in gaps {
            device.cut_after(gap);
        }
        device.run(5);
        prop_assert!(device.slot_history.iter().all(|s| *s == slot));
        prop_assert!(!device.safe_mode);
        device.assert_settled();
    }

    #[test]
    fn what_is_not_signed_touches_nothing(cuts in cuts(4)) {
        let mut device = Device::new(&[], &cuts);
        device.want(Some(unsigned()));
        device.run(ROUNDS);
        prop_assert!(device.installs.is_empty());
        prop_assert_eq!(device.view().name(), "refused");
        device.assert_settled();
    }

    #[test]
    fn a_target_that_changes_its_mind_is_followed(
        wishes in prop::collection::vec((0u64..4, 0usize..12), 1..8), cuts in cuts(6),
    ) {
        let mut device = Device::new(&[Quality::Good, Quality::Good], &cuts);
        let mut highest = 1;
        for (wish, rounds) in &wishes {
            let wish = (*wish >= 2).then(|| candidate(&release(*wish)));
            device.want(wish);
            device.run(*rounds);
        }
        device.run(ROUNDS * 8);
        for (wish, _) in &wishes {
            highest = highest.max(*wish);
        }
        let last = wishes.last().unwrap().0;
        let found = runs(&device);
        prop_assert!(found <= highest);
        if last >= 2 && device.cut_count < 3 {
            prop_assert!(found >= last, "{found} instead of {last}");
        }
        device.assert_settled();
    }
}
