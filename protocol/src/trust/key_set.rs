//! The keys that may sign releases, how many of them must, and how they are replaced.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::envelope::{decode_public, encode_public};
use super::{
    Envelope, KEY_SET_PAYLOAD_TYPE, KeyId, MAX_PAYLOAD_BYTES, pre_authentication_encoding,
};

/// One public key with a name for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawPublicKey", into = "RawPublicKey")]
pub struct PublicKey {
    pub name: String,
    key: ed25519_dalek::VerifyingKey,
}

impl PublicKey {
    pub fn new(name: impl Into<String>, key: ed25519_dalek::VerifyingKey) -> Self {
        Self {
            name: name.into(),
            key,
        }
    }

    pub fn key_id(&self) -> KeyId {
        KeyId::of(&self.key)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPublicKey {
    name: String,
    ed25519: String,
}

impl TryFrom<RawPublicKey> for PublicKey {
    type Error = String;

    fn try_from(raw: RawPublicKey) -> Result<Self, Self::Error> {
        let key = decode_public(&raw.ed25519)
            .ok_or_else(|| format!("key `{}` is no Ed25519 public key in base64", raw.name))?;
        Ok(Self {
            name: raw.name,
            key,
        })
    }
}

impl From<PublicKey> for RawPublicKey {
    fn from(key: PublicKey) -> Self {
        Self {
            ed25519: encode_public(&key.key),
            name: key.name,
        }
    }
}

/// The content of a key-set document. Versions count up from 1 without a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeySet {
    pub version: u32,
    /// How many different keys must have signed a release.
    pub threshold: u32,
    pub keys: Vec<PublicKey>,
    /// For people and for audits; a device does not enforce it, so that no fleet is stranded.
    pub issued_at: Timestamp,
}

/// Why a key set, or a signature by one, is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error("the document is {size} bytes, more than {MAX_PAYLOAD_BYTES}")]
    TooLarge { size: usize },
    #[error("payloadType is `{found}`, expected `{expected}`")]
    WrongType {
        found: String,
        expected: &'static str,
    },
    #[error("the key set does not parse: {reason}")]
    Malformed { reason: String },
    #[error("threshold {threshold} cannot be met by {keys} different keys")]
    Threshold { threshold: u32, keys: usize },
    #[error("carries no signature at all")]
    Unsigned,
    #[error("{valid} valid signatures of trusted keys, {threshold} are needed")]
    NotEnoughSignatures { valid: usize, threshold: u32 },
    #[error("key set {found} cannot follow key set {current}: the next one is {}", current + 1)]
    NotTheNext { current: u32, found: u32 },
}

/// A key set that is trusted: it came with the image, or by an unbroken chain from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKeys(KeySet);

impl TrustedKeys {
    /// The first key set, trusted because of where it came from (the read-only image). Its own
    /// signatures are checked all the same.
    ///
    /// # Errors
    /// When it does not parse, cannot meet its own threshold, or is not signed by it.
    pub fn from_image(envelope: &Envelope) -> Result<Self, KeySetError> {
        let set = parse(envelope)?;
        verify(&set, envelope)?;
        Ok(Self(set))
    }

    /// The successor, if a threshold of the present keys and of its own keys signed it.
    ///
    /// # Errors
    /// When it is not the very next version or not signed as it must be; `self` stays in force.
    pub fn rotate(&self, envelope: &Envelope) -> Result<Self, KeySetError> {
        let next = parse(envelope)?;
        if self.0.version.checked_add(1) != Some(next.version) {
            return Err(KeySetError::NotTheNext {
                current: self.0.version,
                found: next.version,
            });
        }
        verify(&self.0, envelope)?;
        verify(&next, envelope)?;
        Ok(Self(next))
    }

    /// Whether a threshold of these keys signed `envelope`.
    pub fn verify(&self, envelope: &Envelope) -> Result<(), KeySetError> {
        verify(&self.0, envelope)
    }

    pub fn key_set(&self) -> &KeySet {
        &self.0
    }
}

