//! The gate: the only queries without a tenant, because they find out which one it is. Devices have theirs in
//! [`super::known`].

use fleet_protocol::access::Scope;
use fleet_protocol::{SessionId, Sha256, TenantId, VenueId};
use jiff::Timestamp;
use sqlx::Row as _;

use super::users::{self, Login};
use super::{Actor, Store, StoreError, TenantContext, from_json, ms, parse};
use crate::domain::access::Access;

impl Store {
    /// The operator with this token.
    pub async fn operator(&self, token: &Sha256) -> Result<Option<TenantContext>, StoreError> {
        let row = sqlx::query(
            "SELECT tenant_id, name FROM operator_tokens WHERE token_sha256 = $1
             AND tenant_id NOT IN (SELECT tenant_id FROM tenants WHERE disabled_ms IS NOT NULL)",
        )
        .bind(token.to_string())
        .fetch_optional(&self.read)
        .await?;
        row.map(|row| {
            let tenant = parse("a tenant id", row.try_get("tenant_id")?)?;
            Ok(TenantContext::operator(tenant, row.try_get("name")?))
        })
        .transpose()
    }

    /// The tenant that gave out this enrolment token, whether or not it can still be used.
    pub async fn enrolment_gate(
        &self,
        token: &Sha256,
    ) -> Result<Option<TenantContext>, StoreError> {
        let tenant: Option<String> =
            sqlx::query_scalar(
                "SELECT tenant_id FROM enrolment_tokens WHERE token_sha256 = $1
                 AND tenant_id NOT IN (SELECT tenant_id FROM tenants WHERE disabled_ms IS NOT NULL)",
            )
            .bind(token.to_string())
            .fetch_optional(&self.read)
            .await?;
        tenant
            .map(|t| Ok(TenantContext::enrolment(parse("a tenant id", &t)?)))
            .transpose()
    }

    /// Whoever has this address, and what is needed to see whether it is really them.
    pub async fn login_gate(&self, email: &str) -> Result<Option<Login>, StoreError> {
        let sql = format!(
            "{} WHERE email = $1
             AND tenant_id NOT IN (SELECT tenant_id FROM tenants WHERE disabled_ms IS NOT NULL)",
            users::SELECT
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(email)
            .fetch_optional(&self.read)
            .await?;
        row.map(|row| users::login(&row)).transpose()
    }

    /// Whoever is logged in by this session, while it lasts.
    pub async fn session_gate(
        &self,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Option<TenantContext>, StoreError> {
        let row = sqlx::query(
            "SELECT u.tenant_id, u.user_id, u.email, u.tenant_role, u.venue_roles, u.capabilities
             FROM sessions s JOIN users u ON u.tenant_id = s.tenant_id AND u.user_id = s.user_id
             WHERE s.session_id = $1 AND s.ended_ms IS NULL AND s.expires_ms > $2 AND u.disabled_ms IS NULL
             AND u.tenant_id NOT IN (SELECT tenant_id FROM tenants WHERE disabled_ms IS NOT NULL)",
        )
        .bind(session.as_str())
        .bind(ms(now))
        .fetch_optional(&self.read)
        .await?;
        row.map(|row| users::context(&row, Some(session.clone())))
            .transpose()
    }

    /// Whose refresh token it is or was, whether or not the session lasts.
    pub async fn refresh_gate(&self, token: &Sha256) -> Result<Option<TenantContext>, StoreError> {
        let row = sqlx::query(
            "SELECT u.tenant_id, u.user_id, u.email, u.tenant_role, u.venue_roles, u.capabilities, s.session_id
             FROM refresh_tokens r
             JOIN sessions s ON s.tenant_id = r.tenant_id AND s.session_id = r.session_id
             JOIN users u ON u.tenant_id = s.tenant_id AND u.user_id = s.user_id
             WHERE r.token_sha256 = $1 AND u.disabled_ms IS NULL
             AND u.tenant_id NOT IN (SELECT tenant_id FROM tenants WHERE disabled_ms IS NOT NULL)",
        )
        .bind(token.to_string())
        .fetch_optional(&self.read)
        .await?;
        row.map(|row| {
            let session = parse("a session id", row.try_get("session_id")?)?;
            users::context(&row, Some(session))
        })
        .transpose()
    }

    /// The program with this key, while it is good.
    pub async fn key_gate(
        &self,
        secret: &Sha256,
        now: Timestamp,
    ) -> Result<Option<TenantContext>, StoreError> {
        let row = sqlx::query(
            "SELECT tenant_id, api_key_id, name, scopes, venue_ids FROM api_keys
             WHERE token_sha256 = $1 AND (expires_ms IS NULL OR expires_ms > $2)
             AND tenant_id NOT IN (SELECT tenant_id FROM tenants WHERE disabled_ms IS NOT NULL)",
        )
        .bind(secret.to_string())
        .bind(ms(now))
        .fetch_optional(&self.read)
        .await?;
        row.map(|row| {
            let scopes: Vec<Scope> = from_json("a key's scopes", row.try_get("scopes")?)?;
            let venues: Vec<VenueId> = from_json("a key's venues", row.try_get("venue_ids")?)?;
            let key = Actor::Key {
                id: parse("an API key id", row.try_get("api_key_id")?)?,
                name: row.try_get("name")?,
            };
            let tenant = parse("a tenant id", row.try_get("tenant_id")?)?;
            Ok(TenantContext::somebody(
                tenant,
                key,
                Access::of_key(&scopes, &venues),
            ))
        })
        .transpose()
    }

    /// Whoever was invited by this link, while it is good.
    pub async fn invitation_gate(
        &self,
        token: &Sha256,
        now: Timestamp,
    ) -> Result<Option<Login>, StoreError> {
        let sql = format!(
            "{} WHERE (tenant_id, user_id) IN (SELECT tenant_id, user_id FROM invitations
                WHERE token_sha256 = $1 AND expires_ms > $2)
             AND tenant_id NOT IN (SELECT tenant_id FROM tenants WHERE disabled_ms IS NOT NULL)",
            users::SELECT
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(token.to_string())
            .bind(ms(now))
            .fetch_optional(&self.read)
            .await?;
        row.map(|row| users::login(&row)).transpose()
    }

    /// One context for each tenant, for the control plane's own background work.
    pub async fn all_tenants(&self) -> Result<Vec<TenantContext>, StoreError> {
        let tenants: Vec<String> =
            sqlx::query_scalar("SELECT tenant_id FROM tenants ORDER BY tenant_id")
                .fetch_all(&self.read)
                .await?;
        tenants
            .iter()
            .map(|t| Ok(TenantContext::system(parse("a tenant id", t)?)))
            .collect()
    }

    /// Sets the operator `name` of `tenant` to this token, making both (and the tenant's first venue) if they are new. An earlier
    /// token of the same name is no longer accepted.
    pub async fn put_operator(
        &self,
        tenant: &TenantId,
        name: &str,
        token: &Sha256,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.put_tenant(tenant, tenant.as_str(), now).await?;
        sqlx::query(
            "INSERT INTO operator_tokens (tenant_id, name, token_sha256, created_ms)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant_id, name) DO UPDATE SET token_sha256 = excluded.token_sha256",
        )
        .bind(tenant.as_str())
        .bind(name)
        .bind(token.to_string())
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        Ok(())
    }
}
