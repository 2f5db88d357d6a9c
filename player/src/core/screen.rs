//! What is on the glass, what comes next, and when another manifest takes over.
//!
//! ```text
//! Boot ─loaded─► (playable check) ─► Playing ◄──────────┐
//!                      │               │ nothing playable │ content restored
//!                      └──► ErrorScreen ◄┘───────────────┘
//! any ─token invalid─► Unregistered ─registered─► (playable check)
//! ```
//!
//! Two items are in hand at most: the one on the glass, and the next one, which is prepared while the
//! first is still shown. The picture changes only when the next one is ready; until then the last one
//! stays. A newer manifest is staged beside the one in force, and takes over at the end of an item; one of which
//! nothing can be shown does not.
//!
//! Invariants:
//! - If an item of the current, the previous or a ready staged manifest can be played, one is played.
//! - No manifest takes from the screen what can be played, without something else that was shown in its place.
//! - Nothing is shown that was not prepared; nothing interrupts a video but its own end or failure, and an urgent manifest.
//! - Without faults, items are shown in the playlist's order, over and over.
//! - What is decided is persisted before it is shown, by a disk that can.

mod library;
mod playing;
mod staging;

use fleet_protocol::instant::Now;
use fleet_protocol::player::{
    DecodeFailure, Item, Manifest, Orientation, PlayerEventKind, PlayerState,
};
use fleet_protocol::{AssetId, PlaylistId, Sha256};
use serde::{Deserialize, Serialize};

pub use library::Library;
pub use playing::{OnGlass, Position, Source};
pub use staging::{Manifests, Staged};

use playing::Next;

/// One file: the same asset with other content is another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetRef {
    pub asset_id: AssetId,
    pub checksum_sha256: Sha256,
}

impl From<&Item> for AssetRef {
    fn from(item: &Item) -> Self {
        Self {
            asset_id: item.asset_id.clone(),
            checksum_sha256: item.checksum_sha256,
        }
    }
}

/// Names one preparation of an item; never used twice within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Where a playlist was when its player ended, however that was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bookmark {
    pub playlist_id: PlaylistId,
    pub published_version: u64,
    /// Of the item that was on the glass, from 0.
    pub index: usize,
}

/// A built-in picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    /// Nothing can be played.
    Status,
    /// The device belongs to nobody.
    Pairing,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// What the disk holds. Comes first.
    Loaded {
        current: Option<Box<Manifest>>,
        previous: Option<Box<Manifest>>,
        present: Vec<AssetRef>,
        /// Of the player before this one. What follows the item there comes first: one that takes the player with it
        /// is not begun over and over.
        left_at: Option<Bookmark>,
    },
    /// The control plane has another manifest than the one it was asked with.
    Received(Box<Manifest>),
    /// Its file is whole and in the cache.
    AssetReady(AssetRef),
    /// Its file is damaged or gone.
    AssetLost(AssetRef),
    /// The first picture is there.
    Prepared {
        ticket: Ticket,
    },
    /// While it was prepared or shown.
    Failed {
        ticket: Ticket,
        reason: DecodeFailure,
        message: String,
    },
    /// A video has come to its end.
    Ended {
        ticket: Ticket,
    },
    /// The device's token is not accepted any more.
    TokenInvalid,
    Registered,
    /// An operator's command: from the first item on.
    RestartPlayback,
    /// A card says something else than before.
    CardChanged,
    /// Whatever was prepared or shown is lost: another engine has taken over, for another screen.
    EngineReplaced,
    /// Time has passed.
    Tick,
}

/// What the driver has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write `previousManifest.json` and `currentManifest.json`. A disk that takes nothing keeps no screen
    /// from its content: the rest is done all the same, and this again later.
    Persist {
        current: Option<Box<Manifest>>,
        previous: Option<Box<Manifest>>,
    },
    /// Ends in [`Event::Prepared`] or [`Event::Failed`].
    Prepare {
        ticket: Ticket,
        item: Box<Item>,
        /// As the manifest has it in force when the item is seen.
        orientation: Orientation,
    },
    /// It will not be shown.
    Discard {
        ticket: Ticket,
    },
    /// Put it on the glass in the place of whatever is there.
    Show {
        ticket: Ticket,
    },
    ShowCard(Card),
    /// These are still missing, the most urgent first.
    Fetch(Vec<Item>),
    Tell(PlayerEventKind),
}

/// Which of the contract's states the screen is in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Boot,
    Playing,
    ErrorScreen,
    Unregistered,
}

/// The whole state.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Screen {
    mode: Mode,
    manifests: Manifests,
    library: Library,
    on_glass: Option<OnGlass>,
    next: Option<Next>,
    /// While nothing has been shown yet: what was on the glass before.
    left_at: Option<Position>,
    loop_count: u64,
    tickets: u64,
    /// Told once, until the current manifest plays again.
    fell_back: bool,
}

