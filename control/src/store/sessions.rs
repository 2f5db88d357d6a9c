//! Logins and their refresh tokens. Each token is good once; one that comes back ends the session, for then two
//! have it.

use fleet_protocol::access::SessionView;
use fleet_protocol::{SessionId, Sha256, UserId};
use jiff::{SignedDuration, Timestamp};
use sqlx::Row as _;

use super::{Store, StoreError, TenantContext, instant, ms, parse};

/// From where somebody logs in.
#[derive(Debug, Clone)]
pub struct Client {
    pub address: String,
    pub user_agent: String,
}

/// What became of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// It is used up; the new one is good.
    Done,
    /// The session has ended.
    Ended,
    /// It had been used before: the session has ended now.
    Replayed,
}

/// One refresh token for another.
#[derive(Debug)]
pub struct Rotation<'a> {
    pub session: &'a SessionId,
    pub old: Sha256,
    pub new: Sha256,
    pub client: &'a Client,
    pub lifetime: SignedDuration,
}

/// A login that begins.
#[derive(Debug)]
pub struct NewSession<'a> {
    pub session_id: &'a SessionId,
    pub user: &'a UserId,
    pub refresh: Sha256,
    pub client: &'a Client,
    pub lifetime: SignedDuration,
}

impl Store {
    pub async fn open_session(
        &self,
        ctx: &TenantContext,
        new: &NewSession<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (session, user) = (new.session_id, new.user);
        let mut tx = self.write.begin().await?;
        sqlx::query(
            "INSERT INTO sessions (tenant_id, session_id, user_id, created_ms, refreshed_ms, expires_ms, address,
                                   user_agent)
             VALUES ($1, $2, $3, $4, $4, $5, $6, $7)",
        )
        .bind(ctx.key())
        .bind(session.as_str())
        .bind(user.as_str())
        .bind(ms(now))
        .bind(ms(now + new.lifetime))
        .bind(&new.client.address)
        .bind(&new.client.user_agent)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO refresh_tokens (tenant_id, session_id, token_sha256, issued_ms) VALUES ($1, $2, $3, $4)",
        )
        .bind(ctx.key())
        .bind(session.as_str())
        .bind(new.refresh.to_string())
        .bind(ms(now))
        .execute(&mut *tx)
        .await?;
        sqlx::query("UPDATE users SET last_login_ms = $3 WHERE tenant_id = $1 AND user_id = $2")
            .bind(ctx.key())
            .bind(user.as_str())
            .bind(ms(now))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Exchanges a refresh token for a new one.
    pub async fn rotate(
        &self,
        ctx: &TenantContext,
        rotation: &Rotation<'_>,
        now: Timestamp,
    ) -> Result<Rotated, StoreError> {
        let session = rotation.session.as_str();
        let mut tx = self.write.begin().await?;
        let lasts = sqlx::query(
            "UPDATE sessions SET refreshed_ms = $3, expires_ms = $4, address = $5, user_agent = $6
             WHERE tenant_id = $1 AND session_id = $2 AND ended_ms IS NULL AND expires_ms > $3",
        )
        .bind(ctx.key())
        .bind(session)
        .bind(ms(now))
        .bind(ms(now + rotation.lifetime))
        .bind(&rotation.client.address)
        .bind(&rotation.client.user_agent)
        .execute(&mut *tx)
        .await?;
        if lasts.rows_affected() == 0 {
            return Ok(Rotated::Ended);
        }
        // Of two that use it at once, one finds it used.
        let first = sqlx::query(
            "UPDATE refresh_tokens SET used_ms = $4
             WHERE tenant_id = $1 AND session_id = $2 AND token_sha256 = $3 AND used_ms IS NULL",
        )
        .bind(ctx.key())
        .bind(session)
        .bind(rotation.old.to_string())
        .bind(ms(now))
        .execute(&mut *tx)
        .await?;
        let rotated = if first.rows_affected() == 0 {
            sqlx::query(
                "UPDATE sessions SET ended_ms = $3 WHERE tenant_id = $1 AND session_id = $2",
            )
            .bind(ctx.key())
            .bind(session)
            .bind(ms(now))
            .execute(&mut *tx)
            .await?;
            Rotated::Replayed
        } else {
            sqlx::query(
                "INSERT INTO refresh_tokens (tenant_id, session_id, token_sha256, issued_ms) VALUES ($1, $2, $3, $4)",
            )
            .bind(ctx.key())
            .bind(session)
            .bind(rotation.new.to_string())
            .bind(ms(now))
            .execute(&mut *tx)
            .await?;
            Rotated::Done
        };
        tx.commit().await?;
        Ok(rotated)
    }

    /// The user's sessions that last, newest first.
    pub async fn sessions(
        &self,
        ctx: &TenantContext,
        user: &UserId,
        now: Timestamp,
    ) -> Result<Vec<SessionView>, StoreError> {
        let rows = sqlx::query(
            "SELECT session_id, created_ms, refreshed_ms, expires_ms, address, user_agent FROM sessions
             WHERE tenant_id = $1 AND user_id = $2 AND ended_ms IS NULL AND expires_ms > $3
             ORDER BY refreshed_ms DESC, session_id LIMIT 200",
        )
        .bind(ctx.key())
        .bind(user.as_str())
        .bind(ms(now))
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                let session_id = parse("a session id", row.try_get("session_id")?)?;
                Ok(SessionView {
                    current: ctx.session() == Some(&session_id),
                    session_id,
                    created_at: instant(row.try_get("created_ms")?)?,
                    last_refreshed_at: instant(row.try_get("refreshed_ms")?)?,
                    expires_at: instant(row.try_get("expires_ms")?)?,
                    address: row.try_get("address")?,
                    user_agent: row.try_get("user_agent")?,
                })
            })
            .collect()
    }

    /// False: the user has no such session that lasts.
    pub async fn end_session(
        &self,
        ctx: &TenantContext,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE sessions SET ended_ms = $4
             WHERE tenant_id = $1 AND user_id = $2 AND session_id = $3 AND ended_ms IS NULL AND expires_ms > $4",
        )
        .bind(ctx.key())
        .bind(user.as_str())
        .bind(session.as_str())
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Forgets sessions that ended before `before`, with all of their tokens, and tokens that nobody can have kept.
    pub async fn forget_sessions(
        &self,
        ctx: &TenantContext,
        before: Timestamp,
        lifetime: SignedDuration,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM refresh_tokens WHERE tenant_id = $1 AND used_ms < $2")
            .bind(ctx.key())
            .bind(ms(before - lifetime))
            .execute(&self.write)
            .await?;
        sqlx::query(
            "DELETE FROM sessions WHERE tenant_id = $1 AND (expires_ms < $2 OR ended_ms < $2)",
        )
        .bind(ctx.key())
        .bind(ms(before))
        .execute(&self.write)
        .await?;
        Ok(())
    }
}
