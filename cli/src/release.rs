//! `fleet release`: what a release is, signed offline, then published with its bundle.
//!
//! Signing and publishing are separate acts: `sign` needs keys and no network, `publish --metadata`
//! needs the network and no keys. `publish BUNDLE` does both for those whose keys are at hand.
//! Publishing is idempotent: the same release again changes nothing.

mod metadata;
mod publish;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fleet_protocol::device::Page;
use fleet_protocol::release::{ReleaseStatus, ReleaseView, SetReleaseStatus};
use fleet_protocol::trust::{Envelope, KeyId, ReleaseMetadata};
use fleet_protocol::{Sha256, Version};
use serde::Serialize;

use crate::args::Global;
use crate::context;
use crate::error::Result;
use crate::output::{Output, Tone, human_bytes, printable};
use crate::rauc::RaucArgs;

pub use metadata::sign_with;

#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Describe and sign a release, offline; or add a signature to one
    Sign(SignArgs),
    /// Upload a bundle and register its release
    Publish(PublishArgs),
    /// List the releases
    List,
    /// Change whether rollouts may use a release
    Status {
        version: Version,
        /// draft, beta, stable or deprecated
        status: ReleaseStatus,
    },
}

/// What the signers put their names to, beside what the bundle itself says.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// The dm-verity root hash of the root file system
    #[arg(long, value_name = "HEX", conflicts_with = "image_manifest")]
    pub root_hash: Option<Sha256>,
    /// The image's manifest (JSON with `rootHash`), instead of --root-hash
    #[arg(long, value_name = "FILE")]
    pub image_manifest: Option<PathBuf>,
    /// No device installs it later than this from now
    #[arg(long, default_value = "90d", value_name = "DURATION")]
    pub not_after: String,
    /// Devices below this version must take an intermediate release first
    #[arg(long, value_name = "VERSION")]
    pub min_version: Option<Version>,
    /// Devices that committed this release never go below this version
    #[arg(long, value_name = "VERSION")]
    pub rollback_floor: Option<Version>,
    /// May be installed over a newer version
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Board model that it runs on (may be repeated); default: any of the compatible
    #[arg(long, value_name = "MODEL")]
    pub hardware: Vec<String>,
    /// For people
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub notes: String,
}

#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Key folder of `fleet keys init`
    #[arg(
        long,
        env = "FLEET_KEYS",
        default_value = "./fleet-keys",
        value_name = "DIR"
    )]
    pub keys: PathBuf,
    /// Sign with this key file instead of those in the folder (may be repeated)
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["bundle", "metadata"])))]
pub struct SignArgs {
    /// The bundle to describe
    pub bundle: Option<PathBuf>,
    /// A release that was signed before: add signatures to it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["root_hash", "image_manifest", "min_version", "rollback_floor", "hardware", "allow_downgrade", "notes"])]
    pub metadata: Option<PathBuf>,
    /// Where to write; default: VERSION.release.json, or --metadata's own file
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub describe: DescribeArgs,
    #[command(flatten)]
    pub keys: KeyArgs,
    #[command(flatten)]
    pub rauc: RaucArgs,
}

#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The bundle
    pub bundle: PathBuf,
    /// The release as `fleet release sign` wrote it, instead of signing now
    #[arg(long, value_name = "FILE", conflicts_with_all = ["root_hash", "image_manifest", "min_version", "rollback_floor", "hardware", "allow_downgrade", "notes", "key"])]
    pub metadata: Option<PathBuf>,
    /// draft, beta, stable or deprecated
    #[arg(long, default_value = "stable")]
    pub status: ReleaseStatus,
    #[command(flatten)]
    pub describe: DescribeArgs,
    #[command(flatten)]
    pub keys: KeyArgs,
    #[command(flatten)]
    pub rauc: RaucArgs,
}

/// `--json` shape of `release sign`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    file: PathBuf,
    metadata: ReleaseMetadata,
    signers: Vec<KeyId>,
    /// Known when the key folder is there.
    threshold: Option<u32>,
    complete: bool,
}

/// `--json` shape of `release publish`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    pub version: Version,
    pub status: ReleaseStatus,
    /// False when it was there already.
    pub created: bool,
    pub bundle_uploaded: bool,
    pub key_sets_published: Vec<u32>,
}

