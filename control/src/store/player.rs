//! What players say: events, and what was on the glass.

use fleet_protocol::event::Event;
use fleet_protocol::player::{PlayOutcome, ProofOfPlay};
use fleet_protocol::{AssetId, BatchId, DeviceId, VenueId};
use jiff::Timestamp;
use sqlx::{Any, Row as _, Transaction};

use super::events::add_event;
use super::{Store, StoreError, TenantContext, count, instant, ms, parse, signed};

/// More in one piece is nobody's to be counted.
const LONGEST_PLAY_MS: u64 = 24 * 3600 * 1000;

const fn outcome_name(outcome: PlayOutcome) -> &'static str {
    match outcome {
        PlayOutcome::Completed => "COMPLETED",
        PlayOutcome::Interrupted => "INTERRUPTED",
        PlayOutcome::Failed => "FAILED",
    }
}

/// False: it was here before.
async fn is_new(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    id: &DeviceId,
    batch: &BatchId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO player_batches (tenant_id, device_id, batch_id, received_ms)
         VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(ctx.key())
    .bind(id.as_str())
    .bind(batch.as_str())
    .bind(ms(now))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What one asset did at one venue in one quarter of an hour: every zone's days begin with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarterRow {
    pub venue_id: VenueId,
    pub asset_id: AssetId,
    pub begin: Timestamp,
    pub plays: u64,
    pub completed: u64,
    pub duration_ms: u64,
}

const QUARTER_MS: i64 = 15 * 60 * 1000;

impl Store {
    /// What was played within `[from, to)`.
    pub async fn plays(
        &self,
        ctx: &TenantContext,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<QuarterRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT venue_id, asset_id, started_ms - started_ms % $4 AS begin_ms, count(*) AS plays,
                    count(*) FILTER (WHERE outcome = 'COMPLETED') AS completed,
                    CAST(sum(duration_ms) AS BIGINT) AS duration_ms
             FROM plays WHERE tenant_id = $1 AND started_ms >= $2 AND started_ms < $3
             GROUP BY venue_id, asset_id, begin_ms",
        )
        .bind(ctx.key())
        .bind(ms(from))
        .bind(ms(to))
        .bind(QUARTER_MS)
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(QuarterRow {
                    venue_id: parse("a venue id", row.try_get("venue_id")?)?,
                    asset_id: parse("an asset id", row.try_get("asset_id")?)?,
                    begin: instant(row.try_get("begin_ms")?)?,
                    plays: count(row.try_get("plays")?),
                    completed: count(row.try_get("completed")?),
                    duration_ms: count(row.try_get("duration_ms")?),
                })
            })
            .collect()
    }

    /// Keeps the batch's events, unless the batch was here before.
    pub async fn add_player_events(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        batch: &BatchId,
        events: &[Event],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write.begin().await?;
        if is_new(&mut tx, ctx, id, batch, now).await? {
            for event in events {
                add_event(&mut tx, ctx, id, event, now).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Counts the batch's plays, unless the batch was here before. They belong to the venue where the screen is now.
    pub async fn add_plays(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        batch: &BatchId,
        plays: &[ProofOfPlay],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write.begin().await?;
        if is_new(&mut tx, ctx, id, batch, now).await? {
            for play in plays {
                sqlx::query(
                    "INSERT INTO plays (tenant_id, device_id, venue_id, asset_id, playlist_id, version, started_ms,
                                        duration_ms, outcome)
                     SELECT tenant_id, device_id, venue_id, $3, $4, $5, $6, $7, $8 FROM devices
                     WHERE tenant_id = $1 AND device_id = $2",
                )
                .bind(ctx.key())
                .bind(id.as_str())
                .bind(play.asset_id.as_str())
                .bind(play.playlist_id.as_str())
                .bind(signed(play.published_version))
                .bind(ms(play.started_at_utc))
                .bind(signed(play.duration_ms.min(LONGEST_PLAY_MS)))
                .bind(outcome_name(play.outcome))
                .execute(&mut *tx)
                .await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }
}
