//! `fleet bundle`: RAUC bundles in verity format, built, signed anew, looked into.
//!
//! `make` builds and signs, `stored` looks after those on the control plane; here are the arguments,
//! and what is shown of a bundle.

mod make;
mod stored;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use fleet_protocol::{Compatible, Sha256, Version};
use serde::Serialize;

use crate::args::Global;
use crate::error::Result;
use crate::output::{Output, human_bytes};
use crate::rauc::{Info, Rauc, RaucArgs};
use crate::text::parse_duration;
use crate::{context, store};

#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Build and sign a bundle from a root file system and a boot image
    Build(BuildArgs),
    /// Sign a bundle anew, with other keys
    Sign(SignArgs),
    /// Show what a bundle holds, and whether its signature is good
    Inspect(InspectArgs),
    /// The bundles on the control plane, and the releases that refer to them
    List,
    /// Delete bundles from the control plane that no release refers to
    Prune(PruneArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Quick; the images are compressed themselves
    Lz4,
    Gzip,
    Zstd,
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Image for the rootfs slot (with its dm-verity tree)
    #[arg(long, value_name = "IMG")]
    pub rootfs: PathBuf,
    /// Image for the boot slot that belongs to it
    #[arg(long, value_name = "IMG")]
    pub boot: PathBuf,
    #[arg(long, value_name = "VERSION")]
    pub version: Version,
    /// Which hardware and distribution it is for, as in the devices' system.conf
    #[arg(long)]
    pub compatible: Compatible,
    /// The bundle to write
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,
    /// For people, shown by `rauc info`
    #[arg(long, default_value = "")]
    pub description: String,
    #[arg(long, value_enum, default_value = "lz4")]
    pub compression: Compression,
    #[command(flatten)]
    pub signer: SignerArgs,
    #[command(flatten)]
    pub rauc: RaucArgs,
}

#[derive(Debug, Args)]
pub struct SignerArgs {
    /// Key folder of `fleet keys init`
    #[arg(
        long,
        env = "FLEET_KEYS",
        default_value = "./fleet-keys",
        value_name = "DIR"
    )]
    pub keys: PathBuf,
    /// Certificate to sign with, instead of the folder's (PEM file or PKCS#11 URL)
    #[arg(long, value_name = "CERT", requires = "signing_key")]
    pub cert: Option<String>,
    /// Its private key (PEM file or PKCS#11 URL)
    #[arg(
        long = "cert-key",
        id = "signing_key",
        value_name = "KEY",
        requires = "cert"
    )]
    pub cert_key: Option<String>,
    /// What the signature is checked against afterwards, instead of the folder's keyring.pem
    #[arg(long, value_name = "PEM")]
    pub keyring: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    pub bundle: PathBuf,
    /// The bundle to write
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,
    /// What the present signature is checked against; default: the new keyring
    #[arg(long, value_name = "PEM")]
    pub old_keyring: Option<PathBuf>,
    #[command(flatten)]
    pub signer: SignerArgs,
    #[command(flatten)]
    pub rauc: RaucArgs,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    pub bundle: PathBuf,
    /// Check the signature against this; default: the key folder's keyring.pem, if there is one
    #[arg(long, value_name = "PEM")]
    pub keyring: Option<PathBuf>,
    /// Key folder of `fleet keys init`
    #[arg(
        long,
        env = "FLEET_KEYS",
        default_value = "./fleet-keys",
        value_name = "DIR"
    )]
    pub keys: PathBuf,
    /// Do not check the signature
    #[arg(long, conflicts_with = "keyring")]
    pub no_verify: bool,
    #[command(flatten)]
    pub rauc: RaucArgs,
}

#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Only those that were uploaded at least this long ago
    #[arg(long, default_value = "2d", value_parser = parse_duration, value_name = "DURATION")]
    pub older_than: Duration,
    /// Only show which
    #[arg(long)]
    pub dry_run: bool,
}

/// `--json` shape of `bundle build|sign|inspect`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleView {
    pub file: PathBuf,
    pub size_bytes: u64,
    pub sha256: Sha256,
    pub manifest_sha256: Sha256,
    pub compatible: String,
    pub version: Option<String>,
    pub format: String,
    /// Checked against a keyring, and good.
    pub signature_verified: bool,
    pub images: Vec<ImageView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageView {
    pub slot_class: String,
    pub file_name: String,
    pub size_bytes: u64,
    pub sha256: Sha256,
    pub adaptive: Vec<String>,
}

/// # Errors
/// See each command.
pub fn run(command: BundleCommand, global: &Global, output: Output) -> Result<()> {
    let view = match command {
        BundleCommand::List => return stored::list(&context::client(global)?, output),
        BundleCommand::Prune(args) => {
            return stored::prune(&args, &context::client(global)?, output);
        }
        BundleCommand::Build(args) => make::build(&args)?,
        BundleCommand::Sign(args) => make::sign(&args)?,
        BundleCommand::Inspect(args) => inspect(&args, output)?,
    };
    output.result(&view, |view| show(view, output));
    Ok(())
}

fn inspect(args: &InspectArgs, output: Output) -> Result<BundleView> {
    let rauc = Rauc::find(&args.rauc)?;
    make::check_exists(&args.bundle)?;
    let default = args.keys.join("keyring.pem");
    let keyring = match (&args.keyring, args.no_verify) {
        (_, true) => None,
        (Some(keyring), false) => Some(keyring.as_path()),
        (None, false) if default.is_file() => Some(default.as_path()),
        (None, false) => {
            output.note("Signature not checked: no keyring (name one with --keyring)");
            None
        }
    };
    view(&rauc, &args.bundle, keyring)
}

/// Size, digest and RAUC's own words about a bundle; with a keyring, its signature is checked.
pub(crate) fn view(rauc: &Rauc, bundle: &Path, keyring: Option<&Path>) -> Result<BundleView> {
    let info: Info = rauc.info(bundle, keyring)?;
    let (sha256, size_bytes) = store::digest(bundle)?;
    Ok(BundleView {
        file: bundle.to_owned(),
        size_bytes,
        sha256,
        manifest_sha256: info.manifest_hash,
        compatible: info.update.compatible,
        version: info.update.version,
        format: info.bundle.format,
        signature_verified: keyring.is_some(),
        images: info
            .images
            .into_iter()
            .map(|image| ImageView {
                slot_class: image.slot_class,
                file_name: image.filename,
                size_bytes: image.size,
                sha256: image.checksum,
                adaptive: image.adaptive,
            })
            .collect(),
    })
}

fn show(view: &BundleView, output: Output) -> String {
    let rows: Vec<Vec<String>> = view
        .images
        .iter()
        .map(|i| {
            vec![
                i.slot_class.clone(),
                human_bytes(i.size_bytes),
                i.adaptive.join(", "),
                i.sha256.to_string(),
            ]
        })
        .collect();
    let signature = if view.signature_verified {
        "good"
    } else {
        "not checked"
    };
    let fields = output.fields(&[
        ("bundle", view.file.display().to_string()),
        (
            "version",
            view.version.clone().unwrap_or_else(|| "none".to_owned()),
        ),
        ("compatible", view.compatible.clone()),
        ("format", view.format.clone()),
        ("size", human_bytes(view.size_bytes)),
        ("sha256", view.sha256.to_string()),
        ("manifest hash", view.manifest_sha256.to_string()),
        ("signature", signature.to_owned()),
    ]);
    format!(
        "{fields}\n{}",
        output.table(&["slot", "size", "adaptive", "sha256"], &rows)
    )
}
