//! The player's sign of life (seed 003, §27.8.2).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ScreenPowerStatus;
use crate::heartbeat::Network;
use crate::{AssetId, PlaylistId, Version};

/// What is on the screen, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PlayerState {
    Playing,
    ErrorScreen,
    Pairing,
    Booting,
}

/// All `None` while nothing plays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Playback {
    pub playlist_id: Option<PlaylistId>,
    pub published_version: Option<u64>,
    pub current_asset_id: Option<AssetId>,
    /// From 0.
    pub current_item_index: Option<u32>,
    /// Since the manifest was applied.
    pub loop_count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CacheStatus {
    /// The budget.
    pub total_bytes: u64,
    pub used_bytes: u64,
    pub asset_count: u32,
    pub pending_downloads: u32,
}

/// Since the last heartbeat that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlayerErrors {
    pub playback_failures: u32,
    pub download_failures: u32,
    pub manifest_fetch_failures: u32,
}

/// Where the player leaves its [`FrameCounts`] for the agent, in its runtime folder.
pub const FRAMES_FILE: &str = "frames.json";

/// Counted where pictures leave for the glass, since the player started, whatever became of its screen. Beyond the
/// contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FrameCounts {
    pub presented: u64,
    pub late: u64,
    /// For how long there was no picture on a screen; one that was off on purpose or not there does not count.
    pub blank_ms: u64,
    /// Pictures that came while the screen was off on purpose, or not there; they are not among those presented.
    #[serde(default, skip_serializing_if = "is_none")]
    pub unseen: u64,
}

impl FrameCounts {
    /// How many pictures there were, seen or not: it grows as long as the player lives.
    pub const fn pictures(&self) -> u64 {
        self.presented.saturating_add(self.unseen)
    }
}

impl std::ops::Add for FrameCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            presented: self.presented.saturating_add(other.presented),
            late: self.late.saturating_add(other.late),
            blank_ms: self.blank_ms.saturating_add(other.blank_ms),
            unseen: self.unseen.saturating_add(other.unseen),
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
const fn is_none(count: &u64) -> bool {
    *count == 0
}

/// `POST /v1/player/heartbeat`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlayerHeartbeat {
    /// The device's clock; the server's time of receipt counts when that is wrong.
    pub device_time: Timestamp,
    pub app_version: Version,
    pub state: PlayerState,
    /// Of the manifest in force.
    pub manifest_etag: Option<String>,
    pub playback: Playback,
    pub cache: CacheStatus,
    pub network: Network,
    pub errors: PlayerErrors,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<FrameCounts>,
    /// Of a screen that has times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen_power: Option<ScreenPowerStatus>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_of_the_contract_is_read_and_written_the_same() {
        let text = r#"{
            "deviceTime": "2025-06-15T13:45:12Z", "appVersion": "1.2.0", "state": "PLAYING",
            "manifestEtag": "e:ven_01:47",
            "playback": {"playlistId": "pl_042", "publishedVersion": 3,
                "currentAssetId": "ast_101", "currentItemIndex": 0, "loopCount": 14},
            "cache": {"totalBytes": 2147483648, "usedBytes": 524288000, "assetCount": 12,
                "pendingDownloads": 1},
            "network": {"connected": true, "type": "ETHERNET",
                "lastSyncAtUtc": "2025-06-15T13:44:55Z"},
            "errors": {"playbackFailures": 0, "downloadFailures": 2, "manifestFetchFailures": 0}
        }"#;
        let read: PlayerHeartbeat = serde_json::from_str(text).unwrap();
        assert_eq!(read.playback.loop_count, 14);
        assert_eq!(read.frames, None);
        // Field by field: nothing is left out, and nothing comes beside it.
        let contract: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), contract);
    }
}
