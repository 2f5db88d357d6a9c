//! What a player and its control plane say to one another: manifests and commands down, heartbeats,
//! events, results and proofs of play up.
//!
//! The fields and their names are the signage contract's (seed 003, §§27.8.1–27.8.3); what Fleet adds is
//! optional, so that either side may be older. A manifest is read item by item: one that is not understood
//! costs itself, never the playlist.

mod command;
mod event;
mod heartbeat;
mod item;
mod manifest;
mod proof_of_play;
mod screen_power;

pub use command::{PlayerCommand, PlayerCommandKind};
pub use event::{DecodeFailure, PlayerEvent, PlayerEventBatch, PlayerEventKind};
pub use heartbeat::{
    CacheStatus, FRAMES_FILE, FrameCounts, Playback, PlayerErrors, PlayerHeartbeat, PlayerState,
};
pub use item::{Fit, Item, ItemKind, Transition, TransitionKind};
pub use manifest::{
    LookAhead, MAX_ITEMS, MAX_MANIFEST_BYTES, Manifest, ManifestError, Orientation, Playlist,
    RunMode, Settings, SkippedItem,
};
pub use proof_of_play::{
    MAX_PROOFS_PER_BATCH, PlayOutcome, PlaysOfDay, ProofOfPlay, ProofOfPlayBatch,
};
pub use screen_power::{
    OnWindow, Power, ScreenPower, ScreenPowerStatus, ScreenTimes, UselessHours,
};
