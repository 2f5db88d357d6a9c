//! The service manager (systemd): what it keeps for the player, and what it is told.
//!
//! Outside a service all of this does nothing.

use std::os::fd::{AsFd, FromRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fleet_device::files::{self, Access};
use fleet_protocol::player::{FRAMES_FILE, FrameCounts};
use sd_notify::NotifyState;

/// The name under which it keeps the display's file.
const DISPLAY: &str = "display";
/// How often the counts are told: soon enough for a watchdog of a few seconds.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// The display's file of the player before this one. To be called once, before any file is opened.
pub fn take_display() -> Option<OwnedFd> {
    let mut given = sd_notify::listen_fds_with_names().ok()?;
    let (number, _) = given.find(|(_, name)| name == DISPLAY)?;
    #[expect(unsafe_code, reason = "the protocol hands descriptors over by number")]
    // SAFETY: the number is from `LISTEN_FDS` for this very process, open, and taken by nobody else: this is
    // called once, before anything could have closed it.
    let file = unsafe { OwnedFd::from_raw_fd(number) };
    Some(file)
}

/// Gives the display's file into keeping, for the player after this one, in the place of any before.
pub fn keep_display(display: impl AsFd) {
    forget_display();
    let state = [NotifyState::FdStore, NotifyState::FdName(DISPLAY)];
    if let Err(error) = sd_notify::notify_with_fds(&state, &[display.as_fd()]) {
        log::warn!("the display is not kept over a restart of the player: {error}");
    }
}

/// What is kept is no use any more.
pub fn forget_display() {
    notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(DISPLAY)]);
}

/// Tells that pictures come. While none do it says nothing, and the service manager's watchdog runs out.
#[derive(Debug)]
pub struct Pulse {
    frames: Option<PathBuf>,
    /// Seen or, while the screen is off on purpose, not.
    pictures: u64,
    told: Option<Instant>,
}

impl Pulse {
    pub fn new() -> Self {
        let folder = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
        Self {
            frames: folder.map(|folder| folder.join(FRAMES_FILE)),
            pictures: 0,
            told: None,
        }
    }

    /// To be called often. `counts` is asked once a second.
    pub fn beat(&mut self, counts: impl FnOnce() -> Option<FrameCounts>) {
        if self.told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        let Some(counts) = counts().filter(|counts| counts.pictures() > self.pictures) else {
            return;
        };
        if self.pictures == 0 {
            notify(&[NotifyState::Ready, NotifyState::Status("Showing pictures")]);
        }
        self.pictures = counts.pictures();
        notify(&[NotifyState::Watchdog]);
        self.write(counts);
    }

    fn write(&self, counts: FrameCounts) {
        let Some(path) = &self.frames else { return };
        if let Err(error) = files::write_json(path, &counts, Access::Public) {
            log::debug!("{error}");
        }
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("the service manager could not be told: {error}");
    }
}
