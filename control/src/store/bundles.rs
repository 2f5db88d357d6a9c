//! Bundles that are here, and which releases refer to them.

use fleet_protocol::release::StoredBundle;
use fleet_protocol::{Sha256, Version};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Store, StoreError, TenantContext, count, instant, ms, parse, signed};

fn stored(row: &AnyRow) -> Result<StoredBundle, StoreError> {
    let versions: String = row.try_get("versions")?;
    let versions = versions.split_whitespace().map(|v| parse("a version", v));
    let mut releases = versions.collect::<Result<Vec<Version>, _>>()?;
    releases.sort();
    Ok(StoredBundle {
        sha256: parse("a digest", row.try_get("sha256")?)?,
        size_bytes: count(row.try_get("size_bytes")?),
        received_at: instant(row.try_get("received_ms")?)?,
        releases,
    })
}

impl Store {
    pub async fn add_bundle(
        &self,
        ctx: &TenantContext,
        sha256: &Sha256,
        size_bytes: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO bundles (tenant_id, sha256, size_bytes, received_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
        )
        .bind(ctx.key())
        .bind(sha256.to_string())
        .bind(signed(size_bytes))
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Its size, if this tenant has it.
    pub async fn bundle_size(
        &self,
        ctx: &TenantContext,
        sha256: &Sha256,
    ) -> Result<Option<u64>, StoreError> {
        let size: Option<i64> = sqlx::query_scalar(
            "SELECT size_bytes FROM bundles WHERE tenant_id = $1 AND sha256 = $2",
        )
        .bind(ctx.key())
        .bind(sha256.to_string())
        .fetch_optional(&self.read)
        .await?;
        Ok(size.map(count))
    }

    /// All of them, newest first; there are about as many as releases.
    pub async fn bundles(&self, ctx: &TenantContext) -> Result<Vec<StoredBundle>, StoreError> {
        let rows = sqlx::query(
            "SELECT b.sha256, b.size_bytes, b.received_ms,
                    coalesce(string_agg(r.version, ' '), '') AS versions
             FROM bundles b LEFT JOIN releases r
               ON r.tenant_id = b.tenant_id AND r.bundle_sha256 = b.sha256
             WHERE b.tenant_id = $1 GROUP BY b.sha256, b.size_bytes, b.received_ms
             ORDER BY b.received_ms DESC, b.sha256",
        )
        .bind(ctx.key())
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(stored).collect()
    }

    /// Forgets a bundle that no release refers to. False: one does, or it is not here.
    pub async fn forget_bundle(
        &self,
        ctx: &TenantContext,
        sha256: &Sha256,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM bundles WHERE tenant_id = $1 AND sha256 = $2 AND NOT EXISTS (
                 SELECT 1 FROM releases WHERE tenant_id = $1 AND bundle_sha256 = $2)";
        self.change_row(ctx, sql, &sha256.to_string()).await
    }
}
