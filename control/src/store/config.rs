//! Configuration documents by scope; every version is kept.

use fleet_protocol::device::ConfigView;
use jiff::Timestamp;
use sqlx::Row as _;

use super::dialect::Held;
use super::{Store, StoreError, TenantContext, count, from_json, instant, ms, to_json};

impl Store {
    /// Adds a version, and says which it is. With `expected`, only if that is the scope's present
    /// version (0: none); else `Err` of the present one within `Ok`.
    pub async fn put_config(
        &self,
        ctx: &TenantContext,
        scope: &str,
        document: &serde_json::Map<String, serde_json::Value>,
        expected: Option<u64>,
        now: Timestamp,
    ) -> Result<Result<u64, u64>, StoreError> {
        let mut tx = self.write.begin().await?;
        self.hold(&mut tx, ctx, Held::Tenant).await?;
        let row = sqlx::query(
            "SELECT coalesce(max(version), 0) AS last,
                    coalesce(max(CASE WHEN scope = $2 THEN version END), 0) AS present
             FROM config_documents WHERE tenant_id = $1",
        )
        .bind(ctx.key())
        .bind(scope)
        .fetch_one(&mut *tx)
        .await?;
        let present = count(row.try_get("present")?);
        if expected.is_some_and(|e| e != present) {
            return Ok(Err(present));
        }
        let version: i64 = row.try_get::<i64, _>("last")? + 1;
        sqlx::query(
            "INSERT INTO config_documents (tenant_id, version, scope, document, created_ms)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(ctx.key())
        .bind(version)
        .bind(scope)
        .bind(to_json(document))
        .bind(ms(now))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Ok(count(version)))
    }

    /// The scope's present document.
    pub async fn config(
        &self,
        ctx: &TenantContext,
        scope: &str,
    ) -> Result<Option<ConfigView>, StoreError> {
        let row = sqlx::query(
            "SELECT version, document, created_ms FROM config_documents
             WHERE tenant_id = $1 AND scope = $2 ORDER BY version DESC LIMIT 1",
        )
        .bind(ctx.key())
        .bind(scope)
        .fetch_optional(&self.read)
        .await?;
        row.map(|row| {
            Ok(ConfigView {
                scope: scope.to_owned(),
                version: count(row.try_get("version")?),
                document: from_json("a configuration", row.try_get("document")?)?,
                created_at: instant(row.try_get("created_ms")?)?,
            })
        })
        .transpose()
    }
}
