//! Bundles on USB sticks.
//!
//! Partitions of removable or USB-attached disks are mounted read-only, without devices, programs
//! or set-uid, by systemd (systemd-mount(1)): this process needs no right to mount. Only plain files
//! at the top of a stick are looked at.

use std::path::{Path, PathBuf};

use fleet_device::files;

use super::actions::UsbBundle;
use crate::platform::paths::Paths;
use crate::support_bundle::command::{self, Limits};

/// Signed metadata is small; anything larger is not read.
pub(super) const MAX_METADATA_BYTES: u64 = 128 * 1024;
/// What is listed has to fit on a light page.
pub(super) const MAX_BUNDLES: usize = 10;
pub(super) const MAX_NAME_BYTES: usize = 100;

/// Kernel names of partitions (or whole disks without a table) that lie on a stick.
pub(super) fn partitions(paths: &Paths) -> Vec<String> {
    let folder = paths.sys.join("class/block");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(real) = std::fs::canonicalize(entry.path()) else {
            continue;
        };
        let is_partition = real.join("partition").exists();
        let disk = if is_partition {
            real.parent().unwrap_or(&real)
        } else {
            &real
        };
        let removable = files::read_trimmed(&disk.join("removable")).as_deref() == Some("1");
        let on_usb = real
            .components()
            .any(|c| c.as_os_str().to_string_lossy().starts_with("usb"));
        let has_partitions = !is_partition
            && std::fs::read_dir(&real)
                .into_iter()
                .flatten()
                .flatten()
                .any(|child| child.path().join("partition").exists());
        let is_optical = name.starts_with("sr") || name.starts_with("loop");
        if (removable || on_usb) && !has_partitions && !is_optical {
            names.push(name);
        }
    }
    names.sort();
    names
}

/// Mounts what is not mounted yet and lists all bundles. Blocking.
pub(super) fn bundles(paths: &Paths) -> Vec<UsbBundle> {
    let mut found = Vec::new();
    for name in partitions(paths) {
        let mount_point = paths.run.join("usb").join(&name);
        let device = format!("/dev/{name}");
        if !is_mounted(paths, &mount_point)
            && let Err(error) = mount(&device, &mount_point)
        {
            log::warn!(device = device.as_str(), error:% = error; "a USB partition could not be mounted");
            continue;
        }
        found.extend(list(&name, &mount_point));
    }
    found.truncate(MAX_BUNDLES);
    found
}

fn is_mounted(paths: &Paths, point: &Path) -> bool {
    let mounts = std::fs::read_to_string(paths.proc.join("self/mounts")).unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .any(|p| Path::new(p) == point)
}

fn mount(device: &str, point: &Path) -> Result<(), command::CommandError> {
    let point = point.display().to_string();
    let arguments = [
        "--collect",
        "--options=ro,nosuid,nodev,noexec",
        "--fsck=no",
        device,
        &point,
    ];
    command::run("systemd-mount", &arguments, Limits::seconds(30)).map(drop)
}

/// `*.raucb` at the top of a stick, with names of up to [`MAX_NAME_BYTES`], each with `NAME.release.json` or `NAME.raucb.release.json`.
pub(super) fn list(stick: &str, folder: &Path) -> Vec<UsbBundle> {
    let mut bundles: Vec<UsbBundle> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| {
            let path = entry.path();
            if path
                .extension()
                .is_none_or(|e| !e.eq_ignore_ascii_case("raucb"))
            {
                return None;
            }
            let file_name = entry.file_name().to_string_lossy().into_owned();
            if file_name.len() > MAX_NAME_BYTES {
                log::warn!("file.name" = file_name.as_str(); "a bundle's name is too long to be listed");
                return None;
            }
            let metadata = [
                path.with_extension("release.json"),
                path.with_file_name(format!("{file_name}.release.json")),
            ]
            .into_iter()
            .find(|candidate: &PathBuf| candidate.is_file());
            Some(UsbBundle {
                name: format!("{file_name} ({stick})"),
                size_bytes: entry.metadata().map_or(0, |m| m.len()),
                path,
                metadata,
            })
        })
        .collect();
    bundles.sort_by(|a, b| a.name.cmp(&b.name));
    bundles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_listed_with_the_metadata_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "fleet-2.raucb",
            "fleet-2.release.json",
            "lonely.raucb",
            "photo.jpg",
        ] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let long = format!("{}.raucb", "x".repeat(MAX_NAME_BYTES));
        std::fs::write(folder.path().join(long), "x").unwrap();
        std::os::unix::fs::symlink("/etc/shadow", folder.path().join("link.raucb")).unwrap();
        let found = list("sdb1", folder.path());
        let names: Vec<(&str, bool)> = found
            .iter()
            .map(|b| (b.name.as_str(), b.metadata.is_some()))
            .collect();
        assert_eq!(
            names,
            [
                ("fleet-2.raucb (sdb1)", true),
                ("lonely.raucb (sdb1)", false)
            ]
        );
    }

    #[test]
    fn only_partitions_of_sticks_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let make = |path: &str, removable: &str, partition: bool, link: &str| {
            let device = paths.sys.join(path);
            std::fs::create_dir_all(&device).unwrap();
            if partition {
                std::fs::write(device.join("partition"), "1").unwrap();
            } else {
                std::fs::write(device.join("removable"), removable).unwrap();
            }
            let class = paths.sys.join("class/block");
            std::fs::create_dir_all(&class).unwrap();
            std::os::unix::fs::symlink(&device, class.join(link)).unwrap();
        };
        make("devices/virtio1/block/vda", "0", false, "vda");
        make("devices/virtio1/block/vda/vda1", "", true, "vda1");
        make("devices/pci/usb1/1-1/block/sda", "1", false, "sda");
        make("devices/pci/usb1/1-1/block/sda/sda1", "", true, "sda1");
        make("devices/pci/usb2/2-1/block/sdb", "0", false, "sdb");
        assert_eq!(partitions(&paths), ["sda1", "sdb"]);
    }
}
