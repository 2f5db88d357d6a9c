//! The data partition's repair. Units are stopped and started by the caller; here is what lies between,
//! and the waiting for it. All of it blocks, within limits.

use fleet_device::clock;

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
    let (success, program): (&str, &[&str]) = match repair {
        // 1 and 2: damage that was mended.
        Repair::Check => ("1 2", &["e2fsck", "-f", "-y", DEVICE]),
        Repair::Format => ("", &["mkfs.ext4", "-q", "-F", "-L", "data", DEVICE]),
    };
    let success = format!("--property=SuccessExitStatus={success}");
    // By PID 1, which may open disks; this process may not. Default dependencies would have it try to mount what is
    // worked on.
    let arguments = [
        "--wait",
        "--collect",
        "--quiet",
        "--pipe",
        "--property=DefaultDependencies=no",
        &success,
    ];
    let arguments = [arguments.as_slice(), program].concat();
    let run = || command::run("systemd-run", &arguments, Limits::seconds(300));
    // Any service that starts meanwhile may hold it for the moment that mounting it fails.
    let tried = run().or_else(|_| {
        std::thread::sleep(std::time::Duration::from_secs(2));
        run()
    });
    tried.map(drop).map_err(ActionError::from)
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
