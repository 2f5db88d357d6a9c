//! What is on when: a venue's draft, and what of it was published.

use fleet_protocol::VenueId;
use fleet_protocol::content::ScheduleSnapshot;
use fleet_protocol::schedule::ScheduleSlot;
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::dialect::Held;
use super::venues::bump;
use super::{Store, StoreError, TenantContext, count, from_json, instant, ms, signed, to_json};

/// A venue's draft, and what of it was published last.
#[derive(Debug, Clone)]
pub struct ScheduleRow {
    pub draft_version: u64,
    pub slots: Vec<ScheduleSlot>,
    pub published: Option<ScheduleSnapshot>,
}

fn snapshot(row: &AnyRow) -> Result<ScheduleSnapshot, StoreError> {
    Ok(ScheduleSnapshot {
        published_version: count(row.try_get("version")?),
        published_at: instant(row.try_get("published_ms")?)?,
        published_by: row.try_get("published_by")?,
        slots: from_json("a published schedule", row.try_get("slots")?)?,
    })
}

impl Store {
    pub async fn schedule(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
    ) -> Result<Option<ScheduleRow>, StoreError> {
        let row = sqlx::query(
            "SELECT slots, schedule_draft_version, schedule_published FROM venues
             WHERE tenant_id = $1 AND venue_id = $2",
        )
        .bind(ctx.key())
        .bind(venue.as_str())
        .fetch_optional(&self.read)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let published: Option<i64> = row.try_get("schedule_published")?;
        let published = match published {
            Some(version) => {
                let newest = self
                    .schedule_snapshots(ctx, venue, Some(version + 1), 1)
                    .await?;
                newest.into_iter().next()
            }
            None => None,
        };
        Ok(Some(ScheduleRow {
            draft_version: count(row.try_get("schedule_draft_version")?),
            slots: from_json("a schedule", row.try_get("slots")?)?,
            published,
        }))
    }

    /// Replaces the draft if it is at version `expected`. False: it is not.
    pub async fn put_slots(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        expected: u64,
        slots: &[ScheduleSlot],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE venues SET slots = $1, schedule_draft_version = schedule_draft_version + 1, updated_ms = $2
             WHERE tenant_id = $3 AND venue_id = $4 AND schedule_draft_version = $5",
        )
        .bind(to_json(&slots))
        .bind(ms(now))
        .bind(ctx.key())
        .bind(venue.as_str())
        .bind(signed(expected))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Publishes `slots` as the next version. The draft stays as it is.
    pub async fn publish_schedule(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        slots: &[ScheduleSlot],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write.begin().await?;
        self.hold(&mut tx, ctx, Held::Venue(venue.as_str())).await?;
        let version: i64 = sqlx::query_scalar(
            "SELECT coalesce(max(version), 0) + 1 FROM schedules_published
             WHERE tenant_id = $1 AND venue_id = $2",
        )
        .bind(ctx.key())
        .bind(venue.as_str())
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO schedules_published
                 (tenant_id, venue_id, version, slots, published_ms, published_by)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(ctx.key())
        .bind(venue.as_str())
        .bind(version)
        .bind(to_json(&slots))
        .bind(ms(now))
        .bind(ctx.actor_name())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE venues SET schedule_published = $1 WHERE tenant_id = $2 AND venue_id = $3",
        )
        .bind(version)
        .bind(ctx.key())
        .bind(venue.as_str())
        .execute(&mut *tx)
        .await?;
        bump(&mut tx, ctx, venue).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Newest first, below version `before`.
    pub async fn schedule_snapshots(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<ScheduleSnapshot>, StoreError> {
        let rows = sqlx::query(
            "SELECT version, slots, published_ms, published_by FROM schedules_published
             WHERE tenant_id = $1 AND venue_id = $2 AND ($3 IS NULL OR version < $3)
             ORDER BY version DESC LIMIT $4",
        )
        .bind(ctx.key())
        .bind(venue.as_str())
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(snapshot).collect()
    }
}
