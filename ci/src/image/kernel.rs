//! The kernel: the modules a screen may need, unpacked (xz is slow on small machines), and the initrd.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::ImageBuilder;
use super::base::{Base, clean};
use super::overlay::Overlay;
use crate::process;

/// Folders below `kernel/` whose modules are kept; what they depend on comes too.
const KEPT: &[&str] = &[
    "arch/x86/crypto/",
    "crypto/",
    "drivers/acpi/",
    "drivers/ata/",
    "drivers/block/loop",
    "drivers/block/nbd",
    "drivers/block/virtio_blk",
    "drivers/char/hw_random/",
    "drivers/cpufreq/",
    "drivers/firmware/",
    "drivers/gpu/drm/ast/",
    "drivers/gpu/drm/tiny/",
    "drivers/gpu/drm/virtio/",
    "drivers/hid/hid.",
    "drivers/hid/hid-generic",
    "drivers/hid/usbhid/",
    "drivers/hwmon/coretemp",
    "drivers/hwmon/k10temp",
    "drivers/i2c/",
    "drivers/input/evdev",
    "drivers/input/keyboard/",
    "drivers/input/serio/",
    "drivers/md/dm-mod",
    "drivers/md/dm-verity",
    "drivers/mmc/",
    "drivers/net/ethernet/intel/",
    "drivers/net/ethernet/realtek/",
    "drivers/net/phy/realtek",
    "drivers/net/virtio_net",
    "drivers/nvme/host/",
    "drivers/platform/x86/wmi",
    "drivers/rtc/",
    "drivers/scsi/scsi_",
    "drivers/scsi/sd_mod",
    "drivers/scsi/virtio_scsi",
    "drivers/thermal/",
    "drivers/usb/core/",
    "drivers/usb/host/",
    "drivers/usb/storage/",
    "drivers/virtio/",
    "drivers/watchdog/",
    "fs/autofs/",
    "fs/efivarfs/",
    "fs/erofs/",
    "fs/exfat/",
    "fs/ext4/",
    "fs/fat/",
    "fs/nls/",
    "fs/squashfs/",
    "lib/",
    "net/ipv6/ipv6",
    "net/packet/",
    "net/unix/",
];

/// A kernel ready for a boot image.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    pub(super) vmlinuz: PathBuf,
    pub(super) initrd: PathBuf,
    /// `<release>/…`, to be installed below `usr/lib/modules`.
    pub(super) modules: PathBuf,
    pub(super) key: String,
}

impl ImageBuilder {
    /// Takes kernel and modules out of the base tarball and makes the initrd.
    pub(super) fn kernel(&self, base: &Base) -> Result<Kernel> {
        let initrd_files = self
            .workspace
            .layer()
            .join("recipes-core/fleet-initrd/files/initrd");
        let key = super::key_of([
            base.key.as_bytes(),
            KEPT.join(",").as_bytes(),
            &fs::read(initrd_files.join("init"))?,
            &fs::read(initrd_files.join("modules.list"))?,
            b"format 1",
        ]);
        let dir = self.cache.join(format!("kernel-{key}"));
        let kernel = Kernel {
            vmlinuz: dir.join("vmlinuz"),
            initrd: dir.join("initrd.img"),
            modules: dir.join("root/lib/modules"),
            key,
        };
        if dir.is_dir() {
            return Ok(kernel);
        }
        let step = self.progress.step("Preparing the kernel");
        let aside = self.cache.join(".new-kernel");
        if aside.exists() {
            fs::remove_dir_all(&aside).context("removing an unfinished kernel")?;
        }
        step.update("unpacking modules");
        let release = unpack(base, &aside)?;
        let tree = aside.join("root/lib/modules").join(&release);
        trim(&tree)?;
        step.update("decompressing modules");
        self.decompress(&aside, &tree)?;
        step.update("building the initrd");
        self.build_initrd(&initrd_files, &tree, &aside.join("initrd.img"))?;
        fs::rename(&aside, &dir).context("moving the kernel into place")?;
        step.done(&release);
        Ok(kernel)
    }

