//! `fleet keys`: the Ed25519 keys that sign releases, and the certificates that sign bundles.
//!
//! A key folder:
//! ```text
//! release-1.key.pem …       PKCS#8 Ed25519, 0600, one file each: may live on different machines
//! keyset.json               the newest key set (DSSE): goes into images as their first one
//! keyset-1.json …           the whole chain, oldest first: devices follow it
//! keyring.pem               what devices check bundles against (the bundle CA)
//! bundle-ca.{cert,key}.pem  signs leaf certificates; needed only to make a new leaf
//! bundle-signing.{cert,key}.pem
//! retired/                  keys that a rotation took out, certificates too
//! ```
//! Invariant: no key is lost: what is replaced is kept in `retired/`. `keyset.json` is replaced last, by rename.

mod bundle_signing;
mod folder;
mod rotate;
mod x509;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fleet_protocol::trust::{Envelope, KeySet, TrustedKeys};
use serde::Serialize;

use crate::args::Global;
use crate::error::Result;
use crate::output::{Output, Tone};
use crate::{clock, context};

pub use folder::{KeyFolder, parse_signing_key, read_signing_key};
use rotate::Done;
pub use rotate::RotateArgs;
pub use x509::ends_at;

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make release keys, the first key set, and the certificates that sign bundles
    Init(InitArgs),
    /// Replace, add or remove release keys (the next key set, signed by old and new ones), or replace the
    /// certificate that signs bundles
    Rotate(RotateArgs),
    /// Show the present key set and which of its keys are here
    Show(DirArgs),
    /// Hand the control plane the key sets that it does not have yet
    Publish(DirArgs),
}

#[derive(Debug, Args)]
pub struct DirArgs {
    /// The key folder
    #[arg(
        long,
        env = "FLEET_KEYS",
        default_value = "./fleet-keys",
        value_name = "DIR"
    )]
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    #[command(flatten)]
    pub dir: DirArgs,
    /// How many release keys to make
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub keys: u32,
    /// How many of them must sign a release
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub threshold: u32,
    /// Organisation in the certificates
    #[arg(long, default_value = "Fleet", value_name = "NAME")]
    pub organisation: String,
}

/// `--json` shape of `keys init|rotate|show`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    dir: PathBuf,
    version: u32,
    threshold: u32,
    keys: Vec<ShownKey>,
    key_set_file: PathBuf,
    keyring_file: PathBuf,
    certificate_file: PathBuf,
    certificate_not_after: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownKey {
    name: String,
    key_id: String,
    /// Whether its secret half is in this folder.
    present: bool,
}

/// # Errors
/// See each command.
pub fn run(command: KeysCommand, global: &Global, output: Output) -> Result<()> {
    match command {
        KeysCommand::Init(args) => {
            let folder = folder::init(&args, clock::now())?;
            output.note("Keep the *.key.pem files apart and offline; anyone who has a threshold of them owns the fleet.");
            show(&folder, output)
        }
        KeysCommand::Rotate(args) => {
            let (folder, done) = rotate::run(&args, clock::now())?;
            if done == Done::Completed {
                output.note("An earlier rotation had been cut off. It is complete now, and nothing else was done: run the command again for another one.");
            }
            output.note(if args.bundle_signing {
                "Build and sign bundles with the new certificate; devices need not be told. The old one is in retired/: its key still signs what devices take, so destroy it."
            } else {
                "Hand it to the control plane with `fleet keys publish`, and build new images with it."
            });
            show(&folder, output)
        }
        KeysCommand::Show(args) => show(&KeyFolder::open(&args.dir)?, output),
        KeysCommand::Publish(args) => {
            let folder = KeyFolder::open(&args.dir)?;
            let sent = publish(&folder, &context::client(global)?)?;
            output.result(&serde_json::json!({"published": sent}), |_| {
                if sent.is_empty() {
                    "The control plane has every key set already\n".to_owned()
                } else {
                    format!("Published key set {sent:?}\n")
                }
            });
            Ok(())
        }
    }
}

/// Sends the key sets that the control plane does not have, oldest first; returns their versions.
///
/// # Errors
/// When it holds another key set of the same version, or cannot be reached.
pub fn publish(folder: &KeyFolder, client: &crate::client::Client) -> Result<Vec<u32>> {
    let page: fleet_protocol::device::Page<Envelope> = client.get("/v1/keysets")?;
    let held: Vec<KeySet> = page
        .items
        .iter()
        .filter_map(|e| serde_json::from_slice(&e.payload).ok())
        .collect();
    let mut sent = Vec::new();
    for (set, envelope) in folder.chain()? {
        match held.iter().find(|h| h.version == set.version) {
            Some(theirs) if *theirs == set => {}
            Some(_) => {
                return Err(crate::error::CommandError::refused(format!(
                    "the control plane holds another key set {}",
                    set.version
                ))
                .hint("these keys belong to another fleet, or somebody rotated elsewhere: compare `fleet keys show`"));
            }
            None => {
                let _: serde_json::Value = client.post("/v1/keysets", &envelope)?;
                sent.push(set.version);
            }
        }
    }
    Ok(sent)
}

fn show(folder: &KeyFolder, output: Output) -> Result<()> {
    let (trusted, _) = folder.current()?;
    let shown = shown(folder, &trusted)?;
    output.result(&shown, |s| {
        let rows: Vec<Vec<String>> = s
            .keys
            .iter()
            .map(|key| {
                vec![
                    key.name.clone(),
                    if key.present {
                        output.paint(Tone::Good, "here")
                    } else {
                        output.paint(Tone::Dim, "elsewhere")
                    },
                    key.key_id.clone(),
                ]
            })
            .collect();
        let expiry = s.certificate_not_after.as_deref().unwrap_or("unknown");
        format!(
            "Key set {}: {} of {} keys sign a release\n{}\nBundles are signed by {} (until {expiry}); devices check them against {}\n",
            s.version,
            s.threshold,
            s.keys.len(),
            output.table(&["key", "secret", "id"], &rows),
            s.certificate_file.display(),
            s.keyring_file.display(),
        )
    });
    Ok(())
}

fn shown(folder: &KeyFolder, trusted: &TrustedKeys) -> Result<Shown> {
    let set = trusted.key_set();
    let secrets = folder.signing_keys()?;
    Ok(Shown {
        dir: folder.dir().to_owned(),
        version: set.version,
        threshold: set.threshold,
        keys: set
            .keys
            .iter()
            .map(|key| ShownKey {
                name: key.name.clone(),
                key_id: key.key_id().to_string(),
                present: secrets.iter().any(|s| s.key.key_id() == key.key_id()),
            })
            .collect(),
        key_set_file: folder.key_set_file(),
        keyring_file: folder.keyring(),
        certificate_file: folder.certificate(),
        certificate_not_after: x509::not_after(&folder.certificate()),
    })
}
