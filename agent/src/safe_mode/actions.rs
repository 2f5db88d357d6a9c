//! What safe mode can do to a device, as a port: the page knows this trait, [`super::device`] carries
//! it out, tests watch it.

use std::path::PathBuf;

use fleet_protocol::trust::VerifiedRelease;
use fleet_protocol::update::Slot;
use tokio::sync::mpsc;

use super::facts::Facts;
use super::ssh_key::SshKey;
use crate::platform::rauc::Progress;

/// Something was not done, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ActionError {
    pub message: String,
    pub hint: String,
}

impl ActionError {
    pub fn new(message: impl std::fmt::Display, hint: impl Into<String>) -> Self {
        Self {
            message: message.to_string(),
            hint: hint.into(),
        }
    }
}

/// A bundle on a USB stick, with the signed metadata that lies beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsbBundle {
    pub path: PathBuf,
    /// For people: stick and file name.
    pub name: String,
    pub size_bytes: u64,
    /// `None`: there is no `NAME.release.json`, so it cannot be installed.
    pub metadata: Option<PathBuf>,
}

/// SSH is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshOpened {
    pub minutes: u32,
    /// Of the host key, so that the technician knows whom they log in to.
    pub host_fingerprint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// `e2fsck`: keeps what can be kept.
    Check,
    /// `mkfs`: everything on the partition is gone, the identity too.
    Format,
}

/// Each is idempotent, bounded in time, and leaves the device as it was when it fails.
pub trait Actions: Send + Sync + 'static {
    fn facts(&self) -> impl Future<Output = Facts> + Send;

    /// Gives the running slot its attempts back and reboots into it.
    fn retry(&self) -> impl Future<Output = Result<(), ActionError>> + Send;

    /// Makes the other slot the first one, on trial, and reboots into it.
    fn roll_back(&self) -> impl Future<Output = Result<Slot, ActionError>> + Send;

    fn reboot(&self) -> impl Future<Output = Result<(), ActionError>> + Send;

    /// Has networkd read its files again, and joins or leaves the Wi-Fi of `interface`.
    fn reload_network(
        &self,
        interface: &str,
    ) -> impl Future<Output = Result<(), ActionError>> + Send;

    /// Mounts USB partitions read-only and lists the bundles on them.
    fn usb_bundles(&self) -> impl Future<Output = Vec<UsbBundle>> + Send;

    /// Checks signatures and everything that an update is checked for.
    fn admit(
        &self,
        envelope: Vec<u8>,
    ) -> impl Future<Output = Result<VerifiedRelease, ActionError>> + Send;

    /// Installs an admitted bundle into the other slot; returns when it is there.
    fn install(
        &self,
        bundle: PathBuf,
        release: VerifiedRelease,
        progress: mpsc::Sender<Progress>,
    ) -> impl Future<Output = Result<Slot, ActionError>> + Send;

    /// For one hour, however this process fares.
    fn open_ssh(&self, key: SshKey) -> impl Future<Output = Result<SshOpened, ActionError>> + Send;

    fn close_ssh(&self) -> impl Future<Output = Result<(), ActionError>> + Send;

    /// Checks or makes anew the filesystem of the data partition.
    fn repair_data(&self, repair: Repair) -> impl Future<Output = Result<(), ActionError>> + Send;
}