    fn decompress(&self, aside: &Path, tree: &Path) -> Result<()> {
        let mut files = Vec::new();
        list_files(tree, &mut files)?;
        files.retain(|file| file.extension().is_some_and(|ext| ext == "xz"));
        self.unpack_modules(&files)?;
        let release = tree.file_name().context("a modules folder has a name")?;
        let mut command = self.tools.command("depmod");
        command
            .arg("--basedir")
            .arg(aside.join("root"))
            .arg(release);
        process::run_logged(&mut command, &self.workspace.log_file("kernel-depmod"))
    }

    /// Replaces each `NAME.ko.xz` by `NAME.ko`; their paths come back.
    pub(super) fn unpack_modules(&self, files: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let mut command = self.tools.command("xz");
        command.args(["--decompress", "--threads=0"]).args(files);
        process::run_logged(&mut command, &self.workspace.log_file("kernel-modules"))?;
        Ok(files.iter().map(|file| file.with_extension("")).collect())
    }
}

impl Kernel {
    /// Installs the modules.
    pub(super) fn add_modules(&self, overlay: &mut Overlay) -> Result<()> {
        overlay.add_tree(&self.modules, Path::new("usr/lib/modules"))
    }
}

/// Unpacks kernel and modules below `aside`; returns the kernel's release name.
pub(super) fn unpack(base: &Base, aside: &Path) -> Result<String> {
    let modules = Path::new("usr/lib/modules");
    let mut release = None;
    for entry in base
        .open_system()?
        .entries()
        .context("reading the base tarball")?
    {
        let mut entry = entry.context("reading the base tarball")?;
        let path = clean(&entry.path()?);
        let to = if let Ok(below) = path.strip_prefix(modules) {
            aside.join("root/lib/modules").join(below)
        } else if path.to_string_lossy().starts_with("boot/vmlinuz-") {
            let name = path.to_string_lossy();
            release = name.strip_prefix("boot/vmlinuz-").map(str::to_owned);
            aside.join("vmlinuz")
        } else {
            continue;
        };
        if entry.header().entry_type() == tar::EntryType::Regular {
            let parent = to.parent().context("a file has a folder")?;
            fs::create_dir_all(parent)?;
            let mut out =
                File::create(&to).with_context(|| format!("creating {}", to.display()))?;
            std::io::copy(&mut entry, &mut out)
                .with_context(|| format!("writing {}", to.display()))?;
        }
    }
    release.context("the base tarball holds no kernel")
}

/// Removes the modules that are neither kept nor needed by one that is.
fn trim(tree: &Path) -> Result<()> {
    let dependencies = read_dependencies(&tree.join("modules.dep"))?;
    let mut wanted = BTreeSet::new();
    let mut queue: Vec<&str> = dependencies
        .keys()
        .map(String::as_str)
        .filter(|module| {
            let below = module.strip_prefix("kernel/").unwrap_or(module);
            KEPT.iter().any(|prefix| below.starts_with(prefix))
        })
        .collect();
    while let Some(module) = queue.pop() {
        if wanted.insert(module) {
            queue.extend(
                dependencies
                    .get(module)
                    .into_iter()
                    .flatten()
                    .map(String::as_str),
            );
        }
    }
    for module in dependencies.keys() {
        if !wanted.contains(module.as_str()) {
            fs::remove_file(tree.join(module)).with_context(|| format!("removing {module}"))?;
        }
    }
    Ok(())
}

/// `modules.dep`: each module with what has to be loaded before it.
pub(super) fn read_dependencies(path: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(module, needs)| {
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            (module.to_owned(), needs)
        })
        .collect())
}

fn list_files(dir: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list_files(&path, into)?;
        } else {
            into.push(path);
        }
    }
    Ok(())
}
