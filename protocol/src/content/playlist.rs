//! Playlists: a draft that is worked on, and what of it was published.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::player::{Fit, MAX_ITEMS, Transition};
use crate::{AssetId, PlaylistId, PlaylistItemId};

/// As many as a player takes.
pub const MAX_ENTRIES: usize = MAX_ITEMS;

/// One place in a playlist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Left out: a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_item_id: Option<PlaylistItemId>,
    pub asset_id: AssetId,
    /// How long a picture stays, default 10; a video plays to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86_400)))]
    pub duration_seconds: Option<u32>,
    /// Left out of what is published while it is false.
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    pub fit: Fit,
    #[serde(default)]
    pub transition: Transition,
    /// 0 to 100; 0 is silent.
    #[serde(default = "full")]
    #[cfg_attr(feature = "schema", schemars(range(max = 100)))]
    pub volume_percent: u8,
}

const fn yes() -> bool {
    true
}

const fn full() -> u8 {
    100
}

impl Entry {
    /// As long as is usual, and whole.
    pub fn new(asset_id: AssetId) -> Self {
        Self {
            playlist_item_id: None,
            asset_id,
            duration_seconds: None,
            enabled: true,
            fit: Fit::default(),
            transition: Transition::default(),
            volume_percent: full(),
        }
    }
}

/// `POST /v1/library/playlists`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreatePlaylist {
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub name: String,
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = 10_000)))]
    pub items: Vec<Entry>,
}

/// `PUT /v1/library/playlists/{playlistId}/items`, with `If-Match`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutEntries {
    #[cfg_attr(feature = "schema", schemars(length(max = 10_000)))]
    pub items: Vec<Entry>,
}

/// `PUT /v1/library/playlists/{playlistId}/reorder`, with `If-Match`: each id once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reorder {
    pub playlist_item_ids: Vec<PlaylistItemId>,
}

/// `POST /v1/library/playlists/{playlistId}/rollback` and `POST /v1/venues/{venueId}/scheduleset/rollback`: what was
/// published then is published again, as a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollback {
    pub published_version: u64,
}

/// One row of `GET /v1/library/playlists`; its draft's version is its `ETag`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlaylistView {
    pub playlist_id: PlaylistId,
    pub name: String,
    /// Counts up with every change.
    pub draft_version: u64,
    /// The draft, in the order in which it would play.
    pub items: Vec<Entry>,
    /// Whether the draft differs from what is published.
    pub changed: bool,
    /// `None`: nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One row of `GET /v1/library/playlists/{playlistId}/publishes`; never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlaylistSnapshot {
    pub published_version: u64,
    pub published_at: Timestamp,
    pub published_by: String,
    /// Those that were enabled.
    pub items: Vec<Entry>,
}
