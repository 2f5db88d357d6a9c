//! What is fixed while the player runs: where things are, what the device is, how it was started.

use std::path::PathBuf;

use fleet_protocol::Version;
use fleet_protocol::player::Manifest;

use crate::control_plane::PlainHttp;
use crate::core::cache::DEFAULT_BUDGET_BYTES;
use crate::core::screen::Manifests;

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
    pub media: MediaLimits,
}

/// What media may take: of the device's own, where no manifest says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaLimits {
    pub cache_budget_bytes: u64,
    /// Of all downloads together; 0 is no limit.
    pub bandwidth_limit_bytes_per_s: u64,
}

impl Default for MediaLimits {
    fn default() -> Self {
        Self {
            cache_budget_bytes: DEFAULT_BUDGET_BYTES,
            bandwidth_limit_bytes_per_s: 0,
        }
    }
}

impl MediaLimits {
    /// With what the manifests say of them. While one is staged, the larger budget counts: the files of both have
    /// to fit in, or it would never take over.
    pub(super) fn under(self, manifests: &Manifests) -> Self {
        let (current, staged) = (manifests.current(), manifests.staged().manifest());
        let own_budget = self.cache_budget_bytes;
        let budget = |manifest: &Manifest| manifest.settings.cache_budget_bytes;
        let both = current.into_iter().chain(staged);
        let budgets = both.map(|manifest| budget(manifest).unwrap_or(own_budget));
        let limit = |manifest: &Manifest| manifest.settings.bandwidth_limit_bytes_per_s;
        let limit = staged.or(current).and_then(limit);
        Self {
            cache_budget_bytes: budgets.max().unwrap_or(own_budget),
            bandwidth_limit_bytes_per_s: limit.unwrap_or(self.bandwidth_limit_bytes_per_s),
        }
    }
}
