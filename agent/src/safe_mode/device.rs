//! The actions, carried out on this device: RAUC and systemd over D-Bus, the boot environment as a
//! file, and a few programs that have no bus.

use std::path::PathBuf;

use fleet_protocol::UnitName;
use fleet_protocol::target::TargetKind;
use fleet_protocol::trust::{Envelope, TrustedKeys, VerifiedRelease};
use fleet_protocol::update::{RefuseReason, Slot};
use tokio::sync::mpsc;

use super::actions::{ActionError, Actions, Repair, SshOpened, UsbBundle};
use super::facts::{self, DataState, Facts};
use super::ssh_key::SshKey;
use super::{network, ssh, usb};
use crate::core::admission::{self, Decision, Insistence, Memory, Question};
use crate::platform::boot_env::BootEnvFile;
use crate::platform::paths::Paths;
use crate::platform::rauc::{Args, Mark, Progress, Rauc, RaucError};
use crate::platform::systemd::{Systemd, SystemdError};
use crate::platform::{booted, clock, cmdline::CommandLine, files, metrics, sysfs};
use crate::support_bundle::command::{self, CommandError, Limits};

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

    fn change_boot_env(
        &self,
        change: impl FnOnce(&mut crate::core::boot::BootEnv),
    ) -> Result<(), ActionError> {
        let file = self.boot_env();
        // A damaged environment is replaced by what is known for certain: what runs now.
        if file.read().is_err() {
            let env = crate::core::boot::BootEnv::committed_to(self.running_slot()?);
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

    /// The key set of the image, and its successors as far as the agent had got.
    fn trusted_keys(&self) -> Result<TrustedKeys, ActionError> {
        let hint = "the image is incomplete; flash the device anew";
        let path = self.paths.key_set_file();
        let bytes = files::read_limited(&path, 256 * 1024)
            .map_err(|e| ActionError::new(e, hint))?
            .ok_or_else(|| ActionError::new(format!("{} is missing", path.display()), hint))?;
        let envelope: Envelope = serde_json::from_slice(&bytes)
            .map_err(|e| ActionError::new(format!("{}: {e}", path.display()), hint))?;
        let mut keys = TrustedKeys::from_image(&envelope)
            .map_err(|e| ActionError::new(format!("{}: {e}", path.display()), hint))?;
        let chain: Vec<Envelope> =
            booted::read_state(&self.paths.state().join("key-sets.json")).unwrap_or_default();
        for envelope in &chain {
            // Each was checked before it was stored; one that does not follow is not ours.
            if let Ok(next) = keys.rotate(envelope) {
                keys = next;
            }
        }
        Ok(keys)
    }

    fn decide(&self, release: &VerifiedRelease) -> Result<(), ActionError> {
        let paths = &self.paths;
        let image = booted::image_release(paths).map_err(|e| ActionError::new(&e, e.hint()))?;
        let system = booted::system(paths, &image);
        let record: crate::core::update::Record =
            booted::read_state(&paths.state().join("update.json")).unwrap_or_default();
        // A board without a clock must be repairable; time never counts below the image's own.
        let now = clock::wall().max(image.built_at);
        let facts = admission::Facts {
            now,
            clock_floor: image.built_at,
            compatible: image.compatible,
            hardware: sysfs::model(paths),
            window: None,
            free_bytes: metrics::free_bytes(&paths.run).unwrap_or(0),
            min_free_bytes: 0,
            paused: false,
            power_trouble: None,
        };
        let memory = Memory {
            booted: &system,
            other: None,
            on_trial: false,
            rollback_floor: record.rollback_floor.as_ref(),
            failures: &record.failures,
            backoff: None,
            paused: false,
        };
        let question = Question {
            kind: TargetKind::Install,
            release: release.metadata(),
            attempt: u32::MAX,
            insistence: Insistence::Forced,
        };
        match admission::decide(&question, &facts, &memory) {
            Decision::Install | Decision::Switch => Ok(()),
            Decision::UpToDate => Err(ActionError::new(
                "this version runs already",
                "choose another release, or retry",
            )),
            Decision::Defer(why) => Err(ActionError::new(
                format!("not now: {why:?}"),
                "wait until that has passed, then try again",
            )),
            Decision::Refuse(why) => Err(refused(&why)),
        }
    }
}

fn refused(why: &RefuseReason) -> ActionError {
    let (message, hint) = match why {
        RefuseReason::Unsigned => (
            "the release metadata is not signed".to_owned(),
            "take the .release.json that belongs to the bundle",
        ),
        RefuseReason::ForeignSignature { detail } => (
            format!("the release is not signed by this fleet: {detail}"),
            "take a release of this fleet",
        ),
        RefuseReason::Malformed { detail } => (detail.clone(), "export the release again"),
        RefuseReason::Expired { not_after, .. } => (
            format!("the release expired on {not_after}"),
            "take a newer release, or have it signed again",
        ),
        RefuseReason::Older { current } => (
            format!("the release is older than {current}, which runs now"),
            "take a newer release, or one that allows the downgrade",
        ),
        RefuseReason::BelowRollbackFloor { floor } => (
            format!("the release is below {floor}, the oldest this device may go back to"),
            "take a newer release",
        ),
        RefuseReason::WrongCompatible { expected, found } => (
            format!("the release is made for {found}, this device is {expected}"),
            "take the release for this kind of device",
        ),
        RefuseReason::WrongHardware { model, supported } => (
            format!(
                "the release runs on {}, not on {model}",
                supported.join(", ")
            ),
            "take the release for this board",
        ),
        RefuseReason::BaseTooOld { needed, .. } => (
            format!("version {needed} must be installed first"),
            "install that one, then this one",
        ),
        other => (format!("refused: {other:?}"), "take another release"),
    };
    ActionError::new(message, hint)
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
        let device = self.clone();
        blocking(move || {
            let hint = "take the .release.json that belongs to the bundle";
            if envelope.len() as u64 > usb::MAX_METADATA_BYTES {
                return Err(ActionError::new("the release metadata is too large", hint));
            }
            let envelope: Envelope = serde_json::from_slice(&envelope).map_err(|e| {
                ActionError::new(format!("the release metadata does not parse: {e}"), hint)
            })?;
            let release = VerifiedRelease::verify(&envelope, &device.trusted_keys()?)
                .map_err(|e| refused(&admission::refuse_unverified(&e)))?;
            device.decide(&release)?;
            Ok(release)
        })
        .await
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
        blocking(move || repair_data(&paths, repair)).await?;
        systemd.start(&unit).await?;
        let paths = self.paths.clone();
        blocking(move || await_data(&paths)).await
    }
}

