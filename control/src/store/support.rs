//! Support bundles that devices sent.

use fleet_protocol::DeviceId;
use fleet_protocol::device::SupportBundleView;
use sqlx::Row as _;

use super::{Store, StoreError, TenantContext, count, instant, ms, parse, signed};

impl Store {
    pub async fn put_support_bundle(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        bundle: &SupportBundleView,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO support_bundles
                 (tenant_id, device_id, name, size_bytes, sha256, received_ms)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (tenant_id, device_id, name) DO UPDATE SET
                 size_bytes = excluded.size_bytes, sha256 = excluded.sha256,
                 received_ms = excluded.received_ms",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(&bundle.name)
        .bind(signed(bundle.size_bytes))
        .bind(bundle.sha256.to_string())
        .bind(ms(bundle.received_at))
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Newest first.
    pub async fn support_bundles(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
    ) -> Result<Vec<SupportBundleView>, StoreError> {
        let rows = sqlx::query(
            "SELECT name, size_bytes, sha256, received_ms FROM support_bundles
             WHERE tenant_id = $1 AND device_id = $2 ORDER BY received_ms DESC, name",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(SupportBundleView {
                    name: row.try_get("name")?,
                    size_bytes: count(row.try_get("size_bytes")?),
                    sha256: parse("a digest", row.try_get("sha256")?)?,
                    received_at: instant(row.try_get::<i64, _>("received_ms")?)?,
                })
            })
            .collect()
    }

    pub async fn forget_support_bundle(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        name: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM support_bundles WHERE tenant_id = $1 AND device_id = $2 AND name = $3",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(name)
        .execute(&self.write)
        .await?;
        Ok(())
    }
}
