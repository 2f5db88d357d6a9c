//! Where things lie. One struct, so that a test, or a technician, can move the whole tree.

use std::path::{Path, PathBuf};

/// The folders of a device. All others are below these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The agent's own writable tree: `/data/fleet`.
    pub data: PathBuf,
    /// Read-only defaults of the image: `/usr/share/fleet`.
    pub share: PathBuf,
    /// What the image says of itself: `/usr/lib/fleet`.
    pub lib: PathBuf,
    /// The boot partition: `/boot/esp`.
    pub esp: PathBuf,
    /// Gone at power-off: `/run/fleet`.
    pub run: PathBuf,
    /// Of the player: `/run/fleet-player`.
    pub player_run: PathBuf,
    pub proc: PathBuf,
    pub sys: PathBuf,
    /// RAUC's configuration, in the order in which RAUC looks for it.
    pub rauc_system_conf: Vec<PathBuf>,
}

impl Paths {
    /// The device's layout below `root`, which is `/` but in tests.
    pub fn under(root: &Path) -> Self {
        Self {
            data: root.join("data/fleet"),
            share: root.join("usr/share/fleet"),
            lib: root.join("usr/lib/fleet"),
            esp: root.join("boot/esp"),
            run: root.join("run/fleet"),
            player_run: root.join("run/fleet-player"),
            proc: root.join("proc"),
            sys: root.join("sys"),
            rauc_system_conf: ["etc/rauc", "run/rauc", "usr/lib/rauc"]
                .iter()
                .map(|folder| root.join(folder).join("system.conf"))
                .collect(),
        }
    }

    pub fn identity(&self) -> PathBuf {
        self.data.join("identity")
    }

    pub fn config(&self) -> PathBuf {
        self.data.join("config")
    }

    pub fn state(&self) -> PathBuf {
        self.data.join("state")
    }

    pub fn cache(&self) -> PathBuf {
        self.data.join("cache")
    }

    pub fn spool(&self) -> PathBuf {
        self.data.join("spool")
    }

    /// The mount point of the data partition, above the agent's own tree.
    pub fn data_partition(&self) -> &Path {
        self.data.parent().unwrap_or(&self.data)
    }

    pub fn release_file(&self) -> PathBuf {
        self.lib.join("release.json")
    }

    pub fn key_set_file(&self) -> PathBuf {
        self.share.join("keyset.json")
    }

    /// The key sets that were delivered since the image was built.
    pub fn key_chain_file(&self) -> PathBuf {
        self.state().join("key-sets.json")
    }

    pub fn default_config(&self) -> PathBuf {
        self.share.join("agent.toml")
    }

    pub fn roles(&self) -> PathBuf {
        self.share.join("roles")
    }

    /// The places of a provisioning file: the boot partition first, then the data partition.
    pub fn provision_files(&self) -> [PathBuf; 2] {
        [
            self.esp.join("fleet/provision.json"),
            self.data.join("provision.json"),
        ]
    }

    pub fn status_file(&self) -> PathBuf {
        self.run.join("status.json")
    }

    /// Written last by an orderly shutdown, removed at start.
    pub fn shutdown_marker(&self) -> PathBuf {
        self.state().join("orderly-shutdown")
    }
}

impl Default for Paths {
    fn default() -> Self {
        Self::under(Path::new("/"))
    }
}
