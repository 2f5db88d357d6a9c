//! Pictures to the glass: two buffers, one of which is always whole and shown.
//!
//! Each picture is copied into the buffer that is not shown, and the display changes over to it between two
//! refreshes. The next picture is taken when that has happened, so the display itself keeps the time, no picture is
//! seen half drawn, and one that is counted as presented was on the glass.
//!
//! A screen is switched off by the property `DPMS` of its output. The kernel stops the signal then and keeps mode and
//! framebuffer (with atomic drivers: `ACTIVE` of the CRTC is 0). Setting a mode ends that, in one commit with the
//! picture that is to be seen: so the screen comes back with what is due now and not with what was there before.
//!
//! What a predecessor left behind goes in two steps: handles of its buffers at once, because its framebuffers hold
//! the memory by themselves; its framebuffers when the first picture of this one is seen, because removing the one
//! that is shown would darken the screen. For the same reason nothing is removed at the end.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use drm::buffer::{Buffer as _, DrmFourcc};
use drm::control::dumbbuffer::{DumbBuffer, DumbMapping};
use drm::control::{
    Device as _, Event, Mode, PageFlipFlags, RawResourceHandle, connector, framebuffer, property,
};
use fleet_protocol::player::Power;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Card, DisplayError, Screen, drm_error};
use crate::media::frame::BYTES_PER_PIXEL;

/// A refresh takes 42 ms at the slowest (24 Hz); virtual displays in emulated machines are slower.
const SHOWN_WITHIN: Duration = Duration::from_secs(2);
/// Whether the cable is still there is asked so often.
const CABLE_LOOKED_AT_EVERY: Duration = Duration::from_secs(1);
/// A screen that could not be switched off is tried again after so long.
const TRIED_AGAIN_AFTER: Duration = Duration::from_mins(1);
/// Of the property `DPMS`, as the kernel's `drm_mode.h` has it.
const DPMS_OFF: property::RawValue = 3;
/// Handles that a predecessor's buffers may have: far more than this module ever makes.
const HANDLES: std::ops::RangeInclusive<u32> = 1..=64;
const BUFFERS: usize = 2;
const BITS_PER_PIXEL: u32 = 32;
/// Without the unused byte.
const DEPTH: u32 = 24;

/// A buffer that the display can show.
struct Surface<'a> {
    framebuffer: framebuffer::Handle,
    pixels: DumbMapping<'a>,
    pitch_bytes: usize,
}

/// Drives one screen. Lives on one thread, which waits for the display in it.
pub(in crate::media) struct Scanout<'a> {
    card: &'a Card,
    screen: Screen,
    surfaces: Vec<Surface<'a>>,
    /// Index of the surface that is not shown.
    back: usize,
    /// A picture of this scanout is on the glass.
    lit: bool,
    /// The screen is off on purpose.
    dark: bool,
    /// When it could not be switched off.
    refused_at: Option<Instant>,
    /// Of a predecessor, perhaps still shown.
    stale: Vec<framebuffer::Handle>,
    cable_looked_at: Instant,
    connected: bool,
    /// When this scanout took the picture away.
    blank_since: Option<Instant>,
}

/// What became of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) enum Shown {
    /// It is on the glass, after nothing was for so long.
    Seen { after_blank: Duration },
    /// The screen is off on purpose, or not there.
    Unseen,
}

/// Memory for a scanout's pictures. Stays as long as the file is open: see [`Scanout`].
pub(in crate::media) struct Buffers([DumbBuffer; BUFFERS]);

impl Buffers {
    /// Lets go of a predecessor's handles, and makes new ones.
    pub(in crate::media) fn new(card: &Card, screen: &Screen) -> Result<Self, DisplayError> {
        for number in HANDLES.filter_map(RawResourceHandle::new) {
            // Most of them are none.
            let _ = card.close_buffer(number.into());
        }
        let size = (screen.size.width(), screen.size.height());
        let make = || {
            card.create_dumb_buffer(size, DrmFourcc::Xrgb8888, BITS_PER_PIXEL)
                .map_err(drm_error("making a buffer"))
        };
        Ok(Self([make()?, make()?]))
    }
}

impl<'a> Scanout<'a> {
    pub(in crate::media) fn new(
        card: &'a Card,
        screen: Screen,
        buffers: &'a mut Buffers,
    ) -> Result<Self, DisplayError> {
        let resources = card
            .resource_handles()
            .map_err(drm_error("listing the framebuffers"))?;
        let mut surfaces = Vec::with_capacity(BUFFERS);
        for buffer in &mut buffers.0 {
            let framebuffer = card
                .add_framebuffer(buffer, DEPTH, BITS_PER_PIXEL)
                .map_err(drm_error("making a framebuffer"))?;
            let pitch_bytes = buffer.pitch() as usize;
            let pixels = card
                .map_dumb_buffer(buffer)
                .map_err(drm_error("mapping a buffer"))?;
            surfaces.push(Surface {
                framebuffer,
                pixels,
                pitch_bytes,
            });
        }
        Ok(Self {
            card,
            screen,
            surfaces,
            back: 0,
            lit: false,
            dark: false,
            refused_at: None,
            stale: resources.framebuffers().to_vec(),
            cable_looked_at: Instant::now(),
            connected: true,
            blank_since: None,
        })
    }

    /// Before the first picture of this scanout: whether one of the same file is there, in the right mode. The kernel
    /// lists the framebuffers of this file alone, so the console's is none.
    pub(in crate::media) fn has_predecessors_picture(&self) -> bool {
        let Ok(crtc) = self.card.get_crtc(self.screen.crtc) else {
            return false;
        };
        let wanted = self.screen.mode;
        let same_mode =
            |mode: Mode| (mode.size(), mode.vrefresh()) == (wanted.size(), wanted.vrefresh());
        let own = |shown| self.stale.contains(&shown);
        crtc.mode().is_some_and(same_mode) && crtc.framebuffer().is_some_and(own)
    }

