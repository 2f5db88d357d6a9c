//! A machine's disk and its firmware variables: thin overlays, so that a story never changes what it started from.
//!
//! Both are qcow2, because only then can QEMU keep a running machine in them (`savevm`). Overlays name their base by
//! absolute path; bases must not change while an overlay of theirs lives.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::{Result, VmError};
use super::programs::{self, Programs};

const FIRMWARE_VARIABLES: &str = "usr/share/OVMF/OVMF_VARS_4M.fd";
const DISK_SIZE: &str = "2G";
const SECTOR_BYTES: u64 = 512;

/// What a machine boots from.
#[derive(Debug, Clone)]
pub struct Disks {
    pub(super) disk: PathBuf,
    pub(super) variables: PathBuf,
}

/// Where a partition lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub offset_bytes: u64,
    pub size_bytes: u64,
}

impl Disks {
    /// A new overlay over `base` in `dir`, with factory-new firmware variables. The disk is larger than its image,
    /// as a real one would be.
    pub fn overlay(programs: &dyn Programs, base: &Path, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(VmError::io(format!("creating {}", dir.display())))?;
        let disks = Self::in_dir(dir);
        let format = if base.extension().is_some_and(|e| e == "qcow2") {
            "qcow2"
        } else {
            "raw"
        };
        let mut create = programs.command("qemu-img");
        create.args(["create", "-q", "-f", "qcow2", "-F", format, "-b"]);
        programs::run(
            create.arg(base).arg(&disks.disk).arg(DISK_SIZE),
            "qemu-img create",
        )?;
        let mut convert = programs.command("qemu-img");
        convert.args(["convert", "-f", "raw", "-O", "qcow2"]);
        convert.arg(programs.file(FIRMWARE_VARIABLES));
        programs::run(convert.arg(&disks.variables), "qemu-img convert")?;
        Ok(disks)
    }

    /// A copy of these disks, with the snapshots in them, in another folder. The machine must be off.
    pub fn copy_to(&self, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(VmError::io(format!("creating {}", dir.display())))?;
        let copy = Self::in_dir(dir);
        for (from, to) in [(&self.disk, &copy.disk), (&self.variables, &copy.variables)] {
            fs::copy(from, to).map_err(VmError::io(format!("copying {}", from.display())))?;
        }
        Ok(copy)
    }

    /// The disks that [`Disks::overlay`] or [`Disks::copy_to`] put into `dir`.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            disk: dir.join("disk.qcow2"),
            variables: dir.join("variables.qcow2"),
        }
    }

    /// Both files are there.
    pub fn exist(&self) -> bool {
        self.disk.is_file() && self.variables.is_file()
    }

    /// Where the partition called `name` lies, by the GPT of the raw image `base`.
    pub fn partition(programs: &dyn Programs, base: &Path, name: &str) -> Result<Extent> {
        let mut sfdisk = programs.command("sfdisk");
        let table = programs::run(sfdisk.arg("--json").arg(base), "sfdisk --json")?;
        extent(&table, name).map_err(|reason| VmError::Disk {
            path: base.to_owned(),
            reason,
        })
    }

    /// Overwrites `extent` with a byte pattern, as a failing medium would. The machine must be off.
    pub fn overwrite(&self, programs: &dyn Programs, extent: Extent, pattern: u8) -> Result<()> {
        let mut write = programs.command("qemu-io");
        write.args(["-f", "qcow2", "-c"]).arg(format!(
            "write -P {pattern:#x} {} {}",
            extent.offset_bytes, extent.size_bytes
        ));
        programs::run(write.arg(&self.disk), "qemu-io").map(drop)
    }

    /// Checks that the qcow2 files themselves are sound; leaked clusters after a power cut are not damage.
    pub fn check(&self, programs: &dyn Programs) -> Result<()> {
        let mut check = programs.command("qemu-img");
        check.args(["check", "-q", "-r", "leaks"]).arg(&self.disk);
        programs::run(&mut check, "qemu-img check").map(drop)
    }
}

#[derive(Deserialize)]
struct Output {
    partitiontable: Table,
}

#[derive(Deserialize)]
struct Table {
    partitions: Vec<Partition>,
}

#[derive(Deserialize)]
struct Partition {
    #[serde(default)]
    name: String,
    start: u64,
    size: u64,
}

fn extent(table: &str, name: &str) -> std::result::Result<Extent, String> {
    let output: Output = serde_json::from_str(table).map_err(|e| e.to_string())?;
    let partitions = output.partitiontable.partitions;
    let known: Vec<&str> = partitions.iter().map(|p| p.name.as_str()).collect();
    partitions
        .iter()
        .find(|p| p.name == name)
        .map(|p| Extent {
            offset_bytes: p.start * SECTOR_BYTES,
            size_bytes: p.size * SECTOR_BYTES,
        })
        .ok_or_else(|| format!("no partition is called {name}, only {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"{"partitiontable": {"label": "gpt", "sectorsize": 512, "partitions": [
        {"node": "x1", "start": 2048, "size": 4096, "name": "esp"},
        {"node": "x2", "start": 8192, "size": 10, "name": "boot-a"}]}}"#;

    #[test]
    fn a_partition_is_found_by_its_name() {
        let expected = Extent {
            offset_bytes: 8192 * 512,
            size_bytes: 5120,
        };
        assert_eq!(extent(TABLE, "boot-a").unwrap(), expected);
    }

    #[test]
    fn a_missing_partition_is_answered_with_those_that_exist() {
        let error = extent(TABLE, "rootfs-a").unwrap_err();
        assert!(error.contains("esp, boot-a"), "{error}");
    }
}
