//! `fleet release publish`: key sets, then the bundle, then the release; each only if missing.

use fleet_protocol::device::Page;
use fleet_protocol::release::{BundleUpload, CreateRelease, ReleaseView, SetReleaseStatus};
use fleet_protocol::trust::{Envelope, KeySetError, ReleaseMetadata, TrustedKeys};

use super::metadata::{self, Signers};
use super::{PublishArgs, Published};
use crate::client::Client;
use crate::error::{CommandError, Result};
use crate::keys::{self, KeyFolder};
use crate::output::Output;
use crate::resume::Upload;
use crate::{clock, store};

pub(super) fn publish(args: &PublishArgs, client: &Client, output: Output) -> Result<Published> {
    let folder = KeyFolder::open(&args.keys.keys).ok();
    let envelope = if let Some(path) = &args.metadata {
        let envelope: Envelope = store::read_json(path, "release file")?;
        let metadata = metadata::read(&envelope)?;
        check_bundle(args, &metadata, folder.as_ref())?;
        envelope
    } else {
        let signers = Signers::load(&args.keys)?;
        let keyring = signers.folder.as_ref().map(KeyFolder::keyring);
        let view = metadata::inspect(&args.rauc, &args.bundle, keyring.as_deref())?;
        let mut envelope = metadata::describe(&args.describe, &view, clock::now())?.to_envelope();
        signers.sign(&mut envelope);
        envelope
    };
    let metadata = metadata::read(&envelope)?;
    if let Some(folder) = &folder {
        enough_signatures(&folder.current()?.0, &envelope)?;
    }

    let key_sets_published = match &folder {
        Some(folder) => keys::publish(folder, client)?,
        None => Vec::new(),
    };
    if let Some(existing) = published(client, &metadata)? {
        if existing.status != args.status {
            let path = format!("/v1/releases/{}/status", metadata.version);
            let status = SetReleaseStatus {
                status: args.status,
            };
            let _: serde_json::Value = client.post(&path, &status)?;
        }
        return Ok(Published {
            version: metadata.version,
            status: args.status,
            created: false,
            bundle_uploaded: false,
            key_sets_published,
        });
    }
    let bundle_path = format!("/v1/bundles/{}", metadata.bundle.sha256);
    let bundle_uploaded = !client.exists(&bundle_path)?;
    if bundle_uploaded {
        let size_bytes = metadata.bundle.size_bytes;
        let upload = Upload {
            client,
            file: &args.bundle,
            to: &bundle_path,
            size_bytes,
        };
        upload.run(&output.byte_bar(size_bytes, "Uploading"), output, || {
            // More than there is to send: another file is there under this name's digest.
            let first = arrived(client, &bundle_path)?;
            Ok(Some(if first < size_bytes { first } else { 0 }))
        })?;
    }
    let request = CreateRelease {
        metadata: envelope,
        status: args.status,
    };
    let _: serde_json::Value = client.post("/v1/releases", &request)?;
    Ok(Published {
        version: metadata.version,
        status: args.status,
        created: true,
        bundle_uploaded,
        key_sets_published,
    })
}

/// The file at hand is the one that was signed.
fn check_bundle(
    args: &PublishArgs,
    metadata: &ReleaseMetadata,
    folder: Option<&KeyFolder>,
) -> Result<()> {
    let keyring = folder.map(KeyFolder::keyring);
    let view = metadata::inspect(&args.rauc, &args.bundle, keyring.as_deref())?;
    if view.sha256 == metadata.bundle.sha256
        && view.size_bytes == metadata.bundle.size_bytes
        && view.manifest_sha256 == metadata.bundle.manifest_sha256
    {
        return Ok(());
    }
    Err(CommandError::refused(format!(
        "{} is not the bundle that was signed for release {}",
        args.bundle.display(),
        metadata.version
    ))
    .because(format!(
        "signed {}, found {}",
        metadata.bundle.sha256, view.sha256
    ))
    .hint("publish the very file that was signed, or sign this one"))
}

fn enough_signatures(trusted: &TrustedKeys, envelope: &Envelope) -> Result<()> {
    trusted.verify(envelope).map_err(|error| {
        let more = matches!(
            error,
            KeySetError::NotEnoughSignatures { .. } | KeySetError::Unsigned
        );
        let refused = CommandError::refused("devices would not believe this release; nothing was published")
            .because(error);
        if more {
            refused.hint("let more key holders sign: `fleet release sign BUNDLE …`, then in turn `fleet release sign --metadata FILE --key FILE`, then publish with --metadata")
        } else {
            refused.hint("sign it with keys of the present key set (fleet keys show)")
        }
    })
}

/// The release of this version that is there already; refused if it is another one.
fn published(client: &Client, metadata: &ReleaseMetadata) -> Result<Option<ReleaseView>> {
    let releases: Page<ReleaseView> = client.get("/v1/releases")?;
    let Some(existing) = releases
        .items
        .into_iter()
        .find(|r| r.metadata.version == metadata.version)
    else {
        return Ok(None);
    };
    if same_release(&existing.metadata, metadata) {
        return Ok(Some(existing));
    }
    Err(CommandError::refused(format!(
        "release {} is published already, and differs from this one",
        metadata.version
    ))
    .hint("a published version never changes: build this one under a new version"))
}

/// Equal but for when it was signed, until when, and its file's name.
fn same_release(a: &ReleaseMetadata, b: &ReleaseMetadata) -> bool {
    let mut a = a.clone();
    a.issued_at = b.issued_at;
    a.not_after = b.not_after;
    a.bundle.file_name.clone_from(&b.bundle.file_name);
    a == *b
}

/// How many bytes of it the control plane has.
fn arrived(client: &Client, path: &str) -> Result<u64> {
    let upload: BundleUpload = client.get(&format!("{path}/upload"))?;
    Ok(upload.received_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_protocol::trust::BundleRef;
    use fleet_protocol::{Sha256, Version};
    use jiff::Timestamp;

    fn release() -> ReleaseMetadata {
        ReleaseMetadata {
            version: Version::new(2, 0, 0),
            compatible: "board".parse().unwrap(),
            bundle: BundleRef {
                file_name: "a".to_owned(),
                sha256: Sha256::of("a"),
                size_bytes: 1,
                manifest_sha256: Sha256::of("m"),
            },
            root_hash: Sha256::of("r"),
            issued_at: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::MAX,
            min_version: None,
            rollback_floor: None,
            allow_downgrade: false,
            hardware: Vec::new(),
            notes: String::new(),
        }
    }

    #[test]
    fn signing_again_later_makes_no_other_release() {
        let mut later = release();
        later.issued_at = Timestamp::MAX;
        assert!(same_release(&release(), &later));
    }

    #[test]
    fn another_bundle_or_floor_is_another_release() {
        let mut other = release();
        other.bundle.sha256 = Sha256::of("b");
        assert!(!same_release(&release(), &other));
        let mut floor = release();
        floor.rollback_floor = Some(Version::new(1, 0, 0));
        assert!(!same_release(&release(), &floor));
    }
}
