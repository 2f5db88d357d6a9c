//! The boot image: kernel, initrd, root hash and command line of one release, as a squashfs that GRUB reads.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::ImageBuilder;
use super::initrd::verity_archive;
use super::kernel::Kernel;
use super::release::Verity;
use super::variant::Variant;
use crate::process;

impl ImageBuilder {
    /// The command line that the layer gives every slot.
    pub(super) fn command_line(&self) -> Result<String> {
        let file = self
            .workspace
            .layer()
            .join("recipes-bsp/grub/files/boot/cmdline");
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        Ok(text.trim().to_owned())
    }

    /// Writes the image; gzip, because GRUB 2.12 reads neither lz4 nor zstd.
    pub(super) fn build_boot_image(
        &self,
        kernel: &Kernel,
        verity: &Verity,
        variant: Variant,
        command_line: &str,
        to: &Path,
    ) -> Result<()> {
        let staging = to.with_extension("tree");
        fs::create_dir_all(&staging).context("making the boot image's folder")?;
        for (from, name) in [(&kernel.vmlinuz, "vmlinuz"), (&kernel.initrd, "initrd.img")] {
            fs::copy(from, staging.join(name)).with_context(|| format!("copying {name}"))?;
        }
        let config = variant.verity_config(verity.config());
        fs::write(staging.join("verity.img"), verity_archive(&config))?;
        let arguments = format!("{command_line} fleet.roothash={}", verity.root_hash);
        fs::write(
            staging.join("boot.cfg"),
            format!("set release_args=\"{arguments}\"\n"),
        )?;
        let mut command = self.tools.command("mksquashfs");
        command
            .arg(&staging)
            .arg(to)
            .args([
                "-comp",
                "gzip",
                "-noappend",
                "-all-root",
                "-no-xattrs",
                "-no-progress",
            ])
            .args(["-all-time", "0", "-mkfs-time", "0"]);
        process::run_logged(&mut command, &self.workspace.log_file("image-boot"))?;
        fs::remove_dir_all(&staging).context("removing the boot image's folder")
    }
}
