//! Devices as the control plane shows them to an operator.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::heartbeat::Heartbeat;
use crate::player::{Orientation, PlayerHeartbeat};
use crate::update::UpdateReport;
use crate::{Compatible, DeviceId, RoleName, RolloutId, Sha256, VenueId, Version};

/// One page of a list; `next_cursor` goes into `?cursor=` for the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "PageOf{T}")
)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub items: Vec<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// One row of `GET /v1/devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    pub device_id: DeviceId,
    pub name: String,
    /// Where its screen is. This and the next an older control plane does not say.
    #[serde(default = "default_venue")]
    pub venue_id: VenueId,
    /// How its screen is mounted.
    #[serde(default)]
    pub orientation: Orientation,
    pub compatible: Compatible,
    pub hardware: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    pub enrolled_at: Timestamp,
    /// When anything of it was last heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<Timestamp>,
    pub online: bool,
    /// Its credentials are no longer accepted.
    #[serde(default)]
    pub revoked: bool,
    /// What it last reported as booted; before that, what it enrolled with.
    pub version: Version,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_hash: Option<Sha256>,
    /// Name of the update engine's state, such as `committed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_state: Option<String>,
}

/// The venue that every tenant has from the start.
fn default_venue() -> VenueId {
    "ven_default"
        .parse()
        .expect("a known prefix and letters make an identifier")
}

/// `GET /v1/devices/{id}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeviceDetail {
    #[serde(flatten)]
    pub device: DeviceView,
    pub target_generation: u64,
    /// The version that the control plane wants it to run, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_id: Option<RolloutId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_report: Option<UpdateReport>,
    /// What its player said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player: Option<PlayerHeartbeat>,
}

/// One row of `GET /v1/devices/{id}/support-bundles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SupportBundleView {
    pub name: String,
    pub size_bytes: u64,
    pub sha256: Sha256,
    pub received_at: Timestamp,
}

/// `PATCH /v1/devices/{id}`: what is left out stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeDevice {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub name: Option<String>,
    /// Takes its screen to another place, and out of the groups of the former one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub venue_id: Option<VenueId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orientation: Option<Orientation>,
}

/// `GET /v1/overview`: the fleet in a few numbers; revoked devices are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FleetOverview {
    pub devices: u64,
    pub online: u64,
    /// Most devices first.
    pub versions: Vec<VersionCount>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct VersionCount {
    pub version: String,
    pub devices: u64,
}

/// One scope of `GET /v1/config/{scope}`; `PUT` takes the bare document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConfigView {
    /// `default`, or a device id.
    pub scope: String,
    pub version: u64,
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::DeviceConfig"))]
    pub document: serde_json::Map<String, serde_json::Value>,
    pub created_at: Timestamp,
}
