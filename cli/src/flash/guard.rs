//! Refuses to write to anything that is in use: mounted, swapped to, held by another device, or
//! below the running system.
//!
//! Reads `/proc/self/mountinfo`, `/proc/swaps` and `/sys`; both roots can be set, so that tests
//! bring their own machine. The exclusive open in `medium` is the second line: the kernel's word.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A device's number, as `/sys/dev/block/MAJOR:MINOR` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    pub major: u64,
    pub minor: u64,
}

impl DeviceNumber {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }

    /// From `st_dev` or `st_rdev`.
    pub const fn of(raw: u64) -> Self {
        Self {
            major: nix::sys::stat::major(raw),
            minor: nix::sys::stat::minor(raw),
        }
    }
}

impl std::fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it is the disk that this system runs from (`/` is on it)")]
    SystemDisk,
    #[error("it is mounted at {0}")]
    Mounted(String),
    #[error("it is used as swap space")]
    Swap,
    #[error("it is in use by {0} (LVM, RAID, encryption or a loop device)")]
    Held(String),
    #[error("it is a partition; an image needs the whole disk, {0}")]
    Partition(String),
    #[error("it is write-protected")]
    ReadOnly,
    #[error("its sectors have {0} bytes; images are made for 512")]
    SectorSize(u64),
    #[error("what this system runs from could not be found out ({0})")]
    Unknown(String),
}

impl Refusal {
    pub fn hint(&self) -> String {
        match self {
            Self::SystemDisk => "name the card's device: `lsblk -o NAME,SIZE,MODEL,MOUNTPOINTS` shows which is which".to_owned(),
            Self::Mounted(at) => format!("check that it is the right disk, then: umount {at}"),
            Self::Swap => "check that it is the right disk, then: swapoff".to_owned(),
            Self::Held(_) => "check that it is the right disk, then stop what uses it (lsblk shows it)".to_owned(),
            Self::Partition(disk) => format!("check that it is the right disk, then name {disk}"),
            Self::ReadOnly => "many SD cards have a small lock switch on their side".to_owned(),
            Self::SectorSize(_) => "use a card or disk with 512-byte sectors".to_owned(),
            Self::Unknown(_) => "nothing is written when in doubt: run it where /proc and /sys are mounted".to_owned(),
        }
    }
}

/// Where the kernel tells about itself.
#[derive(Debug, Clone)]
pub struct Host {
    pub proc: PathBuf,
    pub sys: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
        }
    }
}

/// Something in use, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Use {
    device: DeviceNumber,
    how: Refusal,
}

impl Host {
    /// May this block device be overwritten?
    ///
    /// # Errors
    /// With the reason why not.
    pub fn check_device(&self, target: DeviceNumber) -> Result<(), Refusal> {
        let folder = self.folder(target)?;
        if folder.join("partition").exists() {
            let disk = folder
                .parent()
                .and_then(Path::file_name)
                .unwrap_or_default();
            return Err(Refusal::Partition(format!(
                "/dev/{}",
                disk.to_string_lossy()
            )));
        }
        let mut uses = self.mounts()?;
        uses.extend(self.swaps());
        for used in uses {
            if self.disks_below(used.device).contains(&target) {
                return Err(used.how);
            }
        }
        if let Some(holder) =
            holders(&folder).or_else(|| partitions(&folder).iter().find_map(|p| holders(p)))
        {
            return Err(Refusal::Held(holder));
        }
        if read(&folder.join("ro")).is_some_and(|v| v == "1") {
            return Err(Refusal::ReadOnly);
        }
        match read(&folder.join("queue/logical_block_size")).and_then(|v| v.parse().ok()) {
            Some(512) | None => Ok(()),
            Some(other) => Err(Refusal::SectorSize(other)),
        }
    }

    /// May this regular file be overwritten?
    ///
    /// # Errors
    /// When it is a swap file, or a loop device stands for it.
    pub fn check_file(&self, target: &Path) -> Result<(), Refusal> {
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        if swap_paths(&self.proc)
            .iter()
            .any(|p| Path::new(p) == target)
        {
            return Err(Refusal::Swap);
        }
        for entry in entries(&self.sys.join("block")) {
            if read(&entry.join("loop/backing_file")).is_some_and(|file| Path::new(&file) == target)
            {
                let name = entry
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                return Err(Refusal::Held(name));
            }
        }
        Ok(())
    }

