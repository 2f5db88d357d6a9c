//! Events that devices delivered.

use fleet_protocol::DeviceId;
use fleet_protocol::event::{Event, EventKind, Severity};
use jiff::Timestamp;
use sqlx::{Any, Row as _, Transaction};

use super::rows::{Placed, placed};
use super::{Store, StoreError, TenantContext, from_json, ms, to_json};

/// What alerts count: errors, and downloads that failed, which players report as warnings.
fn trouble(event: &Event) -> Option<&'static str> {
    let download = EventKind::Other("DOWNLOAD_FAILED".to_owned());
    match event.severity {
        Severity::Error => Some("ERROR"),
        _ if event.event_type == download => Some("DOWNLOAD"),
        _ => None,
    }
}

/// 1 if it was not there yet, else 0.
pub(super) async fn add_event(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    id: &DeviceId,
    event: &Event,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "INSERT INTO events (tenant_id, device_id, event_id, received_ms, event, trouble)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(ctx.key())
    .bind(id.as_str())
    .bind(event.event_id.as_str())
    .bind(ms(now))
    .bind(to_json(event))
    .bind(trouble(event))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

impl Store {
    /// Keeps those that are not there yet, and says how many that were.
    pub async fn add_events(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        events: &[Event],
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut tx = self.write.begin().await?;
        let mut added = 0;
        for event in events {
            added += add_event(&mut tx, ctx, id, event, now).await?;
        }
        tx.commit().await?;
        Ok(added)
    }

    /// Last arrived first, below position `before`.
    pub async fn events(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Placed<Event>>, StoreError> {
        let sql = "SELECT position, event FROM events
             WHERE tenant_id = $1 AND device_id = $2 AND ($3 IS NULL OR position < $3)
             ORDER BY position DESC LIMIT $4";
        let part = (before, limit);
        let rows = self
            .rows_below(ctx, sql.to_owned(), id.as_str(), part)
            .await?;
        placed(&rows, |row| from_json("an event", row.try_get("event")?))
    }
}
