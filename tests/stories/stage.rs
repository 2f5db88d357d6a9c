//! What a story starts with, and what is left of it: on failure the serial log, the device's journal, the control
//! plane's log and a photograph of the screen stay in `target/fleet/stories/NAME`; on success they go.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleet_protocol::update::UpdateState;
use fleet_protocol::{DeviceId, Version};
use fleet_tests::fleet::template::{self, GoodFor, Template};
use fleet_tests::fleet::{Device, Fleet, page, safe_mode};
use fleet_tests::kit::{Kit, release};
use fleet_tests::vm::{Boot, Clock, Disks, Machine, Programs, Seat, Vm, seats};
use xtask::progress::Progress;
use xtask::tools::ToolTree;
use xtask::workspace::Workspace;

/// Far more than three times what was measured on two idle cores: two machines may share them with a compiler.
pub(crate) const BOOT: Duration = Duration::from_mins(8);
pub(crate) const INSTALL: Duration = Duration::from_mins(15);
pub(crate) const FALLBACK: Duration = Duration::from_mins(20);
pub(crate) const SHORT: Duration = Duration::from_mins(3);

/// Why a story did not go as told. Shown as text, not as a debug structure.
pub(crate) struct Failure(String);

/// How a story ends.
pub(crate) type Told = Result<(), Failure>;

impl Failure {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Nearly all of it is taken and not written: an emulated disk would need minutes.
const FILL_DATA: &str = r"
fallocate -l $(( $(df --output=avail -B1 /data | tail -n 1) - (1 << 20) )) /data/filler
dd if=/dev/zero of=/data/rest bs=64k 2>/dev/null
sync
";

/// A device with its fleet.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) fleet: Fleet,
    pub(crate) vm: Vm,
    id: Option<DeviceId>,
    dir: PathBuf,
    told: bool,
    _seat: Seat,
}

/// Tells a story about a device that was never switched on.
pub(crate) fn tell_fresh(name: &str, clock: Clock, story: impl FnOnce(&mut Stage) -> Told) -> Told {
    tell_flashed(name, clock, |fleet| Ok(fleet.flash("screen-1")?), story)
}

/// The same of a device that nobody knows: it is to be paired by a code.
pub(crate) fn tell_unknown(name: &str, story: impl FnOnce(&mut Stage) -> Told) -> Told {
    let flash = |fleet: &Fleet| {
        let file = fleet.dir().join("pairing.json");
        let path = file.display().to_string();
        fleet.cli(&["device", "enrol", "--by-code", "--out", &path])?;
        Ok(fleet.flash_with("screen-1", &file)?)
    };
    tell_flashed(name, Clock::Host, flash, story)
}

fn tell_flashed(
    name: &str,
    clock: Clock,
    flash: impl FnOnce(&Fleet) -> Result<PathBuf, Failure>,
    story: impl FnOnce(&mut Stage) -> Told,
) -> Told {
    let setting = Setting::of(name)?;
    let fleet = Fleet::start(setting.kit, Arc::clone(&setting.tools), &setting.dir)?;
    fleet.configure_for_tests(template::WINDOW_S, template::DEADLINE_S)?;
    let card = flash(&fleet)?;
    let disks = Disks::overlay(&*setting.tools, &card, &setting.dir)?;
    let mut machine = Machine::new(fleet.network().port());
    machine.clock = clock;
    let vm = Vm::new(setting.tools, machine, disks, &setting.dir);
    let stage = Stage {
        fleet,
        vm,
        id: None,
        dir: setting.dir,
        told: false,
        _seat: setting.seat,
    };
    stage.tell(story)
}

/// Tells a story about a device that is enrolled, idle and running.
pub(crate) fn tell(name: &str, story: impl FnOnce(&mut Stage) -> Told) -> Told {
    tell_from(name, None, story, idle)
}

/// The same, about one that reaches another server too, which listens at this port of the host.
pub(crate) fn tell_with_content(
    name: &str,
    content_port: u16,
    story: impl FnOnce(&mut Stage) -> Told,
) -> Told {
    tell_from(name, Some(content_port), story, idle)
}

