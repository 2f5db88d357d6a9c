//! Power cuts. The disk keeps what was flushed and nothing else; whatever happens, the device boots and converges.

use std::time::Duration;

use fleet_protocol::Version;
use fleet_protocol::heartbeat::ResetReason;
use fleet_protocol::update::{FailureReason, Slot, UpdateState};
use fleet_tests::fleet::wait_until;
use fleet_tests::kit::release;
use fleet_tests::random::Random;
use fleet_tests::vm::{Boot, Disks};

use crate::stage::{self, BOOT, FALLBACK, INSTALL, SHORT, Stage, Told, ensure, same};

#[test]
fn a_power_cut_during_installation_ends_in_a_committed_update() -> Told {
    stage::tell("cut-during-install", |stage| {
        let rollout = stage.roll_out(release::GOOD)?;
        stage
            .device()
            .wait_state("the installation to be under way", INSTALL, |state| {
                matches!(state, UpdateState::Installing { percent: 20.., .. })
            })?;
        cut_and_converge(stage, &rollout.version)
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_power_cut_before_the_reboot_ends_in_a_committed_update() -> Told {
    stage::tell_installed("cut-before-reboot", cut_and_converge)
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_power_cut_during_the_trial_ends_in_a_committed_update() -> Told {
    stage::tell_installed("cut-during-trial", |stage, version| {
        stage.boot_to_trial()?;
        cut_and_converge(stage, version)?;
        let reset = stage.device().detail()?.heartbeat.map(|h| h.reset_reason);
        same("the reset reason", &reset, &Some(ResetReason::Power))
    })
}

/// Cuts the power; then waits until the update is committed.
fn cut_and_converge(stage: &mut Stage, version: &Version) -> Told {
    stage.power_cycle()?;
    stage
        .device()
        .wait_committed(version, BOOT + INSTALL + BOOT)?;
    same("the running slot", &stage.running_slot()?.as_str(), &"B")
}

/// RAUC marks a slot good by this program; the agent, which locks the slot after it, is stopped then.
const STOP_AT_MARK_GOOD: &str = r#"
cp /usr/bin/grub-editenv /run/grub-editenv.real
cat >/run/grub-editenv.stopping <<'EOF'
#!/bin/sh
/run/grub-editenv.real "$@" || exit
case "$*" in *B_OK=1*) kill -STOP $(systemctl show -P MainPID fleet-agent.service);; esac
EOF
chmod +x /run/grub-editenv.stopping
mount --bind /run/grub-editenv.stopping /usr/bin/grub-editenv
"#;

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_power_cut_during_the_commit_ends_in_a_committed_update() -> Told {
    stage::tell_installed("cut-during-commit", |stage, version| {
        stage.boot_to_trial()?;
        stage.vm.shell()?.wait_ready(BOOT)?;
        stage.vm.sh(STOP_AT_MARK_GOOD)?;
        let pid = "systemctl show -P MainPID fleet-agent.service";
        let stopped =
            format!("until grep -q '^State:.T' /proc/$({pid})/status; do sleep 0.2; done");
        stage.vm.shell()?.run_within(&stopped, BOOT)?;
        same("B_OK", &stage.boot_variable("B_OK")?.as_str(), &"1")?;
        same("B_LOCKED", &stage.boot_variable("B_LOCKED")?.as_str(), &"0")?;
        cut_and_converge(stage, version)
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_slot_overwritten_with_garbage_before_its_first_boot_falls_back() -> Told {
    stage::tell_installed("garbage-slot", |stage, version| {
        stage.vm.sh("sync")?;
        stage.vm.power_cut();
        let tools = stage.fleet.programs();
        let rootfs = Disks::partition(&**tools, &stage.fleet.kit().disk, "rootfs-b")?;
        stage.vm.disks().overwrite(&**tools, rootfs, 0xa5)?;
        stage.vm.power_on(Boot::Cold)?;
        let detail = stage.device().wait_state("the fallback", FALLBACK, |state| {
            matches!(state, UpdateState::RolledBack { version: v, why: FailureReason::DidNotBoot { .. } } if v == version)
        })?;
        let slot = detail.update_report.map(|r| r.booted.slot);
        same("the slot", &slot, &Some(Slot::A))
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn fifty_power_cuts_in_normal_use_never_cause_a_fallback() -> Told {
    stage::tell_installed("fifty-cuts", |stage, version| {
        // On slot B, with a good A that a fallback could go to.
        cut_and_converge(stage, version)?;
        let mut random = Random::seeded(50);
        for cut in 1..=50 {
            stage.power_cycle()?;
            let mark = stage.vm.serial().mark();
            let booted = stage
                .vm
                .serial()
                .wait_for("fleet: booting slot ", mark, BOOT)?;
            wait_until(&format!("the slot's name after cut {cut}"), SHORT, || {
                let said = stage.vm.serial().since(booted);
                Ok((said.chars().next(), said))
            })
            .map_err(stage::Failure::from)
            .and_then(|slot| same(&format!("the slot after cut {cut}"), &slot, &'B'))?;
            // In the kernel, while services come up, when it is up.
            let limit = match cut % 5 {
                0 => 25_000,
                1 | 2 => 13_000,
                _ => 5_000,
            };
            std::thread::sleep(Duration::from_millis(random.below(limit)));
        }
        stage.power_cycle()?;
        let seen = stage.device().detail()?.device.last_seen_at;
        stage
            .device()
            .wait("the device after fifty cuts", BOOT, |d| {
                d.device.last_seen_at > seen
            })?;
        still_on_b(stage)
    })
}

fn still_on_b(stage: &mut Stage) -> Told {
    same("the running slot", &stage.running_slot()?.as_str(), &"B")?;
    same("B_LOCKED", &stage.boot_variable("B_LOCKED")?.as_str(), &"1")?;
    same("B_TRY", &stage.boot_variable("B_TRY")?.as_str(), &"0")?;
    let order = stage.boot_variable("ORDER")?;
    ensure(order.starts_with('B'), || format!("ORDER is {order}"))
}
