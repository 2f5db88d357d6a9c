//! The actions, carried out on this device: RAUC and systemd over D-Bus, the boot environment as a
//! file, and a few programs that have no bus.

mod data;
mod networkd;

use std::path::PathBuf;

use fleet_device::files;
use fleet_protocol::UnitName;
use fleet_protocol::trust::VerifiedRelease;
use fleet_protocol::update::Slot;
use tokio::sync::mpsc;

use super::actions::{ActionError, Actions, Repair, SshOpened, UsbBundle};
use super::facts::{self, Facts};
use super::ssh_key::SshKey;
use super::{admission, ssh, usb};
use crate::core::boot::BootEnv;
use crate::core::update::{ByHand, Record};
use crate::platform::boot_env::BootEnvFile;
use crate::platform::kept::{Hold, Kept, Written};
use crate::platform::paths::Paths;
use crate::platform::rauc::{Args, Mark, Progress, Rauc, RaucError};
use crate::platform::systemd::{Systemd, SystemdError};
use crate::platform::{booted, cmdline::CommandLine};
use crate::support_bundle::command::{self, CommandError, Limits};

pub(super) use networkd::reload_networks;

/// This device. The bus is connected to when it is needed: it may come late, or never.
#[derive(Debug, Clone)]
pub struct Device {
    paths: Paths,
}

impl From<RaucError> for ActionError {
    fn from(error: RaucError) -> Self {
        Self::new(&error, error.hint())
    }
}

impl From<SystemdError> for ActionError {
    fn from(error: SystemdError) -> Self {
        Self::new(&error, error.hint())
    }
}

impl From<CommandError> for ActionError {
    fn from(error: CommandError) -> Self {
        let hint = match &error {
            CommandError::Missing { .. } => "this image lacks that program; use another action",
            _ => "see the log on this page, and download a support bundle",
        };
        Self::new(error, hint)
    }
}

/// Runs what blocks beside the event loop.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ActionError> + Send + 'static,
) -> Result<T, ActionError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ActionError::new(error, "try again")),
    }
}

impl Device {
    pub fn new(paths: Paths) -> Self {
        Self { paths }
    }

    async fn bus() -> Result<zbus::Connection, ActionError> {
        zbus::Connection::system()
            .await
            .map_err(|e| ActionError::new(format!("no system bus: {e}"), "reboot the device"))
    }

    async fn rauc() -> Result<Rauc, ActionError> {
        Ok(Rauc::new(Self::bus().await?))
    }

    fn boot_env(&self) -> BootEnvFile {
        BootEnvFile::new(booted::grub_environment(&self.paths))
    }

    fn running_slot(&self) -> Result<Slot, ActionError> {
        CommandLine::read(&self.paths).slot.ok_or_else(|| {
            ActionError::new(
                "the kernel command line does not say which slot runs",
                "reboot the device from its power switch",
            )
        })
    }

    fn change_boot_env(&self, change: impl FnOnce(&mut BootEnv)) -> Result<(), ActionError> {
        let file = self.boot_env();
        // A damaged environment is replaced by what is known for certain: what runs now.
        if file.read().is_err() {
            let env = BootEnv::committed_to(self.running_slot()?);
            file.rewrite(&env)
                .map_err(|e| ActionError::new(&e, e.hint()))?;
        }
        file.change(change)
            .map_err(|e| ActionError::new(&e, e.hint()))
    }

    /// Tried anew, or left alone if it is committed: nothing is promoted by a retry.
    fn give_attempts_back(&self) -> Result<(), ActionError> {
        let slot = self.running_slot()?;
        self.change_boot_env(|env| {
            env.first = slot;
            env.slot_mut(slot).ok = true;
            env.slot_mut(slot).tries = 0;
        })
    }

    /// As [`Actions::retry`], but nobody asked for it: how often that was is not forgotten.
    pub(super) async fn retry_unasked(&self) -> Result<(), ActionError> {
        self.give_attempts_back()?;
        self.reboot().await
    }

    /// What came before is forgiven: the agent starts counting anew.
    fn forget_failures(&self) {
        for path in [
            self.paths.run.join("safe-mode.json"),
            self.paths.state().join("safe-mode.json"),
        ] {
            if let Err(error) = files::remove(&path) {
                log::warn!(error:% = error; "the memory of failures could not be removed");
            }
        }
    }
}