fn idle(setting: &Setting) -> Result<Template, Failure> {
    Ok(Template::ensure(&setting.kit, &setting.tools)?)
}

/// Tells a story about a device that a crash loop led into safe mode.
pub(crate) fn tell_in_safe_mode(name: &str, story: impl FnOnce(&mut Stage) -> Told) -> Told {
    tell_from(name, None, story, |setting| {
        let (kit, tools) = (&setting.kit, &setting.tools);
        let idle = idle(setting)?;
        let crash = |_: &Device<'_>, vm: &mut Vm| safe_mode::crash_loop(vm).map(drop);
        Ok(idle.led_to("safe-mode", GoodFor::Ever, kit, tools, crash)?)
    })
}

/// Tells a story about a device on which the good release is installed; it is about to reboot into it, in an hour.
pub(crate) fn tell_installed(name: &str, story: impl FnOnce(&mut Stage, &Version) -> Told) -> Told {
    let story = |stage: &mut Stage| {
        let version = stage.fleet.kit().bundle(release::GOOD)?.version.clone();
        story(stage, &version)
    };
    tell_from(name, None, story, |setting| {
        Ok(idle(setting)?.with_installed(release::GOOD, &setting.kit, &setting.tools)?)
    })
}

fn tell_from(
    name: &str,
    content_port: Option<u16>,
    story: impl FnOnce(&mut Stage) -> Told,
    template: impl FnOnce(&Setting) -> Result<Template, Failure>,
) -> Told {
    let setting = Setting::of(name)?;
    let template = template(&setting)?;
    let (fleet, vm) = template.resume(&setting.kit, &setting.tools, &setting.dir, content_port)?;
    let stage = Stage {
        fleet,
        vm,
        id: Some(template.device),
        dir: setting.dir,
        told: false,
        _seat: setting.seat,
    };
    stage.fleet.wait_online(SHORT)?;
    stage.tell(story)
}

struct Setting {
    kit: Arc<Kit>,
    tools: Arc<dyn Programs>,
    dir: PathBuf,
    seat: Seat,
}

impl Setting {
    fn of(name: &str) -> Result<Self, Failure> {
        let text = |error: &dyn fmt::Display| Failure(error.to_string());
        let workspace = Workspace::locate().map_err(|e| text(&e))?;
        let tools = ToolTree::ensure(&workspace, Progress::Quiet).map_err(|e| text(&e))?;
        let kit = Kit::read(&workspace.fleet_dir())?;
        let stories = workspace.fleet_dir().join("stories");
        let seat = Seat::take(&stories.join("seats"), seats())?;
        let dir = stories.join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        Ok(Self {
            kit: Arc::new(kit),
            tools: Arc::new(tools),
            dir,
            seat,
        })
    }
}

impl Stage {
    fn tell(mut self, story: impl FnOnce(&mut Self) -> Told) -> Told {
        match story(&mut self) {
            Ok(()) => {
                self.told = true;
                Ok(())
            }
            Err(Failure(why)) => {
                self.keep_journal();
                Err(Failure(format!(
                    "{why}\nSee {} for the serial log, the journal, the control plane's log and the screen.",
                    self.dir.display()
                )))
            }
        }
    }

    /// What is kept of a story that fails.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the device's own services said. A device that answers no more has said it on the serial line.
    fn keep_journal(&mut self) {
        let said = self.vm.shell().and_then(|shell| {
            shell.run_within("journalctl -b -n 1000 --no-pager -o short-monotonic", SHORT)
        });
        if let Ok(said) = said {
            let _ = fs::write(self.dir.join("journal.log"), said);
        }
    }

