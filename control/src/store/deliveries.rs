//! Messages to webhooks: written down in the transaction of what they tell of, sent afterwards, and kept for a while.

use fleet_protocol::alert::AlertKind;
use fleet_protocol::webhook::{
    DeliveryState, DeliveryView, MessageData, WebhookEvent, WebhookMessage,
};
use fleet_protocol::{AlertId, DeliveryId, WebhookId};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::alerts::alert_within;
use super::mails::Readers;
use super::rows::{Placed, placed};
use super::{
    Store, StoreError, TenantContext, from_json, instant, maybe, ms, number, parse, to_json,
};
use crate::clock::random_id;
use crate::domain::webhooks::{Attempt, Next};

/// The webhooks of a tenant that are on, each with the kinds that it takes, and who gets mail; read once for a transaction.
pub(super) struct Outbox {
    webhooks: Vec<(String, Vec<AlertKind>)>,
    readers: Readers,
}

impl Outbox {
    pub(super) async fn open(
        tx: &mut Transaction<'_, Any>,
        ctx: &TenantContext,
    ) -> Result<Self, StoreError> {
        let rows = sqlx::query(
            "SELECT webhook_id, kinds FROM webhooks WHERE tenant_id = $1 AND disabled_ms IS NULL",
        )
        .bind(ctx.key())
        .fetch_all(&mut **tx)
        .await?;
        let webhooks = rows.iter().map(|row| {
            let kinds = from_json("kinds of alerts", row.try_get("kinds")?)?;
            Ok((row.try_get("webhook_id")?, kinds))
        });
        Ok(Self {
            webhooks: webhooks.collect::<Result<_, StoreError>>()?,
            readers: Readers::open(tx, ctx).await?,
        })
    }

    /// Writes down, for each webhook that takes such alerts, what has become of this one.
    pub(super) async fn post(
        &mut self,
        tx: &mut Transaction<'_, Any>,
        ctx: &TenantContext,
        event: WebhookEvent,
        id: &AlertId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.webhooks.is_empty() && self.readers.is_empty() {
            return Ok(());
        }
        let alert = alert_within(tx, ctx, id).await?;
        let takes = |kinds: &[_]| kinds.is_empty() || kinds.contains(&alert.kind);
        let to: Vec<_> = self
            .webhooks
            .iter()
            .filter(|(_, kinds)| takes(kinds))
            .collect();
        let message = WebhookMessage {
            event,
            timestamp: now,
            data: MessageData {
                alert: Some(alert.clone()),
            },
        };
        let body = to_json(&message);
        self.readers.tell(alert.kind, &body);
        for (webhook, _) in to {
            sqlx::query(
                "INSERT INTO webhook_deliveries (tenant_id, delivery_id, webhook_id, event, alert_id, body, created_ms,
                                                 due_ms)
                 SELECT $1, $2, $3, $4, $5, $6, $7, $7 FROM webhooks WHERE tenant_id = $1 AND webhook_id = $3",
            )
            .bind(ctx.key())
            .bind(random_id::<DeliveryId>("msg_").as_str())
            .bind(webhook)
            .bind(event.name())
            .bind(id.as_str())
            .bind(&body)
            .bind(ms(now))
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }

    /// Adds what was posted to mails that gather: the last thing in the transaction.
    pub(super) async fn close(
        self,
        tx: &mut Transaction<'_, Any>,
        ctx: &TenantContext,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.readers.write_down(tx, ctx, now).await
    }
}

/// What an attempt takes.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "holds the secret")]
pub struct ToDeliver {
    pub delivery_id: DeliveryId,
    pub webhook_id: WebhookId,
    pub url: String,
    pub secret: String,
    pub body: String,
    /// That were made.
    pub attempts: u32,
}

fn to_deliver(row: &AnyRow) -> Result<ToDeliver, StoreError> {
    Ok(ToDeliver {
        delivery_id: parse("a delivery id", row.try_get("delivery_id")?)?,
        webhook_id: parse("a webhook id", row.try_get("webhook_id")?)?,
        url: row.try_get("url")?,
        secret: row.try_get("secret")?,
        body: row.try_get("body")?,
        attempts: number(row, "attempts")?,
    })
}

const TO_DELIVER: &str = "SELECT y.delivery_id, y.webhook_id, w.url, w.secret, y.body, y.attempts
    FROM webhook_deliveries y JOIN webhooks w ON w.tenant_id = y.tenant_id AND w.webhook_id = y.webhook_id
    WHERE y.tenant_id = $1";

