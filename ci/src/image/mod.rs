//! The reference image: a release (verified root and boot image) from Debian packages and `meta-fleet/`, and a disk of it.
//!
//! Stages, each kept under `target/fleet/cache` and keyed by what it was made from: the bootstrapped tarball, the
//! kernel with its trimmed modules and initrd, the release, the disk. A release that differs in a file of the overlay
//! takes seconds. No stage needs root: trees exist only as tarballs until mkfs.erofs reads one.
//!
//! Invariant: the same inputs give the same root hash. Times are fixed, order is sorted, nothing random is kept.

mod base;
mod bmap;
mod boot;
mod command;
mod disk;
mod initrd;
mod kernel;
mod logins;
mod media;
mod overlay;
mod release;
mod reproducible;
mod television;
mod variant;

pub use command::{ImageArguments, run};
pub use disk::{Disk, DiskInputs};
pub use release::{BuiltAt, Release, ReleaseInputs};
pub use reproducible::verify_reproducible;
pub use variant::{Access, Variant};

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process;
use crate::progress::Progress;
use crate::tools::ToolTree;
use crate::workspace::Workspace;

/// What the product image has in common with this one: `cargo xtask yocto check` compares them.
pub(crate) mod layout {
    pub(crate) use super::disk::{GRUB_MODULES, TYPE_BOOT, TYPE_DATA, TYPE_ESP, TYPE_ROOT};
    pub(crate) use super::overlay::overlay_paths;
    pub(crate) use super::release::{SALT, UUID as ROOT_UUID};
}

/// Which hardware the bundles are for.
pub const COMPATIBLE: &str = "fleet-qemux86-64";

/// What runs on a device, each a package and its program.
const PROGRAMS: &[&str] = &["fleet-agent", "fleet-player"];

/// The time of every file in an image, so that only content makes a difference: 2026-01-01.
const FILE_TIME: u64 = 1_767_225_600;

/// Builds releases and disks.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    workspace: Workspace,
    tools: ToolTree,
    progress: Progress,
    cache: PathBuf,
}

impl ImageBuilder {
    /// Makes the tools tree if need be.
    ///
    /// # Errors
    /// See [`ToolTree::ensure`].
    pub fn new(workspace: &Workspace, progress: Progress) -> Result<Self> {
        Ok(Self {
            workspace: workspace.clone(),
            tools: ToolTree::ensure(workspace, progress)?,
            progress,
            cache: workspace.fleet_dir().join("cache"),
        })
    }

    /// The tools that built it, and run it.
    pub fn tools(&self) -> &ToolTree {
        &self.tools
    }

    /// Where images of this name go.
    pub fn output_dir(&self, name: &str) -> PathBuf {
        self.workspace.fleet_dir().join("images").join(name)
    }

    /// Builds the device's programs, and returns where they are.
    ///
    /// # Errors
    /// When one does not compile; cargo's messages go to the log.
    pub fn build_programs(&self) -> Result<PathBuf> {
        let step = self.progress.step("Building fleet-agent and fleet-player");
        let mut command = process::cargo();
        command
            .args(["build", "--release", "--locked"])
            .args(PROGRAMS.iter().flat_map(|name| ["--package", name]))
            .current_dir(self.workspace.root());
        process::run_logged(&mut command, &self.workspace.log_file("build-programs"))?;
        step.done("");
        Ok(self.workspace.target().join("release"))
    }
}

/// The SHA-256 of a file, as lower-case hex. By coreutils: an unoptimised hasher would take minutes.
///
/// # Errors
/// When the file can't be read.
pub fn sha256_file(path: &Path) -> Result<String> {
    let line = process::capture(process::command("sha256sum").arg("--").arg(path))?;
    line.split_whitespace()
        .next()
        .map(|hash| hash.trim_start_matches('\\').to_owned())
        .context("sha256sum printed nothing")
}

/// Twelve hex digits over `parts`.
fn key_of<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> String {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    for part in parts {
        hash.update((part.as_ref().len() as u64).to_le_bytes());
        hash.update(part.as_ref());
    }
    hex::encode(&hash.finalize()[..6])
}
