//! What happens to a player (seed 003, §27.8.3): each type with its own payload and its own severity.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Power;
use crate::event::Severity;
use crate::{AssetId, CommandId, Version};

/// Why an item was not played to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DecodeFailure {
    /// No decoder, or what the decoder says.
    DecodeError,
    /// No frame for too long.
    Stalled,
    /// The decoding process ended.
    DecoderCrashed,
    /// Too large for what decoding may take.
    LimitExceeded,
    /// The file was there and is not any more, or is another one.
    FileDamaged,
}

/// The contract's types with their payloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    tag = "eventType",
    content = "payload",
    rename_all = "SCREAMING_SNAKE_CASE",
    rename_all_fields = "camelCase"
)]
pub enum PlayerEventKind {
    AppStarted {
        app_version: Version,
        device_model: String,
        os_version: String,
    },
    PlaybackFailed {
        asset_id: AssetId,
        reason: DecodeFailure,
        message: String,
    },
    DownloadFailed {
        asset_id: AssetId,
        url: String,
        /// `None` without an answer.
        http_status: Option<u16>,
        retry_count: u32,
    },
    ManifestFetchFailed {
        http_status: Option<u16>,
        reason: String,
    },
    ManifestStaged {
        manifest_etag: String,
    },
    ManifestApplied {
        manifest_etag: String,
        previous_etag: Option<String>,
    },
    ManifestRejected {
        manifest_etag: String,
        reason: String,
    },
    OfflineEntered {
        last_online_at_utc: Option<Timestamp>,
    },
    OnlineRestored {
        offline_duration_seconds: u64,
    },
    FallbackToPreviousManifest {
        current_etag: Option<String>,
        fallback_etag: String,
    },
    NoPlayableContent {
        manifest_etag: Option<String>,
    },
    ErrorScreenEntered {
        reason: String,
    },
    LocalManifestCorrupt {
        file_name: String,
        parse_error: String,
    },
    CommandExecuted {
        command_id: CommandId,
        command_type: String,
    },
    CommandFailed {
        command_id: CommandId,
        command_type: String,
        reason: String,
    },
    DeviceTokenInvalid {
        http_status: u16,
    },
    CacheEviction {
        asset_id: AssetId,
        freed_bytes: u64,
        reason: String,
    },
    /// The screen's hours want it so from now on. Beyond the contract.
    ScreenSwitched {
        power: Power,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_utc: Option<Timestamp>,
    },
    /// Its hours are not understood, or the screen does not follow them: it stays as it is. Said once for each change.
    /// Beyond the contract.
    ScreenPowerFailed {
        reason: String,
    },
}

impl PlayerEventKind {
    /// As the contract's table gives it.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::AppStarted { .. }
            | Self::ManifestStaged { .. }
            | Self::ManifestApplied { .. }
            | Self::OnlineRestored { .. }
            | Self::CommandExecuted { .. }
            | Self::ScreenSwitched { .. }
            | Self::CacheEviction { .. } => Severity::Info,
            Self::DownloadFailed { .. }
            | Self::ManifestFetchFailed { .. }
            | Self::ManifestRejected { .. }
            | Self::OfflineEntered { .. }
            | Self::ScreenPowerFailed { .. }
            | Self::FallbackToPreviousManifest { .. } => Severity::Warning,
            Self::PlaybackFailed { .. }
            | Self::NoPlayableContent { .. }
            | Self::ErrorScreenEntered { .. }
            | Self::LocalManifestCorrupt { .. }
            | Self::CommandFailed { .. }
            | Self::DeviceTokenInvalid { .. } => Severity::Error,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlayerEvent {
    #[serde(flatten)]
    pub kind: PlayerEventKind,
    pub event_time_utc: Timestamp,
    pub severity: Severity,
}

impl PlayerEvent {
    pub fn new(kind: PlayerEventKind, at: Timestamp) -> Self {
        Self {
            severity: kind.severity(),
            kind,
            event_time_utc: at,
        }
    }
}

/// `POST /v1/player/events`, at most [`crate::event::MAX_EVENTS_PER_BATCH`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlayerEventBatch {
    /// The clock when the batch was sent.
    pub device_time: Timestamp,
    pub events: Vec<PlayerEvent>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_batch_of_the_contract_is_read_and_written_the_same() {
        let batch = json!({
            "deviceTime": "2025-06-15T13:45:30Z",
            "events": [
                {"eventType": "PLAYBACK_FAILED", "eventTimeUtc": "2025-06-15T13:42:10Z",
                 "severity": "ERROR",
                 "payload": {"assetId": "ast_303", "reason": "DECODE_ERROR", "message": "no"}},
                {"eventType": "DOWNLOAD_FAILED", "eventTimeUtc": "2025-06-15T13:43:55Z",
                 "severity": "WARNING",
                 "payload": {"assetId": "ast_404", "url": "https://cdn.example/a.mp4",
                     "httpStatus": 503, "retryCount": 3}}
            ]
        });
        let read: PlayerEventBatch = serde_json::from_value(batch.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), batch);
    }

    #[test]
    fn an_event_has_the_severity_of_its_type() {
        let at = Timestamp::UNIX_EPOCH;
        let event = PlayerEvent::new(PlayerEventKind::DeviceTokenInvalid { http_status: 401 }, at);
        let json: Value = serde_json::to_value(&event).unwrap();
        assert_eq!(json["severity"], "ERROR");
        assert_eq!(json["eventType"], "DEVICE_TOKEN_INVALID");
        assert_eq!(json["payload"]["httpStatus"], 401);
    }
}
