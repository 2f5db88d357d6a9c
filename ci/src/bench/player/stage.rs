//! A screen in memory that is nobody's but ours, with a window manager that lets every window fill it.
//!
//! The server, the manager and all players are the same user, who is not root: VLC refuses root.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::films::{Films, Set};
use super::glass::Glass;
use super::peers::Player;
use crate::process;
use crate::workspace::Workspace;

const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// `nobody`, when this runs as root.
const NOBODY: u32 = 65_534;

pub(super) struct Stage {
    size: (u32, u32),
    display: String,
    glass: Arc<Glass>,
    // The order in which they end.
    manager: Option<Owned>,
    _server: Owned,
    /// Of the user who plays.
    dir: TempDir,
}

impl Stage {
    pub(super) fn open(workspace: &Workspace, films: &Films, size: (u32, u32)) -> Result<Self> {
        let dir = tempfile::tempdir().context("a folder for the players")?;
        // The user who plays may not be able to look into ours.
        copy_all(&films.dir, &dir.path().join("films"))?;
        let program = workspace.target().join("release/fleet-player");
        fs::copy(&program, dir.path().join("fleet-player"))
            .with_context(|| format!("copying {}", program.display()))?;
        for folder in ["home", "screen"] {
            let folder = dir.path().join(folder);
            fs::create_dir(&folder)?;
            give_away(&folder)?;
        }
        give_away(dir.path())?;
        let screen = dir.path().join("screen");
        let (width, height) = size;
        let mut command = as_player(Path::new("Xvfb"), dir.path());
        command
            .args([
                "-displayfd",
                "1",
                "-nolisten",
                "tcp",
                "-noreset",
                "-br",
                "-s",
                "0",
            ])
            .args(["-screen", "0", &format!("{width}x{height}x24"), "-fbdir"])
            .arg(&screen)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut server = Owned(command.spawn().context("starting Xvfb")?);
        let mut number = String::new();
        let said = server.0.stdout.take().context("Xvfb's output")?;
        BufReader::new(said)
            .read_line(&mut number)
            .context("waiting for Xvfb's display")?;
        let mut stage = Self {
            size,
            display: format!(":{}", number.trim()),
            glass: Arc::new(Glass::open(&screen.join("Xvfb_screen0"), size)?),
            manager: None,
            _server: server,
            dir,
        };
        let manager = stage
            .command(Path::new("matchbox-window-manager"))
            .args(["-use_titlebar", "no", "-use_cursor", "no"])
            .spawn()
            .context("starting the window manager")?;
        stage.manager = Some(Owned(manager));
        Ok(stage)
    }

    pub(super) const fn size(&self) -> (u32, u32) {
        self.size
    }

    pub(super) fn films(&self) -> PathBuf {
        self.dir.path().join("films")
    }

    pub(super) fn fleet_player(&self) -> PathBuf {
        self.dir.path().join("fleet-player")
    }

    /// A program of the user who plays, on this screen.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = as_player(program.as_ref(), self.dir.path());
        command
            .env("DISPLAY", &self.display)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    pub(super) fn glass(&self) -> Arc<Glass> {
        Arc::clone(&self.glass)
    }
}

/// Ends with its owner.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // What has ended already is no failure.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A player at work.
pub(super) struct Running(Owned);

impl Running {
    pub(super) fn start(
        stage: &Stage,
        player: Player,
        set: &Set,
        playing: Duration,
    ) -> Result<Self> {
        let child = player.command(stage, set, playing).spawn();
        let child = child.with_context(|| format!("starting {}", player.name()))?;
        Ok(Self(Owned(child)))
    }

    pub(super) fn id(&self) -> u32 {
        self.0.0.id()
    }

    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.0.0.try_wait().context("looking after the player")
    }

    /// Asks it to end, and sees to it.
    pub(super) fn stop(mut self) -> Result<()> {
        // One that has ended already is no failure.
        let _ = kill(Pid::from_raw(self.id().cast_signed()), Signal::SIGTERM);
        let deadline = Instant::now() + ENDS_WITHIN;
        while self.ended()?.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// Nothing of the environment here goes along.
fn as_player(program: &Path, dir: &Path) -> Command {
    let mut command = process::command(program);
    let home = dir.join("home");
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", &home)
        .env("XDG_RUNTIME_DIR", &home)
        .current_dir(&home)
        .stdin(Stdio::null());
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn give_away(path: &Path) -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY))
            .with_context(|| format!("giving {} away", path.display()))?;
    }
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to).with_context(|| format!("copying to {}", to.display()))?;
        }
    }
    Ok(())
}
