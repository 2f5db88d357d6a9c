//! A release: the verified root image and the boot image that holds its root hash.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::base::Base;
use super::overlay::Overlay;
use super::variant::{Access, Variant};
use super::{COMPATIBLE, ImageBuilder, PROGRAMS, key_of, sha256_file};
use super::{logins, media};
use crate::process;

/// Fixed, so that unchanged blocks have unchanged hashes.
pub(crate) const SALT: &str = "666c656574000000000000000000000000000000000000000000000000000000";
pub(crate) const UUID: &str = "f1ee7000-0000-4000-8000-000000000001";
pub(super) const BLOCK: u64 = 4096;

/// What goes into a release.
#[derive(Debug, Clone)]
pub struct ReleaseInputs {
    pub version: String,
    pub channel: String,
    /// RFC 3339; the device's clock is never set before it.
    pub built_at: BuiltAt,
    /// Certificate of the CA that bundles are signed under.
    pub keyring: PathBuf,
    /// The first key set for release metadata; without one the device accepts no update.
    pub keyset: Option<PathBuf>,
    /// The folder with the device's programs, from [`ImageBuilder::build_programs`].
    pub programs: PathBuf,
    pub variant: Variant,
    pub access: Access,
    /// Further files by their path in the root, such as a payload that makes releases differ.
    pub extra: Vec<(PathBuf, Vec<u8>)>,
}

/// When a release was built: from `SOURCE_DATE_EPOCH`, else the last commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltAt {
    pub unix_seconds: u64,
}

/// A built release; the file `release.json` beside the images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    pub version: String,
    pub compatible: String,
    pub variant: String,
    pub access: String,
    pub rootfs: PathBuf,
    pub rootfs_sha256: String,
    pub boot_image: PathBuf,
    pub boot_image_sha256: String,
    /// dm-verity root hash over the root's data blocks.
    pub root_hash: String,
    /// Of everything that went in.
    pub inputs_key: String,
}

impl Release {
    /// The folder with its files.
    pub fn dir(&self) -> &Path {
        self.rootfs.parent().unwrap_or(Path::new("/"))
    }

