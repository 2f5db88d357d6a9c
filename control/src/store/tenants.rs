//! Tenants themselves: for whoever runs the control plane, not for anybody who logs in.

use fleet_protocol::TenantId;
use jiff::Timestamp;
use sqlx::Row as _;

use super::{DEFAULT_VENUE, Store, StoreError, TenantContext, count, instant, ms, parse};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRow {
    pub tenant_id: TenantId,
    pub name: String,
    pub created_at: Timestamp,
    pub disabled_at: Option<Timestamp>,
    pub users: u64,
    pub devices: u64,
}

impl Store {
    /// Makes the tenant, with its first venue, if it is new.
    pub async fn put_tenant(
        &self,
        tenant: &TenantId,
        name: &str,
        now: Timestamp,
    ) -> Result<TenantContext, StoreError> {
        let mut tx = self.write.begin().await?;
        sqlx::query(
            "INSERT INTO tenants (tenant_id, name, created_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(tenant.as_str())
        .bind(name)
        .bind(ms(now))
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO venues (tenant_id, venue_id, name, timezone, created_ms, updated_ms)
             VALUES ($1, $2, 'Default', 'UTC', $3, $3) ON CONFLICT DO NOTHING",
        )
        .bind(tenant.as_str())
        .bind(DEFAULT_VENUE)
        .bind(ms(now))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(TenantContext::system(tenant.clone()))
    }

    /// What the organisation calls itself.
    pub async fn tenant_name(&self, ctx: &TenantContext) -> Result<String, StoreError> {
        let name = sqlx::query_scalar("SELECT name FROM tenants WHERE tenant_id = $1")
            .bind(ctx.key())
            .fetch_one(&self.read)
            .await?;
        Ok(name)
    }

    /// Gives it another name. False: there is no such tenant.
    pub async fn rename_tenant(&self, tenant: &TenantId, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE tenants SET name = $2 WHERE tenant_id = $1")
            .bind(tenant.as_str())
            .bind(name)
            .execute(&self.write)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    pub async fn tenants(&self) -> Result<Vec<TenantRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT t.tenant_id, t.name, t.created_ms, t.disabled_ms,
                (SELECT count(*) FROM users u WHERE u.tenant_id = t.tenant_id) AS users,
                (SELECT count(*) FROM devices d WHERE d.tenant_id = t.tenant_id AND d.revoked_ms IS NULL) AS devices
             FROM tenants t ORDER BY t.tenant_id",
        )
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                let disabled: Option<i64> = row.try_get("disabled_ms")?;
                Ok(TenantRow {
                    tenant_id: parse("a tenant id", row.try_get("tenant_id")?)?,
                    name: row.try_get("name")?,
                    created_at: instant(row.try_get("created_ms")?)?,
                    disabled_at: disabled.map(instant).transpose()?,
                    users: count(row.try_get("users")?),
                    devices: count(row.try_get("devices")?),
                })
            })
            .collect()
    }

    /// From the next request on, nobody and nothing of the tenant is let in, or all are again. False: there is no
    /// such tenant.
    pub async fn disable_tenant(
        &self,
        tenant: &TenantId,
        since: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE tenants SET disabled_ms = $2 WHERE tenant_id = $1")
            .bind(tenant.as_str())
            .bind(since.map(ms))
            .execute(&self.write)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}
