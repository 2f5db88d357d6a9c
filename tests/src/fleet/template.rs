//! Devices kept running inside their disks: one that enrolled, got its configuration and is idle, and what it can be
//! led to from there. Stories that need no cold boot go on from here in a second.
//!
//! Made once for a kit, under a lock, in `target/fleet/stories/template-KEY…`; a story takes copies of the disks and
//! of the control plane's data. The control plane is stopped before the machine is kept, so no open connection is
//! kept with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleet_protocol::DeviceId;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Device, Fleet, FleetError, Result, now};
use crate::kit::Kit;
use crate::vm::{Boot, Disks, Machine, Programs, Vm};

/// The name of the snapshot of an idle device.
const IDLE: &str = "idle";
/// What the health gate asks of a trial in stories: seconds.
pub const WINDOW_S: u32 = 10;
pub const DEADLINE_S: u32 = 120;

const BOOT_WITHIN: Duration = Duration::from_mins(8);
const QUIET_WITHIN: Duration = Duration::from_mins(3);

/// A kept device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    dir: PathBuf,
    pub device: DeviceId,
    /// Its name inside the disks.
    snapshot: String,
    kept_at: Timestamp,
}

/// For how long a kept device is worth going on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoodFor {
    Ever,
    /// Something in it, or at its control plane, has a deadline.
    AtMost(SignedDuration),
}

impl Template {
    /// The idle device of this kit; made if need be (about a minute).
    pub fn ensure(kit: &Arc<Kit>, programs: &Arc<dyn Programs>) -> Result<Self> {
        let stories = kit.fleet_dir.join("stories");
        let dir = stories.join(format!("template-{}", kit.key));
        kept(kit, &dir, GoodFor::Ever, || {
            remove_older(&stories);
            make(kit, programs, &dir)
        })
    }