    /// What an earlier build left in `dir`.
    fn read(dir: &Path) -> Option<Self> {
        let text = fs::read(dir.join("release.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

impl ImageBuilder {
    /// When a release built now says it was built.
    ///
    /// # Errors
    /// When `SOURCE_DATE_EPOCH` is no number and the repository has no commit.
    pub fn built_at(&self) -> Result<BuiltAt> {
        let text = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(text) => text,
            Err(_) => process::capture(
                process::command("git")
                    .args(["log", "-1", "--format=%ct"])
                    .current_dir(self.workspace.root()),
            )
            .context("hint: set SOURCE_DATE_EPOCH when building outside a git checkout")?,
        };
        let unix_seconds = text.trim().parse().with_context(|| {
            format!("SOURCE_DATE_EPOCH is {text:?}\nhint: seconds since 1970, such as 1767225600")
        })?;
        Ok(BuiltAt { unix_seconds })
    }

    /// Builds a release, or takes the one already built from the same inputs.
    ///
    /// # Errors
    /// When an input can't be read or a tool fails.
    pub fn release(&self, inputs: &ReleaseInputs) -> Result<Release> {
        self.release_into(inputs, &self.output_dir(&release_name(inputs)))
    }

    pub(super) fn release_into(&self, inputs: &ReleaseInputs, dir: &Path) -> Result<Release> {
        let base = self.base()?;
        let kernel = self.kernel(&base)?;
        let mut overlay = self.overlay(inputs)?;
        overlay.add_file(media::REGISTRY, self.media_registry(&base)?, 0o644);
        let command_line = self.command_line()?;
        let inputs_key = key_of([
            base.key.as_bytes(),
            kernel.key.as_bytes(),
            overlay.key().as_bytes(),
            command_line.as_bytes(),
            inputs.variant.name().as_bytes(),
            b"format 1",
        ]);
        if let Some(release) = Release::read(dir)
            && release.inputs_key == inputs_key
        {
            return Ok(release);
        }
        let step = self
            .progress
            .step(format!("Building release {}", release_name(inputs)));
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
        }
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        kernel.add_modules(&mut overlay)?;
        let rootfs = dir.join("rootfs.img");
        step.update("root file system");
        let verity = self.build_root(&base, &overlay, &rootfs)?;
        if inputs.variant == Variant::DamagedRoot {
            damage(&rootfs)?;
        }
        step.update("boot image");
        let boot_image = dir.join("boot.img");
        self.build_boot_image(&kernel, &verity, inputs.variant, &command_line, &boot_image)?;
        let release = Release {
            version: inputs.version.clone(),
            compatible: COMPATIBLE.to_owned(),
            variant: inputs.variant.name().to_owned(),
            access: inputs.access.name().to_owned(),
            rootfs_sha256: sha256_file(&rootfs)?,
            boot_image_sha256: sha256_file(&boot_image)?,
            rootfs,
            boot_image,
            root_hash: verity.root_hash,
            inputs_key,
        };
        let json = serde_json::to_vec_pretty(&release).context("writing release.json")?;
        fs::write(dir.join("release.json"), json).context("writing release.json")?;
        step.done(&format!("root hash {}…", &release.root_hash[..12]));
        Ok(release)
    }

    /// The files over the packages, without the kernel's modules.
    fn overlay(&self, inputs: &ReleaseInputs) -> Result<Overlay> {
        let read =
            |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
        let mut overlay = Overlay::of_layer(&self.workspace.layer())?;
        overlay.fill_in()?;
        for name in PROGRAMS {
            let program = read(&inputs.programs.join(name))?;
            overlay.add_file(format!("usr/bin/{name}"), program, 0o755);
        }
        overlay.add_file("usr/lib/rauc/keyring.pem", read(&inputs.keyring)?, 0o644);
        if let Some(keyset) = &inputs.keyset {
            overlay.add_file("usr/share/fleet/keyset.json", read(keyset)?, 0o644);
        }
        let release = serde_json::json!({
            "version": inputs.version,
            "compatible": COMPATIBLE,
            "builtAt": rfc3339(inputs.built_at),
            "channel": inputs.channel,
        });
        let release = format!("{release:#}\n");
        overlay.add_file("usr/lib/fleet/release.json", release.into_bytes(), 0o644);
        // PID 1 sets a clock that is behind this file's time to it, before anything else runs.
        overlay.add_stamp("usr/lib/clock-epoch", inputs.built_at.unix_seconds);
        for (path, content) in &inputs.extra {
            overlay.add_file(
                path.strip_prefix("/").unwrap_or(path),
                content.clone(),
                0o644,
            );
        }
        inputs.variant.apply(&mut overlay)?;
        inputs.access.apply(&mut overlay);
        Ok(overlay)
    }

    /// The root file system with its hash tree appended.
    pub(super) fn build_root(&self, base: &Base, overlay: &Overlay, to: &Path) -> Result<Verity> {
        let tar = to.with_extension("tar");
        base.write_root(overlay, &tar)?;
        logins::check_closed(&tar)?;
        let mut command = self.tools.command("mkfs.erofs");
        command
            .args(["--tar=f", "-zlz4", "-T0", "--mkfs-time", "-x-1", "--quiet"])
            .args(["-U", UUID])
            .arg(to)
            .arg(&tar);
        process::run_logged(&mut command, &self.workspace.log_file("image-erofs"))?;
        fs::remove_file(&tar).context("removing the root tarball")?;
        self.append_verity(to)
    }

    fn append_verity(&self, image: &Path) -> Result<Verity> {
        let file = fs::OpenOptions::new().write(true).open(image)?;
        let size = file.metadata()?.len().next_multiple_of(BLOCK);
        file.set_len(size)?;
        drop(file);
        let data_blocks = size / BLOCK;
        let mut command = self.tools.command("veritysetup");
        command
            .args(["format", "--no-superblock", "--hash=sha256"])
            .args(["--data-block-size=4096", "--hash-block-size=4096"])
            .arg(format!("--salt={SALT}"))
            .arg(format!("--hash-offset={size}"))
            .arg(format!("--data-blocks={data_blocks}"))
            .arg(image)
            .arg(image);
        let said = process::capture(&mut command)?;
        let root_hash = said
            .lines()
            .find_map(|line| line.strip_prefix("Root hash:"))
            .map(|hash| hash.trim().to_owned())
            .with_context(|| format!("veritysetup printed no root hash:\n{said}"))?;
        Ok(Verity {
            root_hash,
            data_blocks,
        })
    }
}

/// How a root is verified.
#[derive(Debug, Clone)]
pub(super) struct Verity {
    pub(super) root_hash: String,
    pub(super) data_blocks: u64,
}

impl Verity {
    /// What the initrd reads, in shell syntax.
    pub(super) fn config(&self) -> String {
        format!(
            "DATA_BLOCKS={}\nROOT_HASH={}\nSALT={SALT}\n",
            self.data_blocks, self.root_hash
        )
    }
}

/// `1.2.3` for a product, `1.2.3-unhealthy-test-shell` for what tests make.
fn release_name(inputs: &ReleaseInputs) -> String {
    let mut name = inputs.version.clone();
    if inputs.variant != Variant::Good {
        name = format!("{name}-{}", inputs.variant.name());
    }
    if inputs.access != Access::Sealed {
        name = format!("{name}-{}", inputs.access.name());
    }
    name
}

/// Overwrites the first data blocks: the superblock can't be read without the hash tree noticing.
fn damage(image: &Path) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).open(image)?;
    file.write_all_at(&[0xa5; 16_384], 0)
        .context("damaging the root")
}

/// Days to civil date after Howard Hinnant's algorithm; xtask needs no time library for one line of text.
fn rfc3339(at: BuiltAt) -> String {
    let (days, second) = (at.unix_seconds / 86_400, at.unix_seconds % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        let check = |unix_seconds, text: &str| assert_eq!(rfc3339(BuiltAt { unix_seconds }), text);
        check(0, "1970-01-01T00:00:00Z");
        check(951_827_696, "2000-02-29T12:34:56Z");
        check(1_767_225_600, "2026-01-01T00:00:00Z");
    }
}
