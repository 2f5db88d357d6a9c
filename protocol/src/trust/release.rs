//! What a release is, in the words that its signers put their names to.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Envelope, KeySetError, MAX_PAYLOAD_BYTES, RELEASE_PAYLOAD_TYPE, TrustedKeys};
use crate::{Compatible, Sha256, Version};

/// The bundle that carries a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BundleRef {
    pub file_name: String,
    /// Of the whole `.raucb` file.
    pub sha256: Sha256,
    pub size_bytes: u64,
    /// RAUC's manifest hash (`rauc info`): it covers the dm-verity root hash of the payload, so a
    /// streaming installation is bound to it without reading the whole file first.
    pub manifest_sha256: Sha256,
}

/// A release, as it is signed offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReleaseMetadata {
    pub version: Version,
    pub compatible: Compatible,
    pub bundle: BundleRef,
    /// The dm-verity root hash of the root filesystem: what a verified boot must report.
    pub root_hash: Sha256,
    pub issued_at: Timestamp,
    /// After this instant no device installs it any more.
    pub not_after: Timestamp,
    /// A device below this version must take an intermediate release first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<Version>,
    /// Devices that committed this release never go back below this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_floor: Option<Version>,
    /// May be installed over a newer version.
    #[serde(default)]
    pub allow_downgrade: bool,
    /// Board models that it runs on; empty means any of the compatible.
    #[serde(default)]
    pub hardware: Vec<String>,
    #[serde(default)]
    pub notes: String,
}

/// Why a release document is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyReleaseError {
    #[error("the release metadata is {size} bytes, more than {MAX_PAYLOAD_BYTES}")]
    TooLarge { size: usize },
    #[error("payloadType is `{found}`, expected `{RELEASE_PAYLOAD_TYPE}`")]
    WrongType { found: String },
    #[error("the release metadata is not signed")]
    Unsigned,
    #[error("signed by too few trusted keys: {valid} of {threshold}")]
    Foreign { valid: usize, threshold: u32 },
    #[error("the release metadata does not parse: {reason}")]
    Malformed { reason: String },
}

/// Release metadata whose signatures were checked. There is no other way to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRelease(ReleaseMetadata);

impl VerifiedRelease {
    /// Checks signatures first, and parses only what was signed.
    pub fn verify(envelope: &Envelope, keys: &TrustedKeys) -> Result<Self, VerifyReleaseError> {
        if envelope.payload.len() > MAX_PAYLOAD_BYTES {
            return Err(VerifyReleaseError::TooLarge {
                size: envelope.payload.len(),
            });
        }
        if envelope.payload_type != RELEASE_PAYLOAD_TYPE {
            return Err(VerifyReleaseError::WrongType {
                found: envelope.payload_type.clone(),
            });
        }
        keys.verify(envelope).map_err(|error| match error {
            KeySetError::NotEnoughSignatures { valid, threshold } => {
                VerifyReleaseError::Foreign { valid, threshold }
            }
            _ => VerifyReleaseError::Unsigned,
        })?;
        let metadata = ReleaseMetadata::read(envelope)?;
        Ok(Self(metadata))
    }

    pub fn metadata(&self) -> &ReleaseMetadata {
        &self.0
    }

    pub fn into_metadata(self) -> ReleaseMetadata {
        self.0
    }
}

impl ReleaseMetadata {
    /// What the envelope claims, believed by nobody: for showing, and for the control plane, which
    /// holds no keys of its own.
    pub fn read(envelope: &Envelope) -> Result<Self, VerifyReleaseError> {
        serde_json::from_slice(&envelope.payload).map_err(|e| VerifyReleaseError::Malformed {
            reason: e.to_string(),
        })
    }

    /// An unsigned envelope around this metadata.
    pub fn to_envelope(&self) -> Envelope {
        let payload = serde_json::to_vec(self).expect("release metadata is plain data");
        Envelope::unsigned(RELEASE_PAYLOAD_TYPE, payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::key_set::tests::{key_set, signed};
    use proptest::prelude::*;

    fn release() -> ReleaseMetadata {
        ReleaseMetadata {
            version: Version::new(2, 0, 0),
            compatible: "fleet-qemux86-64".parse().unwrap(),
            bundle: BundleRef {
                file_name: "fleet-2.0.0.raucb".to_owned(),
                sha256: Sha256::of("bundle"),
                size_bytes: 6,
                manifest_sha256: Sha256::of("manifest"),
            },
            root_hash: Sha256::of("root"),
            issued_at: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::MAX,
            min_version: None,
            rollback_floor: None,
            allow_downgrade: false,
            hardware: Vec::new(),
            notes: String::new(),
        }
    }

    fn trusted() -> TrustedKeys {
        TrustedKeys::from_image(&signed(key_set(1, 2, &[1, 2, 3]), &[1, 2])).unwrap()
    }

    #[test]
    fn a_release_signed_by_the_threshold_is_verified() {
        let envelope = signed(release().to_envelope(), &[2, 3]);
        let verified = VerifiedRelease::verify(&envelope, &trusted()).unwrap();
        assert_eq!(verified.metadata(), &release());
    }

    #[test]
    fn unsigned_foreign_and_mistyped_releases_each_have_their_reason() {
        let verify =
            |envelope: &Envelope| VerifiedRelease::verify(envelope, &trusted()).unwrap_err();
        assert_eq!(
            verify(&release().to_envelope()),
            VerifyReleaseError::Unsigned
        );
        assert_eq!(
            verify(&signed(release().to_envelope(), &[2, 9])),
            VerifyReleaseError::Foreign {
                valid: 1,
                threshold: 2
            }
        );
        let key_set = signed(key_set(1, 1, &[1]), &[1, 2]);
        assert!(matches!(
            verify(&key_set),
            VerifyReleaseError::WrongType { .. }
        ));
    }

    proptest! {
        #[test]
        fn any_changed_byte_of_the_payload_is_refused(at in 0usize..400, flip in 1u8..=255) {
            let mut envelope = signed(release().to_envelope(), &[1, 2]);
            let at = at % envelope.payload.len();
            envelope.payload[at] ^= flip;
            prop_assert!(VerifiedRelease::verify(&envelope, &trusted()).is_err());
        }
    }
}