    /// This device as it is after `reach`, kept under another name; made if need be.
    pub fn led_to(
        &self,
        name: &str,
        good_for: GoodFor,
        kit: &Arc<Kit>,
        programs: &Arc<dyn Programs>,
        reach: impl FnOnce(&Device<'_>, &mut Vm) -> Result<()>,
    ) -> Result<Self> {
        let mut dir = self.dir.clone().into_os_string();
        dir.push(format!("-{name}"));
        let dir = PathBuf::from(dir);
        kept(kit, &dir, good_for, || {
            remove(&dir)?;
            let (mut fleet, mut vm) = self.resume(kit, programs, &dir, None)?;
            let device = Device {
                fleet: &fleet,
                id: &self.device,
            };
            reach(&device, &mut vm)?;
            keep(&mut fleet, &mut vm, name)?;
            Ok(Self {
                dir: dir.clone(),
                device: self.device.clone(),
                snapshot: name.to_owned(),
                kept_at: now(),
            })
        })
    }

    /// This device with the release `name` installed and the reboot an hour away.
    pub fn with_installed(
        &self,
        name: &str,
        kit: &Arc<Kit>,
        programs: &Arc<dyn Programs>,
    ) -> Result<Self> {
        // The rollout does not wait for ever for a device that is silent.
        let good_for = GoodFor::AtMost(SignedDuration::from_mins(30));
        let folder = format!("installed-{name}");
        let install = |device: &Device<'_>, _: &mut Vm| device.install(name, 3_600).map(drop);
        self.led_to(&folder, good_for, kit, programs, install)
    }

    /// A control plane and a device of one's own, going on from where they were kept, with the clock set.
    /// `content_port`: see [`Machine`].
    pub fn resume(
        &self,
        kit: &Arc<Kit>,
        programs: &Arc<dyn Programs>,
        dir: &Path,
        content_port: Option<u16>,
    ) -> Result<(Fleet, Vm)> {
        let (fleet, mut vm) = self.copy(kit, programs, dir, content_port)?;
        vm.power_on(Boot::Resume(&self.snapshot))?;
        set_clock(&mut vm)?;
        Ok((fleet, vm))
    }

    fn is_good(&self, good_for: GoodFor, now: Timestamp) -> bool {
        match good_for {
            GoodFor::Ever => true,
            GoodFor::AtMost(age) => now.duration_since(self.kept_at) <= age,
        }
    }

    /// A control plane and a device of one's own, both as they were kept. The machine is off.
    fn copy(
        &self,
        kit: &Arc<Kit>,
        programs: &Arc<dyn Programs>,
        dir: &Path,
        content_port: Option<u16>,
    ) -> Result<(Fleet, Vm)> {
        fs::create_dir_all(dir).map_err(FleetError::io(format!("creating {}", dir.display())))?;
        let data = dir.join("fleet-data");
        copy_tree(&self.dir.join("fleet-data"), &data)
            .map_err(FleetError::io(format!("copying to {}", data.display())))?;
        let fleet = Fleet::start(Arc::clone(kit), Arc::clone(programs), dir)?;
        let disks = Disks::in_dir(&self.dir).copy_to(dir)?;
        let mut machine = Machine::new(fleet.network().port());
        machine.content_port = content_port;
        let vm = Vm::new(Arc::clone(programs), machine, disks, dir);
        Ok((fleet, vm))
    }
}

fn make(kit: &Arc<Kit>, programs: &Arc<dyn Programs>, dir: &Path) -> Result<Template> {
    remove(dir)?;
    let mut fleet = Fleet::start(Arc::clone(kit), Arc::clone(programs), dir)?;
    fleet.configure_for_tests(WINDOW_S, DEADLINE_S)?;
    let card = fleet.flash("screen-1")?;
    let disks = Disks::overlay(&**programs, &card, dir)?;
    let machine = Machine::new(fleet.network().port());
    let mut vm = Vm::new(Arc::clone(programs), machine, disks, dir);
    vm.power_on(Boot::Cold)?;
    let device = fleet.wait_online(BOOT_WITHIN)?.device_id;
    let on_fleet = Device {
        fleet: &fleet,
        id: &device,
    };
    on_fleet.wait("its configuration to be in force", BOOT_WITHIN, |detail| {
        detail
            .heartbeat
            .as_ref()
            .is_some_and(|h| h.config_version > 0)
    })?;
    vm.shell()?.wait_ready(QUIET_WITHIN)?;
    // Boot has to be over, or every story would begin with its end.
    vm.shell()?
        .run_within("systemctl is-system-running --wait || true", BOOT_WITHIN)?;
    keep(&mut fleet, &mut vm, IDLE)?;
    Ok(Template {
        dir: dir.to_owned(),
        device,
        snapshot: IDLE.to_owned(),
        kept_at: now(),
    })
}

/// What is noted in `dir`, or what `make` leaves there.
fn kept(
    kit: &Kit,
    dir: &Path,
    good_for: GoodFor,
    make: impl FnOnce() -> Result<Template>,
) -> Result<Template> {
    let stories = kit.fleet_dir.join("stories");
    fs::create_dir_all(&stories)
        .map_err(FleetError::io(format!("creating {}", stories.display())))?;
    let lock = stories.join("template.lock");
    let lock = File::create(&lock).map_err(FleetError::io("creating the template's lock"))?;
    lock.lock()
        .map_err(FleetError::io("locking the template"))?;
    let note = dir.join("template.json");
    if let Ok(text) = fs::read(&note)
        && let Ok(template) = serde_json::from_slice::<Template>(&text)
        && template.is_good(good_for, now())
    {
        return Ok(template);
    }
    let template = make()?;
    let text = serde_json::to_vec_pretty(&template).expect("plain data");
    fs::write(&note, text).map_err(FleetError::io("writing template.json"))?;
    Ok(template)
}

fn keep(fleet: &mut Fleet, vm: &mut Vm, name: &str) -> Result<()> {
    fleet.stop_control();
    // Connections end while the machine still runs, so that the kept one has none. What is not on its disk yet is in
    // its memory, and is kept with that: a power cut afterwards loses what it would have lost before.
    vm.sh("sleep 1")?;
    vm.save(name)?;
    vm.power_cut();
    Ok(())
}

fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(FleetError::io("removing an unfinished template"))?;
    }
    Ok(())
}

/// The guest's clock stood still while it was kept: sets it, as a time server would.
fn set_clock(vm: &mut Vm) -> Result<()> {
    vm.shell()?.wait_ready(QUIET_WITHIN)?;
    vm.sh(&format!("date -u -s @{}", now().as_second()))?;
    Ok(())
}

/// The stories' configuration with `changes` over it.
pub fn test_config(changes: &Value) -> Value {
    let mut document = super::test_config(WINDOW_S, DEADLINE_S);
    merge(&mut document, changes);
    document
}

fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, value) in changes {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, value) => *into = value.clone(),
    }
}

/// Templates of earlier kits only take room.
fn remove_older(stories: &Path) {
    let entries = fs::read_dir(stories).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("template-") {
            // What can't be removed is in the way of nothing.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    let permissions = fs::metadata(from)?.permissions();
    fs::set_permissions(to, permissions)
}
