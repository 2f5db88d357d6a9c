//! Mail about alerts. A message gathers what happens within a minute, written down in the
//! transaction of what it tells of; it is sent afterwards, and kept for a while.

use std::sync::Arc;

use fleet_protocol::alert::AlertKind;
use fleet_protocol::mail::MailView;
use fleet_protocol::webhook::{DeliveryState, WebhookMessage};
use fleet_protocol::{DeliveryId, MailRecipientId};
use jiff::{SignedDuration, Timestamp};
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::rows::{Placed, placed};
use super::{Store, StoreError, TenantContext, from_json, instant, maybe, ms, number, parse};
use crate::clock::random_id;
use crate::domain::webhooks::{Attempt, Next};

/// From the first that a message tells of until it is sent.
const GATHERED_FOR: SignedDuration = SignedDuration::from_mins(1);
/// More than these a message only counts.
const EVENTS_KEPT: usize = 200;

/// A recipient, what kinds of alerts it takes, and what it is to be told.
struct Reader {
    id: String,
    kinds: Vec<AlertKind>,
    news: Vec<Arc<str>>,
}

/// The recipients of a tenant, read once for a transaction.
pub(super) struct Readers(Vec<Reader>);

impl Readers {
    pub(super) async fn open(
        tx: &mut Transaction<'_, Any>,
        ctx: &TenantContext,
    ) -> Result<Self, StoreError> {
        // In one order, as their messages are held in it.
        let rows = sqlx::query(
            "SELECT recipient_id, kinds FROM mail_recipients WHERE tenant_id = $1 ORDER BY recipient_id",
        )
        .bind(ctx.key())
        .fetch_all(&mut **tx)
        .await?;
        let readers = rows.iter().map(|row| {
            Ok(Reader {
                id: row.try_get("recipient_id")?,
                kinds: from_json("kinds of alerts", row.try_get("kinds")?)?,
                news: Vec::new(),
            })
        });
        Ok(Self(readers.collect::<Result<_, StoreError>>()?))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Has those told who take such alerts.
    pub(super) fn tell(&mut self, kind: AlertKind, body: &str) {
        let body: Arc<str> = body.into();
        for reader in &mut self.0 {
            if reader.kinds.is_empty() || reader.kinds.contains(&kind) {
                reader.news.push(Arc::clone(&body));
            }
        }
    }

    /// Adds it all to the messages that gather. The last thing in a transaction: whoever holds a message waits for
    /// nothing else.
    pub(super) async fn write_down(
        self,
        tx: &mut Transaction<'_, Any>,
        ctx: &TenantContext,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for Reader { id, news, .. } in self.0.into_iter().filter(|r| !r.news.is_empty()) {
            let count = i64::try_from(news.len()).unwrap_or(i64::MAX);
            let gathering = sqlx::query(
                "INSERT INTO mails (tenant_id, delivery_id, recipient_id, state, events, created_ms, due_ms)
                 SELECT $1, $2, $3, 'gathering', $4, $5, $6 FROM mail_recipients
                 WHERE tenant_id = $1 AND recipient_id = $3
                 ON CONFLICT (tenant_id, recipient_id) WHERE state = 'gathering'
                 DO UPDATE SET events = mails.events + excluded.events
                 RETURNING delivery_id, events",
            )
            .bind(ctx.key())
            .bind(random_id::<DeliveryId>("msg_").as_str())
            .bind(&id)
            .bind(count)
            .bind(ms(now))
            .bind(ms(now + GATHERED_FOR))
            .fetch_optional(&mut **tx)
            .await?;
            // They may have been removed meanwhile.
            let Some(mail) = gathering else { continue };
            let before = number::<usize>(&mail, "events")?.saturating_sub(news.len());
            let mail: String = mail.try_get("delivery_id")?;
            for body in news.iter().take(EVENTS_KEPT.saturating_sub(before)) {
                sqlx::query(
                    "INSERT INTO mail_events (tenant_id, delivery_id, body) VALUES ($1, $2, $3)",
                )
                .bind(ctx.key())
                .bind(&mail)
                .bind(&**body)
                .execute(&mut **tx)
                .await?;
            }
        }
        Ok(())
    }
}

/// A message that is to be sent now.
#[derive(Debug, Clone)]
pub struct ToMail {
    pub delivery_id: DeliveryId,
    pub recipient_id: MailRecipientId,
    pub email: String,
    /// All that it tells of.
    pub events: u32,
    /// That were made.
    pub attempts: u32,
    pub created_at: Timestamp,
}

const TO_MAIL: &str = "SELECT m.delivery_id, m.recipient_id, r.email, m.events, m.attempts, m.created_ms
    FROM mails m JOIN mail_recipients r ON r.tenant_id = m.tenant_id AND r.recipient_id = m.recipient_id
    WHERE m.tenant_id = $1";
const VIEW: &str = "SELECT position, delivery_id, state, events, created_ms, attempts, attempted_ms, due_ms, last_status,
    last_failure FROM mails WHERE tenant_id = $1";

pub(super) fn at(row: &AnyRow, column: &str) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<i64> = row.try_get(column)?;
    at.map(instant).transpose()
}