/// # Errors
/// See each command.
pub fn run(command: ReleaseCommand, global: &Global, output: Output) -> Result<()> {
    match command {
        ReleaseCommand::Sign(args) => {
            let (file, envelope, threshold) = metadata::sign(&args, output)?;
            let signed = signed(file, &envelope, threshold)?;
            output.result(&signed, |s| show_signed(s, output));
            Ok(())
        }
        ReleaseCommand::Publish(args) => {
            let published = publish::publish(&args, &context::client(global)?, output)?;
            output.result(&published, show_published);
            Ok(())
        }
        ReleaseCommand::List => {
            let releases: Page<ReleaseView> = context::client(global)?.get("/v1/releases")?;
            output.result(&releases, |page| show_list(&page.items, output));
            Ok(())
        }
        ReleaseCommand::Status { version, status } => {
            let path = format!("/v1/releases/{version}/status");
            let _: serde_json::Value =
                context::client(global)?.post(&path, &SetReleaseStatus { status })?;
            let value = serde_json::json!({"version": version, "status": status});
            output.result(&value, |_| {
                format!("Release {version} is {} now\n", status.name())
            });
            Ok(())
        }
    }
}

fn signed(file: PathBuf, envelope: &Envelope, threshold: Option<u32>) -> Result<Signed> {
    let signers: Vec<KeyId> = envelope.signatures.iter().map(|s| s.keyid).collect();
    Ok(Signed {
        file,
        metadata: metadata::read(envelope)?,
        complete: threshold.is_some_and(|t| signers.len() >= t as usize),
        signers,
        threshold,
    })
}

fn show_signed(signed: &Signed, output: Output) -> String {
    let mut text = describe(&signed.metadata, output);
    let count = signed.signers.len();
    text += &match signed.threshold {
        Some(threshold) => format!("\nSigned by {count} of {threshold} keys that are needed"),
        None => format!("\nSigned by {count} keys"),
    };
    text += &format!(": {}\n", signed.file.display());
    if !signed.complete {
        text += &format!(
            "Next: another key holder runs `fleet release sign --metadata {} --key FILE`\n",
            signed.file.display()
        );
    }
    text
}

/// Everything that a signature covers, for the eyes of who signs.
fn describe(m: &ReleaseMetadata, output: Output) -> String {
    let optional = |v: &Option<Version>| v.as_ref().map_or("none".to_owned(), ToString::to_string);
    let hardware = if m.hardware.is_empty() {
        "any".to_owned()
    } else {
        printable(&m.hardware.join(", "))
    };
    output.fields(&[
        ("release", m.version.to_string()),
        ("compatible", m.compatible.to_string()),
        ("bundle", printable(&m.bundle.file_name)),
        ("size", human_bytes(m.bundle.size_bytes)),
        ("sha256", m.bundle.sha256.to_string()),
        ("manifest hash", m.bundle.manifest_sha256.to_string()),
        ("root hash", m.root_hash.to_string()),
        ("not after", m.not_after.to_string()),
        ("minimum version", optional(&m.min_version)),
        ("rollback floor", optional(&m.rollback_floor)),
        (
            "downgrade",
            if m.allow_downgrade {
                "allowed"
            } else {
                "not allowed"
            }
            .to_owned(),
        ),
        ("hardware", hardware),
    ])
}

fn show_published(published: &Published) -> String {
    let version = &published.version;
    let status = published.status.name();
    if published.created {
        format!("Release {version} is published ({status}). Next: fleet rollout start {version}\n")
    } else {
        format!("Release {version} was published already ({status}); nothing changed\n")
    }
}

fn show_list(releases: &[ReleaseView], output: Output) -> String {
    if releases.is_empty() {
        return "No releases yet. Publish one with `fleet release publish`.\n".to_owned();
    }
    let rows: Vec<Vec<String>> = releases
        .iter()
        .map(|r| {
            let tone = match r.status {
                ReleaseStatus::Stable => Tone::Good,
                ReleaseStatus::Beta => Tone::Busy,
                ReleaseStatus::Draft | ReleaseStatus::Deprecated => Tone::Dim,
            };
            vec![
                output.paint(Tone::Strong, &r.metadata.version.to_string()),
                output.paint(tone, r.status.name()),
                r.device_count.to_string(),
                human_bytes(r.metadata.bundle.size_bytes),
                r.metadata.compatible.to_string(),
                r.metadata.not_after.strftime("%Y-%m-%d").to_string(),
            ]
        })
        .collect();
    output.table(
        &[
            "version",
            "status",
            "devices",
            "size",
            "compatible",
            "not after",
        ],
        &rows,
    )
}
