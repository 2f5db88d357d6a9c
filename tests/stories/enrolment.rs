//! A device that was never switched on finds its control plane.

use fleet_protocol::enrolment::ProvisionFile;
use fleet_protocol::heartbeat::OperatingMode;
use fleet_protocol::update::Slot;
use fleet_tests::kit::release;
use fleet_tests::vm::{Boot, Clock};

use crate::stage::{self, BOOT, INSTALL, Told, ensure, same};

#[test]
fn a_fresh_device_enrols_and_is_online() -> Told {
    stage::tell_fresh("fresh-device", Clock::Host, |stage| {
        stage.vm.power_on(Boot::Cold)?;
        stage.wait_enrolled()?;
        let device = stage.device();
        let detail = device.wait("a heartbeat", BOOT, |d| d.heartbeat.is_some())?;
        same("its name", &detail.device.name.as_str(), &"screen-1")?;
        same(
            "its version",
            &detail.device.version,
            &stage.fleet.kit().disk_version,
        )?;
        let Some(heartbeat) = detail.heartbeat else {
            return ensure(false, || "the heartbeat is gone again".to_owned());
        };
        same("its slot", &heartbeat.booted.slot, &Slot::A)?;
        same("its mode", &heartbeat.mode, &OperatingMode::Normal)?;
        ensure(heartbeat.metrics.agent_resident_bytes > 0, || {
            "the agent does not know its own size".to_owned()
        })?;

        // The token worked once, and its secret is off the boot partition.
        stage.vm.shell()?.wait_ready(BOOT)?;
        let left = stage
            .vm
            .sh("cat /boot/esp/fleet/provision.json 2>/dev/null || true")?;
        let file = stage.fleet.dir().join("provision-screen-1.json");
        let provision: ProvisionFile = serde_json::from_slice(&std::fs::read(file)?)?;
        ensure(!left.contains(&provision.enrolment_token), || {
            format!("the token is still on the boot partition: {left}")
        })
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_screen_that_nobody_knows_shows_a_code_and_joins_once_it_is_claimed() -> Told {
    stage::tell_unknown("pairing", |stage| {
        stage.vm.power_on(Boot::Cold)?;
        stage.vm.shell()?.wait_ready(BOOT)?;
        // As a person reads it from the screen.
        let shown = "until grep -so '[2-9A-Z]\\{4\\}-[2-9A-Z]\\{4\\}' /run/fleet/card.json; do sleep 1; done";
        let seen = stage.vm.shell()?.run_within(shown, BOOT)?;
        // It is in the address of the QR code as well.
        let code = seen.lines().next().unwrap_or_default();
        stage
            .fleet
            .cli(&["device", "pair", code, "--name", "window"])?;
        stage.wait_enrolled()?;
        let detail = stage.device().detail()?;
        same("its name", &detail.device.name.as_str(), &"window")
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_device_whose_clock_says_1970_enrols_and_updates() -> Told {
    stage::tell_fresh("clock-at-1970", Clock::Epoch, |stage| {
        stage.vm.power_on(Boot::Cold)?;
        stage.wait_enrolled()?;
        let rollout = stage.roll_out(release::GOOD)?;
        let device = stage.device();
        device.wait_committed(&rollout.version, INSTALL + BOOT + BOOT)?;
        stage.vm.shell()?.wait_ready(BOOT)?;
        let year: String = stage.vm.sh("date -u +%Y")?;
        ensure(year.parse().is_ok_and(|year: u32| year >= 2026), || {
            format!("the device lives in {year}")
        })
    })
}
