//! Releases that are bad on purpose, for the system tests, and the test shell that no product image has.

use std::path::Path;

use anyhow::{Context, Result};

use super::overlay::Overlay;

/// How a release turns out on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Variant {
    /// As it should be.
    #[default]
    Good,
    /// Has no init: the initrd gives up, the kernel panics, an attempt is lost.
    NoInit,
    /// The root does not fit its hash: opening it fails, an attempt is lost.
    DamagedRoot,
    /// The initrd hangs before it hands over: the hardware watchdog ends it, an attempt is lost.
    HungInitrd,
    /// Boots, but a unit that the role requires fails: for the health gate to find.
    Unhealthy,
    /// The agent's program is no program.
    BrokenAgent,
}

impl Variant {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NoInit => "no-init",
            Self::DamagedRoot => "damaged-root",
            Self::HungInitrd => "hung-initrd",
            Self::Unhealthy => "unhealthy",
            Self::BrokenAgent => "broken-agent",
        }
    }

    /// What the initrd reads of the release, given what it should.
    pub(super) fn verity_config(self, config: String) -> String {
        match self {
            Self::HungInitrd => format!("{config}while :; do sleep 60; done\n"),
            _ => config,
        }
    }

    /// What differs in the files. A damaged root differs in its image only, and a hung initrd in what it reads.
    pub(super) fn apply(self, overlay: &mut Overlay) -> Result<()> {
        match self {
            Self::Good | Self::DamagedRoot | Self::HungInitrd => Ok(()),
            Self::NoInit => {
                overlay.add_link("usr/lib/systemd/systemd", "/nonexistent");
                Ok(())
            }
            Self::Unhealthy => unhealthy(overlay),
            Self::BrokenAgent => {
                overlay.add_file("usr/bin/fleet-agent", b"not a program\n".to_vec(), 0o755);
                Ok(())
            }
        }
    }
}

/// May somebody get in?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// A product image: no shell anywhere.
    #[default]
    Sealed,
    /// A root shell on the virtio console `hvc0`, for tests to drive.
    TestShell,
}

impl Access {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::TestShell => "test-shell",
        }
    }

    pub(super) fn apply(self, overlay: &mut Overlay) {
        if self == Self::TestShell {
            overlay.add_file(TEST_SHELL_UNIT, TEST_SHELL.into(), 0o644);
            overlay.add_link(
                "usr/lib/systemd/system/sysinit.target.wants/fleet-test-shell.service",
                "../fleet-test-shell.service",
            );
            overlay.add_file(PATIENCE_FILE, PATIENCE.into(), 0o644);
        }
    }
}

const PATIENCE_FILE: &str = "usr/lib/systemd/system.conf.d/20-fleet-emulated.conf";

/// Emulated, beside others on a busy host, a device takes longer to find its disks than any board, and may stand still for
/// longer; what it does then, such as going to safe mode, is not about that.
const PATIENCE: &str = "\
[Manager]
RuntimeWatchdogSec=30s
DefaultDeviceTimeoutSec=3min
DefaultTimeoutStartSec=3min
";

const TEST_SHELL_UNIT: &str = "usr/lib/systemd/system/fleet-test-shell.service";

const TEST_SHELL: &str = "\
[Unit]
Description=Root shell for tests on hvc0
DefaultDependencies=no
ConditionPathExists=/dev/hvc0
IgnoreOnIsolate=yes

[Service]
Environment=HOME=/root TERM=dumb PS1=
ExecStart=-/bin/sh -i
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/hvc0
Restart=always
RestartSec=0
KillMode=process
SendSIGHUP=yes
OOMScoreAdjust=-1000
";

const ROLE: &str = "usr/share/fleet/roles/signage.toml";
const BROKEN_UNIT: &str = "fleet-broken.service";

fn unhealthy(overlay: &mut Overlay) -> Result<()> {
    let unit = "[Unit]\nDescription=Fails on purpose\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/false\n";
    overlay.add_file(
        format!("usr/lib/systemd/system/{BROKEN_UNIT}"),
        unit.into(),
        0o644,
    );
    overlay.add_link(
        format!("usr/lib/systemd/system/multi-user.target.wants/{BROKEN_UNIT}"),
        Path::new("..").join(BROKEN_UNIT),
    );
    overlay.edit(ROLE, |text| {
        let mut role: toml::Table = text.parse().context("the role file is no TOML")?;
        let units = role
            .get_mut("health")
            .and_then(|health| health.get_mut("required_units"))
            .and_then(toml::Value::as_array_mut)
            .context("the role names no required_units")?;
        units.push(BROKEN_UNIT.into());
        Ok(role.to_string())
    })
}
