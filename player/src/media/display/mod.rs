//! The kernel's display: which screen, in which mode, and the DRM file that outlives the player.
//!
//! A picture stays on the glass until its DRM *file* is closed for the last time. So the file is opened once and
//! kept by the service manager: a player that is killed leaves its last picture, and its successor gets the same
//! file, with its framebuffers and its right to set modes (decision 0011).

mod hotplug;
mod scanout;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drm::control::{Device as _, Mode, ModeTypeFlags, connector, crtc};

use super::frame::{Size, SizeError};

pub use hotplug::Hotplug;
pub(super) use scanout::{Buffers, Scanout, Shown};

/// Why a display is no use.
#[derive(Debug, thiserror::Error)]
pub enum DisplayError {
    #[error("no display in /dev/dri: is a graphics driver loaded?")]
    Absent,
    #[error("opening {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{operation} of the display")]
    Drm {
        operation: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the screen's mode")]
    Size(#[from] SizeError),
    #[error("the screen has no output that could drive it")]
    NoOutput,
    #[error("the screen's output has no property `DPMS`")]
    NoDpms,
    #[error("the display took a picture and did not show it within {0:?}")]
    NotShown(std::time::Duration),
}

/// An open DRM file. Clones are the same file.
#[derive(Debug, Clone)]
pub struct Card(Arc<OwnedFd>);

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Card {}
impl drm::control::Device for Card {}

/// How a screen is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// What the kernel found when it was last told to look: cheap.
    Known,
    /// The kernel is told to look, and reads the EDID of what is there.
    Probe,
}

/// A connected screen, and how it is driven.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    connector: connector::Handle,
    crtc: crtc::Handle,
    mode: Mode,
    size: Size,
}

impl Screen {
    /// In pixels.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Whether pictures for the one are right for the other.
    pub fn is_same(&self, other: &Self) -> bool {
        self.connector == other.connector && self.mode == other.mode
    }

    /// In hertz, rounded.
    pub fn refresh_hz(&self) -> u32 {
        self.mode.vrefresh()
    }
}

impl Card {
    /// The first display that has a screen, else the first that could have one: boards also have devices that
    /// only compute.
    pub fn open() -> Result<Self, DisplayError> {
        let mut without_screen = None;
        let mut last = DisplayError::Absent;
        for path in cards() {
            match Self::open_at(&path).and_then(|card| Ok((card.screen(Look::Known)?, card))) {
                Ok((Some(_), card)) => return Ok(card),
                Ok((None, card)) => without_screen = without_screen.or(Some(card)),
                Err(error) => last = error,
            }
        }
        without_screen.ok_or(last)
    }

    fn open_at(path: &Path) -> Result<Self, DisplayError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|source| DisplayError::Open {
            path: path.to_owned(),
            source,
        })?;
        Self::from_file(file.into())
    }

    /// A file that was open already. One whose display is gone, as when another driver took over, is refused.
    pub fn from_file(file: OwnedFd) -> Result<Self, DisplayError> {
        let card = Self(Arc::new(file));
        let resources = card
            .resource_handles()
            .map_err(drm_error("listing the outputs"))?;
        if resources.connectors().is_empty() {
            return Err(DisplayError::Absent);
        }
        Ok(card)
    }

    /// The screen that is connected now, with its own preferred mode.
    pub fn screen(&self, look: Look) -> Result<Option<Screen>, DisplayError> {
        let resources = self
            .resource_handles()
            .map_err(drm_error("listing the outputs"))?;
        let infos = resources.connectors().iter();
        let mut connected = infos
            .filter_map(|handle| self.get_connector(*handle, look == Look::Probe).ok())
            .filter(|info| info.state() == connector::State::Connected);
        let Some(info) = connected.find(|info| !info.modes().is_empty()) else {
            return Ok(None);
        };
        let is_preferred = |mode: &&Mode| mode.mode_type().contains(ModeTypeFlags::PREFERRED);
        let modes = info.modes();
        let Some(mode) = modes.iter().find(is_preferred).or(modes.first()) else {
            return Ok(None);
        };
        let (width, height) = mode.size();
        Ok(Some(Screen {
            connector: info.handle(),
            crtc: self.crtc(&resources, &info)?,
            mode: *mode,
            size: Size::new(width.into(), height.into())?,
        }))
    }

    /// The one that drives the screen already, else one that can.
    fn crtc(
        &self,
        resources: &drm::control::ResourceHandles,
        screen: &connector::Info,
    ) -> Result<crtc::Handle, DisplayError> {
        let encoder = |handle| self.get_encoder(handle).ok();
        let in_use = screen
            .current_encoder()
            .and_then(encoder)
            .and_then(|encoder| encoder.crtc());
        let possible = || {
            let encoders = screen
                .encoders()
                .iter()
                .filter_map(|handle| encoder(*handle));
            let crtcs =
                encoders.flat_map(|encoder| resources.filter_crtcs(encoder.possible_crtcs()));
            crtcs.into_iter().next()
        };
        in_use.or_else(possible).ok_or(DisplayError::NoOutput)
    }
}

fn drm_error(operation: &'static str) -> impl Fn(io::Error) -> DisplayError {
    move |source| DisplayError::Drm { operation, source }
}

fn cards() -> Vec<PathBuf> {
    let entries = fs::read_dir("/dev/dri").into_iter().flatten().flatten();
    let is_card = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("card"))
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_card).collect();
    paths.sort();
    paths
}