    /// To be called often. A screen that is to be on is with the next picture.
    ///
    /// # Errors
    /// When it can't be switched off, once until it is to be on again. It stays on, and is tried again.
    pub(in crate::media) fn switch(&mut self, wanted: Power) -> Result<(), DisplayError> {
        let lately = |at: Instant| at.elapsed() < TRIED_AGAIN_AFTER;
        match wanted {
            Power::On => {
                if std::mem::take(&mut self.dark) {
                    self.lit = false;
                }
                self.refused_at = None;
            }
            Power::Off if self.dark || self.refused_at.is_some_and(lately) => {}
            Power::Off => match self.darken() {
                Ok(()) => self.dark = true,
                Err(error) => {
                    if self.refused_at.replace(Instant::now()).is_none() {
                        return Err(error);
                    }
                }
            },
        }
        Ok(())
    }

    /// Off on purpose.
    pub(in crate::media) const fn is_dark(&self) -> bool {
        self.dark
    }

    fn darken(&self) -> Result<(), DisplayError> {
        let connector = self.screen.connector;
        let properties = self
            .card
            .get_properties(connector)
            .map_err(drm_error("listing the properties"))?;
        let (handles, _) = properties.as_props_and_values();
        let is_dpms = |handle: &&property::Handle| {
            let info = self.card.get_property(**handle);
            info.is_ok_and(|info| info.name() == c"DPMS")
        };
        let dpms = handles.iter().find(is_dpms).ok_or(DisplayError::NoDpms)?;
        self.card
            .set_property(connector, *dpms, DPMS_OFF)
            .map_err(drm_error("switching off the screen"))
    }

    /// Puts a picture of the screen's size on the glass, unless that is off; returns when it is seen. While the
    /// screen is unplugged it is only made ready, for when it comes back.
    pub(in crate::media) fn present(&mut self, picture: &[u8]) -> Result<Shown, DisplayError> {
        if self.dark {
            return Ok(Shown::Unseen);
        }
        self.look_at_cable();
        let surface = &mut self.surfaces[self.back];
        let row_bytes = self.screen.size.width() as usize * BYTES_PER_PIXEL;
        if surface.pitch_bytes == row_bytes {
            surface.pixels[..picture.len()].copy_from_slice(picture);
        } else {
            let rows = surface.pixels.chunks_mut(surface.pitch_bytes);
            for (to, from) in rows.zip(picture.chunks_exact(row_bytes)) {
                to[..row_bytes].copy_from_slice(from);
            }
        }
        let framebuffer = surface.framebuffer;
        if self.lit {
            self.flip(framebuffer)?;
        } else {
            self.light(framebuffer)?;
        }
        self.back = (self.back + 1) % BUFFERS;
        let blank_since = self.blank_since.take();
        let after_blank = blank_since.map_or(Duration::ZERO, |since| since.elapsed());
        Ok(if self.connected {
            Shown::Seen { after_blank }
        } else {
            Shown::Unseen
        })
    }

    /// With the mode. Where that is set already, as by a predecessor, only the picture changes.
    fn light(&mut self, framebuffer: framebuffer::Handle) -> Result<(), DisplayError> {
        let Screen {
            connector,
            crtc,
            mode,
            ..
        } = self.screen;
        self.card
            .set_crtc(crtc, Some(framebuffer), (0, 0), &[connector], Some(mode))
            .map_err(drm_error("setting the mode"))?;
        self.lit = true;
        for stale in self.stale.drain(..) {
            // One that is gone already is no failure.
            let _ = self.card.destroy_framebuffer(stale);
        }
        Ok(())
    }

    fn flip(&self, framebuffer: framebuffer::Handle) -> Result<(), DisplayError> {
        let crtc = self.screen.crtc;
        self.card
            .page_flip(crtc, framebuffer, PageFlipFlags::EVENT, None)
            .map_err(drm_error("changing the picture"))?;
        let until = Instant::now() + SHOWN_WITHIN;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut ready = [PollFd::new(self.card.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, wait) {
                Ok(0) => return Err(DisplayError::NotShown(SHOWN_WITHIN)),
                Ok(_) => {}
                Err(nix::Error::EINTR) => continue,
                Err(error) => return Err(drm_error("waiting")(error.into())),
            }
            let mut events = self.card.receive_events().map_err(drm_error("listening"))?;
            if events.any(|event| matches!(event, Event::PageFlip(_))) {
                return Ok(());
            }
        }
    }

    /// A screen that was unplugged, or switched off and on, may have lost the signal it was trained on: it gets its
    /// mode again. Another mode than before is for the main loop to see.
    fn look_at_cable(&mut self) {
        if self.cable_looked_at.elapsed() < CABLE_LOOKED_AT_EVERY {
            return;
        }
        self.cable_looked_at = Instant::now();
        let Ok(info) = self.card.get_connector(self.screen.connector, false) else {
            return;
        };
        let connected = info.state() == connector::State::Connected;
        if connected && !self.connected {
            // Off first: a mode that is set already would not be set again. The screen shows nothing now anyway.
            let off = self
                .card
                .set_crtc(self.screen.crtc, None, (0, 0), &[], None);
            if let Err(error) = off {
                log::warn!("the screen that came back is not switched off first: {error}");
            }
            self.lit = false;
            self.blank_since = Some(Instant::now());
        }
        self.connected = connected;
    }
}
