//! Pictures and films, from the upload to the moment when they can be played.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::player::ItemKind;
use crate::{AssetId, Sha256, UploadId};

/// What an asset is.
pub type AssetKind = ItemKind;

/// How far an asset got (seed 003, §13.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AssetStatus {
    Uploading,
    /// Its file is here and is being looked at.
    Processing,
    /// Can be played.
    Ready,
    /// Never will be; another upload is another asset.
    Failed,
}

impl AssetStatus {
    pub const ALL: [Self; 4] = [Self::Uploading, Self::Processing, Self::Ready, Self::Failed];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uploading => "UPLOADING",
            Self::Processing => "PROCESSING",
            Self::Ready => "READY",
            Self::Failed => "FAILED",
        }
    }
}

impl std::str::FromStr for AssetStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|status| status.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is no status of an asset: expected {names}")
        })
    }
}

/// Why a file can't be played (seed 003, §13.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "AssetFailureReason")
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureReason {
    /// Neither JPEG, PNG nor MP4.
    InvalidFormat,
    /// The video is not H.264, or its sound not AAC.
    InvalidCodec,
    ResolutionExceeded,
    DurationExceeded,
    BitrateExceeded,
    FileSizeExceeded,
    /// Truncated, or not what it says it is.
    FileCorrupt,
    /// What arrived is not what was announced.
    ChecksumMismatch,
    ThumbnailFailed,
    /// The upload or the look at it took too long.
    ProcessingTimeout,
    InternalError,
}

/// Why an asset failed, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AssetFailure {
    pub failure_reason: FailureReason,
    pub failure_detail: String,
    pub failed_at_utc: Timestamp,
}

/// `POST /v1/library/assets/uploads`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateUpload {
    /// Default: the file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub display_name: Option<String>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub file_name: String,
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub file_size_bytes: u64,
    pub checksum_sha256: Sha256,
}

/// An upload that may begin. The file goes to `upload_url` by PUT, whole or in parts with `Content-Range`; then
/// `POST /v1/library/assets/uploads/{uploadId}/complete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UploadSession {
    pub upload_id: UploadId,
    pub asset_id: AssetId,
    /// A path on this server.
    pub upload_url: String,
    /// By then the upload has to be complete.
    pub expires_at_utc: Timestamp,
}

/// One row of `GET /v1/library/assets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AssetView {
    pub asset_id: AssetId,
    pub display_name: String,
    pub file_name: String,
    pub status: AssetStatus,
    pub file_size_bytes: u64,
    pub checksum_sha256: Sha256,
    /// This and what follows is known once it was looked at.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AssetKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width_px: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_px: Option<u32>,
    /// Of a video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// A path on this server; pictures have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail_url: Option<String>,
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<AssetFailure>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failed_asset_is_read_and_written_as_the_contract_has_it() {
        let view = json!({
            "assetId": "ast_501", "displayName": "Spring", "fileName": "spring.webm", "status": "FAILED",
            "fileSizeBytes": 10, "checksumSha256": "a1".repeat(32),
            "failureReason": "INVALID_CODEC", "failureDetail": "Video uses VP9 codec.",
            "failedAtUtc": "2025-06-15T14:02:30Z",
            "createdAt": "2025-06-15T14:02:00Z", "updatedAt": "2025-06-15T14:02:30Z"
        });
        let read: AssetView = serde_json::from_value(view.clone()).unwrap();
        let failure = read.failure.as_ref().unwrap();
        assert_eq!(failure.failure_reason, FailureReason::InvalidCodec);
        assert_eq!(serde_json::to_value(&read).unwrap(), view);
    }

    #[test]
    fn an_asset_that_did_not_fail_has_no_failure() {
        let view = json!({
            "assetId": "ast_1", "displayName": "Spring", "fileName": "spring.png", "status": "READY",
            "type": "IMAGE", "widthPx": 4, "heightPx": 3, "fileSizeBytes": 10,
            "checksumSha256": "a1".repeat(32),
            "createdAt": "2025-06-15T14:02:00Z", "updatedAt": "2025-06-15T14:02:30Z"
        });
        let read: AssetView = serde_json::from_value(view.clone()).unwrap();
        assert_eq!(read.failure, None);
        assert_eq!(serde_json::to_value(&read).unwrap(), view);
    }
}
