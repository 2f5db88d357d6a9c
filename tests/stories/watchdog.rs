//! The chain: hardware watches systemd, systemd watches the agent. Each link is broken here, none blames the slot.

use fleet_protocol::heartbeat::ResetReason;
use fleet_protocol::update::{Slot, UpdateState};

use crate::stage::{self, BOOT, Stage, Told, ensure, same};

/// From outside: PID 1 can't be stopped by a signal.
const FREEZE_PID_1: &str = "echo 1 >/sys/fs/cgroup/init.scope/cgroup.freeze\n";

#[test]
fn a_stopped_agent_is_restarted_by_systemd_and_the_slot_is_not_blamed() -> Told {
    stage::tell("agent-stopped", |stage| {
        let pid = "systemctl show -P MainPID fleet-agent.service";
        let before = stage.vm.sh(pid)?;
        stage.vm.sh(&format!("kill -STOP $({pid})"))?;
        let until = format!(
            "until [ \"$({pid})\" != {before} ] && [ \"$({pid})\" != 0 ]; do sleep 1; done"
        );
        stage.vm.shell()?.run_within(&until, BOOT)?;
        let device = stage.device();
        let seen = device.detail()?.device.last_seen_at;
        device.wait("the agent to report again", BOOT, |d| {
            d.device.last_seen_at > seen
        })?;
        not_blamed(stage)
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_hung_pid_1_is_reset_by_the_hardware_watchdog_and_the_slot_is_not_blamed() -> Told {
    stage::tell("pid-1-hung", |stage| {
        let mark = stage.vm.serial().mark();
        stage.vm.shell()?.send(FREEZE_PID_1)?;
        stage
            .vm
            .serial()
            .wait_for("fleet: booting slot A", mark, BOOT)?;
        let device = stage.device();
        let detail = device.wait("the device after the reset", BOOT, |d| {
            d.heartbeat
                .as_ref()
                .is_some_and(|h| h.reset_reason == ResetReason::Watchdog)
        })?;
        ensure(detail.device.online, || "it is not online".to_owned())?;
        not_blamed(stage)
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_kernel_panic_restarts_the_device_and_is_named_as_the_reason() -> Told {
    stage::tell("kernel-panic", |stage| {
        let mark = stage.vm.serial().mark();
        stage.vm.shell()?.send("echo c >/proc/sysrq-trigger\n")?;
        stage
            .vm
            .serial()
            .wait_for("fleet: booting slot A", mark, BOOT)?;
        let device = stage.device();
        device.wait("the device after the panic", BOOT, |d| {
            d.heartbeat
                .as_ref()
                .is_some_and(|h| h.reset_reason == ResetReason::Panic)
        })?;
        not_blamed(stage)
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_hang_on_trial_costs_an_attempt_and_not_the_slot() -> Told {
    stage::tell_installed("hung-on-trial", |stage, version| {
        stage.boot_to_trial()?;
        stage.vm.shell()?.wait_ready(BOOT)?;
        let mark = stage.vm.serial().mark();
        stage.vm.shell()?.send(FREEZE_PID_1)?;
        stage
            .vm
            .serial()
            .wait_for("fleet: booting slot B", mark, BOOT)?;
        let detail = stage.device().wait_committed(version, BOOT + BOOT)?;
        let reset = detail.heartbeat.map(|h| h.reset_reason);
        same("the reset reason", &reset, &Some(ResetReason::Watchdog))?;
        same("the running slot", &stage.running_slot()?.as_str(), &"B")
    })
}

fn not_blamed(stage: &mut Stage) -> Told {
    let report = stage.device().detail()?.update_report;
    let report = report.ok_or_else(|| stage::Failure::new("no report of this boot"))?;
    same("the slot", &report.booted.slot, &Slot::A)?;
    ensure(
        !matches!(report.state, UpdateState::RolledBack { .. }),
        || format!("the slot was blamed: {:?}", report.state),
    )?;
    same("the running slot", &stage.running_slot()?.as_str(), &"A")?;
    same("A_LOCKED", &stage.boot_variable("A_LOCKED")?.as_str(), &"1")?;
    same("A_TRY", &stage.boot_variable("A_TRY")?.as_str(), &"0")
}
