//! What was on the glass, and for how long. Beyond the signage contract, whose events tell of failures
//! only: `POST /v1/player/proof-of-play`, answered with 204.
//!
//! Delivery is at least once. The batch's id is drawn once for the rows in it and sent again with them,
//! also after a restart, so the receiver counts each play once by dropping a batch whose id it has. A
//! batch that is sent again may have lost rows to age, never gained any.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{AssetId, BatchId, PlaylistId, VenueId};

/// More in one batch is refused with 422.
pub const MAX_PROOFS_PER_BATCH: usize = 100;

/// How an item's time on the glass came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PlayOutcome {
    /// Shown as long as it was to be.
    Completed,
    /// Something else took its place: a restart, another manifest, the end of the player.
    Interrupted,
    /// It failed while it was shown.
    Failed,
}

/// One item, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProofOfPlay {
    pub asset_id: AssetId,
    pub playlist_id: PlaylistId,
    pub published_version: u64,
    /// Both by the device's clock, which may be set in between.
    pub started_at_utc: Timestamp,
    pub ended_at_utc: Timestamp,
    /// By a clock that nobody can set.
    pub duration_ms: u64,
    pub outcome: PlayOutcome,
}

/// `POST /v1/player/proof-of-play`, at most [`MAX_PROOFS_PER_BATCH`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProofOfPlayBatch {
    pub batch_id: BatchId,
    /// The clock when the batch was sent.
    pub device_time: Timestamp,
    /// Plays that were dropped undelivered, since this player was first started: a gap is known to be one.
    pub dropped_total: u64,
    #[cfg_attr(feature = "schema", schemars(length(max = 100)))]
    pub proofs: Vec<ProofOfPlay>,
}

/// One row of `GET /v1/proof-of-play`: what one asset did at one venue on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlaysOfDay {
    /// By the venue's clock.
    pub day: Date,
    pub venue_id: VenueId,
    pub asset_id: AssetId,
    pub plays: u64,
    /// Of these, shown as long as they were to be.
    pub completed: u64,
    pub duration_ms: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_batch_is_read_and_written_the_same() {
        let batch = json!({
            "batchId": "bat_1", "deviceTime": "2026-06-15T13:45:30Z", "droppedTotal": 2,
            "proofs": [{
                "assetId": "ast_1", "playlistId": "pl_1", "publishedVersion": 3,
                "startedAtUtc": "2026-06-15T13:45:00Z", "endedAtUtc": "2026-06-15T13:45:10Z",
                "durationMs": 10_000, "outcome": "COMPLETED"
            }]
        });
        let read: ProofOfPlayBatch = serde_json::from_value(batch.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), batch);
    }
}
