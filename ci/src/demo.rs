//! `cargo xtask demo`: the main job, end to end, on this machine, in one command.
//!
//! Every part is the real one: the operator's command makes the keys and writes the card, the control plane runs on
//! `SQLite`, the device boots from firmware in QEMU. Nothing is skipped on a second run but what was built before.

mod content;
mod live;
mod signals;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fleet_protocol::device::DeviceDetail;
use fleet_protocol::rollout::{RolloutStatus, RolloutView};
use fleet_protocol::{DeviceId, Version};
use fleet_tests::fleet::{Device, Fleet, wait_until};
use fleet_tests::kit::{Kit, release};
use fleet_tests::vm::{Boot, Disks, Display, Machine, Programs, Vm};

use crate::desktop::Desktop;
use crate::kit::{self, Purpose};
use crate::progress::Progress;
use crate::setup::Consent;
use crate::tools::ToolTree;
use crate::workspace::Workspace;

use live::{End, Live};
use signals::Signals;

/// Small enough for an emulated machine to fill, large enough to be read.
const SCREEN: (u32, u32) = (1280, 720);

/// What the health gate asks for here. A product asks for minutes; see `meta-fleet/.../agent.toml`.
const WINDOW_S: u32 = 20;
const DEADLINE_S: u32 = 90;

const BOOT_WITHIN: Duration = Duration::from_mins(6);
const UPDATE_WITHIN: Duration = Duration::from_mins(15);
const PLAYS_WITHIN: Duration = Duration::from_mins(4);
const ROLLOUT_WITHIN: Duration = Duration::from_mins(1);

/// How to show it.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArguments {
    /// End when it is over, with exit status 0 or 1, instead of staying until Ctrl-C.
    #[arg(long)]
    once: bool,
    /// Show the device's screen in a window.
    #[arg(long)]
    display: bool,
    /// Don't ask before installing system packages.
    #[arg(long)]
    yes: bool,
}

impl DemoArguments {
    /// What can't be shown is said before anything is installed or built.
    ///
    /// # Errors
    /// When a window is asked for and there is no desktop.
    pub fn check(&self) -> Result<()> {
        self.desktop().map(drop)
    }

    fn desktop(&self) -> Result<Option<Desktop>> {
        self.display.then(Desktop::of_this_session).transpose()
    }

    /// To installing what the machine lacks.
    pub fn consent(&self) -> Consent {
        if self.yes {
            Consent::Given
        } else {
            Consent::Ask
        }
    }
}

/// Runs the demo.
///
/// # Errors
/// When a step fails; the error says where the logs are.
pub fn run(workspace: &Workspace, arguments: &DemoArguments, progress: Progress) -> Result<()> {
    let signals = Signals::take()?;
    let began = Instant::now();
    let dir = workspace.fleet_dir().join("demo");
    let outcome = play(workspace, arguments, progress, &dir);
    let stage = match outcome {
        Ok(stage) => stage,
        Err(error) => {
            return Err(error.context(format!(
                "the demo failed after {} s\nhint: serial log, screen and the control plane's log are in {}",
                began.elapsed().as_secs(),
                dir.display()
            )));
        }
    };
    progress.note("");
    progress.note(&format!(
        "Done in {} s: release 2.0.0 runs, release 3.0.0 was taken back by the device itself.",
        began.elapsed().as_secs()
    ));
    if !arguments.once {
        stage.show_where(progress)?;
        progress.note("Everything keeps running until Ctrl-C.");
        signals.wait_for_end();
    }
    drop(stage);
    Ok(())
}

/// What runs: ends when dropped, the machine first.
struct Stage {
    vm: Vm,
    fleet: Fleet,
    page_port: u16,
    device: DeviceId,
}

fn play(
    workspace: &Workspace,
    arguments: &DemoArguments,
    progress: Progress,
    dir: &Path,
) -> Result<Stage> {
    let tools: Arc<dyn Programs> = Arc::new(match arguments.desktop()? {
        Some(desktop) => ToolTree::with_window(workspace, desktop, progress)?,
        None => ToolTree::ensure(workspace, progress)?,
    });
    let kit = Arc::new(kit::build(workspace, Purpose::Demo, progress)?);
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    let step = progress.step("Starting the control plane on SQLite");
    let fleet = Fleet::start(Arc::clone(&kit), Arc::clone(&tools), dir)?;
    fleet.configure_for_tests(WINDOW_S, DEADLINE_S)?;
    step.done(fleet.api().base());
    let step = progress.step("Making slides and a film for the screen");
    let reel = content::make(workspace, &dir.join("content"))?;
    step.done(&format!("{} files", reel.len()));
    let mut stage = boot(fleet, tools, arguments, progress, dir)?;
    stage.show_where(progress)?;
    let told = stage
        .fill_the_screen(&reel, progress)
        // What the factory installed has to be known here too, or no rollout could be taken back.
        .and_then(|()| stage.publish(release::FIRST, progress))
        .and_then(|_| stage.good_release(&kit, progress))
        .and_then(|()| stage.unhealthy_release(&kit, progress));
    let screen = dir.join("screen.png");
    if stage.vm.screenshot(&screen).is_ok() {
        progress.note(&format!("The screen, photographed: {}", screen.display()));
    }
    told.map(|()| stage)
}

