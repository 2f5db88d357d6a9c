//! What the control plane wants of one device.

use serde::{Deserialize, Serialize};

use crate::trust::Envelope;
use crate::{RolloutId, Version};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// Install this release and boot it.
    Install,
    /// Go back to this release: from the other slot if it still holds it, else by installing it,
    /// if its metadata allows the downgrade.
    Rollback,
}

/// A release that this device is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TargetRelease {
    pub kind: TargetKind,
    #[serde(default)]
    pub rollout_id: Option<RolloutId>,
    /// As the envelope claims; only for messages before it is verified.
    pub version: Version,
    /// Signed [`crate::trust::ReleaseMetadata`].
    pub metadata: Envelope,
    /// Path on the control plane, such as `/v1/device/bundles/<sha256>`.
    pub bundle_path: String,
    /// Raised when an operator asks to try a version again that failed.
    pub attempt: u32,
}

/// A configuration document that the control plane delivers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TargetConfig {
    pub version: u64,
    /// A partial [`crate::config::DeviceConfig`], merged over the device's layers.
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::DeviceConfig"))]
    pub document: serde_json::Map<String, serde_json::Value>,
}

/// `GET /v1/device/target`, with an ETag.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Counts up for this device whenever anything here changes.
    pub generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<TargetRelease>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<TargetConfig>,
    /// Key sets after the first, in order; the device takes those that it does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_sets: Vec<Envelope>,
}
