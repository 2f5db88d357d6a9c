//! The data partition's repair. Units are stopped and started by the caller; here is what lies between,
//! and the waiting for it. All of it blocks, within limits.

use crate::platform::clock;
use crate::platform::paths::Paths;
use crate::safe_mode::actions::{ActionError, Repair};
use crate::safe_mode::facts::DataState;
use crate::support_bundle::command::{self, Limits};

/// Stopped, it is checked or made anew.
pub(super) fn repair(paths: &Paths, repair: Repair) -> Result<(), ActionError> {
    /// Of the disk that the device booted from, whatever is plugged in.
    const DEVICE: &str = "/dev/fleet/data";
    // Stopping a unit only queues the job; the filesystem must be gone before it is touched.
    let end = clock::monotonic().plus_ms(15_000);
    while DataState::read(paths) != DataState::NotMounted {
        if clock::monotonic() > end {
            return Err(ActionError::new(
                "the data partition is still in use",
                "reboot, then try again before doing anything else",
            ));
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // By PID 1, which may open disks; this process may not.
    let common = [
        "--wait",
        "--collect",
        "--quiet",
        "--pipe",
        "--property=SuccessExitStatus=1 2",
    ];
    let program: &[&str] = match repair {
        Repair::Check => &["e2fsck", "-f", "-y", DEVICE],
        Repair::Format => &["mkfs.ext4", "-q", "-F", "-L", "data", DEVICE],
    };
    command::run(
        "systemd-run",
        &[common.as_slice(), program].concat(),
        Limits::seconds(300),
    )?;
    Ok(())
}

/// Starting a unit only queues the job; done is what can be written to.
pub(super) fn await_usable(paths: &Paths) -> Result<(), ActionError> {
    let end = clock::monotonic().plus_ms(60_000);
    while !DataState::read(paths).is_usable() {
        if clock::monotonic() > end {
            return Err(ActionError::new(
                "the data partition was worked on, but cannot be mounted",
                "format it; if that does not help either, the disk is failing and must be replaced",
            ));
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    Ok(())
}
