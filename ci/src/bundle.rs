//! RAUC bundles of a release: verity format, both images with a block hash index so that updates fetch what changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::image::{Release, sha256_file};
use crate::keys::BundleKeys;
use crate::process;
use crate::progress::Progress;
use crate::tools::ToolTree;
use crate::workspace::Workspace;

/// A signed bundle, and what release metadata says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    pub path: PathBuf,
    pub version: String,
    pub compatible: String,
    pub sha256: String,
    pub size_bytes: u64,
    /// RAUC's own hash of the manifest, which an installation can insist on.
    pub manifest_sha256: String,
    pub root_hash: String,
}

/// Builds and signs `to` from a release.
///
/// # Errors
/// When RAUC refuses the images or the keys.
pub fn build(
    workspace: &Workspace,
    tools: &ToolTree,
    release: &Release,
    keys: &BundleKeys,
    to: &Path,
    progress: Progress,
) -> Result<Bundle> {
    build_for(
        workspace,
        tools,
        release,
        &release.compatible,
        keys,
        to,
        progress,
    )
}

/// As [`build`], with a compatible of the caller's choice: devices of another kind must refuse it.
///
/// # Errors
/// When RAUC refuses the images or the keys.
pub fn build_for(
    workspace: &Workspace,
    tools: &ToolTree,
    release: &Release,
    compatible: &str,
    keys: &BundleKeys,
    to: &Path,
    progress: Progress,
) -> Result<Bundle> {
    let step = progress.step(format!("Building the bundle of {}", release.version));
    let content = to.with_extension("content");
    for stale in [to, content.as_path()] {
        if stale.is_dir() {
            fs::remove_dir_all(stale).context("removing an unfinished bundle")?;
        } else if stale.exists() {
            fs::remove_file(stale).context("removing an earlier bundle")?;
        }
    }
    fs::create_dir_all(&content).with_context(|| format!("creating {}", content.display()))?;
    for (image, name) in [
        (&release.rootfs, "rootfs.img"),
        (&release.boot_image, "boot.img"),
    ] {
        link_or_copy(image, &content.join(name))?;
    }
    fs::write(
        content.join("manifest.raucm"),
        manifest(release, compatible),
    )?;
    let mut command = tools.command("rauc");
    command
        .arg("bundle")
        .arg("--cert")
        .arg(&keys.certificate)
        .arg("--key")
        .arg(&keys.key)
        .arg("--keyring")
        .arg(&keys.ca)
        .arg("--mksquashfs-args=-comp lz4")
        .arg(&content)
        .arg(to);
    process::run_logged(&mut command, &workspace.log_file("bundle"))?;
    fs::remove_dir_all(&content).context("removing the bundle's folder")?;
    let bundle = Bundle {
        path: to.to_owned(),
        version: release.version.clone(),
        compatible: compatible.to_owned(),
        sha256: sha256_file(to)?,
        size_bytes: fs::metadata(to)?.len(),
        manifest_sha256: manifest_hash(tools, keys, to)?,
        root_hash: release.root_hash.clone(),
    };
    step.done(&format!("{} MB", bundle.size_bytes / 1_000_000));
    Ok(bundle)
}

fn manifest(release: &Release, compatible: &str) -> String {
    let version = &release.version;
    format!(
        "[update]\ncompatible={compatible}\nversion={version}\n\n[bundle]\nformat=verity\n\n\
         [image.rootfs]\nfilename=rootfs.img\nadaptive=block-hash-index\n\n\
         [image.boot]\nfilename=boot.img\nadaptive=block-hash-index\n"
    )
}

fn manifest_hash(tools: &ToolTree, keys: &BundleKeys, bundle: &Path) -> Result<String> {
    let mut command = tools.command("rauc");
    command
        .args(["info", "--output-format=json-2", "--keyring"])
        .arg(&keys.ca)
        .arg(bundle);
    let said = process::capture(&mut command)?;
    let info: serde_json::Value = serde_json::from_str(&said).context("reading RAUC's answer")?;
    info.pointer("/update/manifest-hash")
        .or_else(|| info.pointer("/hash"))
        .or_else(|| info.pointer("/manifest-hash"))
        .and_then(serde_json::Value::as_str)
        .map(str::to_owned)
        .with_context(|| format!("RAUC named no manifest hash:\n{said}"))
}

/// Images are large and never changed in place; a copy is needed only across file systems.
fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    }
    Ok(())
}
