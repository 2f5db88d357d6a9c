//! A signed document: payload and signatures, as DSSE 1.0 lays them out in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::Signer as _;
use serde::{Deserialize, Serialize};

use crate::{ParseDigestError, Sha256};

/// A key's name: the SHA-256 of its 32 public bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct KeyId(Sha256);

impl KeyId {
    pub fn of(public: &ed25519_dalek::VerifyingKey) -> Self {
        Self(Sha256::of(public.as_bytes()))
    }
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for KeyId {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// One signature over the envelope's pre-authentication encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Signature {
    pub keyid: KeyId,
    /// 64 bytes, base64.
    #[serde(with = "base64_text")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("contentEncoding" = "base64")))]
    pub sig: Vec<u8>,
}

/// A signed document. Holding one says nothing: only verification makes its payload worth reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    pub payload_type: String,
    #[serde(with = "base64_text")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("contentEncoding" = "base64")))]
    pub payload: Vec<u8>,
    #[serde(default)]
    pub signatures: Vec<Signature>,
}

/// A private key of the release key set. Its bytes are wiped when dropped.
#[derive(Debug)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// From the 32 secret bytes, which the caller draws from the system's random source.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(secret))
    }

    pub fn verifying_key(&self) -> ed25519_dalek::VerifyingKey {
        self.0.verifying_key()
    }

    pub fn key_id(&self) -> KeyId {
        KeyId::of(&self.verifying_key())
    }

    /// The 32 secret bytes, to be stored where only the operator can read them.
    pub fn secret(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl Envelope {
    /// An envelope without signatures around `payload`.
    pub fn unsigned(payload_type: &str, payload: Vec<u8>) -> Self {
        Self {
            payload_type: payload_type.to_owned(),
            payload,
            signatures: Vec::new(),
        }
    }

    /// Adds `key`'s signature, replacing an earlier one by the same key.
    pub fn sign(&mut self, key: &SigningKey) {
        let message = pre_authentication_encoding(&self.payload_type, &self.payload);
        let keyid = key.key_id();
        self.signatures.retain(|s| s.keyid != keyid);
        self.signatures.push(Signature {
            keyid,
            sig: key.0.sign(&message).to_bytes().to_vec(),
        });
    }
}

/// The bytes that are signed: `DSSEv1 LEN(type) type LEN(payload) payload`.
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    message.extend_from_slice(payload);
    message
}

mod base64_text {
    use super::{BASE64, Deserialize};
    use base64::Engine as _;

    pub(super) fn serialize<S: serde::Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text).map_err(serde::de::Error::custom)
    }
}

/// A public key as 44 characters of base64.
pub(super) fn encode_public(key: &ed25519_dalek::VerifyingKey) -> String {
    BASE64.encode(key.as_bytes())
}

pub(super) fn decode_public(text: &str) -> Option<ed25519_dalek::VerifyingKey> {
    let bytes: [u8; 32] = BASE64.decode(text).ok()?.try_into().ok()?;
    ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_one_of_the_dsse_protocol() {
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn signing_twice_with_one_key_leaves_one_signature() {
        let key = SigningKey::from_secret(&[7; 32]);
        let mut envelope = Envelope::unsigned("t", b"x".to_vec());
        envelope.sign(&key);
        envelope.sign(&key);
        assert_eq!(envelope.signatures.len(), 1);
    }
}