fn view(row: &AnyRow) -> Result<DeliveryView, StoreError> {
    let at = |column: &str| -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = row.try_get(column)?;
        at.map(instant).transpose()
    };
    let alert: Option<String> = row.try_get("alert_id")?;
    Ok(DeliveryView {
        delivery_id: parse("a delivery id", row.try_get("delivery_id")?)?,
        event: parse("an event of a webhook", row.try_get("event")?)?,
        alert_id: alert.map(|id| parse("an alert id", &id)).transpose()?,
        state: parse("a state of a delivery", row.try_get("state")?)?,
        created_at: instant(row.try_get("created_ms")?)?,
        attempts: number(row, "attempts")?,
        last_attempt_at: at("attempted_ms")?,
        next_attempt_at: at("due_ms")?,
        last_status: maybe(row, "last_status")?,
        last_failure: row.try_get("last_failure")?,
    })
}

const VIEW: &str = "SELECT position, delivery_id, event, alert_id, state, created_ms, attempts, attempted_ms, due_ms,
    last_status, last_failure FROM webhook_deliveries";

impl Store {
    /// A message that somebody is about to send: no one else does.
    pub async fn add_test_delivery(
        &self,
        ctx: &TenantContext,
        webhook: &WebhookId,
        now: Timestamp,
    ) -> Result<Option<ToDeliver>, StoreError> {
        let id: DeliveryId = random_id("msg_");
        let event = WebhookEvent::Test;
        let message = WebhookMessage {
            event,
            timestamp: now,
            data: MessageData::default(),
        };
        sqlx::query(
            "INSERT INTO webhook_deliveries (tenant_id, delivery_id, webhook_id, event, body, created_ms)
             SELECT $1, $2, $3, $4, $5, $6 FROM webhooks WHERE tenant_id = $1 AND webhook_id = $3",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(webhook.as_str())
        .bind(event.name())
        .bind(to_json(&message))
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        let sql = format!("{TO_DELIVER} AND y.delivery_id = $2");
        self.row(ctx, sql, id.as_str(), to_deliver).await
    }

    /// Webhooks that are on and have something to be sent now.
    pub async fn webhooks_due(
        &self,
        ctx: &TenantContext,
        now: Timestamp,
    ) -> Result<Vec<WebhookId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT w.webhook_id FROM webhooks w WHERE w.tenant_id = $1 AND w.disabled_ms IS NULL
                 AND EXISTS (SELECT 1 FROM webhook_deliveries y WHERE y.tenant_id = $1
                     AND y.webhook_id = w.webhook_id AND y.due_ms <= $2)",
        )
        .bind(ctx.key())
        .bind(ms(now))
        .fetch_all(&self.read)
        .await?;
        ids.iter().map(|id| parse("a webhook id", id)).collect()
    }

    /// What is to be sent to it now, in the order in which it happened.
    pub async fn deliveries_due(
        &self,
        ctx: &TenantContext,
        webhook: &WebhookId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<ToDeliver>, StoreError> {
        let sql = format!(
            "{TO_DELIVER} AND y.webhook_id = $2 AND y.due_ms <= $3 ORDER BY y.position LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(webhook.as_str())
            .bind(ms(now))
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(to_deliver).collect()
    }

    /// Notes an attempt and what comes after it.
    pub async fn put_attempt(
        &self,
        ctx: &TenantContext,
        id: &DeliveryId,
        attempt: &Attempt,
        next: Next,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (state, due) = match next {
            Next::Delivered => (DeliveryState::Delivered, None),
            Next::Retry { at } => (DeliveryState::Pending, Some(ms(at))),
            Next::GaveUp => (DeliveryState::Failed, None),
        };
        sqlx::query(
            "UPDATE webhook_deliveries SET state = $3, due_ms = $4, attempts = attempts + 1, attempted_ms = $5,
                 last_status = $6, last_failure = $7
             WHERE tenant_id = $1 AND delivery_id = $2",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(state.name())
        .bind(due)
        .bind(ms(now))
        .bind(attempt.status.map(i64::from))
        .bind(&attempt.failure)
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Forgets those from before this, whatever became of them.
    pub async fn forget_deliveries(
        &self,
        ctx: &TenantContext,
        before: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM webhook_deliveries WHERE tenant_id = $1 AND created_ms < $2")
            .bind(ctx.key())
            .bind(ms(before))
            .execute(&self.write)
            .await?;
        Ok(())
    }

    pub async fn delivery(
        &self,
        ctx: &TenantContext,
        id: &DeliveryId,
    ) -> Result<Option<DeliveryView>, StoreError> {
        let sql = format!("{VIEW} WHERE tenant_id = $1 AND delivery_id = $2");
        self.row(ctx, sql, id.as_str(), view).await
    }

    /// One page, newest first, below position `before`.
    pub async fn deliveries(
        &self,
        ctx: &TenantContext,
        webhook: &WebhookId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Placed<DeliveryView>>, StoreError> {
        let sql = format!(
            "{VIEW} WHERE tenant_id = $1 AND webhook_id = $2 AND ($3 IS NULL OR position < $3)
             ORDER BY position DESC LIMIT $4"
        );
        let part = (before, limit);
        let rows = self.rows_below(ctx, sql, webhook.as_str(), part).await?;
        placed(&rows, view)
    }
}
