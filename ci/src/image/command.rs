//! `cargo xtask image`: what it takes, and what it makes of that.

use std::path::PathBuf;

use anyhow::Result;

use super::{Access, DiskInputs, ImageBuilder, ReleaseInputs, Variant, verify_reproducible};
use crate::bundle;
use crate::keys::BundleKeys;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// What `cargo xtask image` takes.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub struct ImageArguments {
    /// The release's version.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    release: String,
    #[arg(long, default_value = "stable")]
    channel: String,
    /// CA certificate for bundles; a throw-away one otherwise.
    #[arg(long)]
    keyring: Option<PathBuf>,
    /// Key set for release metadata.
    #[arg(long)]
    keyset: Option<PathBuf>,
    /// Enrolment file for the EFI system partition.
    #[arg(long)]
    provision: Option<PathBuf>,
    /// A folder with ready programs for the device instead of building them.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Also build a signed bundle (with the throw-away keys).
    #[arg(long, conflicts_with = "keyring")]
    bundle: bool,
    /// How the release is to turn out; anything but good is for tests.
    #[arg(long, value_enum, default_value = "good")]
    variant: Variant,
    /// Add a root shell on a virtio console. For tests, never for devices.
    #[arg(long)]
    test_shell: bool,
    /// Build the release twice from nothing and compare.
    #[arg(long)]
    verify_reproducible: bool,
    /// Print the manifest as JSON.
    #[arg(long)]
    json: bool,
}

/// Builds the release, its disk, and a bundle if asked for.
///
/// # Errors
/// When a stage fails; the log's tail says why.
pub fn run(workspace: &Workspace, arguments: &ImageArguments, progress: Progress) -> Result<()> {
    let builder = ImageBuilder::new(workspace, progress)?;
    let keys = BundleKeys::throw_away(workspace, builder.tools())?;
    let inputs = ReleaseInputs {
        version: arguments.release.clone(),
        channel: arguments.channel.clone(),
        built_at: builder.built_at()?,
        keyring: arguments.keyring.clone().unwrap_or(keys.ca.clone()),
        keyset: arguments.keyset.clone(),
        programs: match &arguments.programs {
            Some(path) => path.clone(),
            None => builder.build_programs()?,
        },
        variant: arguments.variant,
        access: if arguments.test_shell {
            Access::TestShell
        } else {
            Access::Sealed
        },
        extra: Vec::new(),
    };
    if arguments.verify_reproducible {
        let release = verify_reproducible(&builder, &inputs)?;
        progress.note(&format!(
            "Two builds agree on root hash {}",
            release.root_hash
        ));
        return Ok(());
    }
    let release = builder.release(&inputs)?;
    let disk = builder.disk(
        &release,
        &DiskInputs {
            provision: arguments.provision.clone(),
        },
    )?;
    if arguments.bundle {
        let to = release
            .dir()
            .join(format!("fleet-{}.raucb", release.version));
        bundle::build(workspace, builder.tools(), &release, &keys, &to, progress)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&disk)?);
    } else {
        progress.note(&format!(
            "Manifest: {}",
            release.dir().join("manifest.json").display()
        ));
    }
    Ok(())
}