    /// The device as the control plane sees it.
    pub(crate) fn device(&self) -> Device<'_> {
        Device {
            fleet: &self.fleet,
            id: self
                .id
                .as_ref()
                .expect("the story has waited for its device"),
        }
    }

    /// Waits until the device has enrolled and is online; from then on it is [`Stage::device`].
    pub(crate) fn wait_enrolled(&mut self) -> Told {
        self.id = Some(self.fleet.wait_online(BOOT)?.device_id);
        Ok(())
    }

    /// Publishes a release of the kit and rolls it out to everyone.
    pub(crate) fn roll_out(
        &self,
        name: &str,
    ) -> Result<fleet_protocol::rollout::RolloutView, Failure> {
        let version = self.fleet.publish(name)?;
        Ok(self.fleet.roll_out(&version)?)
    }

    /// Rolls a release out, and boots it with two of its three attempts used up.
    pub(crate) fn roll_out_to_last_attempt(
        &mut self,
        name: &str,
    ) -> Result<fleet_protocol::rollout::RolloutView, Failure> {
        let rollout = self.device().install(name, 3_600)?;
        self.vm
            .sh("grub-editenv /boot/esp/EFI/fleet/grubenv set B_TRY=2 && sync")?;
        self.power_cycle()?;
        Ok(rollout)
    }

    /// Boots what is installed, until it runs on trial.
    pub(crate) fn boot_to_trial(&mut self) -> Told {
        self.power_cycle()?;
        let on_trial = |state: &UpdateState| matches!(state, UpdateState::Trial { .. });
        self.device().wait_state("the trial", BOOT, on_trial)?;
        Ok(())
    }

    /// Switches it off and on again, without warning.
    pub(crate) fn power_cycle(&mut self) -> Told {
        self.vm.power_cut();
        self.vm.power_on(Boot::Cold)?;
        Ok(())
    }

    /// Fills the data partition up to its last byte.
    pub(crate) fn fill_data(&mut self) -> Told {
        self.vm.shell()?.run_within(FILL_DATA, BOOT)?;
        Ok(())
    }

    /// Takes back what [`Stage::fill_data`] took.
    pub(crate) fn free_data(&mut self) -> Told {
        self.vm.sh("rm /data/filler /data/rest; sync")?;
        Ok(())
    }

    /// The slot that runs, read from the guest itself.
    pub(crate) fn running_slot(&mut self) -> Result<String, Failure> {
        self.vm.shell()?.wait_ready(BOOT)?;
        let slot = "sed -n 's/.*fleet.slot=\\([AB]\\).*/\\1/p' /proc/cmdline";
        Ok(self.vm.sh(slot)?)
    }

    /// Waits until the device's own page contains `text`; the page comes back.
    pub(crate) fn wait_page(&mut self, text: &str, within: Duration) -> Result<String, Failure> {
        Ok(page::wait_for(self.vm.page_port()?, text, within)?)
    }

    /// A variable of the boot loader's environment.
    pub(crate) fn boot_variable(&mut self, name: &str) -> Result<String, Failure> {
        let command =
            format!("grub-editenv /boot/esp/EFI/fleet/grubenv list | sed -n 's/^{name}=//p'");
        Ok(self.vm.sh(&command)?)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.told {
            self.vm.power_cut();
            // A folder that can't be removed is no reason to fail a story that went well.
            let _ = fs::remove_dir_all(&self.dir);
            return;
        }
        if self.vm.is_on() {
            let _ = self.vm.screenshot(&self.dir.join("screen.png"));
        }
        self.vm.power_cut();
        for large in ["disk.qcow2", "variables.qcow2", "screen-1.img"] {
            let _ = fs::remove_file(self.dir.join(large));
        }
    }
}

/// Fails the story with `why` unless `holds`.
pub(crate) fn ensure(holds: bool, why: impl FnOnce() -> String) -> Told {
    if holds { Ok(()) } else { Err(Failure(why())) }
}

/// Fails the story unless both are equal.
pub(crate) fn same<T: PartialEq + fmt::Debug>(what: &str, found: &T, expected: &T) -> Told {
    ensure(found == expected, || {
        format!("{what}: found {found:?}, expected {expected:?}")
    })
}
