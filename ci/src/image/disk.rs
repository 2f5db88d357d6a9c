//! A disk: GPT with EFI system partition, boot A and B, root A and B, data; release in slot A, slot B empty.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::bmap::BlockMap;
use super::release::Release;
use super::{ImageBuilder, sha256_file};
use crate::process;

const MIB: u64 = 1024 * 1024;
const ESP_SIZE: u64 = 64 * MIB;
const BOOT_SIZE: u64 = 48 * MIB;
const ROOT_SIZE: u64 = 512 * MIB;
/// Grown on the first boot.
const DATA_SIZE: u64 = 64 * MIB;

/// GPT types. Only `data` is "Linux file system data", so that growing can't match another partition.
pub(crate) const TYPE_ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
pub(crate) const TYPE_BOOT: &str = "f1ee7b00-7000-4000-8000-000000000001";
pub(crate) const TYPE_ROOT: &str = "f1ee7b00-7000-4000-8000-000000000002";
pub(crate) const TYPE_DATA: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";

pub(crate) const GRUB_MODULES: &[&str] = &[
    "all_video",
    "boot",
    "configfile",
    "echo",
    "efi_gop",
    "fat",
    "gzio",
    "linux",
    "loadenv",
    "normal",
    "part_gpt",
    "reboot",
    "regexp",
    "search",
    "serial",
    "sleep",
    "squash4",
    "terminal",
    "test",
    "true",
];

/// What a disk carries besides its release.
#[derive(Debug, Clone, Default)]
pub struct DiskInputs {
    /// The enrolment file, put to `/fleet/provision.json` of the EFI system partition.
    pub provision: Option<PathBuf>,
}

/// A built disk; the file `manifest.json` beside the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    pub version: String,
    pub compatible: String,
    /// Raw and sparse.
    pub disk: PathBuf,
    pub bmap: PathBuf,
    pub disk_sha256: String,
    pub rootfs: PathBuf,
    pub rootfs_sha256: String,
    pub root_hash: String,
    pub boot_image: PathBuf,
    pub boot_image_sha256: String,
}

impl ImageBuilder {
    /// Makes a disk of `release` in the release's folder.
    ///
    /// # Errors
    /// When an image does not fit its slot or a tool fails.
    pub fn disk(&self, release: &Release, inputs: &DiskInputs) -> Result<Disk> {
        let step = self
            .progress
            .step(format!("Building the disk of {}", release.version));
        let work = release.dir().join("disk.work");
        if work.exists() {
            fs::remove_dir_all(&work).context("removing an unfinished disk")?;
        }
        fs::create_dir_all(work.join("empty")).context("making the disk's folder")?;
        let slots = [
            (&release.boot_image, BOOT_SIZE),
            (&release.rootfs, ROOT_SIZE),
        ];
        for (image, slot_size) in slots {
            let size = fs::metadata(image)?.len();
            if size > slot_size {
                bail!(
                    "{} has {size} bytes, its slot {slot_size}\nhint: trim the package list, or enlarge the slots",
                    image.display()
                );
            }
        }
        step.update("EFI system partition");
        self.build_esp(inputs, &work)?;
        step.update("data partition");
        self.build_data(&work)?;
        step.update("partitions");
        let disk = release.dir().join("disk.img");
        self.run_genimage(release, &work, &disk)?;
        fs::remove_dir_all(&work).context("removing the disk's folder")?;
        step.update("block map");
        let bmap = release.dir().join("disk.bmap");
        fs::write(&bmap, block_map(&disk, release)?.to_xml(&disk)?).context("writing the bmap")?;
        let made = Disk {
            version: release.version.clone(),
            compatible: release.compatible.clone(),
            disk_sha256: sha256_file(&disk)?,
            disk,
            bmap,
            rootfs: release.rootfs.clone(),
            rootfs_sha256: release.rootfs_sha256.clone(),
            root_hash: release.root_hash.clone(),
            boot_image: release.boot_image.clone(),
            boot_image_sha256: release.boot_image_sha256.clone(),
        };
        let json = serde_json::to_vec_pretty(&made).context("writing manifest.json")?;
        fs::write(release.dir().join("manifest.json"), json).context("writing manifest.json")?;
        step.done(&made.disk.display().to_string());
        Ok(made)
    }

    fn build_esp(&self, inputs: &DiskInputs, work: &Path) -> Result<()> {
        let tree = work.join("esp");
        let files = self
            .workspace
            .layer()
            .join("recipes-bsp/grub/files/esp/EFI/fleet");
        fs::create_dir_all(tree.join("EFI/BOOT"))?;
        fs::create_dir_all(tree.join("EFI/fleet"))?;
        fs::create_dir_all(tree.join("fleet"))?;
        fs::copy(files.join("grub.cfg"), tree.join("EFI/fleet/grub.cfg"))
            .context("copying grub.cfg")?;
        let environment = grub_environment(&fs::read_to_string(files.join("grubenv.txt"))?)?;
        fs::write(tree.join("EFI/fleet/grubenv"), &environment)?;
        fs::write(tree.join("EFI/fleet/grubenv.bak"), &environment)?;
        if let Some(provision) = &inputs.provision {
            fs::copy(provision, tree.join("fleet/provision.json"))
                .with_context(|| format!("copying {}", provision.display()))?;
        }
        let mut command = self.tools.command("grub-mkimage");
        command
            .args(["--format=x86_64-efi", "--prefix=/EFI/fleet", "--output"])
            .arg(tree.join("EFI/BOOT/BOOTX64.EFI"))
            .args(GRUB_MODULES);
        process::run_logged(&mut command, &self.workspace.log_file("image-grub"))?;
        let image = work.join("esp.img");
        fs::File::create(&image)?.set_len(ESP_SIZE)?;
        let mut command = self.tools.command("mkfs.vfat");
        command
            .args([
                "-F",
                "32",
                "-s",
                "1",
                "-i",
                "f1ee7000",
                "-n",
                "ESP",
                "--invariant",
            ])
            .arg(&image);
        process::run_logged(&mut command, &self.workspace.log_file("image-esp"))?;
        let mut command = self.tools.command("mcopy");
        command
            .env("SOURCE_DATE_EPOCH", super::FILE_TIME.to_string())
            .args(["-s", "-i"])
            .arg(&image)
            .args(["EFI", "fleet"].map(|name| tree.join(name)))
            .arg("::/");
        process::run_logged(&mut command, &self.workspace.log_file("image-esp-copy"))
    }

