//! One item in the engine's hands: its decoder, and the frames that came from it.

use std::sync::Once;

use fleet_protocol::player::{DecodeFailure, ItemKind};

use super::Job;
use super::pace::{Pace, Timed};
use crate::core::screen::Ticket;
use crate::media::decoder::{Decoder, Said};
use crate::media::frame::{Pool, SharedFrame};
use crate::media::wire::Order;
use crate::profile::DecoderProfile;

/// A film that brings no frame for so long while it is shown is cut off. Preferred decoders that bring no first one
/// are given up as soon, while there is still time for another.
const STALLED_NS: u64 = 5_000_000_000;

/// Sound from an item on the glass.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) samples: Vec<u8>,
    pub(super) pts_ns: u64,
}

/// How an item is decoded now.
#[derive(Debug)]
pub(super) struct Manner<'a> {
    pub(super) profile: &'a DecoderProfile,
    pub(super) avoided: Vec<String>,
    pub(super) now_ns: u64,
}

/// What became of listening to the decoder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    FirstPicture,
    Failed {
        reason: DecodeFailure,
        message: String,
    },
}

#[derive(Debug)]
pub(super) struct Hand {
    pub(super) ticket: Ticket,
    pub(super) job: Job,
    pub(super) decoder: Decoder,
    pub(super) pace: Pace<SharedFrame>,
    pub(super) sound: Vec<Piece>,
    /// The element of the machine's profile that decodes, if it is one.
    preferred: Option<String>,
    /// A picture came; the item can be shown.
    prepared: bool,
    /// When the decoder last brought a frame, or was last waited for.
    alive_ns: u64,
}

impl Hand {
    /// Gives the decoder its order.
    pub(super) fn new(
        ticket: Ticket,
        job: Job,
        mut decoder: Decoder,
        pool: &Pool,
        manner: Manner<'_>,
    ) -> std::io::Result<Self> {
        decoder.open(Order {
            path: job.path.clone(),
            kind: job.item.kind,
            screen: pool.size(),
            orientation: job.orientation,
            fit: job.item.fit,
            sound: job.item.kind == ItemKind::Video && job.item.volume_percent > 0,
            profile: manner.profile.clone(),
            avoided: manner.avoided,
        })?;
        Ok(Self {
            ticket,
            job,
            decoder,
            pace: Pace::new(),
            sound: Vec::new(),
            preferred: None,
            prepared: false,
            alive_ns: manner.now_ns,
        })
    }

    /// What may have failed, if it fails: an element that others can stand in for.
    pub(super) fn preferred(&self) -> Option<&str> {
        self.preferred.as_deref()
    }

    pub(super) const fn is_prepared(&self) -> bool {
        self.prepared
    }

    /// It is on the glass from `base_ns` on.
    pub(super) fn begin(&mut self, base_ns: u64) -> std::io::Result<()> {
        self.pace.begin(base_ns);
        self.alive_ns = base_ns;
        self.decoder.shown()
    }

    /// Takes all that the decoder has said by now.
    pub(super) fn listen(&mut self, pool: &Pool, now_ns: u64) -> Heard {
        let mut heard = Heard::Nothing;
        while let Some(said) = self.decoder.listen(pool) {
            match said {
                Said::Waiting => {}
                Said::WithoutLandlock => warn_once(),
                Said::Uses(element) => self.preferred = Some(element),
                Said::Frame {
                    frame,
                    pts_ns,
                    duration_ns,
                    slot,
                } => {
                    self.alive_ns = now_ns;
                    self.pace.add(Timed {
                        frame,
                        pts_ns,
                        duration_ns,
                        slot,
                    });
                    if !std::mem::replace(&mut self.prepared, true) {
                        heard = Heard::FirstPicture;
                    }
                }
                Said::Sound { samples, pts_ns } => self.sound.push(Piece { samples, pts_ns }),
                Said::Ended if self.prepared => self.pace.complete(),
                Said::Ended => {
                    return Heard::Failed {
                        reason: DecodeFailure::DecodeError,
                        message: "the file ends before its first picture".to_owned(),
                    };
                }
                Said::Failed { reason, message } => return Heard::Failed { reason, message },
                Said::Gone(message) => {
                    return Heard::Failed {
                        reason: DecodeFailure::DecoderCrashed,
                        message,
                    };
                }
            }
        }
        heard
    }

    /// Whether it should have brought a frame by now.
    pub(super) fn is_stalled(&self, now_ns: u64) -> bool {
        let is_due = if self.prepared {
            self.job.item.kind == ItemKind::Video
                && self.pace.base_ns().is_some()
                && self.pace.is_starved()
        } else {
            self.preferred.is_some()
        };
        is_due && now_ns.saturating_sub(self.alive_ns) >= STALLED_NS
    }
}

/// The screen goes on; the two other fences hold.
fn warn_once() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        log::warn!(
            "this kernel has no Landlock (CONFIG_SECURITY_LANDLOCK, and `landlock` in its list of security modules): \
             decoders are kept from the network and from programs, but not from other files of the player's"
        );
    });
}
