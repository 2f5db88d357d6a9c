//! Who is told of alerts by mail.

use fleet_protocol::MailRecipientId;
use fleet_protocol::mail::{AddMailRecipient, MailRecipientView};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::mails::at;
use super::{Store, StoreError, TenantContext, from_json, instant, ms, parse, to_json};

const RECIPIENT: &str =
    "SELECT recipient_id, email, kinds, failing_ms, last_failure, created_ms FROM mail_recipients
    WHERE tenant_id = $1";

fn recipient(row: &AnyRow) -> Result<MailRecipientView, StoreError> {
    Ok(MailRecipientView {
        recipient_id: parse("a mail recipient's id", row.try_get("recipient_id")?)?,
        email: row.try_get("email")?,
        kinds: from_json("kinds of alerts", row.try_get("kinds")?)?,
        failing_since: at(row, "failing_ms")?,
        last_failure: row.try_get("last_failure")?,
        created_at: instant(row.try_get("created_ms")?)?,
    })
}

impl Store {
    /// False: there are `most` already, or one has this address.
    pub async fn add_mail_recipient(
        &self,
        ctx: &TenantContext,
        id: &MailRecipientId,
        given: &AddMailRecipient,
        most: u32,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO mail_recipients (tenant_id, recipient_id, email, kinds, created_ms)
             SELECT $1, $2, $3, $4, $5 FROM tenants WHERE tenant_id = $1
                 AND (SELECT count(*) FROM mail_recipients WHERE tenant_id = $1) < $6
             ON CONFLICT DO NOTHING",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(&given.email)
        .bind(to_json(&given.kinds))
        .bind(ms(now))
        .bind(i64::from(most))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// All, ordered by address: there are never many.
    pub async fn mail_recipients(
        &self,
        ctx: &TenantContext,
    ) -> Result<Vec<MailRecipientView>, StoreError> {
        let sql = format!("{RECIPIENT} ORDER BY email");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(recipient).collect()
    }

    pub async fn mail_recipient(
        &self,
        ctx: &TenantContext,
        id: &MailRecipientId,
    ) -> Result<Option<MailRecipientView>, StoreError> {
        let sql = format!("{RECIPIENT} AND recipient_id = $2");
        self.row(ctx, sql, id.as_str(), recipient).await
    }

    /// With what was or was to be sent there. False: there is none.
    pub async fn remove_mail_recipient(
        &self,
        ctx: &TenantContext,
        id: &MailRecipientId,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM mail_recipients WHERE tenant_id = $1 AND recipient_id = $2";
        self.change_row(ctx, sql, id.as_str()).await
    }
}
