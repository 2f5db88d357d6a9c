//! Why a screen shows what it shows, the same in the terminal and on the console: what wins, and of
//! each other slot why it does not.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{PlaylistId, SlotId, TargetId};

/// One stretch of a timeline, from `from_utc` to just before `to_utc`. No slot: a fallback; no playlist
/// either: nothing plays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    pub from_utc: Timestamp,
    pub to_utc: Timestamp,
    pub playlist_id: Option<PlaylistId>,
    pub slot_id: Option<SlotId>,
}

/// Which rule placed one slot before another; they are asked in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Rule {
    /// A slot for the device goes before one for a group.
    Target,
    /// The larger number goes first.
    Priority,
    /// The one that was changed last goes first.
    UpdatedAt,
    /// The smaller id, byte by byte: only so that there is always an answer.
    SlotId,
}

/// Why a slot has no occurrence at the instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum NotNow {
    Disabled,
    /// It is for another device, or for a group that this one is not in.
    OtherTarget,
    Dates,
    Weekday,
    Time,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    tag = "verdict",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Verdict {
    Plays,
    /// Its time is now, and so is the time of one that goes before it.
    Outranked {
        by: SlotId,
        rule: Rule,
    },
    /// Its time is now, but its playlist has no published version: passed over.
    Unpublished,
    NotNow {
        reason: NotNow,
        /// When it would begin next, if that is within a week of its first valid date.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_utc: Option<Timestamp>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    pub slot_id: SlotId,
    pub playlist_id: PlaylistId,
    #[serde(flatten)]
    pub verdict: Verdict,
    /// One sentence for people.
    pub detail: String,
}

/// What plays when no slot does, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum FallbackSource {
    Venue,
    Tenant,
    LastPublished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum FallbackVerdict {
    Plays,
    /// A slot or an earlier fallback plays.
    NotNeeded,
    NotSet,
    Unpublished,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    pub source: FallbackSource,
    pub playlist_id: Option<PlaylistId>,
    pub verdict: FallbackVerdict,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub device_id: TargetId,
    pub at_utc: Timestamp,
    /// The effective one: the device's, else the venue's, else the tenant's.
    pub timezone: String,
    /// What the wall clock shows there, with its distance from UTC.
    pub local_time: String,
    /// The answer in one sentence.
    pub summary: String,
    pub playlist_id: Option<PlaylistId>,
    pub slot_id: Option<SlotId>,
    pub valid_to_utc: Timestamp,
    /// A clock change that has a say in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_change: Option<String>,
    /// In the order of their precedence.
    pub candidates: Vec<Candidate>,
    pub fallbacks: Vec<Fallback>,
}
