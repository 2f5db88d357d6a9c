//! What the builders made for the system tests: programs, keys, an image, bundles. Found by convention.
//!
//! Written by `cargo xtask test` (and `demo`, `soak`, `bench`) as `target/fleet/kit.json`; nothing here builds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fleet_protocol::{Sha256, Version};
use serde::{Deserialize, Serialize};

use crate::fleet::{FleetError, Result};

/// Names of releases in the kit.
pub mod release {
    /// What the image holds.
    pub const FIRST: &str = "first";
    /// Good, and newer than the image.
    pub const GOOD: &str = "good";
    /// Good, and newer than [`GOOD`]: a small change over it.
    pub const BETTER: &str = "better";
    /// The initrd finds no init: three panics.
    pub const NO_INIT: &str = "no-init";
    /// The root does not fit its hash: three panics.
    pub const DAMAGED: &str = "damaged-root";
    /// The initrd hangs: three resets by the watchdog.
    pub const HUNG_INITRD: &str = "hung-initrd";
    /// A required unit fails.
    pub const UNHEALTHY: &str = "unhealthy";
    /// The agent's program can't be run.
    pub const BROKEN_AGENT: &str = "broken-agent";
    /// Signed by another bundle CA.
    pub const FOREIGN: &str = "foreign-signature";
    /// For another kind of device.
    pub const WRONG_COMPATIBLE: &str = "wrong-compatible";
    /// Half of its bytes.
    pub const TRUNCATED: &str = "truncated";
}

/// One bundle, with what release metadata says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleFile {
    pub path: PathBuf,
    pub version: Version,
    pub compatible: String,
    pub sha256: Sha256,
    pub size_bytes: u64,
    pub manifest_sha256: Sha256,
    pub root_hash: Sha256,
}

/// Everything a story starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kit {
    /// `target/fleet`
    pub fleet_dir: PathBuf,
    /// The programs `fleet-control` and `fleet`.
    pub control: PathBuf,
    pub cli: PathBuf,
    /// A `rauc` new enough for the operator's command.
    pub rauc: PathBuf,
    /// A tarball with a TV at the end of a CEC line: the kernel's modules for it, and programs.
    pub television: PathBuf,
    /// The folder that `fleet keys init` made.
    pub keys: PathBuf,
    /// A raw disk image of release 1, with the test shell.
    pub disk: PathBuf,
    pub disk_version: Version,
    /// Changes when anything does that a device enrolled earlier would show.
    pub key: String,
    pub bundles: BTreeMap<String, BundleFile>,
}

impl Kit {
    /// Reads what the builders left in `fleet_dir`.
    pub fn read(fleet_dir: &Path) -> Result<Self> {
        let path = fleet_dir.join("kit.json");
        let text = fs::read(&path).map_err(FleetError::io(format!(
            "reading {} (`cargo xtask test` makes it)",
            path.display()
        )))?;
        serde_json::from_slice(&text).map_err(|error| FleetError::Unexpected {
            what: path.display().to_string(),
            reason: format!("{error}; `cargo xtask test` writes it anew"),
        })
    }

    /// Leaves it where [`Kit::read`] finds it.
    pub fn write(&self) -> Result<()> {
        let path = self.fleet_dir.join("kit.json");
        let text = serde_json::to_vec_pretty(self).expect("a kit is plain data");
        let aside = path.with_extension("new");
        fs::write(&aside, text)
            .and_then(|()| fs::rename(&aside, &path))
            .map_err(FleetError::io(format!("writing {}", path.display())))
    }

    /// The bundle of this name; see [`release`].
    pub fn bundle(&self, name: &str) -> Result<&BundleFile> {
        self.bundles
            .get(name)
            .ok_or_else(|| FleetError::Unexpected {
                what: "the kit".to_owned(),
                reason: format!("it has no release `{name}`; `cargo xtask test` builds it"),
            })
    }
}
