//! Alerts as operators see them.

use fleet_protocol::alert::{Acknowledgement, AlertKind, AlertState, AlertStatus, AlertView};
use fleet_protocol::webhook::WebhookEvent;
use fleet_protocol::{AlertId, DeviceId, VenueId};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::deliveries::Outbox;
use super::rows::{Placed, placed};
use super::{Store, StoreError, TenantContext, instant, ms, parse};

/// Which alerts a list shows.
#[derive(Debug, Default, Clone)]
pub struct AlertFilter {
    pub status: Option<AlertStatus>,
    pub kind: Option<AlertKind>,
    pub device: Option<DeviceId>,
    pub venue: Option<VenueId>,
}

const SELECT: &str = "SELECT a.*, d.name AS device_name, d.venue_id AS venue_id FROM alerts a
    LEFT JOIN devices d ON d.tenant_id = a.tenant_id AND d.device_id = a.subject";

fn view(row: &AnyRow) -> Result<AlertView, StoreError> {
    let at = |column: &str| -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = row.try_get(column)?;
        at.map(instant).transpose()
    };
    let kind: AlertKind = parse("a kind of alert", row.try_get("kind")?)?;
    let subject: &str = row.try_get("subject")?;
    let (device_id, rollout_id) = if kind == AlertKind::RolloutStopped {
        (None, Some(parse("a rollout id", subject)?))
    } else {
        (Some(parse("a device id", subject)?), None)
    };
    let resolved_at = at("resolved_ms")?;
    let acknowledged = match at("acknowledged_ms")? {
        None => None,
        Some(at) => Some(Acknowledgement {
            at,
            by: row.try_get("acknowledged_by")?,
            note: row.try_get("note")?,
        }),
    };
    let state = match (&resolved_at, &acknowledged) {
        (Some(_), _) => AlertState::Resolved,
        (None, Some(_)) => AlertState::Acknowledged,
        (None, None) => AlertState::Open,
    };
    let venue: Option<String> = row.try_get("venue_id")?;
    Ok(AlertView {
        alert_id: parse("an alert id", row.try_get("alert_id")?)?,
        kind,
        state,
        detail: row.try_get("detail")?,
        device_id,
        device_name: row.try_get("device_name")?,
        venue_id: venue.map(|v| parse("a venue id", &v)).transpose()?,
        rollout_id,
        since: instant(row.try_get("since_ms")?)?,
        opened_at: instant(row.try_get("opened_ms")?)?,
        acknowledged,
        resolved_at,
    })
}

/// As it stands within the transaction.
pub(super) async fn alert_within(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    id: &AlertId,
) -> Result<AlertView, StoreError> {
    let sql = format!("{SELECT} WHERE a.tenant_id = $1 AND a.alert_id = $2");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_one(&mut **tx)
        .await?;
    view(&row)
}

impl Store {
    /// One page, last opened first, below position `before`.
    pub async fn alerts(
        &self,
        ctx: &TenantContext,
        filter: &AlertFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Placed<AlertView>>, StoreError> {
        let sql = format!(
            "{SELECT} WHERE a.tenant_id = $1 AND ($2 IS NULL OR a.position < $2)
               AND ($3 IS NULL OR $3 = CASE WHEN a.resolved_ms IS NOT NULL THEN 'resolved'
                   WHEN $3 = 'unresolved' THEN 'unresolved'
                   WHEN a.acknowledged_ms IS NOT NULL THEN 'acknowledged' ELSE 'open' END)
               AND ($4 IS NULL OR a.kind = $4) AND ($5 IS NULL OR a.subject = $5)
               AND ($6 IS NULL OR d.venue_id = $6)
             ORDER BY a.position DESC LIMIT $7"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(before)
            .bind(filter.status.map(AlertStatus::name))
            .bind(filter.kind.map(AlertKind::name))
            .bind(filter.device.as_ref().map(DeviceId::as_str))
            .bind(filter.venue.as_ref().map(VenueId::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        placed(&rows, view)
    }

    pub async fn alert(
        &self,
        ctx: &TenantContext,
        id: &AlertId,
    ) -> Result<Option<AlertView>, StoreError> {
        let sql = format!("{SELECT} WHERE a.tenant_id = $1 AND a.alert_id = $2");
        self.row(ctx, sql, id.as_str(), view).await
    }

    /// Notes who knows of it, and has webhooks told. False: it is over, was acknowledged before, or is not there.
    pub async fn acknowledge_alert(
        &self,
        ctx: &TenantContext,
        id: &AlertId,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write.begin().await?;
        let done = sqlx::query(
            "UPDATE alerts SET acknowledged_ms = $3, acknowledged_by = $4, note = $5
             WHERE tenant_id = $1 AND alert_id = $2 AND resolved_ms IS NULL AND acknowledged_ms IS NULL",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(ms(now))
        .bind(ctx.actor_name())
        .bind(note)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let mut outbox = Outbox::open(&mut tx, ctx).await?;
        let event = WebhookEvent::AlertAcknowledged;
        outbox.post(&mut tx, ctx, event, id, now).await?;
        outbox.close(&mut tx, ctx, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Forgets alerts that were over before this.
    pub async fn forget_alerts(
        &self,
        ctx: &TenantContext,
        before: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM alerts WHERE tenant_id = $1 AND resolved_ms < $2")
            .bind(ctx.key())
            .bind(ms(before))
            .execute(&self.write)
            .await?;
        Ok(())
    }
}
