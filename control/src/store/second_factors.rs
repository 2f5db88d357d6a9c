//! Second factors of users: secrets, the codes that were used, and recovery codes.

use fleet_protocol::{Sha256, UserId};
use jiff::Timestamp;

use super::{Store, StoreError, TenantContext, ms, signed, to_json};

impl Store {
    /// A second factor that was shown and is not asked for yet.
    pub async fn begin_totp(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        secret: &str,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE users SET totp_secret = $3 WHERE tenant_id = $1 AND user_id = $2 AND totp_since_ms IS NULL",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(secret)
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// From now on `secret` is asked for, if it still is the one that was shown last. A code of `step` was used.
    pub async fn confirm_totp(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        (secret, step): (&str, u64),
        recovery: &[Sha256],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE users SET totp_since_ms = $3, totp_step = $4, recovery = $5, version = version + 1,
                              updated_ms = $3
             WHERE tenant_id = $1 AND user_id = $2 AND totp_secret = $6 AND totp_since_ms IS NULL",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(ms(now))
        .bind(signed(step))
        .bind(to_json(&recovery))
        .bind(secret)
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    pub async fn remove_totp(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE users SET totp_secret = NULL, totp_since_ms = NULL, recovery = '[]', version = version + 1,
                              updated_ms = $3
             WHERE tenant_id = $1 AND user_id = $2",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Uses a code up; false: it was used meanwhile.
    pub async fn use_totp(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        step: u64,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE users SET totp_step = $3 WHERE tenant_id = $1 AND user_id = $2 AND totp_step < $3",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(signed(step))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Replaces the recovery codes that are left; false: one was used meanwhile.
    pub async fn use_recovery(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        known: &[Sha256],
        left: &[Sha256],
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE users SET recovery = $4 WHERE tenant_id = $1 AND user_id = $2 AND recovery = $3",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(to_json(&known))
        .bind(to_json(&left))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
