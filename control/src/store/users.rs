//! People: who they are, what they were given, and how they prove it.

use fleet_protocol::access::{
    Capability, ChangeUser, TenantRole, UserStatus, UserView, VenueGrant,
};
use fleet_protocol::{SessionId, Sha256, UserId};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::dialect::Held;
use super::{
    Actor, Store, StoreError, TenantContext, count, from_json, instant, ms, parse, signed, to_json,
};
use crate::domain::access::Access;

pub(super) const SELECT: &str =
    "SELECT tenant_id, user_id, email, display_name, password, disabled_ms, tenant_role, venue_roles,
        capabilities, totp_secret, totp_since_ms, totp_step, recovery, version, last_login_ms, created_ms,
        updated_ms
     FROM users";

/// Somebody, and what shows whether it is really them.
#[derive(Debug, Clone)]
pub struct Login {
    /// Without a session yet.
    pub ctx: TenantContext,
    pub user: UserView,
    pub password: Option<String>,
    /// Base32; with `user.totp` unset it was shown and not confirmed.
    pub totp_secret: Option<String>,
    /// A code of this step or an earlier one was used.
    pub totp_step: u64,
    pub recovery: Vec<Sha256>,
}

#[derive(Debug)]
pub struct NewUser {
    pub user_id: UserId,
    pub email: String,
    pub display_name: String,
    pub tenant_role: Option<TenantRole>,
    pub venue_roles: Vec<VenueGrant>,
    pub capabilities: Vec<Capability>,
}

/// What somebody who follows a link has chosen.
#[derive(Debug)]
pub struct Accepted<'a> {
    pub token: Sha256,
    /// Its hash.
    pub password: &'a str,
    /// Address and name, of whoever had none.
    pub name: Option<(&'a str, &'a str)>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    Done,
    /// The link was used or replaced meanwhile, or the user was disabled.
    Gone,
    EmailTaken,
}

/// What became of a change of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangedUser {
    Done,
    /// The user is at another version by now.
    Stale,
    /// Nobody would be left who may do everything.
    LastAdministrator,
}

/// Which users a list shows.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    /// Part of the address or the name.
    pub text: Option<String>,
    pub status: Option<UserStatus>,
}

fn role(row: &AnyRow) -> Result<Option<TenantRole>, StoreError> {
    let text: Option<String> = row.try_get("tenant_role")?;
    text.map(|text| from_json("a tenant role", &text))
        .transpose()
}

fn view(row: &AnyRow) -> Result<UserView, StoreError> {
    let at = |column: &str| -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = row.try_get(column)?;
        at.map(instant).transpose()
    };
    let password: Option<String> = row.try_get("password")?;
    let status = match (at("disabled_ms")?, password) {
        (Some(_), _) => UserStatus::Disabled,
        (None, None) => UserStatus::Invited,
        (None, Some(_)) => UserStatus::Active,
    };
    Ok(UserView {
        user_id: parse("a user id", row.try_get("user_id")?)?,
        tenant_id: parse("a tenant id", row.try_get("tenant_id")?)?,
        email: row.try_get("email")?,
        display_name: row.try_get("display_name")?,
        status,
        tenant_role: role(row)?,
        venue_roles: from_json("venue roles", row.try_get("venue_roles")?)?,
        capabilities: from_json("capabilities", row.try_get("capabilities")?)?,
        totp: at("totp_since_ms")?.is_some(),
        last_login_at: at("last_login_ms")?,
        version: count(row.try_get("version")?),
        created_at: instant(row.try_get("created_ms")?)?,
        updated_at: instant(row.try_get("updated_ms")?)?,
    })
}

/// Whoever this row of users is.
pub(super) fn context(
    row: &AnyRow,
    session: Option<SessionId>,
) -> Result<TenantContext, StoreError> {
    let venues: Vec<VenueGrant> = from_json("venue roles", row.try_get("venue_roles")?)?;
    let capabilities: Vec<Capability> = from_json("capabilities", row.try_get("capabilities")?)?;
    let access = Access::of_user(role(row)?, &venues, &capabilities);
    let user = Actor::User {
        id: parse("a user id", row.try_get("user_id")?)?,
        email: row.try_get("email")?,
        session,
    };
    let tenant = parse("a tenant id", row.try_get("tenant_id")?)?;
    Ok(TenantContext::somebody(tenant, user, access))
}

