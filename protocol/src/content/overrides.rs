//! "Now, for an hour, on these screens": what goes before the schedule for a while.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::schedule::Target;
use crate::{OverrideId, PlaylistId};

/// How long one may last: a minute to a month.
pub const OVERRIDE_SECONDS: RangeInclusive<u32> = 60..=31 * 24 * 3_600;
/// In force in one venue at the same time.
pub const MAX_OVERRIDES: usize = 100;

/// `POST /v1/venues/{venueId}/overrides`: begins at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateOverride {
    /// It has to be published. Either this or `message`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_id: Option<PlaylistId>,
    /// Words to be shown as large as they fit; white on red in an emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<OverrideMessage>,
    /// Devices and groups of the venue; left out: all of its screens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 1_000)))]
    pub targets: Vec<Target>,
    /// A minute to 31 days.
    #[cfg_attr(feature = "schema", schemars(range(min = 60, max = 2_678_400)))]
    pub duration_seconds: u32,
    /// Goes before every other override, and lights screens that are off by their hours.
    #[serde(default)]
    pub emergency: bool,
    /// Why, for whoever reads the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 500)))]
    pub note: Option<String>,
}

/// In Latin letters: others come as a picture in a playlist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OverrideMessage {
    /// A few words above the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 60)))]
    pub title: Option<String>,
    /// Lines may be broken.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 300)))]
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OverrideState {
    Active,
    /// Its time is over.
    Ended,
    /// Somebody ended it before its time.
    Cancelled,
}

/// Which of them a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverrideStatus {
    Active,
    /// Ended or cancelled.
    Over,
}

impl std::str::FromStr for OverrideStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "active" => Ok(Self::Active),
            "over" => Ok(Self::Over),
            _ => Err(format!("`{text}` is neither `active` nor `over`")),
        }
    }
}

/// One row of `GET /v1/venues/{venueId}/overrides`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OverrideView {
    pub override_id: OverrideId,
    pub state: OverrideState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_id: Option<PlaylistId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<OverrideMessage>,
    /// Empty: all screens of the venue.
    pub targets: Vec<Target>,
    pub emergency: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    pub created_at: Timestamp,
    pub created_by: String,
    /// When it ends by itself; of one that was cancelled, when it would have.
    pub ends_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<String>,
}
