//! `/data` full, or destroyed: the device stays reachable.

use fleet_protocol::update::{DeferReason, UpdateState};
use fleet_tests::kit::release;
use fleet_tests::vm::{Boot, Disks};

use crate::stage::{self, BOOT, INSTALL, SHORT, Told, ensure};

#[test]
fn a_full_data_partition_holds_the_update_back_and_nothing_else() -> Told {
    stage::tell("data-full", |stage| {
        stage.vm.shell()?.run_within(
            "dd if=/dev/zero of=/data/ballast bs=1M 2>/dev/null; sync; df /data",
            BOOT,
        )?;
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
        ensure(why.steps.iter().any(|s| s.step == "disk"), || {
            format!("nobody says why: {}", why.summary)
        })?;
        stage.vm.sh("rm /data/ballast; sync")?;
        stage
            .device()
            .wait_committed(&rollout.version, INSTALL + BOOT + BOOT)?;
        Ok(())
    })
}

#[test]
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
        stage.vm.sh("systemctl is-active fleet-safe-mode.target")?;
        Ok(())
    })
}
