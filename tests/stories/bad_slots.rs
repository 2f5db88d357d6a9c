//! Releases that are signed and bad: the device comes back by itself, says why, and does not try again.

use fleet_protocol::command::CommandKind;
use fleet_protocol::device::DeviceDetail;
use fleet_protocol::rollout::{MemberStatus, RolloutView};
use fleet_protocol::update::{FailureReason, Slot, UpdateState};
use fleet_tests::fleet::wait_until;
use fleet_tests::kit::release;

use crate::stage::{self, FALLBACK, SHORT, Stage, Told, ensure, same};

/// Rolls `name` out, waits for the fallback, and returns the reason that was reported.
fn falls_back(stage: &mut Stage, name: &str) -> Result<FailureReason, stage::Failure> {
    let rollout = stage.roll_out(name)?;
    comes_back(stage, &rollout)
}

/// The same of a release that has one attempt left: that three are made is told by the first story, and what is bad
/// in its own way has to be bad enough for one.
fn falls_back_at_once(stage: &mut Stage, name: &str) -> Told {
    let mark = stage.vm.serial().mark();
    let rollout = stage.roll_out_to_last_attempt(name)?;
    let why = comes_back(stage, &rollout)?;
    let expected = FailureReason::DidNotBoot { attempts: 3 };
    same("the reason", &why, &expected)?;
    let tries = stage.vm.serial().count_since(mark, "fleet: booting slot B");
    same("attempts at slot B", &tries, &1)
}

/// Waits until the release is given up, and returns the reason that was reported.
fn comes_back(stage: &mut Stage, rollout: &RolloutView) -> Result<FailureReason, stage::Failure> {
    let version = rollout.version.clone();
    let device = stage.device();
    let back = |detail: &DeviceDetail| {
        detail.update_report.as_ref().is_some_and(|report| {
            let failed = matches!(&report.state, UpdateState::RolledBack { version: v, .. } if *v == version);
            failed && report.booted.slot == Slot::A
        })
    };
    let detail = device.wait("the fallback to be reported from slot A", FALLBACK, back)?;
    let report = detail
        .update_report
        .ok_or_else(|| stage::Failure::new("no report"))?;
    same(
        "the version",
        &report.booted.version,
        &stage.fleet.kit().disk_version,
    )?;
    wait_until("the rollout to count the failure", SHORT, || {
        let view = stage.fleet.rollout(&rollout.rollout_id)?;
        let failed = view
            .members
            .iter()
            .any(|m| matches!(m.status, MemberStatus::Failed | MemberStatus::RolledBack));
        Ok((failed.then_some(()), view.summary))
    })?;
    not_retried(stage)?;
    match report.state {
        UpdateState::RolledBack { why, .. } => Ok(why),
        other => Err(stage::Failure::new(format!("then reported {other:?}"))),
    }
}

/// Asked to look again, it still does not install what failed.
fn not_retried(stage: &mut Stage) -> Told {
    let installations = "journalctl -b -u rauc --no-pager | grep -ci 'installing'; true";
    let before = stage.vm.sh(installations)?;
    let device = stage.device();
    device.command(CommandKind::Refresh {}, SHORT)?;
    let seen = device.detail()?.device.last_seen_at;
    let detail = device.wait("another heartbeat", SHORT, |d| d.device.last_seen_at > seen)?;
    let reported = detail.update_report.map(|r| r.state);
    ensure(
        !matches!(
            reported,
            Some(UpdateState::Installing { .. } | UpdateState::RebootPending { .. })
        ),
        || format!("it tries the failed version again: {reported:?}"),
    )?;
    let after = stage.vm.sh(installations)?;
    same("installations of this boot", &after, &before)?;
    same("the running slot", &stage.running_slot()?.as_str(), &"A")
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_slot_that_cannot_boot_is_given_up_after_three_attempts() -> Told {
    stage::tell("no-init", |stage| {
        let mark = stage.vm.serial().mark();
        let why = falls_back(stage, release::NO_INIT)?;
        same(
            "the reason",
            &why,
            &FailureReason::DidNotBoot { attempts: 3 },
        )?;
        let tries = stage.vm.serial().count_since(mark, "fleet: booting slot B");
        same("attempts at slot B", &tries, &3)
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_slot_whose_root_is_damaged_is_given_up() -> Told {
    stage::tell("damaged-root", |stage| {
        falls_back_at_once(stage, release::DAMAGED)
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_slot_that_hangs_before_systemd_is_reset_by_the_watchdog_and_given_up() -> Told {
    stage::tell("hung-initrd", |stage| {
        falls_back_at_once(stage, release::HUNG_INITRD)
    })
}

#[test]
fn a_slot_that_boots_but_is_unhealthy_is_rolled_back_by_the_agent() -> Told {
    stage::tell("unhealthy", |stage| {
        let mark = stage.vm.serial().mark();
        let why = falls_back(stage, release::UNHEALTHY)?;
        ensure(
            matches!(&why, FailureReason::Unhealthy { failed_checks } if !failed_checks.is_empty()),
            || format!("the reason is {why:?}"),
        )?;
        let tries = stage.vm.serial().count_since(mark, "fleet: booting slot B");
        same("boots of slot B", &tries, &1)
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_release_whose_agent_cannot_run_is_given_up_by_the_boot_counter() -> Told {
    stage::tell("broken-agent", |stage| {
        falls_back_at_once(stage, release::BROKEN_AGENT)
    })
}