    fn build_data(&self, work: &Path) -> Result<()> {
        let image = work.join("data.img");
        fs::File::create(&image)?.set_len(DATA_SIZE)?;
        let mut command = self.tools.command("mkfs.ext4");
        command
            .env("SOURCE_DATE_EPOCH", super::FILE_TIME.to_string())
            // Sizes of the grown file system, not those that suit this small one.
            .args(["-q", "-L", "data", "-m", "1", "-b", "4096", "-i", "16384"])
            .args(["-U", "f1ee7000-0000-4000-8000-00000000da7a"])
            .args(["-O", "metadata_csum,64bit", "-J", "size=8"])
            // Room to grow to 2 TiB while mounted.
            .args(["-E", "lazy_itable_init=0,lazy_journal_init=0,resize=536870912,hash_seed=f1ee7000-0000-4000-8000-000000005eed"])
            .arg(&image);
        process::run_logged(&mut command, &self.workspace.log_file("image-data"))
    }

    fn run_genimage(&self, release: &Release, work: &Path, disk: &Path) -> Result<()> {
        let config = work.join("genimage.cfg");
        fs::write(&config, genimage_config(release))?;
        let name = disk.file_name().context("the disk has a name")?;
        let mut command = self.tools.command("genimage");
        command
            .arg("--config")
            .arg(&config)
            .arg("--inputpath")
            .arg(work)
            .arg("--outputpath")
            .arg(work.join("out"))
            .arg("--rootpath")
            .arg(work.join("empty"))
            .arg("--tmppath")
            .arg(work.join("tmp"));
        process::run_logged(&mut command, &self.workspace.log_file("image-genimage"))?;
        fs::rename(work.join("out").join(name), disk).context("moving the disk into place")
    }
}

fn genimage_config(release: &Release) -> String {
    let parts = [
        ("esp", TYPE_ESP, ESP_SIZE, Some(Path::new("esp.img"))),
        (
            "boot-a",
            TYPE_BOOT,
            BOOT_SIZE,
            Some(release.boot_image.as_path()),
        ),
        ("boot-b", TYPE_BOOT, BOOT_SIZE, None),
        (
            "rootfs-a",
            TYPE_ROOT,
            ROOT_SIZE,
            Some(release.rootfs.as_path()),
        ),
        ("rootfs-b", TYPE_ROOT, ROOT_SIZE, None),
        ("data", TYPE_DATA, DATA_SIZE, Some(Path::new("data.img"))),
    ];
    let mut config = String::from(
        "image disk.img {\n  hdimage {\n    partition-table-type = \"gpt\"\n    \
         disk-uuid = \"f1ee7000-0000-4000-8000-0000000d15c0\"\n    align = 1M\n  }\n",
    );
    for (number, (name, kind, size, image)) in (1u8..).zip(parts) {
        let _ = write!(
            config,
            "  partition {name} {{\n    partition-type-uuid = \"{kind}\"\n    \
             partition-uuid = \"f1ee7000-0000-4000-8000-00000000000{number}\"\n    size = {size}\n"
        );
        if let Some(image) = image {
            let _ = writeln!(config, "    image = \"{}\"", image.display());
        }
        config.push_str("  }\n");
    }
    config.push_str("}\n");
    config
}

/// What has to be written to a device: the tables, the slots' images, the other partitions whole.
/// Empty slots are left as they are.
fn block_map(disk: &Path, release: &Release) -> Result<BlockMap> {
    let size = fs::metadata(disk)?.len();
    let esp = MIB..MIB + ESP_SIZE;
    let boot_a = esp.end;
    let root_a = boot_a + 2 * BOOT_SIZE;
    let data = root_a + 2 * ROOT_SIZE;
    let boot_size = fs::metadata(&release.boot_image)?.len();
    let root_size = fs::metadata(&release.rootfs)?.len();
    // Data to the end: the backup table follows it.
    let ranges = [
        0..esp.end,
        boot_a..boot_a + boot_size,
        root_a..root_a + root_size,
        data..size,
    ];
    Ok(BlockMap::new(size, &ranges))
}

/// A GRUB environment block: 1024 bytes, filled up with `#`.
fn grub_environment(variables: &str) -> Result<Vec<u8>> {
    let mut block = b"# GRUB Environment Block\n".to_vec();
    block.extend_from_slice(variables.as_bytes());
    if block.len() > 1024 {
        bail!("the factory environment has more than 1024 bytes");
    }
    block.resize(1024, b'#');
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_block_is_1024_bytes() {
        let block = grub_environment("ORDER=A B\n").unwrap();
        assert_eq!(block.len(), 1024);
        assert!(block.starts_with(b"# GRUB Environment Block\nORDER=A B\n###"));
    }
}