fn to_mail(row: &AnyRow) -> Result<ToMail, StoreError> {
    Ok(ToMail {
        delivery_id: parse("a delivery id", row.try_get("delivery_id")?)?,
        recipient_id: parse("a mail recipient's id", row.try_get("recipient_id")?)?,
        email: row.try_get("email")?,
        events: number(row, "events")?,
        attempts: number(row, "attempts")?,
        created_at: instant(row.try_get("created_ms")?)?,
    })
}

fn view(row: &AnyRow) -> Result<MailView, StoreError> {
    let state: &str = row.try_get("state")?;
    let state = match state {
        "gathering" => DeliveryState::Pending,
        state => parse("a state of a delivery", state)?,
    };
    Ok(MailView {
        delivery_id: parse("a delivery id", row.try_get("delivery_id")?)?,
        state,
        events: number(row, "events")?,
        created_at: instant(row.try_get("created_ms")?)?,
        attempts: number(row, "attempts")?,
        last_attempt_at: at(row, "attempted_ms")?,
        next_attempt_at: at(row, "due_ms")?,
        last_status: maybe(row, "last_status")?,
        last_failure: row.try_get("last_failure")?,
    })
}

impl Store {
    /// Who has something to be sent now.
    pub async fn mail_due(
        &self,
        ctx: &TenantContext,
        now: Timestamp,
    ) -> Result<Vec<MailRecipientId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT recipient_id FROM mails WHERE tenant_id = $1 AND due_ms <= $2",
        )
        .bind(ctx.key())
        .bind(ms(now))
        .fetch_all(&self.read)
        .await?;
        let ids = ids.iter();
        ids.map(|id| parse("a mail recipient's id", id)).collect()
    }

    /// What is to be sent there now, in the order in which it was begun. What has gathered for long enough gathers no
    /// more, unless one before it is to be tried again.
    pub async fn mails_due(
        &self,
        ctx: &TenantContext,
        to: &MailRecipientId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<ToMail>, StoreError> {
        sqlx::query(
            "UPDATE mails SET state = 'pending'
             WHERE tenant_id = $1 AND recipient_id = $2 AND state = 'gathering' AND due_ms <= $3
               AND NOT EXISTS (SELECT 1 FROM mails p WHERE p.tenant_id = $1 AND p.recipient_id = $2
                   AND p.state = 'pending' AND p.due_ms IS NOT NULL)",
        )
        .bind(ctx.key())
        .bind(to.as_str())
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        let sql = format!(
            "{TO_MAIL} AND m.recipient_id = $2 AND m.state = 'pending' AND m.due_ms <= $3
             ORDER BY m.position LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(to.as_str())
            .bind(ms(now))
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(to_mail).collect()
    }

    /// What a message tells of, as far as it is kept, in the order in which it happened.
    pub async fn mail_events(
        &self,
        ctx: &TenantContext,
        id: &DeliveryId,
    ) -> Result<Vec<WebhookMessage>, StoreError> {
        let bodies: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM mail_events WHERE tenant_id = $1 AND delivery_id = $2 ORDER BY position",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_all(&self.read)
        .await?;
        let bodies = bodies.iter();
        bodies
            .map(|body| from_json("what a mail tells of", body))
            .collect()
    }

    /// A message that somebody is about to send: no one else does.
    pub async fn add_test_mail(
        &self,
        ctx: &TenantContext,
        to: &MailRecipientId,
        now: Timestamp,
    ) -> Result<Option<ToMail>, StoreError> {
        let id: DeliveryId = random_id("msg_");
        sqlx::query(
            "INSERT INTO mails (tenant_id, delivery_id, recipient_id, state, events, created_ms)
             SELECT $1, $2, $3, 'pending', 0, $4 FROM mail_recipients WHERE tenant_id = $1 AND recipient_id = $3",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(to.as_str())
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        let sql = format!("{TO_MAIL} AND m.delivery_id = $2");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(id.as_str())
            .fetch_optional(&self.read)
            .await?;
        row.map(|row| to_mail(&row)).transpose()
    }

    /// Notes an attempt, what comes after it, and whether its recipient takes mail.
    pub async fn put_mail_attempt(
        &self,
        ctx: &TenantContext,
        mail: &ToMail,
        attempt: &Attempt,
        next: Next,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (state, due) = match next {
            Next::Delivered => (DeliveryState::Delivered, None),
            Next::Retry { at } => (DeliveryState::Pending, Some(ms(at))),
            Next::GaveUp => (DeliveryState::Failed, None),
        };
        let mut tx = self.write.begin().await?;
        sqlx::query(
            "UPDATE mails SET state = $3, due_ms = $4, attempts = attempts + 1, attempted_ms = $5, last_status = $6,
                 last_failure = $7
             WHERE tenant_id = $1 AND delivery_id = $2",
        )
        .bind(ctx.key())
        .bind(mail.delivery_id.as_str())
        .bind(state.name())
        .bind(due)
        .bind(ms(now))
        .bind(attempt.status.map(i64::from))
        .bind(&attempt.failure)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE mail_recipients SET failing_ms = CASE WHEN $3 = 1 THEN coalesce(failing_ms, $4) END,
                 last_failure = $5
             WHERE tenant_id = $1 AND recipient_id = $2",
        )
        .bind(ctx.key())
        .bind(mail.recipient_id.as_str())
        .bind(i64::from(attempt.failure.is_some()))
        .bind(ms(now))
        .bind(&attempt.failure)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets those from before this, whatever became of them.
    pub async fn forget_mails(
        &self,
        ctx: &TenantContext,
        before: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM mails WHERE tenant_id = $1 AND created_ms < $2")
            .bind(ctx.key())
            .bind(ms(before))
            .execute(&self.write)
            .await?;
        Ok(())
    }

    pub async fn mail(
        &self,
        ctx: &TenantContext,
        id: &DeliveryId,
    ) -> Result<Option<MailView>, StoreError> {
        let sql = format!("{VIEW} AND delivery_id = $2");
        self.row(ctx, sql, id.as_str(), view).await
    }

    /// One page, newest first, below position `before`.
    pub async fn mails(
        &self,
        ctx: &TenantContext,
        to: &MailRecipientId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Placed<MailView>>, StoreError> {
        let sql = format!(
            "{VIEW} AND recipient_id = $2 AND ($3 IS NULL OR position < $3) ORDER BY position DESC LIMIT $4"
        );
        let rows = self
            .rows_below(ctx, sql, to.as_str(), (before, limit))
            .await?;
        placed(&rows, view)
    }
}
