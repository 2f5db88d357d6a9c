//! The whole agent, as a process, through the life of a device: RAUC and systemd are fakes on a private
//! bus, the control plane is a small server, the boot loader is its model.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod commands;
mod configuration;
mod contact;
mod identity;
mod rollbacks;
#[path = "../support/mod.rs"]
mod support;
mod thermal;
mod trust;
mod updates;

use fleet_protocol::Version;
use fleet_protocol::update::Slot;
use support::device::{Device, root_hash};

const ONE: Version = Version::new(1, 0, 0);
const TWO: Version = Version::new(2, 0, 0);

/// Of a device on which a trial is to fail: nothing is gained by waiting for it.
const HASTY: &str = "[health]\ndeadline_s = 8\n";

/// Enrolled and at rest in release 1.
fn enrolled() -> Device {
    enrol(Device::new())
}

/// The same, with this in its `local.toml`.
fn enrolled_with(config: &str) -> Device {
    let device = Device::new();
    device.write("data/fleet/config/local.toml", config);
    enrol(device)
}

fn enrol(mut device: Device) -> Device {
    device.provision();
    device.boot();
    device
        .control
        .wait("a first heartbeat", |s| !s.heartbeats.is_empty());
    device
}

/// Release 2 installed and booted on trial.
fn on_trial() -> Device {
    let mut device = enrolled();
    device.publish(&TWO);
    device.reboot_when_asked();
    assert_eq!(device.slot(), Slot::B);
    device
}

fn assert_committed(device: &Device) {
    device.wait_for_report("committed");
    let env = device.boot_env();
    assert_eq!(env.first, Slot::B);
    assert!(env.b.ok && env.b.locked && env.b.tries == 0, "{env:?}");
    let state = device.control.state();
    let last = state.reports.last().unwrap();
    assert_eq!(last.booted.root_hash, root_hash(&TWO));
    assert_eq!(last.booted.slot, Slot::B);
}
