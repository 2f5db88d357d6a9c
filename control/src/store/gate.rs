//! The gate: the only queries without a tenant, because they find out which one it is.

use fleet_protocol::{DeviceId, Sha256, TenantId};
use jiff::Timestamp;
use sqlx::Row as _;

use super::{Store, StoreError, TenantContext, ms, parse};

impl Store {
    /// The operator with this token.
    pub async fn operator(&self, token: &Sha256) -> Result<Option<TenantContext>, StoreError> {
        let row = sqlx::query("SELECT tenant_id, name FROM operator_tokens WHERE token_sha256 = ?")
            .bind(token.to_string())
            .fetch_optional(&self.read)
            .await?;
        row.map(|row| {
            let tenant = parse("a tenant id", row.try_get("tenant_id")?)?;
            Ok(TenantContext::operator(tenant, row.try_get("name")?))
        })
        .transpose()
    }

    /// The device `id`, if the token is its own and it is not revoked.
    pub async fn device_gate(
        &self,
        id: &DeviceId,
        token: &Sha256,
    ) -> Result<Option<TenantContext>, StoreError> {
        let tenant: Option<String> = sqlx::query_scalar(
            "SELECT tenant_id FROM devices
             WHERE device_id = ? AND token_sha256 = ? AND revoked_ms IS NULL",
        )
        .bind(id.as_str())
        .bind(token.to_string())
        .fetch_optional(&self.read)
        .await?;
        tenant
            .map(|t| Ok(TenantContext::device(parse("a tenant id", &t)?, id.clone())))
            .transpose()
    }

    /// The tenant that gave out this enrolment token, whether or not it can still be used.
    pub async fn enrolment_gate(
        &self,
        token: &Sha256,
    ) -> Result<Option<TenantContext>, StoreError> {
        let tenant: Option<String> =
            sqlx::query_scalar("SELECT tenant_id FROM enrolment_tokens WHERE token_sha256 = ?")
                .bind(token.to_string())
                .fetch_optional(&self.read)
                .await?;
        tenant
            .map(|t| Ok(TenantContext::enrolment(parse("a tenant id", &t)?)))
            .transpose()
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

    /// Sets the operator `name` of `tenant` to this token, making both if they are new. An earlier
    /// token of the same name is no longer accepted.
    pub async fn put_operator(
        &self,
        tenant: &TenantId,
        name: &str,
        token: &Sha256,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write.begin().await?;
        sqlx::query(
            "INSERT INTO tenants (tenant_id, name, created_ms) VALUES (?1, ?1, ?2)
             ON CONFLICT DO NOTHING",
        )
        .bind(tenant.as_str())
        .bind(ms(now))
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO operator_tokens (tenant_id, name, token_sha256, created_ms)
             VALUES (?, ?, ?, ?)
             ON CONFLICT (tenant_id, name) DO UPDATE SET token_sha256 = excluded.token_sha256",
        )
        .bind(tenant.as_str())
        .bind(name)
        .bind(token.to_string())
        .bind(ms(now))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}
