//! Releases, keys and situations for the core's tests.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use fleet_protocol::config::ControlPlaneCheck;
use fleet_protocol::target::TargetKind;
use fleet_protocol::trust::{
    BundleRef, Envelope, KEY_SET_PAYLOAD_TYPE, KeySet, PublicKey, ReleaseMetadata, SigningKey,
    TrustedKeys, VerifiedRelease,
};
use fleet_protocol::update::{BootedSystem, Slot};
use fleet_protocol::{Sha256, Version};
use jiff::Timestamp;

use super::admission::Facts;
use super::gate::{ReachedBefore, Settings};
use super::update::{Candidate, Situation, Wanted};
use super::{Monotonic, Now};

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Every test's "now": 2026-01-01T00:00:00Z.
pub(crate) const NOW: i64 = 1_767_225_600;

pub(crate) fn version(major: u64) -> Version {
    Version::new(major, 0, 0)
}

pub(crate) fn root_hash(version: &Version) -> Sha256 {
    Sha256::of(format!("root of {version}"))
}

pub(crate) fn release(major: u64) -> ReleaseMetadata {
    let version = version(major);
    ReleaseMetadata {
        compatible: "fleet-test".parse().unwrap(),
        bundle: BundleRef {
            file_name: format!("{version}.raucb"),
            sha256: Sha256::of(format!("bundle of {version}")),
            size_bytes: 100,
            manifest_sha256: Sha256::of(format!("manifest of {version}")),
        },
        root_hash: root_hash(&version),
        issued_at: at(NOW - 100),
        not_after: at(NOW + 1_000_000),
        min_version: None,
        rollback_floor: None,
        allow_downgrade: false,
        hardware: Vec::new(),
        notes: String::new(),
        version,
    }
}

fn key() -> SigningKey {
    SigningKey::from_secret(&[1; 32])
}

static TRUSTED: LazyLock<TrustedKeys> = LazyLock::new(|| {
    let set = KeySet {
        version: 1,
        threshold: 1,
        keys: vec![PublicKey::new("test", key().verifying_key())],
        issued_at: at(0),
    };
    let payload = serde_json::to_vec(&set).unwrap();
    let mut envelope = Envelope::unsigned(KEY_SET_PAYLOAD_TYPE, payload);
    envelope.sign(&key());
    TrustedKeys::from_image(&envelope).unwrap()
});

/// Signed and verified for real, once for each document.
pub(crate) fn verified(metadata: &ReleaseMetadata) -> VerifiedRelease {
    static SEEN: Mutex<BTreeMap<Vec<u8>, VerifiedRelease>> = Mutex::new(BTreeMap::new());
    let mut envelope = metadata.to_envelope();
    let mut seen = SEEN.lock().unwrap();
    seen.entry(envelope.payload.clone())
        .or_insert_with(|| {
            envelope.sign(&key());
            VerifiedRelease::verify(&envelope, &TRUSTED).unwrap()
        })
        .clone()
}

pub(crate) fn wanted(metadata: &ReleaseMetadata, kind: TargetKind, attempt: u32) -> Wanted {
    Wanted {
        kind,
        rollout_id: Some(
            format!("rol_{}", metadata.version.to_string().replace('.', "-"))
                .parse()
                .unwrap(),
        ),
        release: verified(metadata),
        bundle_path: format!("/v1/device/bundles/{}", metadata.bundle.sha256),
        attempt,
    }
}

pub(crate) fn candidate(metadata: &ReleaseMetadata) -> Candidate {
    Candidate::Verified(Box::new(wanted(metadata, TargetKind::Install, 1)))
}

pub(crate) fn booted(slot: Slot, version: &Version, boot_id: u64) -> BootedSystem {
    BootedSystem {
        slot,
        version: version.clone(),
        root_hash: root_hash(version),
        boot_id: format!("boot-{boot_id}"),
    }
}

pub(crate) fn facts() -> Facts {
    Facts {
        now: at(NOW),
        clock_floor: at(NOW - 1_000),
        compatible: "fleet-test".parse().unwrap(),
        hardware: "qemu".to_owned(),
        window: None,
        free_bytes: 1_000,
        min_free_bytes: 100,
        paused: false,
        power_trouble: None,
    }
}

pub(crate) fn gate_settings() -> Settings {
    Settings {
        window_ms: 60_000,
        deadline_ms: 600_000,
        max_restarts: 3,
        control_plane: ControlPlaneCheck::Required,
    }
}

pub(crate) fn situation() -> Situation {
    Situation {
        now: Now {
            wall: at(NOW),
            mono: Monotonic(30_000),
        },
        facts: facts(),
        gate: gate_settings(),
        reboot_delay_s: 5,
        control_plane: ReachedBefore::Yes,
        dice: 0,
    }
}
