//! Which machine this is, by what its firmware says.

use std::path::Path;

use serde::Deserialize;

/// What firmware says of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Board {
    /// Of the device tree, most particular first.
    pub compatible: Vec<String>,
    /// Of DMI: who made the system.
    pub vendor: Option<String>,
    pub architecture: String,
}

impl Board {
    /// Reads what the kernel passes on of it, below `root`.
    pub fn under(root: &Path) -> Self {
        let read = |path: &str| std::fs::read(root.join(path)).ok();
        let compatible = read("proc/device-tree/compatible").unwrap_or_default();
        let compatible = compatible
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        let vendor = read("sys/class/dmi/id/sys_vendor")
            .map(|vendor| String::from_utf8_lossy(&vendor).trim().to_owned());
        Self {
            compatible,
            vendor: vendor.filter(|vendor| !vendor.is_empty()),
            architecture: std::env::consts::ARCH.to_owned(),
        }
    }
}

/// Which machines a profile is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardMatch {
    #[serde(default)]
    compatible: Vec<String>,
    #[serde(default)]
    vendors: Vec<String>,
    architecture: Option<String>,
}

/// How much a profile says about a board; the later the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Architecture,
    Vendor,
    Compatible,
}

impl BoardMatch {
    /// `None`: it is not for this one.
    pub(super) fn fit(&self, board: &Board) -> Option<Fit> {
        if board
            .compatible
            .iter()
            .any(|name| self.compatible.contains(name))
        {
            return Some(Fit::Compatible);
        }
        if board
            .vendor
            .as_ref()
            .is_some_and(|vendor| self.vendors.contains(vendor))
        {
            return Some(Fit::Vendor);
        }
        let is_its_kind = self.architecture.as_ref() == Some(&board.architecture);
        is_its_kind.then_some(Fit::Architecture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_tree_and_dmi_are_read_as_the_kernel_writes_them() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        assert_eq!(Board::under(root.path()).compatible, Vec::<String>::new());
        write(
            "proc/device-tree/compatible",
            b"raspberrypi,4-model-b\0brcm,bcm2711\0",
        );
        write("sys/class/dmi/id/sys_vendor", b"QEMU\n");
        let board = Board::under(root.path());
        assert_eq!(board.compatible, ["raspberrypi,4-model-b", "brcm,bcm2711"]);
        assert_eq!(board.vendor.as_deref(), Some("QEMU"));
    }
}