impl Screen {
    pub fn state(&self) -> PlayerState {
        match self.mode {
            Mode::Playing if self.on_glass.is_some() => PlayerState::Playing,
            Mode::Boot | Mode::Playing => PlayerState::Booting,
            Mode::ErrorScreen => PlayerState::ErrorScreen,
            Mode::Unregistered => PlayerState::Pairing,
        }
    }

    pub fn manifests(&self) -> &Manifests {
        &self.manifests
    }

    pub fn library(&self) -> &Library {
        &self.library
    }

    /// How the screen is mounted, as far as is known: by the newest manifest, be it still staged. For cards.
    pub fn orientation(&self) -> Orientation {
        self.manifests.orientation_with(Source::Staged)
    }

    fn card(&self) -> Option<Card> {
        match self.mode {
            Mode::ErrorScreen => Some(Card::Status),
            Mode::Unregistered => Some(Card::Pairing),
            Mode::Boot | Mode::Playing => None,
        }
    }

    /// `None` while a card is shown, and before anything is.
    pub fn on_glass(&self) -> Option<&OnGlass> {
        self.on_glass.as_ref()
    }

    /// Where the playlist is that plays.
    pub fn bookmark(&self) -> Option<Bookmark> {
        let position = self.on_glass.as_ref()?.position;
        let playlist = self.manifests.of(position.source)?.playlist.as_ref()?;
        Some(Bookmark {
            playlist_id: playlist.playlist_id.clone(),
            published_version: playlist.published_version,
            index: position.index,
        })
    }

    /// Since the manifest in force was applied.
    pub fn loop_count(&self) -> u64 {
        self.loop_count
    }

    /// Takes one event. An event that names a ticket which is no longer in hand changes nothing.
    #[must_use]
    pub fn step(self, event: Event, now: Now) -> (Self, Vec<Effect>) {
        let mut step = Step {
            screen: self,
            now,
            effects: Vec::new(),
        };
        step.take(event);
        (step.screen, step.effects)
    }
}

/// One step under way.
struct Step {
    screen: Screen,
    now: Now,
    effects: Vec<Effect>,
}

impl Step {
    fn take(&mut self, event: Event) {
        if self.screen.mode == Mode::Boot && !matches!(event, Event::Loaded { .. }) {
            return;
        }
        let before = (self.screen.card(), self.screen.orientation());
        match event {
            Event::Loaded {
                current,
                previous,
                present,
                left_at,
            } => self.loaded(current, previous, present, left_at),
            Event::Received(manifest) => self.received(*manifest),
            Event::AssetReady(asset) => {
                self.screen.library.add(asset);
                self.settle_staged();
            }
            Event::AssetLost(asset) => {
                self.screen.library.remove(&asset);
                self.settle_staged();
                self.fetch();
            }
            Event::Prepared { ticket } => self.prepared(ticket),
            Event::Failed {
                ticket,
                reason,
                message,
            } => self.failed(ticket, reason, message),
            Event::Ended { ticket } => self.ended(ticket),
            Event::TokenInvalid => self.token_invalid(),
            Event::Registered => {
                if self.screen.mode == Mode::Unregistered {
                    self.screen.mode = Mode::Playing;
                }
            }
            Event::RestartPlayback => self.restart(),
            Event::CardChanged => self.show_card_again(),
            Event::EngineReplaced => self.engine_replaced(),
            Event::Tick => {}
        }
        if self.screen.mode != Mode::Unregistered {
            self.go_on();
        }
        // The same card on a screen that is mounted in another way.
        let (card, orientation) = before;
        if card == self.screen.card() && orientation != self.screen.orientation() {
            self.show_card_again();
        }
    }

    fn loaded(
        &mut self,
        current: Option<Box<Manifest>>,
        previous: Option<Box<Manifest>>,
        present: Vec<AssetRef>,
        left_at: Option<Bookmark>,
    ) {
        if self.screen.mode != Mode::Boot {
            return;
        }
        self.screen.mode = Mode::Playing;
        self.screen.manifests = Manifests::new(current, previous);
        self.screen.library = Library::of(present);
        self.screen.left_at = left_at.and_then(|left_at| self.screen.manifests.find(&left_at));
        self.fetch();
    }

    fn token_invalid(&mut self) {
        if self.screen.mode == Mode::Unregistered {
            return;
        }
        self.drop_next();
        self.screen.on_glass = None;
        self.screen.mode = Mode::Unregistered;
        self.effects.push(Effect::ShowCard(Card::Pairing));
    }

    fn tell(&mut self, kind: PlayerEventKind) {
        self.effects.push(Effect::Tell(kind));
    }
}

#[cfg(test)]
mod tests;
