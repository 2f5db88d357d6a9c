//! Builds the same release twice from nothing and compares: packages are bootstrapped anew each time.

use std::fs;

use anyhow::{Context, Result, bail};

use super::{ImageBuilder, Release, ReleaseInputs};

/// Builds twice in caches of their own; returns the release both times agree on.
///
/// # Errors
/// When the root hashes or boot images differ. Both builds are then kept for comparison.
pub fn verify_reproducible(builder: &ImageBuilder, inputs: &ReleaseInputs) -> Result<Release> {
    let place = builder.workspace.fleet_dir().join("reproducible");
    if place.exists() {
        fs::remove_dir_all(&place).context("removing an earlier comparison")?;
    }
    let mut releases = Vec::new();
    for pass in ["first", "second"] {
        let builder = ImageBuilder {
            cache: place.join(pass),
            ..builder.clone()
        };
        let inputs = ReleaseInputs {
            version: inputs.version.clone(),
            ..inputs.clone()
        };
        let made = builder.release_into(&inputs, &place.join(pass).join("release"))?;
        releases.push(made);
    }
    let [first, second] =
        <[Release; 2]>::try_from(releases).map_err(|_| anyhow::anyhow!("there are two passes"))?;
    let same = first.root_hash == second.root_hash
        && first.rootfs_sha256 == second.rootfs_sha256
        && first.boot_image_sha256 == second.boot_image_sha256;
    if !same {
        bail!(
            "two builds of {} differ:\n  {} {}\n  {} {}\nhint: both are kept in {}; compare them with `dump.erofs` or diffoscope",
            inputs.version,
            first.root_hash,
            first.boot_image_sha256,
            second.root_hash,
            second.boot_image_sha256,
            place.display()
        );
    }
    fs::remove_dir_all(&place).context("removing the comparison")?;
    Ok(first)
}