pub(super) fn login(row: &AnyRow) -> Result<Login, StoreError> {
    Ok(Login {
        ctx: context(row, None)?,
        user: view(row)?,
        password: row.try_get("password")?,
        totp_secret: row.try_get("totp_secret")?,
        totp_step: count(row.try_get("totp_step")?),
        recovery: from_json("recovery codes", row.try_get("recovery")?)?,
    })
}

/// How many people may do everything, and have a password to do it with.
async fn administrators(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM users WHERE tenant_id = $1 AND tenant_role = $2 AND disabled_ms IS NULL
         AND password IS NOT NULL",
    )
    .bind(ctx.key())
    .bind(to_json(&TenantRole::Admin))
    .fetch_one(&mut **tx)
    .await?;
    Ok(count)
}

async fn put_password(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    id: &UserId,
    hash: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE users SET password = $3, version = version + 1, updated_ms = $4
         WHERE tenant_id = $1 AND user_id = $2",
    )
    .bind(ctx.key())
    .bind(id.as_str())
    .bind(hash)
    .bind(ms(now))
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "UPDATE sessions SET ended_ms = $4
         WHERE tenant_id = $1 AND user_id = $2 AND session_id <> $3 AND ended_ms IS NULL",
    )
    .bind(ctx.key())
    .bind(id.as_str())
    .bind(ctx.session().map_or("", SessionId::as_str))
    .bind(ms(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Store {
    /// False: somebody has this address already.
    pub async fn add_user(
        &self,
        ctx: &TenantContext,
        user: &NewUser,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO users (tenant_id, user_id, email, display_name, tenant_role, venue_roles, capabilities,
                                created_ms, updated_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (email) DO NOTHING",
        )
        .bind(ctx.key())
        .bind(user.user_id.as_str())
        .bind(&user.email)
        .bind(&user.display_name)
        .bind(user.tenant_role.as_ref().map(to_json))
        .bind(to_json(&user.venue_roles))
        .bind(to_json(&user.capabilities))
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// One page ordered by address.
    pub async fn users(
        &self,
        ctx: &TenantContext,
        filter: &UserFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<UserView>, StoreError> {
        let status = match filter.status {
            None => "",
            Some(UserStatus::Disabled) => "AND disabled_ms IS NOT NULL",
            Some(UserStatus::Invited) => "AND disabled_ms IS NULL AND password IS NULL",
            Some(UserStatus::Active) => "AND disabled_ms IS NULL AND password IS NOT NULL",
        };
        let contains = self.dialect.contains("email || ' ' || display_name", "$3");
        let sql = format!(
            "{SELECT} WHERE tenant_id = $1 AND ($2 IS NULL OR email > $2)
             AND ($3 IS NULL OR {contains}) {status}
             ORDER BY email LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(after)
            .bind(filter.text.as_deref())
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(view).collect()
    }

    pub async fn user(
        &self,
        ctx: &TenantContext,
        id: &UserId,
    ) -> Result<Option<Login>, StoreError> {
        let sql = format!("{SELECT} WHERE tenant_id = $1 AND user_id = $2");
        self.row(ctx, sql, id.as_str(), login).await
    }

    /// Puts what is given in place, if the user is still at version `expected`; whoever is disabled is logged out.
    pub async fn change_user(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        expected: u64,
        change: &ChangeUser,
        now: Timestamp,
    ) -> Result<ChangedUser, StoreError> {
        let mut tx = self.write.begin().await?;
        self.hold(&mut tx, ctx, Held::Tenant).await?;
        let before = administrators(&mut tx, ctx).await?;
        let done = sqlx::query(
            "UPDATE users SET
                display_name = coalesce($4, display_name),
                tenant_role = CASE WHEN $5 = 1 THEN $6 ELSE tenant_role END,
                capabilities = coalesce($7, capabilities),
                disabled_ms = CASE $8 WHEN 1 THEN coalesce(disabled_ms, $9) WHEN 0 THEN NULL ELSE disabled_ms END,
                version = version + 1, updated_ms = $9
             WHERE tenant_id = $1 AND user_id = $2 AND version = $3",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(signed(expected))
        .bind(change.display_name.as_deref())
        .bind(i64::from(change.tenant_role.is_some()))
        .bind(change.tenant_role.flatten().as_ref().map(to_json))
        .bind(change.capabilities.as_ref().map(to_json))
        .bind(change.disabled.map_or(2, i64::from))
        .bind(ms(now))
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(ChangedUser::Stale);
        }
        if before > 0 && administrators(&mut tx, ctx).await? == 0 {
            return Ok(ChangedUser::LastAdministrator);
        }
        if change.disabled == Some(true) {
            sqlx::query(
                "UPDATE sessions SET ended_ms = $3 WHERE tenant_id = $1 AND user_id = $2 AND ended_ms IS NULL",
            )
            .bind(ctx.key())
            .bind(id.as_str())
            .bind(ms(now))
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(ChangedUser::Done)
    }

    /// Replaces all roles at venues, if the user is still at version `expected`.
    pub async fn put_venue_roles(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        expected: u64,
        roles: &[VenueGrant],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE users SET venue_roles = $4, version = version + 1, updated_ms = $5
             WHERE tenant_id = $1 AND user_id = $2 AND version = $3",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(signed(expected))
        .bind(to_json(&roles))
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Makes the link with this token the one by which the user chooses a password.
    pub async fn invite(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        token: &Sha256,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO invitations (tenant_id, user_id, token_sha256, expires_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant_id, user_id) DO UPDATE
             SET token_sha256 = excluded.token_sha256, expires_ms = excluded.expires_ms",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(token.to_string())
        .bind(ms(expires_at))
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Uses a link up: a first password, or a new one. All sessions end.
    pub async fn accept(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        accepted: &Accepted<'_>,
        now: Timestamp,
    ) -> Result<Accept, StoreError> {
        let mut tx = self.write.begin().await?;
        self.hold(&mut tx, ctx, Held::Tenant).await?;
        let used = sqlx::query(
            "DELETE FROM invitations WHERE tenant_id = $1 AND user_id = $2 AND token_sha256 = $3 AND expires_ms > $4
             AND EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = $1 AND u.user_id = $2 AND u.disabled_ms IS NULL)",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(accepted.token.to_string())
        .bind(ms(now))
        .execute(&mut *tx)
        .await?;
        if used.rows_affected() == 0 {
            return Ok(Accept::Gone);
        }
        if let Some((email, name)) = accepted.name {
            let named = sqlx::query(
                "UPDATE users SET email = $3, display_name = $4 WHERE tenant_id = $1 AND user_id = $2
                 AND NOT EXISTS (SELECT 1 FROM users o WHERE o.email = $3)",
            )
            .bind(ctx.key())
            .bind(id.as_str())
            .bind(email)
            .bind(name)
            .execute(&mut *tx)
            .await?;
            if named.rows_affected() == 0 {
                return Ok(Accept::EmailTaken);
            }
        }
        put_password(&mut tx, ctx, id, accepted.password, now).await?;
        tx.commit().await?;
        Ok(Accept::Done)
    }

    /// A new password; all sessions but the asking one end, and a link that was open is no longer good.
    pub async fn set_password(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        hash: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write.begin().await?;
        sqlx::query("DELETE FROM invitations WHERE tenant_id = $1 AND user_id = $2")
            .bind(ctx.key())
            .bind(id.as_str())
            .execute(&mut *tx)
            .await?;
        put_password(&mut tx, ctx, id, hash, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The user of this tenant with this address, whether or not anybody of the tenant is let in.
    pub async fn user_by_email(
        &self,
        ctx: &TenantContext,
        email: &str,
    ) -> Result<Option<UserView>, StoreError> {
        let sql = format!("{SELECT} WHERE tenant_id = $1 AND email = $2");
        self.row(ctx, sql, email, view).await
    }
}
