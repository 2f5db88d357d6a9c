//! What an operator signs: releases and key sets, with keys made of a seed.

use fleet_protocol::Sha256;
use fleet_protocol::trust::{
    BundleRef, Envelope, KEY_SET_PAYLOAD_TYPE, KeySet, PublicKey, ReleaseMetadata, SigningKey,
};
use jiff::Timestamp;

pub(crate) fn release(version: &str, bundle: &[u8]) -> ReleaseMetadata {
    ReleaseMetadata {
        version: version.parse().unwrap(),
        compatible: "fleet-qemux86-64".parse().unwrap(),
        bundle: BundleRef {
            file_name: format!("fleet-{version}.raucb"),
            sha256: Sha256::of(bundle),
            size_bytes: bundle.len() as u64,
            manifest_sha256: Sha256::of("manifest"),
        },
        root_hash: root_hash(version),
        issued_at: Timestamp::UNIX_EPOCH,
        not_after: Timestamp::MAX,
        min_version: None,
        rollback_floor: None,
        allow_downgrade: false,
        hardware: Vec::new(),
        notes: String::new(),
    }
}

pub(crate) fn root_hash(version: &str) -> Sha256 {
    Sha256::of(format!("root-{version}"))
}

pub(crate) fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_secret(&[seed; 32])
}

pub(crate) fn signed(mut envelope: Envelope) -> Envelope {
    envelope.sign(&signing_key(1));
    envelope
}

pub(crate) fn key_set(version: u32, signers: &[u8]) -> Envelope {
    key_set_of(version, 1, signers)
}

/// A key set of one key.
pub(crate) fn key_set_of(version: u32, key: u8, signers: &[u8]) -> Envelope {
    let set = KeySet {
        version,
        threshold: 1,
        keys: vec![PublicKey::new("one", signing_key(key).verifying_key())],
        issued_at: Timestamp::UNIX_EPOCH,
    };
    let payload = serde_json::to_vec(&set).unwrap();
    let mut envelope = Envelope::unsigned(KEY_SET_PAYLOAD_TYPE, payload);
    for signer in signers {
        envelope.sign(&signing_key(*signer));
    }
    envelope
}