/// Starting a unit only queues the job; done is what can be written to.
fn await_data(paths: &Paths) -> Result<(), ActionError> {
    let end = clock::monotonic().plus_ms(60_000);
    while !DataState::read(paths).is_usable() {
        if clock::monotonic() > end {
            return Err(ActionError::new(
                "the data partition was worked on, but cannot be mounted",
                "format it; if that does not help either, the disk is failing and must be replaced",
            ));
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    Ok(())
}

/// networkd reads its files, and each interface's Wi-Fi is joined anew, or left. Blocking.
pub(super) fn reload_networks(paths: &Paths, interfaces: &[String]) -> Result<(), ActionError> {
    command::run("networkctl", &["reload"], Limits::seconds(15))?;
    for interface in interfaces {
        let file = network::active_folder(paths).join(network::wpa_file(interface));
        let unit = format!("fleet-wifi-{interface}.service");
        // Not running is as good as stopped.
        let _ = command::run("systemctl", &["stop", &unit], Limits::seconds(15));
        if file.exists() {
            let (unit, file) = (format!("--unit={unit}"), file.display().to_string());
            let arguments = [
                unit.as_str(),
                "--collect",
                "--quiet",
                "--property=Restart=on-failure",
                "--property=RestartSec=5",
                "wpa_supplicant",
                "-i",
                interface,
                "-c",
                &file,
            ];
            command::run("systemd-run", &arguments, Limits::seconds(15))?;
        }
        command::run(
            "networkctl",
            &["reconfigure", interface],
            Limits::seconds(15),
        )?;
    }
    Ok(())
}

fn repair_data(paths: &Paths, repair: Repair) -> Result<(), ActionError> {
    /// Of the disk that the device booted from, whatever is plugged in.
    const DEVICE: &str = "/dev/fleet/data";
    // Stopping a unit only queues the job; the filesystem must be gone before it is touched.
    let end = clock::monotonic().plus_ms(15_000);
    while DataState::read(paths) != DataState::NotMounted {
        if clock::monotonic() > end {
            return Err(ActionError::new(
                "the data partition is still in use",
                "reboot, then try again before doing anything else",
            ));
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // By PID 1, which may open disks; this process may not.
    let common = [
        "--wait",
        "--collect",
        "--quiet",
        "--pipe",
        "--property=SuccessExitStatus=1 2",
    ];
    let program: &[&str] = match repair {
        Repair::Check => &["e2fsck", "-f", "-y", DEVICE],
        Repair::Format => &["mkfs.ext4", "-q", "-F", "-L", "data", DEVICE],
    };
    command::run(
        "systemd-run",
        &[common.as_slice(), program].concat(),
        Limits::seconds(300),
    )?;
    Ok(())
}
