//! What is fixed while the player runs: where things are, what the device is, how it was started.

use std::path::PathBuf;

use fleet_protocol::Version;

use crate::control_plane::PlainHttp;

/// Where a device has what.
#[derive(Debug, Clone)]
pub struct Places {
    /// Of the agent: address, token, certificates.
    pub identity: PathBuf,
    /// Of the player: manifests and journal.
    pub state: PathBuf,
    /// Of the player: media.
    pub cache: PathBuf,
    /// Of the agent: what it wants on the screen.
    pub notice: PathBuf,
    /// Of the machine: the folder with its CEC adapters, if a TV is to be told when to be on.
    pub cec: Option<PathBuf>,
}

/// What the device is, for telemetry and cards.
#[derive(Debug, Clone)]
pub struct Facts {
    pub app_version: Version,
    pub device_model: String,
    pub os_version: String,
    pub name: String,
}

impl Facts {
    /// From os-release(5), the firmware's tables and the host's name; what is not there is said so.
    pub fn of_this_machine() -> Self {
        let read = |path: &str| {
            let text = std::fs::read_to_string(path).ok()?;
            let text = text.trim_matches(['\0', '\n', ' ']).to_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        let unknown = || "unknown".to_owned();
        let os_release = read("/etc/os-release").unwrap_or_default();
        let named = |key: &str| {
            let mut lines = os_release.lines().filter_map(|line| line.split_once('='));
            let (_, value) = lines.find(|(name, _)| *name == key)?;
            Some(value.trim_matches('"').to_owned())
        };
        Self {
            app_version: env!("CARGO_PKG_VERSION")
                .parse()
                .expect("cargo's versions are versions"),
            device_model: read("/proc/device-tree/model")
                .or_else(|| read("/sys/class/dmi/id/product_name"))
                .unwrap_or_else(unknown),
            os_version: named("PRETTY_NAME").unwrap_or_else(unknown),
            name: read("/proc/sys/kernel/hostname").unwrap_or_else(unknown),
        }
    }
}

/// What does not change while the player runs.
#[derive(Debug, Clone)]
pub struct Setting {
    pub places: Places,
    pub facts: Facts,
    pub plain_http: PlainHttp,
}
