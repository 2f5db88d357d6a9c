//! The record of what was done. Rows are added and never changed; each carries the hash of the one before.

use fleet_protocol::Sha256;
use fleet_protocol::access::AuditEntry;
use sqlx::Row as _;

use super::dialect::Held;
use super::{Store, StoreError, TenantContext, from_json, ms, parse, signed, to_json};

/// Before the first entry.
pub(crate) const BEGINNING: Sha256 = Sha256::from_bytes([0; 32]);

impl Store {
    /// Appends `entry`, whose sequence and hashes are set here.
    pub async fn append_audit(
        &self,
        ctx: &TenantContext,
        mut entry: AuditEntry,
    ) -> Result<(), StoreError> {
        let mut tx = self.write.begin().await?;
        self.hold(&mut tx, ctx, Held::Tenant).await?;
        let last = sqlx::query(
            "SELECT sequence, hash FROM audit WHERE tenant_id = $1 ORDER BY sequence DESC LIMIT 1",
        )
        .bind(ctx.key())
        .fetch_optional(&mut *tx)
        .await?;
        (entry.sequence, entry.previous_hash) = match last {
            Some(row) => {
                let sequence: i64 = row.try_get("sequence")?;
                (
                    super::count(sequence) + 1,
                    parse("a hash", row.try_get("hash")?)?,
                )
            }
            None => (1, BEGINNING),
        };
        entry.tenant_id = ctx.tenant().clone();
        let hash = entry.expected_hash();
        entry.hash = Some(hash);
        sqlx::query(
            "INSERT INTO audit (tenant_id, sequence, at_ms, actor, hash, entry) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(ctx.key())
        .bind(signed(entry.sequence))
        .bind(ms(entry.at))
        .bind(&entry.actor)
        .bind(hash.to_string())
        .bind(to_json(&entry))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// One page, newest first; `text` is part of the entry.
    pub async fn audit(
        &self,
        ctx: &TenantContext,
        text: Option<&str>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let contains = self.dialect.contains("entry", "$3");
        let sql = format!(
            "SELECT entry FROM audit WHERE tenant_id = $1 AND ($2 IS NULL OR sequence < $2)
             AND ($3 IS NULL OR {contains}) ORDER BY sequence DESC LIMIT $4"
        );
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(before)
            .bind(text)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.iter()
            .map(|text| from_json("an audit entry", text))
            .collect()
    }

    /// Up to `limit` entries after the one with sequence `after`, oldest first: sequence, and what was written.
    pub async fn audit_after(
        &self,
        ctx: &TenantContext,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, String)>, StoreError> {
        let rows = sqlx::query(
            "SELECT sequence, entry FROM audit WHERE tenant_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
        )
        .bind(ctx.key())
        .bind(signed(after))
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                let sequence: i64 = row.try_get("sequence")?;
                Ok((super::count(sequence), row.try_get("entry")?))
            })
            .collect()
    }
}
