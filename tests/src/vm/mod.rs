//! A device as a virtual machine: UEFI, a disk, a network with nothing but the control plane in it, a watchdog.
//!
//! [`Vm`] is a machine that can be switched on and off, like the real one; its disks and its log outlive a power cut.
//! Emulation only (TCG): it behaves the same on every host. What is drawn from it:
//!
//! - a power cut is SIGKILL to QEMU. The guest's page cache and qcow2's own unflushed tables are lost with it; the
//!   disk is never `cache=unsafe`, so what the guest flushed is there afterwards and nothing else is promised;
//! - the guest reaches one address, [`CONTROL_ADDRESS`], which is a port of this host's loopback;
//! - every wait has a deadline, and its error carries the serial log's tail.

mod camera;
mod console;
mod disk;
mod error;
mod launch;
mod plug;
mod programs;
mod qmp;
mod seat;
mod shell;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

pub use camera::{Camera, Picture};
pub use console::{Console, Mark};
pub use disk::{Disks, Extent};
pub use error::{Result, VmError};
pub use programs::Programs;
pub use qmp::Qmp;
pub use seat::{Seat, seats};
pub use shell::Shell;

use launch::Running;

/// The control plane as the guest sees it.
pub const CONTROL_ADDRESS: &str = "10.0.2.100:8443";
/// Another server as the guest sees it, if it has one.
pub const CONTENT_ADDRESS: &str = "10.0.2.101:80";

/// How the machine's clock starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    #[default]
    Host,
    /// A board without a battery.
    Epoch,
}

/// Where the screen goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Display {
    /// Nowhere; it can still be photographed.
    #[default]
    Headless,
    Window,
}

/// The hardware.
#[derive(Debug, Clone)]
pub struct Machine {
    pub memory_mb: u32,
    pub cpus: u32,
    pub clock: Clock,
    pub display: Display,
    /// The screen's own mode: pixels in width and height.
    pub screen: (u32, u32),
    /// The port on this host's loopback that [`CONTROL_ADDRESS`] leads to.
    pub control_port: u16,
    /// The same for [`CONTENT_ADDRESS`].
    pub content_port: Option<u16>,
}

impl Machine {
    /// Two processors, 768 MB and a screen that an emulated machine can fill, with the control plane at
    /// `control_port`.
    pub const fn new(control_port: u16) -> Self {
        Self {
            memory_mb: 768,
            cpus: 2,
            clock: Clock::Host,
            display: Display::Headless,
            screen: (640, 360),
            control_port,
            content_port: None,
        }
    }
}

/// How the machine begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot<'a> {
    /// From the firmware.
    Cold,
    /// Goes on from where [`Vm::save`] left it under this name.
    Resume(&'a str),
}

/// One machine, on or off.
#[derive(Debug)]
pub struct Vm {
    programs: Arc<dyn Programs>,
    machine: Machine,
    disks: Disks,
    dir: PathBuf,
    serial: Console,
    shell_log: Console,
    /// The mode of the screen that is plugged in, or was.
    plugged_in: (u32, u32),
    running: Option<Running>,
}

impl Vm {
    /// A machine that is off, with its logs in `dir`.
    pub fn new(programs: Arc<dyn Programs>, machine: Machine, disks: Disks, dir: &Path) -> Self {
        Self {
            programs,
            plugged_in: machine.screen,
            machine,
            disks,
            dir: dir.to_owned(),
            serial: Console::new(dir.join("serial.log")),
            shell_log: Console::new(dir.join("shell.log")),
            running: None,
        }
    }

    /// Switches it on. Does nothing when it is on.
    pub fn power_on(&mut self, boot: Boot<'_>) -> Result<()> {
        if self.running.is_none() {
            let running = Running::launch(
                &self.programs,
                &self.machine,
                &self.disks,
                boot,
                &self.dir,
                &self.serial,
                &self.shell_log,
            )?;
            self.running = Some(running);
        }
        Ok(())
    }

    /// Takes the power away, between one instruction and the next.
    pub fn power_cut(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }

    pub fn is_on(&self) -> bool {
        self.running.is_some()
    }

    /// The first serial line: firmware, boot loader, kernel, services.
    pub fn serial(&self) -> &Console {
        &self.serial
    }

    /// The root shell of the image's test variant.
    pub fn shell(&mut self) -> Result<&mut Shell> {
        Ok(&mut self.running()?.shell)
    }

    /// Runs a command in the guest; its output comes back.
    pub fn sh(&mut self, command: &str) -> Result<String> {
        self.shell()?.run(command)
    }

    pub fn qmp(&mut self) -> Result<&mut Qmp> {
        Ok(&mut self.running()?.qmp)
    }