impl Actions for Device {
    async fn facts(&self) -> Facts {
        let slots = match Self::rauc().await {
            Ok(rauc) => rauc.slots().await.map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let paths = self.paths.clone();
        let gathered = tokio::task::spawn_blocking(move || facts::gather(&paths, slots)).await;
        gathered.expect("gathering facts reads files and cannot panic")
    }

    async fn retry(&self) -> Result<(), ActionError> {
        self.give_attempts_back()?;
        self.forget_failures();
        self.reboot().await
    }

    async fn roll_back(&self) -> Result<Slot, ActionError> {
        let other = self.running_slot()?.other();
        let rauc = Self::rauc().await?;
        let slots = rauc.slots().await?;
        let status = slots.iter().find(|s| s.bootname == Some(other));
        if status.is_none_or(|s| s.boot_good != Some(true)) {
            return Err(ActionError::new(
                format!("slot {other} holds nothing that is known to work"),
                "install a bundle from a USB stick or by upload",
            ));
        }
        let record = Kept::update_record(&self.paths).read::<Record>().0;
        let record = record.unwrap_or_default();
        let version = status.and_then(|s| s.version.clone());
        let version = version.or_else(|| record.other.as_ref().map(|o| o.version.clone()));
        if let (Some(version), Some(floor)) = (version, &record.rollback_floor)
            && version < *floor
        {
            return Err(ActionError::new(
                format!(
                    "slot {other} holds {version}, which is below {floor}, the lowest version \
                     that this device may still run"
                ),
                "install a newer bundle from a USB stick or by upload",
            ));
        }
        rauc.mark(other, Mark::Active).await?;
        self.forget_failures();
        self.reboot().await?;
        Ok(other)
    }

    async fn reboot(&self) -> Result<(), ActionError> {
        let orderly = match Self::bus().await {
            Ok(bus) => Systemd::new(bus).reboot().await.map_err(ActionError::from),
            Err(error) => Err(error),
        };
        match orderly {
            Ok(()) => Ok(()),
            // Without a bus there is still PID 1's own socket.
            Err(_) => {
                blocking(|| {
                    Ok(command::run("systemctl", &["reboot"], Limits::seconds(20)).map(drop)?)
                })
                .await
            }
        }
    }

    async fn reload_network(&self, interface: &str) -> Result<(), ActionError> {
        let (paths, interface) = (self.paths.clone(), interface.to_owned());
        blocking(move || reload_networks(&paths, &[interface])).await
    }

    async fn usb_bundles(&self) -> Vec<UsbBundle> {
        let paths = self.paths.clone();
        tokio::task::spawn_blocking(move || usb::bundles(&paths))
            .await
            .unwrap_or_default()
    }

    async fn admit(&self, envelope: Vec<u8>) -> Result<VerifiedRelease, ActionError> {
        let paths = self.paths.clone();
        blocking(move || admission::admit(&paths, &envelope)).await
    }

    async fn install(
        &self,
        bundle: PathBuf,
        release: VerifiedRelease,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Slot, ActionError> {
        let metadata = release.into_metadata();
        let expected = metadata.bundle.clone();
        let file = bundle.clone();
        blocking(move || super::install::check_file(&file, &expected)).await?;
        let target = self.running_slot()?.other();
        // Whatever happens from here on, what is in the target slot has to prove itself.
        self.change_boot_env(|env| env.slot_mut(target).locked = false)?;
        let (paths, by_hand) = (self.paths.clone(), ByHand::of(&metadata));
        blocking(move || {
            announce(&paths, by_hand);
            Ok(())
        })
        .await?;
        let rauc = Self::rauc().await?;
        let runtime = tokio::runtime::Handle::current();
        // On a thread of its own: the installation's arguments may not change threads.
        blocking(move || {
            let args = Args {
                source: bundle.display().to_string(),
                manifest_hash: Some(metadata.bundle.manifest_sha256),
                transaction: format!("safe-mode-{}", metadata.version),
                still_moving: Box::new(|| 0),
            };
            Ok(runtime.block_on(rauc.install(args, progress))?)
        })
        .await?;
        Ok(target)
    }

    async fn open_ssh(&self, key: SshKey) -> Result<SshOpened, ActionError> {
        let paths = self.paths.clone();
        blocking(move || ssh::open(&paths, &key)).await
    }

    async fn close_ssh(&self) -> Result<(), ActionError> {
        let paths = self.paths.clone();
        blocking(move || ssh::close(&paths)).await
    }

    async fn repair_data(&self, repair: Repair) -> Result<(), ActionError> {
        let unit: UnitName = "data.mount".parse().expect("a unit's name");
        let systemd = Systemd::new(Self::bus().await?);
        systemd.stop(&unit).await?;
        let paths = self.paths.clone();
        blocking(move || data::repair(&paths, repair)).await?;
        systemd.start(&unit).await?;
        let paths = self.paths.clone();
        blocking(move || data::await_usable(&paths)).await
    }
}

/// Tells the update engine what it may find in the other slot. Without a data partition the device
/// has to be repaired all the same.
fn announce(paths: &Paths, by_hand: ByHand) {
    let kept = Kept::update_record(paths);
    let record = Record {
        by_hand: Some(by_hand),
        ..kept.read().0.unwrap_or_default()
    };
    match kept.write(&record, Hold::Forbidden) {
        Written::OnDisk => {}
        Written::InMemory(error) | Written::Nowhere(error) => {
            log::warn!(error:%, hint = error.hint(); "the release's rollback floor could not be kept");
        }
    }
}