fn boot(
    fleet: Fleet,
    tools: Arc<dyn Programs>,
    arguments: &DemoArguments,
    progress: Progress,
    dir: &Path,
) -> Result<Stage> {
    let step = progress.step("Writing the image to a card, with a one-time enrolment token");
    let card = fleet.flash("screen-1")?;
    let disks = Disks::overlay(&*tools, &card, dir)?;
    step.done(&file_name(&card));
    let mut machine = Machine::new(fleet.network().port());
    machine.screen = SCREEN;
    if arguments.display {
        machine.display = Display::Window;
    }
    let mut vm = Vm::new(tools, machine, disks, dir);
    let step = progress.step("Booting the device in QEMU, until it has enrolled");
    vm.power_on(Boot::Cold)?;
    let device = wait_until("the device to be online", BOOT_WITHIN, || {
        let online = fleet.devices()?.into_iter().find(|d| d.online);
        let line = live::last_line(vm.serial());
        step.update(&line);
        Ok((online, line))
    })?;
    let page_port = vm.page_port()?;
    step.done(&format!(
        "{} runs {} and is online",
        device.name, device.version
    ));
    Ok(Stage {
        vm,
        fleet,
        page_port,
        device: device.device_id,
    })
}

impl Stage {
    fn show_where(&self, progress: Progress) -> Result<()> {
        let console = self.fleet.console_link()?;
        progress.note("");
        progress.note(&format!("  Console        {console}"));
        progress.note(&format!(
            "  Device's page  http://127.0.0.1:{}/",
            self.page_port
        ));
        progress.note(&format!(
            "  Serial log     {}",
            self.vm.serial().log().display()
        ));
        progress.note("");
        Ok(())
    }

    fn device(&self) -> Device<'_> {
        Device {
            fleet: &self.fleet,
            id: &self.device,
        }
    }

    /// Publishes what is to be shown, and waits until the device says that it shows it.
    fn fill_the_screen(&self, reel: &[PathBuf], progress: Progress) -> Result<()> {
        let step = progress.step("Publishing slides and a film to the screen");
        content::publish(&self.fleet, reel)?;
        let playing = |detail: &DeviceDetail| {
            let player = detail.player.as_ref();
            player.is_some_and(|player| player.playback.current_asset_id.is_some())
        };
        let what = "the screen to play what was published";
        self.device().wait(what, PLAYS_WITHIN, playing)?;
        step.done("it plays");
        Ok(())
    }

    fn publish(&self, name: &str, progress: Progress) -> Result<Version> {
        let step = progress.step(format!("Signing and publishing the {name} release"));
        let version = self.fleet.publish(name)?;
        step.done(&version.to_string());
        Ok(version)
    }

    fn start(&self, name: &str, progress: Progress) -> Result<RolloutView> {
        let version = self.publish(name, progress)?;
        let step = progress.step(format!("Rolling out {version}"));
        let rollout = self.fleet.roll_out(&version)?;
        step.done(rollout.rollout_id.as_str());
        Ok(rollout)
    }

    fn good_release(&mut self, kit: &Kit, progress: Progress) -> Result<()> {
        let rollout = self.start(release::GOOD, progress)?;
        let live = Live::new(
            progress,
            self.vm.serial(),
            kit.bundle(release::GOOD)?.size_bytes,
        );
        live.follow(
            &self.device(),
            &rollout.version,
            UPDATE_WITHIN,
            End::Committed,
        )?;
        self.rollout_ends(&rollout, RolloutStatus::Completed, progress)
    }

    fn unhealthy_release(&mut self, kit: &Kit, progress: Progress) -> Result<()> {
        progress.note("");
        progress.note("Now a release that boots, but whose service fails:");
        let rollout = self.start(release::UNHEALTHY, progress)?;
        let live = Live::new(
            progress,
            self.vm.serial(),
            kit.bundle(release::UNHEALTHY)?.size_bytes,
        );
        live.follow(
            &self.device(),
            &rollout.version,
            UPDATE_WITHIN,
            End::TakenBack,
        )?;
        let running = self.device().detail()?.device.version;
        if running != kit.bundle(release::GOOD)?.version {
            bail!("the device came back with {running} instead of 2.0.0");
        }
        let view = self.rollout(&rollout, |view| view.status.is_final())?;
        progress.note(&format!("Rollout {}: {}", view.status.name(), view.summary));
        Ok(())
    }

    fn rollout_ends(
        &self,
        rollout: &RolloutView,
        wanted: RolloutStatus,
        progress: Progress,
    ) -> Result<()> {
        let view = self.rollout(rollout, |view| view.status == wanted)?;
        progress.note(&format!("Rollout {}: {}", view.status.name(), view.summary));
        Ok(())
    }

    fn rollout(
        &self,
        rollout: &RolloutView,
        wanted: impl Fn(&RolloutView) -> bool,
    ) -> Result<RolloutView> {
        let view = wait_until("the rollout to take note", ROLLOUT_WITHIN, || {
            let view = self.fleet.rollout(&rollout.rollout_id)?;
            let seen = view.summary.clone();
            Ok((wanted(&view).then_some(view), seen))
        })?;
        Ok(view)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(PathBuf::from)
        .unwrap_or_default()
        .display()
        .to_string()
}
