//! Whom alerts are told to.

use fleet_protocol::WebhookId;
use fleet_protocol::webhook::{PutWebhook, WebhookState, WebhookView};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{
    Store, StoreError, TenantContext, count, from_json, instant, ms, parse, signed, to_json,
};

#[derive(Debug)]
pub struct NewWebhook {
    pub webhook_id: WebhookId,
    pub secret: String,
    pub given: PutWebhook,
}

const COLUMNS: &str = "webhook_id, name, url, kinds, disabled_ms, failing_ms, last_failure, version, created_ms, updated_ms";

fn view(row: &AnyRow) -> Result<WebhookView, StoreError> {
    let failing: Option<i64> = row.try_get("failing_ms")?;
    let disabled: Option<i64> = row.try_get("disabled_ms")?;
    let state = match (disabled, failing) {
        (Some(_), _) => WebhookState::Disabled,
        (None, Some(_)) => WebhookState::Failing,
        (None, None) => WebhookState::Active,
    };
    Ok(WebhookView {
        webhook_id: parse("a webhook id", row.try_get("webhook_id")?)?,
        name: row.try_get("name")?,
        url: row.try_get("url")?,
        kinds: from_json("kinds of alerts", row.try_get("kinds")?)?,
        state,
        failing_since: failing.map(instant).transpose()?,
        last_failure: row.try_get("last_failure")?,
        version: count(row.try_get("version")?),
        created_at: instant(row.try_get("created_ms")?)?,
        updated_at: instant(row.try_get("updated_ms")?)?,
    })
}

impl Store {
    /// False: there are `most` of them already.
    pub async fn add_webhook(
        &self,
        ctx: &TenantContext,
        webhook: &NewWebhook,
        most: u32,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let given = &webhook.given;
        let done = sqlx::query(
            "INSERT INTO webhooks (tenant_id, webhook_id, name, url, secret, kinds, disabled_ms, created_ms, updated_ms)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $8 FROM tenants WHERE tenant_id = $1
                 AND (SELECT count(*) FROM webhooks WHERE tenant_id = $1) < $9",
        )
        .bind(ctx.key())
        .bind(webhook.webhook_id.as_str())
        .bind(&given.name)
        .bind(&given.url)
        .bind(&webhook.secret)
        .bind(to_json(&given.kinds))
        .bind((!given.enabled).then(|| ms(now)))
        .bind(ms(now))
        .bind(i64::from(most))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// All, ordered by id: there are never many.
    pub async fn webhooks(&self, ctx: &TenantContext) -> Result<Vec<WebhookView>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM webhooks WHERE tenant_id = $1 ORDER BY webhook_id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(view).collect()
    }

    pub async fn webhook(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
    ) -> Result<Option<WebhookView>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM webhooks WHERE tenant_id = $1 AND webhook_id = $2");
        self.row(ctx, sql, id.as_str(), view).await
    }

    /// Replaces it if `expected` is its present version, and forgets that it failed. False: it is not.
    pub async fn put_webhook(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
        given: &PutWebhook,
        expected: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE webhooks SET name = $4, url = $5, kinds = $6,
                 disabled_ms = CASE WHEN $7 = 1 THEN NULL ELSE coalesce(disabled_ms, $8) END,
                 failing_ms = NULL, last_failure = NULL, version = version + 1, updated_ms = $8
             WHERE tenant_id = $1 AND webhook_id = $2 AND version = $3",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(signed(expected))
        .bind(&given.name)
        .bind(&given.url)
        .bind(to_json(&given.kinds))
        .bind(i64::from(given.enabled))
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// With what was or was to be sent to it. False: there is none.
    pub async fn remove_webhook(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM webhooks WHERE tenant_id = $1 AND webhook_id = $2";
        self.change_row(ctx, sql, id.as_str()).await
    }

    /// Notes that an attempt failed, and since when all have. Gives that instant; `None`: it was removed meanwhile.
    pub async fn webhook_failed(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
        failure: &str,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let since: Option<i64> = sqlx::query_scalar(
            "UPDATE webhooks SET failing_ms = coalesce(failing_ms, $3), last_failure = $4
             WHERE tenant_id = $1 AND webhook_id = $2 RETURNING failing_ms",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(ms(now))
        .bind(failure)
        .fetch_optional(&self.write)
        .await?;
        since.map(instant).transpose()
    }

    /// Notes that it takes messages again.
    pub async fn webhook_works(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE webhooks SET failing_ms = NULL, last_failure = NULL
             WHERE tenant_id = $1 AND webhook_id = $2 AND failing_ms IS NOT NULL",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Switches it off. What was to be sent to it stays, for when it is switched on again in time.
    pub async fn disable_webhook(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE webhooks SET disabled_ms = $3, version = version + 1, updated_ms = $3
             WHERE tenant_id = $1 AND webhook_id = $2 AND disabled_ms IS NULL",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        Ok(())
    }
}