    /// Model and size as the kernel knows them, for the question before writing.
    pub fn model(&self, target: DeviceNumber) -> Option<String> {
        let folder = self.folder(target).ok()?;
        let part = |name: &str| read(&folder.join("device").join(name)).filter(|t| !t.is_empty());
        match (part("vendor"), part("model").or_else(|| part("name"))) {
            (Some(vendor), Some(model)) => Some(format!("{vendor} {model}")),
            (None, model) => model,
            (vendor, None) => vendor,
        }
    }

    fn folder(&self, device: DeviceNumber) -> Result<PathBuf, Refusal> {
        let link = self.sys.join(format!("dev/block/{device}"));
        fs::canonicalize(&link).map_err(|e| Refusal::Unknown(format!("{}: {e}", link.display())))
    }

    fn mounts(&self) -> Result<Vec<Use>, Refusal> {
        let path = self.proc.join("self/mountinfo");
        let text = fs::read_to_string(&path)
            .map_err(|e| Refusal::Unknown(format!("{}: {e}", path.display())))?;
        Ok(parse_mountinfo(&text)
            .into_iter()
            .filter_map(|mount| {
                // Some file systems (btrfs, overlays) have a number of their own, but name their device.
                let device = if mount.device.major == 0 {
                    block_number(Path::new(&mount.source))?
                } else {
                    mount.device
                };
                let how = if mount.point == "/" {
                    Refusal::SystemDisk
                } else {
                    Refusal::Mounted(mount.point)
                };
                Some(Use { device, how })
            })
            .collect())
    }

    fn swaps(&self) -> Vec<Use> {
        swap_paths(&self.proc)
            .iter()
            .filter_map(|path| {
                let meta = fs::metadata(path).ok()?;
                let device = block_number(Path::new(path)).unwrap_or(DeviceNumber::of(meta.dev()));
                Some(Use {
                    device,
                    how: Refusal::Swap,
                })
            })
            .collect()
    }

    /// The device itself, the disk that it is a part of, and everything that it is built upon.
    fn disks_below(&self, device: DeviceNumber) -> BTreeSet<DeviceNumber> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![device];
        while let Some(device) = waiting.pop() {
            if !found.insert(device) {
                continue;
            }
            let Ok(folder) = self.folder(device) else {
                continue;
            };
            if folder.join("partition").exists()
                && let Some(disk) = folder.parent().and_then(number_in)
            {
                waiting.push(disk);
            }
            waiting.extend(
                entries(&folder.join("slaves"))
                    .iter()
                    .filter_map(|s| number_in(s)),
            );
            if let Some(file) = read(&folder.join("loop/backing_file"))
                && let Ok(meta) = fs::metadata(file)
            {
                waiting.push(DeviceNumber::of(meta.dev()));
            }
        }
        found
    }
}

/// The `dev` file of a folder in `/sys`.
fn number_in(folder: &Path) -> Option<DeviceNumber> {
    DeviceNumber::parse(&read(&folder.join("dev"))?)
}

fn block_number(path: &Path) -> Option<DeviceNumber> {
    use std::os::unix::fs::FileTypeExt as _;
    let meta = fs::metadata(path).ok()?;
    meta.file_type()
        .is_block_device()
        .then(|| DeviceNumber::of(meta.rdev()))
}

fn holders(folder: &Path) -> Option<String> {
    let holder = entries(&folder.join("holders")).into_iter().next()?;
    let name = holder.file_name()?.to_string_lossy().into_owned();
    Some(read(&holder.join("dm/name")).map_or(name.clone(), |dm| format!("{name} ({dm})")))
}

fn partitions(folder: &Path) -> Vec<PathBuf> {
    let mut parts = entries(folder);
    parts.retain(|p| p.join("partition").exists());
    parts
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    paths.sort();
    paths
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|t| t.trim().to_owned())
}

fn swap_paths(proc: &Path) -> Vec<String> {
    fs::read_to_string(proc.join("swaps"))
        .unwrap_or_default()
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next().map(unescape))
        .collect()
}

/// One line of `mountinfo` (`proc_pid_mountinfo(5)`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub device: DeviceNumber,
    pub point: String,
    pub source: String,
}

/// Lines that do not look like mounts are left out.
pub fn parse_mountinfo(text: &str) -> Vec<Mount> {
    text.lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut left = left.split(' ').skip(2);
            let device = DeviceNumber::parse(left.next()?)?;
            let point = unescape(left.nth(1)?);
            let source = unescape(right.split(' ').nth(1)?);
            Some(Mount {
                device,
                point,
                source,
            })
        })
        .collect()
}

/// `\040` and the like.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = (first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = octal {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
