//! Places with screens, the groups that screens belong to there, and what is on when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::player::OnWindow;
use crate::schedule::ScheduleSlot;
use crate::{DeviceId, PlaylistId, TargetId, VenueId};

/// More in one schedule is refused.
pub const MAX_SLOTS: usize = 5_000;

/// `POST /v1/tenants/{tenantId}/venues`; the whole of it is what `PUT …/{venueId}` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateVenue {
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub name: String,
    /// Of the IANA database, such as `Europe/London`.
    pub timezone: String,
    /// What plays when no slot of the schedule does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_playlist_id: Option<PlaylistId>,
    /// When its screens are on, in its time zone; empty or `null`: always. Left out, they stay: a program that is older
    /// than they are takes them away from nobody.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(length(max = 100)))]
    pub screen_hours: Option<Vec<OnWindow>>,
}

/// Tells `null`, which is nothing, from a field that is not there.
fn given<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    let value: Option<T> = Option::deserialize(from)?;
    Ok(Some(value.unwrap_or_default()))
}

/// One row of `GET /v1/me/venues`; its version is its `ETag`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct VenueView {
    pub venue_id: VenueId,
    pub name: String,
    pub timezone: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_playlist_id: Option<PlaylistId>,
    /// When its screens are on, in its time zone; empty: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub screen_hours: Vec<OnWindow>,
    pub version: u64,
    pub device_count: u64,
    /// Counts up with whatever may change what its screens show.
    pub manifest_epoch: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// `POST /v1/venues/{venueId}/groups` and `PUT …/{groupId}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateGroup {
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub name: String,
    /// Of this venue.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = 10_000)))]
    pub device_ids: Vec<DeviceId>,
}

/// One row of `GET /v1/venues/{venueId}/groups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    pub group_id: TargetId,
    pub name: String,
    pub device_ids: Vec<DeviceId>,
}

/// `PUT /v1/venues/{venueId}/scheduleset/slots`, with `If-Match`: the whole draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetSlots {
    #[cfg_attr(feature = "schema", schemars(with = "Vec<crate::schedule::SlotDraft>"))]
    pub slots: Vec<serde_json::Value>,
}

/// `GET /v1/venues/{venueId}/scheduleset`; the draft's version is its `ETag`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ScheduleSet {
    pub venue_id: VenueId,
    /// Counts up with every change.
    pub draft_version: u64,
    pub slots: Vec<ScheduleSlot>,
    /// Whether the draft differs from what is published.
    pub changed: bool,
    /// `None`: nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    /// What in the draft nobody will have meant: sentences.
    pub warnings: Vec<String>,
}

/// One row of `GET /v1/venues/{venueId}/publishes`; never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ScheduleSnapshot {
    pub published_version: u64,
    pub published_at: Timestamp,
    pub published_by: String,
    pub slots: Vec<ScheduleSlot>,
}
