//! A good release gets there, and is kept only when it has shown that it works.

use fleet_protocol::rollout::{MemberStatus, RolloutStatus};
use fleet_protocol::update::{Slot, UpdateState};
use fleet_tests::fleet::{template, wait_until};
use fleet_tests::kit::release;

use crate::stage::{self, BOOT, INSTALL, SHORT, Told, ensure, same};

#[test]
fn a_good_update_commits_only_after_the_gates_window_and_data_is_intact() -> Told {
    stage::tell("good-update", |stage| {
        stage.vm.sh("head -c 300000 /dev/urandom >/data/keepsake; sync; sha256sum /data/keepsake >/data/keepsake.sum; sync")?;
        let rollout = stage.roll_out(release::GOOD)?;
        let version = rollout.version.clone();
        let device = stage.device();
        let trial = device.wait_state("the trial to begin", INSTALL + BOOT, |state| {
            matches!(state, UpdateState::Trial { .. })
        })?;
        let begun = trial.update_report.map(|r| r.at);
        let committed = device.wait_committed(&version, BOOT)?;
        let Some(report) = committed.update_report else {
            return ensure(false, || "the report is gone again".to_owned());
        };
        same("the slot", &report.booted.slot, &Slot::B)?;
        let bundle = stage.fleet.kit().bundle(release::GOOD)?;
        same("the root hash", &report.booted.root_hash, &bundle.root_hash)?;
        let took = begun.map(|begun| report.at.duration_since(begun).as_secs());
        ensure(
            took.is_some_and(|s| s >= i64::from(template::WINDOW_S) - 1),
            || {
                format!(
                    "committed {took:?} s after its trial began, the window is {}",
                    template::WINDOW_S
                )
            },
        )?;

        // The rollout counts it only now, by its verified boot.
        let done = wait_until("the rollout to be completed", SHORT, || {
            let view = stage.fleet.rollout(&rollout.rollout_id)?;
            let seen = view.summary.clone();
            Ok((
                (view.status == RolloutStatus::Completed).then_some(view),
                seen,
            ))
        })?;
        same("members", &done.members[0].status, &MemberStatus::Verified)?;

        same("the running slot", &stage.running_slot()?.as_str(), &"B")?;
        stage.vm.sh("sha256sum -c /data/keepsake.sum")?;
        for (name, expected) in [("B_LOCKED", "1"), ("B_OK", "1"), ("B_TRY", "0")] {
            same(name, &stage.boot_variable(name)?.as_str(), &expected)?;
        }
        let order = stage.boot_variable("ORDER")?;
        ensure(order.starts_with('B'), || format!("ORDER is {order}"))
    })
}
