//! A device that writes down what it is asked to do, and the one release that its keys vouch for.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use fleet_protocol::trust::{
    BundleRef, Envelope, ReleaseMetadata, SigningKey, TrustedKeys, VerifiedRelease,
};
use fleet_protocol::update::Slot;
use fleet_protocol::{Sha256, Version};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::platform::key_chain::tests::{IMAGE_KEY, key_set};
use crate::platform::rauc::Progress;
use crate::safe_mode::actions::{ActionError, Actions, Repair, SshOpened, UsbBundle};
use crate::safe_mode::ssh_key::SshKey;
use crate::safe_mode::{DataState, Facts, SlotLine};

pub(super) const BUNDLE: &[u8] = b"a bundle of a few bytes";

/// Writes down what it is asked to do.
pub(super) struct Watched {
    pub(super) calls: Arc<Mutex<Vec<String>>>,
    pub(super) ended: watch::Sender<u32>,
    pub(super) usb: Vec<UsbBundle>,
}

pub(super) fn key() -> SigningKey {
    SigningKey::from_secret(&[IMAGE_KEY; 32])
}

pub(super) fn release() -> ReleaseMetadata {
    ReleaseMetadata {
        version: Version::new(2, 0, 0),
        compatible: "fleet-test".parse().unwrap(),
        bundle: BundleRef {
            file_name: "fleet-2.0.0.raucb".to_owned(),
            sha256: Sha256::of(BUNDLE),
            size_bytes: BUNDLE.len() as u64,
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

pub(super) fn envelope(signed: bool) -> Vec<u8> {
    let payload = serde_json::to_vec(&release()).unwrap();
    let mut envelope = Envelope::unsigned(fleet_protocol::trust::RELEASE_PAYLOAD_TYPE, payload);
    if signed {
        envelope.sign(&key());
    }
    serde_json::to_vec(&envelope).unwrap()
}

pub(super) fn trusted() -> TrustedKeys {
    TrustedKeys::from_image(&key_set(1, IMAGE_KEY, IMAGE_KEY)).unwrap()
}

pub(super) fn facts() -> Facts {
    Facts {
        device: "dev_4f2a9c0d11e07b3a".to_owned(),
        cause: "fleet-player.service failed 5 times in a short time.".to_owned(),
        version: "1.4.0".to_owned(),
        slot: Some(Slot::B),
        slots: vec![
            SlotLine {
                slot: Slot::A,
                booted: false,
                version: "1.3.2".to_owned(),
                good: true,
            },
            SlotLine {
                slot: Slot::B,
                booted: true,
                version: "1.4.0".to_owned(),
                good: false,
            },
        ],
        slots_problem: None,
        update: Some("Version 1.5.0 failed and was rolled back.".to_owned()),
        data: DataState::ReadOnly,
        addresses: vec!["192.168.178.120".to_owned()],
        board: "QEMU Standard PC".to_owned(),
        serial_number: Some("10000000a1b2c3d4".to_owned()),
        temperature_c: Some(48.0),
        uptime_seconds: 95,
        log: (0..40)
            .map(|n| {
                format!(
                    "Mar 01 09:30:{n:02} fleet-player[812]: pipeline <error> {}",
                    "x".repeat(150)
                )
            })
            .collect(),
    }
}

impl Watched {
    fn note(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }
}

impl Actions for Watched {
    async fn facts(&self) -> Facts {
        facts()
    }

    async fn retry(&self) -> Result<(), ActionError> {
        self.note("retry");
        Ok(())
    }

    async fn roll_back(&self) -> Result<Slot, ActionError> {
        self.note("roll back");
        Err(ActionError::new("slot A is empty", "install a bundle"))
    }

    async fn reboot(&self) -> Result<(), ActionError> {
        self.note("reboot");
        Ok(())
    }

    async fn reload_network(&self, interface: &str) -> Result<(), ActionError> {
        self.note(format!("network {interface}"));
        Ok(())
    }

    async fn usb_bundles(&self) -> Vec<UsbBundle> {
        self.usb.clone()
    }

    async fn admit(&self, envelope: Vec<u8>) -> Result<VerifiedRelease, ActionError> {
        let envelope: Envelope =
            serde_json::from_slice(&envelope).map_err(|e| ActionError::new(e, "hint"))?;
        VerifiedRelease::verify(&envelope, &trusted())
            .map_err(|e| ActionError::new(e, "take a signed one"))
    }

    async fn install(
        &self,
        bundle: PathBuf,
        release: VerifiedRelease,
        _: mpsc::Sender<Progress>,
    ) -> Result<Slot, ActionError> {
        let content = std::fs::read(&bundle).unwrap();
        self.note(format!(
            "install {} of {} bytes",
            release.metadata().version,
            content.len()
        ));
        self.ended.send_modify(|count| *count += 1);
        Ok(Slot::A)
    }

    async fn open_ssh(&self, key: SshKey) -> Result<SshOpened, ActionError> {
        self.note(format!("ssh {}", key.authorized_line().trim()));
        Ok(SshOpened {
            minutes: 60,
            host_fingerprint: "SHA256:abc".to_owned(),
        })
    }

    async fn close_ssh(&self) -> Result<(), ActionError> {
        self.note("close ssh");
        Ok(())
    }

    async fn repair_data(&self, repair: Repair) -> Result<(), ActionError> {
        self.note(format!("{repair:?}"));
        Ok(())
    }
}
