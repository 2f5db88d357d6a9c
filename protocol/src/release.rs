//! Releases as the control plane lists them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::trust::{Envelope, ReleaseMetadata};
use crate::{Sha256, Version};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ReleaseStatus {
    /// Uploaded; no rollout may use it.
    Draft,
    /// For rollouts that ask for betas.
    Beta,
    Stable,
    /// No new rollout; running ones go on.
    Deprecated,
}

impl std::str::FromStr for ReleaseStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "draft" => Ok(Self::Draft),
            "beta" => Ok(Self::Beta),
            "stable" => Ok(Self::Stable),
            "deprecated" => Ok(Self::Deprecated),
            _ => Err(format!(
                "`{text}` is no release status: draft, beta, stable or deprecated"
            )),
        }
    }
}

impl ReleaseStatus {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Beta => "beta",
            Self::Stable => "stable",
            Self::Deprecated => "deprecated",
        }
    }
}

/// `POST /v1/releases`; the bundle itself goes to `PUT /v1/bundles/{sha256}` first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CreateRelease {
    pub metadata: Envelope,
    pub status: ReleaseStatus,
}

/// `GET /v1/bundles/{sha256}/upload`: from where an interrupted upload goes on, by a `PUT` of the
/// bundle with `Content-Range: bytes FIRST-LAST/TOTAL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BundleUpload {
    pub received_bytes: u64,
    pub complete: bool,
}

/// One row of `GET /v1/bundles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StoredBundle {
    pub sha256: Sha256,
    pub size_bytes: u64,
    pub received_at: Timestamp,
    /// Releases that refer to it; while there is one, it stays.
    pub releases: Vec<Version>,
}

/// `POST /v1/bundles/prune`: deletes bundles that no release refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PruneBundles {
    /// Only those that came at least this long ago. Default two days: a release that is being
    /// published has its bundle here first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than_seconds: Option<u32>,
    /// Only say which.
    #[serde(default)]
    pub dry_run: bool,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BundlesPruned {
    pub items: Vec<StoredBundle>,
    pub freed_bytes: u64,
}

/// `POST /v1/releases/{version}/status`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetReleaseStatus {
    pub status: ReleaseStatus,
}

/// One row of `GET /v1/releases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReleaseView {
    #[serde(flatten)]
    pub metadata: ReleaseMetadata,
    pub status: ReleaseStatus,
    pub published_at: Timestamp,
    /// How many devices last reported this version as booted.
    pub device_count: u64,
}