fn parse(envelope: &Envelope) -> Result<KeySet, KeySetError> {
    if envelope.payload.len() > MAX_PAYLOAD_BYTES {
        return Err(KeySetError::TooLarge {
            size: envelope.payload.len(),
        });
    }
    if envelope.payload_type != KEY_SET_PAYLOAD_TYPE {
        return Err(KeySetError::WrongType {
            found: envelope.payload_type.clone(),
            expected: KEY_SET_PAYLOAD_TYPE,
        });
    }
    let set: KeySet =
        serde_json::from_slice(&envelope.payload).map_err(|e| KeySetError::Malformed {
            reason: e.to_string(),
        })?;
    let different: BTreeSet<KeyId> = set.keys.iter().map(PublicKey::key_id).collect();
    if set.threshold == 0 || set.threshold as usize > different.len() {
        return Err(KeySetError::Threshold {
            threshold: set.threshold,
            keys: different.len(),
        });
    }
    Ok(set)
}

/// Counts different keys, not signatures: one key signing twice counts once.
fn verify(set: &KeySet, envelope: &Envelope) -> Result<(), KeySetError> {
    if envelope.signatures.is_empty() {
        return Err(KeySetError::Unsigned);
    }
    let message = pre_authentication_encoding(&envelope.payload_type, &envelope.payload);
    let valid: BTreeSet<KeyId> = envelope
        .signatures
        .iter()
        .filter_map(|signature| {
            let key = set.keys.iter().find(|k| k.key_id() == signature.keyid)?;
            let bytes = ed25519_dalek::Signature::from_slice(&signature.sig).ok()?;
            key.key.verify_strict(&message, &bytes).ok()?;
            Some(signature.keyid)
        })
        .collect();
    if valid.len() < set.threshold as usize {
        return Err(KeySetError::NotEnoughSignatures {
            valid: valid.len(),
            threshold: set.threshold,
        });
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::trust::SigningKey;

    pub(crate) fn key(seed: u8) -> SigningKey {
        SigningKey::from_secret(&[seed; 32])
    }

    pub(crate) fn key_set(version: u32, threshold: u32, keys: &[u8]) -> Envelope {
        let set = KeySet {
            version,
            threshold,
            keys: keys
                .iter()
                .map(|seed| PublicKey::new(format!("key {seed}"), key(*seed).verifying_key()))
                .collect(),
            issued_at: Timestamp::UNIX_EPOCH,
        };
        Envelope::unsigned(KEY_SET_PAYLOAD_TYPE, serde_json::to_vec(&set).unwrap())
    }

    pub(crate) fn signed(mut envelope: Envelope, seeds: &[u8]) -> Envelope {
        for seed in seeds {
            envelope.sign(&key(*seed));
        }
        envelope
    }

    #[test]
    fn a_rotation_needs_old_and_new_keys() {
        let first = TrustedKeys::from_image(&signed(key_set(1, 2, &[1, 2, 3]), &[1, 2])).unwrap();
        let next = key_set(2, 2, &[3, 4, 5]);
        let both = signed(next.clone(), &[1, 2, 4, 5]);
        assert_eq!(first.rotate(&both).unwrap().key_set().version, 2);
        assert!(
            first.rotate(&signed(next.clone(), &[4, 5])).is_err(),
            "new keys alone"
        );
        assert!(
            first.rotate(&signed(next, &[1, 2])).is_err(),
            "old keys alone"
        );
    }

    #[test]
    fn a_rotation_cannot_skip_or_repeat_a_version() {
        let first = TrustedKeys::from_image(&signed(key_set(1, 1, &[1]), &[1])).unwrap();
        for version in [1, 3] {
            let error = first
                .rotate(&signed(key_set(version, 1, &[1]), &[1]))
                .unwrap_err();
            assert_eq!(
                error,
                KeySetError::NotTheNext {
                    current: 1,
                    found: version
                }
            );
        }
    }

    #[test]
    fn one_key_signing_twice_counts_once() {
        let mut envelope = signed(key_set(1, 2, &[1, 2]), &[1]);
        envelope.signatures.push(envelope.signatures[0].clone());
        assert_eq!(
            TrustedKeys::from_image(&envelope),
            Err(KeySetError::NotEnoughSignatures {
                valid: 1,
                threshold: 2
            })
        );
    }

    #[test]
    fn one_key_listed_twice_cannot_meet_a_threshold_of_two() {
        let envelope = signed(key_set(1, 2, &[1, 1]), &[1]);
        assert_eq!(
            TrustedKeys::from_image(&envelope),
            Err(KeySetError::Threshold {
                threshold: 2,
                keys: 1
            })
        );
    }

    #[test]
    fn a_threshold_of_zero_is_refused() {
        assert!(TrustedKeys::from_image(&signed(key_set(1, 0, &[1]), &[1])).is_err());
    }
}