    /// The port on this host's loopback that leads to the device's own page.
    pub fn page_port(&mut self) -> Result<u16> {
        Ok(self.running()?.page_port)
    }

    /// The port on this host's loopback that leads to the device's SSH, while that is open.
    pub fn ssh_port(&mut self) -> Result<u16> {
        Ok(self.running()?.ssh_port)
    }

    /// Presses a key on the keyboard that is plugged in, such as `spc`.
    pub fn press_key(&mut self, key: &str) -> Result<()> {
        let line = format!("sendkey {key}");
        self.qmp()?
            .monitor(&line, Duration::from_secs(20))
            .map(drop)
    }

    /// Plugs a USB stick in: a raw image, which is only read.
    pub fn plug_in(&mut self, stick: &Path) -> Result<()> {
        let file = json!({"driver": "file", "filename": stick, "read-only": true});
        let medium =
            json!({"driver": "raw", "node-name": "stick", "read-only": true, "file": file});
        let device = json!({"driver": "usb-storage", "drive": "stick", "removable": true});
        let qmp = self.qmp()?;
        qmp.execute("blockdev-add", &medium)?;
        qmp.execute("device_add", &device).map(drop)
    }

    /// Pulls the screen's plug. What would be on it can still be photographed.
    pub fn unplug_screen(&mut self) -> Result<()> {
        let (line, plugged_in) = (self.running()?.plug(), self.plugged_in);
        // Of a machine that was never asked for anything QEMU believes that this is so.
        plug::set(&line, plugged_in)?;
        plug::set(&line, (0, 0))
    }

    /// Plugs a screen with this mode in, in the place of the one that was there.
    pub fn plug_screen_in(&mut self, mode: (u32, u32)) -> Result<()> {
        self.plugged_in = mode;
        plug::set(&self.running()?.plug(), mode)
    }

    /// The colour on the screen at `x`, and half-way down.
    pub fn color_at(&mut self, x: u32) -> Result<[u8; 3]> {
        let file = self.dir.join("screen.ppm");
        let picture = camera::take(self.qmp()?, &file)?;
        let pixel = picture.pixel(x, picture.height / 2);
        pixel.ok_or_else(|| VmError::Qmp {
            command: "screendump".to_owned(),
            reason: format!("no pixel {x} in {} a row", picture.width),
        })
    }

    /// A camera before the screen, which takes pictures while other things go on. There is one.
    pub fn camera(&mut self) -> Result<Camera> {
        let file = self.dir.join("camera.ppm");
        let line = self.running()?.camera.take();
        let line = line.ok_or_else(|| VmError::Qmp {
            command: "screendump".to_owned(),
            reason: "the camera is in use".to_owned(),
        })?;
        Ok(Camera::new(line, file))
    }

    pub fn disks(&self) -> &Disks {
        &self.disks
    }

    pub fn programs(&self) -> &dyn Programs {
        &*self.programs
    }

    /// The reset button.
    pub fn reset(&mut self) -> Result<()> {
        self.qmp()?.execute("system_reset", &json!({})).map(drop)
    }

    /// The power button, asked politely.
    pub fn press_power_button(&mut self) -> Result<()> {
        self.qmp()?
            .execute("system_powerdown", &json!({}))
            .map(drop)
    }

    /// A non-maskable interrupt on every processor.
    pub fn inject_nmi(&mut self) -> Result<()> {
        self.qmp()?.execute("inject-nmi", &json!({})).map(drop)
    }

    /// Stops the processors, as if time stood still for the guest.
    pub fn pause(&mut self) -> Result<()> {
        self.qmp()?.execute("stop", &json!({})).map(drop)
    }

    pub fn resume(&mut self) -> Result<()> {
        self.qmp()?.execute("cont", &json!({})).map(drop)
    }

    /// A photograph of the screen.
    pub fn screenshot(&mut self, png: &Path) -> Result<()> {
        let arguments = json!({"filename": png, "format": "png"});
        self.qmp()?.execute("screendump", &arguments).map(drop)
    }

    /// Keeps the whole running machine in its disks under `name`.
    pub fn save(&mut self, name: &str) -> Result<()> {
        let command = format!("savevm {name}");
        let said = self.qmp()?.monitor(&command, Duration::from_mins(3))?;
        if said.trim().is_empty() {
            return Ok(());
        }
        Err(VmError::Qmp {
            command,
            reason: said,
        })
    }

    fn running(&mut self) -> Result<&mut Running> {
        let detail = self.serial.tail();
        self.running.as_mut().ok_or(VmError::Off {
            what: "nothing can be asked of it".to_owned(),
            detail,
        })
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.power_cut();
    }
}
