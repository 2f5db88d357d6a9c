//! A release's metadata: made from a bundle, signed, written to `VERSION.release.json`.

use std::path::PathBuf;

use fleet_protocol::Sha256;
use fleet_protocol::trust::{BundleRef, Envelope, ReleaseMetadata, SigningKey, TrustedKeys};
use jiff::Timestamp;
use serde::Deserialize;

use super::{DescribeArgs, KeyArgs, SignArgs};
use crate::bundle::{self, BundleView};
use crate::error::{CommandError, Result};
use crate::keys::{KeyFolder, read_signing_key};
use crate::output::Output;
use crate::rauc::{Rauc, RaucArgs};
use crate::store::{self, Access, Existing};
use crate::{clock, text};

/// The part of an image's manifest that matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageManifest {
    root_hash: Sha256,
}

/// What `sign` and `publish` know of the key folder.
pub(super) struct Signers {
    pub(super) folder: Option<KeyFolder>,
    pub(super) trusted: Option<TrustedKeys>,
    keys: Vec<SigningKey>,
}

impl Signers {
    /// A folder is optional when key files are named: an offline holder has no more than a key.
    pub(super) fn load(args: &KeyArgs) -> Result<Self> {
        let folder = match KeyFolder::open(&args.keys) {
            Ok(folder) => Some(folder),
            Err(_) if !args.key.is_empty() => None,
            Err(error) => return Err(error),
        };
        let trusted = match &folder {
            Some(folder) => Some(folder.current()?.0),
            None => None,
        };
        let mut keys = Vec::new();
        if args.key.is_empty() {
            for named in folder
                .as_ref()
                .map_or(Ok(Vec::new()), KeyFolder::signing_keys)?
            {
                keys.push(named.key);
            }
        }
        for path in &args.key {
            keys.push(read_signing_key(path)?);
        }
        if let Some(trusted) = &trusted {
            let set = trusted.key_set();
            keys.retain(|k| set.keys.iter().any(|p| p.key_id() == k.key_id()));
        }
        if keys.is_empty() {
            return Err(CommandError::not_found("there is no release key here to sign with")
                .hint("name one with --key FILE; it must belong to the present key set (fleet keys show)"));
        }
        Ok(Self {
            folder,
            trusted,
            keys,
        })
    }

    pub(super) fn threshold(&self) -> Option<u32> {
        self.trusted.as_ref().map(|t| t.key_set().threshold)
    }

    pub(super) fn sign(&self, envelope: &mut Envelope) {
        sign_with(envelope, &self.keys);
    }
}

/// Adds the signature of each key.
pub fn sign_with(envelope: &mut Envelope, keys: &[SigningKey]) {
    for key in keys {
        envelope.sign(key);
    }
}

/// The offline act: the file written, what is in it, and how many signatures it needs.
pub(super) fn sign(args: &SignArgs, output: Output) -> Result<(PathBuf, Envelope, Option<u32>)> {
    let signers = Signers::load(&args.keys)?;
    let (mut envelope, out, existing) = match (&args.metadata, &args.bundle) {
        (Some(metadata), _) => {
            let envelope: Envelope = store::read_json(metadata, "release file")?;
            read(&envelope)?;
            let out = args.out.clone().unwrap_or_else(|| metadata.clone());
            (envelope, out, Existing::Replace)
        }
        (None, Some(bundle)) => {
            let keyring = signers.folder.as_ref().map(KeyFolder::keyring);
            let view = inspect(&args.rauc, bundle, keyring.as_deref())?;
            let metadata = describe(&args.describe, &view, clock::now())?;
            let out = args
                .out
                .clone()
                .unwrap_or_else(|| PathBuf::from(format!("{}.release.json", metadata.version)));
            (metadata.to_envelope(), out, Existing::Keep)
        }
        (None, None) => unreachable!("clap requires one of the two"),
    };
    let before = envelope.signatures.len();
    signers.sign(&mut envelope);
    if envelope.signatures.len() == before {
        output.note("These keys had signed it before");
    }
    let mut bytes = serde_json::to_vec_pretty(&envelope).expect("an envelope is plain data");
    bytes.push(b'\n');
    store::write(&out, &bytes, Access::Everyone, existing)?;
    Ok((out, envelope, signers.threshold()))
}

pub(super) fn inspect(
    rauc: &RaucArgs,
    bundle: &std::path::Path,
    keyring: Option<&std::path::Path>,
) -> Result<BundleView> {
    if !bundle.is_file() {
        return Err(
            CommandError::not_found(format!("there is no file {}", bundle.display()))
                .hint("build it with `fleet bundle build`"),
        );
    }
    let rauc = Rauc::find(rauc)?;
    let view = bundle::view(&rauc, bundle, keyring)?;
    if view.format == "plain" {
        return Err(
            CommandError::refused("the bundle is in `plain` format, which devices refuse")
                .hint("build it with `fleet bundle build`, in verity format"),
        );
    }
    Ok(view)
}

pub(super) fn describe(
    args: &DescribeArgs,
    bundle: &BundleView,
    now: Timestamp,
) -> Result<ReleaseMetadata> {
    let root_hash = match (&args.root_hash, &args.image_manifest) {
        (Some(hash), _) => *hash,
        (None, Some(path)) => {
            store::read_json::<ImageManifest>(path, "image manifest with a rootHash")?.root_hash
        }
        (None, None) => {
            return Err(CommandError::usage("the root hash is missing").hint(
                "give --root-hash HEX or --image-manifest FILE: a verified boot must report it",
            ));
        }
    };
    let lifetime = text::parse_duration(&args.not_after).map_err(|e| {
        CommandError::usage("--not-after is no duration")
            .because(e)
            .hint("such as 90d")
    })?;
    let not_after = jiff::SignedDuration::try_from(lifetime)
        .ok()
        .and_then(|d| now.checked_add(d).ok())
        .filter(|at| *at > now)
        .ok_or_else(|| {
            CommandError::usage("--not-after must lie in the future").hint("such as 90d")
        })?;
    let said = |what: &str, text: &str| {
        CommandError::failed(format!(
            "the bundle's {what} is `{}`",
            crate::output::printable(text)
        ))
    };
    let version = bundle.version.as_deref().unwrap_or_default();
    Ok(ReleaseMetadata {
        version: version.parse().map_err(|e| {
            said("version", version)
                .because(e)
                .hint("build it with --version")
        })?,
        compatible: bundle.compatible.parse().map_err(|e| {
            said("compatible", &bundle.compatible)
                .because(e)
                .hint("build it with --compatible")
        })?,
        bundle: BundleRef {
            file_name: bundle
                .file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            sha256: bundle.sha256,
            size_bytes: bundle.size_bytes,
            manifest_sha256: bundle.manifest_sha256,
        },
        root_hash,
        issued_at: now,
        not_after,
        min_version: args.min_version.clone(),
        rollback_floor: args.rollback_floor.clone(),
        allow_downgrade: args.allow_downgrade,
        hardware: args.hardware.clone(),
        notes: args.notes.clone(),
    })
}

pub(super) fn read(envelope: &Envelope) -> Result<ReleaseMetadata> {
    let wrong = |reason: String| {
        CommandError::failed("this is no release file")
            .because(reason)
            .hint("it is what `fleet release sign` writes: VERSION.release.json")
    };
    if envelope.payload_type != fleet_protocol::trust::RELEASE_PAYLOAD_TYPE {
        return Err(wrong(format!(
            "its payloadType is `{}`",
            envelope.payload_type
        )));
    }
    ReleaseMetadata::read(envelope).map_err(|e| wrong(e.to_string()))
}
