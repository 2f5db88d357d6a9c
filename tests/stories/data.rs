//! `/data` full, or destroyed: the device stays reachable.

use fleet_protocol::update::{DeferReason, UpdateState};
use fleet_protocol::why::{Verdict, WhyStep};
use fleet_tests::fleet::page::Technician;
use fleet_tests::fleet::wait_until;
use fleet_tests::kit::release;
use fleet_tests::vm::{Boot, Disks};

use crate::stage::{self, BOOT, INSTALL, SHORT, Told, ensure, same};

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_full_data_partition_holds_the_update_back_and_nothing_else() -> Told {
    stage::tell("data-full", |stage| {
        stage.fill_data()?;
        // The agent starts and reports on a full disk too.
        stage.vm.sh("systemctl restart fleet-agent.service")?;
        let device = stage.device();
        let seen = device.detail()?.device.last_seen_at;
        device.wait("a heartbeat with a full disk", SHORT, |d| {
            d.device.last_seen_at > seen
        })?;
        let rollout = stage.roll_out(release::GOOD)?;
        let device = stage.device();
        device.wait_state("the update to wait for room", SHORT, |state| {
            matches!(
                state,
                UpdateState::Deferred {
                    why: DeferReason::DiskSpace { .. },
                    ..
                }
            )
        })?;
        let why = stage.fleet.why(&device.id.clone())?;
        let holds = |s: &WhyStep| s.step == "disk" && s.verdict != Verdict::Pass;
        ensure(why.steps.iter().any(holds), || {
            format!("nobody says why: {}", why.summary)
        })?;
        stage.free_data()?;
        stage
            .device()
            .wait_committed(&rollout.version, INSTALL + BOOT + BOOT)?;
        Ok(())
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_corrupt_data_partition_leads_to_safe_mode_with_a_page() -> Told {
    stage::tell("data-corrupt", |stage| {
        stage.vm.power_cut();
        let tools = stage.fleet.programs();
        let data = Disks::partition(&**tools, &stage.fleet.kit().disk, "data")?;
        stage.vm.disks().overwrite(&**tools, data, 0x5a)?;
        stage.vm.power_on(Boot::Cold)?;
        let page = stage.wait_page("safe mode", BOOT)?;
        ensure(page.len() < 50_000, || {
            format!("the page has {} bytes", page.len())
        })?;
        stage.vm.shell()?.wait_ready(BOOT)?;
        // The agent's own page says so too, just before it goes.
        let there = "until systemctl is-active -q fleet-safe-mode.service; do sleep 1; done";
        stage.vm.shell()?.run_within(there, SHORT)?;

        // The PIN outlives the partition; formatting it makes the device whole again.
        let pin = stage.vm.sh("cat /boot/esp/fleet/pin")?;
        let port = stage.vm.page_port()?;
        let technician = Technician::log_in(port, &pin)
            .ok_or_else(|| stage::Failure::new("the PIN was refused"))?;
        let answer = technician.send("/data", &[("repair", "format"), ("confirm", "FORMAT")]);
        let answer = answer.ok_or_else(|| stage::Failure::new("no answer"))?;
        same(&answer.text, &answer.status, &200)?;
        stage.vm.sh("grep ' /data ext4 rw' /proc/mounts")?;

        // Its identity is gone with the data: it joins anew with a new enrolment file.
        let provision = stage.fleet.provision("screen-1-again")?;
        let text = std::fs::read_to_string(provision)?;
        stage.vm.sh(&format!(
            "cat >/boot/esp/fleet/provision.json <<'EOF'\n{text}\nEOF\nsync"
        ))?;
        let answer = technician.send("/retry", &[]);
        ensure(answer.is_some_and(|a| a.status == 200), || {
            "the device does not try again".to_owned()
        })?;
        wait_until("the device to join anew", BOOT, || {
            let devices = stage.fleet.devices()?;
            let names: Vec<String> = devices.iter().map(|d| d.name.clone()).collect();
            let joined = names.iter().any(|n| n == "screen-1-again").then_some(());
            Ok((joined, names.join(", ")))
        })?;
        Ok(())
    })
}
