//! What is on when: a venue's draft, and what of it was published.

use fleet_protocol::VenueId;
use fleet_protocol::content::ScheduleSnapshot;
use fleet_protocol::schedule::ScheduleSlot;
use jiff::Timestamp;
use sqlx::Row as _;

use super::published::{Publication, Version};
use super::{Store, StoreError, TenantContext, count, from_json, ms, signed, to_json};

/// A venue's draft, and what of it was published last.
#[derive(Debug, Clone)]
pub struct ScheduleRow {
    pub draft_version: u64,
    pub slots: Vec<ScheduleSlot>,
    pub published: Option<ScheduleSnapshot>,
}

fn snapshot(version: Version<ScheduleSlot>) -> ScheduleSnapshot {
    ScheduleSnapshot {
        published_version: version.number,
        published_at: version.at,
        published_by: version.by,
        slots: version.content,
    }
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
        let published = match row.try_get::<Option<i64>, _>("schedule_published")? {
            Some(version) => self.schedule_snapshot(ctx, venue, count(version)).await?,
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
        let what = Publication::Schedule(venue);
        self.publish(ctx, what, slots, now).await
    }

    /// Newest first, below version `before`.
    pub async fn schedule_snapshots(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<ScheduleSnapshot>, StoreError> {
        let what = Publication::Schedule(venue);
        let versions = self.versions(ctx, what, before, limit).await?;
        Ok(versions.into_iter().map(snapshot).collect())
    }

    pub async fn schedule_snapshot(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        version: u64,
    ) -> Result<Option<ScheduleSnapshot>, StoreError> {
        let what = Publication::Schedule(venue);
        Ok(self.version(ctx, what, version).await?.map(snapshot))
    }
}
