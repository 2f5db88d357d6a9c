//! Keys of programs.

use fleet_protocol::access::{ApiKeyView, Scope};
use fleet_protocol::{ApiKeyId, Sha256, VenueId};
use jiff::{SignedDuration, Timestamp};
use sqlx::Row as _;

use super::{Store, StoreError, TenantContext, from_json, instant, ms, parse, to_json};

/// Last use is noted no more often than this.
const USE_NOTED: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug)]
pub struct NewApiKey {
    pub api_key_id: ApiKeyId,
    pub name: String,
    pub secret: Sha256,
    pub scopes: Vec<Scope>,
    pub venue_ids: Vec<VenueId>,
    pub expires_at: Option<Timestamp>,
}

impl Store {
    pub async fn add_api_key(
        &self,
        ctx: &TenantContext,
        key: &NewApiKey,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO api_keys (tenant_id, api_key_id, name, token_sha256, scopes, venue_ids, created_ms, expires_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(ctx.key())
        .bind(key.api_key_id.as_str())
        .bind(&key.name)
        .bind(key.secret.to_string())
        .bind(to_json(&key.scopes))
        .bind(to_json(&key.venue_ids))
        .bind(ms(now))
        .bind(key.expires_at.map(ms))
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// One page ordered by id.
    pub async fn api_keys(
        &self,
        ctx: &TenantContext,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ApiKeyView>, StoreError> {
        let rows = sqlx::query(
            "SELECT api_key_id, name, scopes, venue_ids, created_ms, expires_ms, last_used_ms FROM api_keys
             WHERE tenant_id = $1 AND ($2 IS NULL OR api_key_id > $2) ORDER BY api_key_id LIMIT $3",
        )
        .bind(ctx.key())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                let at = |column: &str| -> Result<Option<Timestamp>, StoreError> {
                    let at: Option<i64> = row.try_get(column)?;
                    at.map(instant).transpose()
                };
                Ok(ApiKeyView {
                    api_key_id: parse("an API key id", row.try_get("api_key_id")?)?,
                    name: row.try_get("name")?,
                    scopes: from_json("a key's scopes", row.try_get("scopes")?)?,
                    venue_ids: from_json("a key's venues", row.try_get("venue_ids")?)?,
                    created_at: instant(row.try_get("created_ms")?)?,
                    expires_at: at("expires_ms")?,
                    last_used_at: at("last_used_ms")?,
                })
            })
            .collect()
    }

    /// False: there is none.
    pub async fn remove_api_key(
        &self,
        ctx: &TenantContext,
        id: &ApiKeyId,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM api_keys WHERE tenant_id = $1 AND api_key_id = $2";
        self.change_row(ctx, sql, id.as_str()).await
    }

    /// Notes that the key is in use, to the hour.
    pub async fn note_key_use(
        &self,
        ctx: &TenantContext,
        id: &ApiKeyId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let stale: Option<i64> = sqlx::query_scalar(
            "SELECT 1 FROM api_keys WHERE tenant_id = $1 AND api_key_id = $2
             AND (last_used_ms IS NULL OR last_used_ms < $3)",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(ms(now - USE_NOTED))
        .fetch_optional(&self.read)
        .await?;
        if stale.is_some() {
            sqlx::query(
                "UPDATE api_keys SET last_used_ms = $3 WHERE tenant_id = $1 AND api_key_id = $2",
            )
            .bind(ctx.key())
            .bind(id.as_str())
            .bind(ms(now))
            .execute(&self.write)
            .await?;
        }
        Ok(())
    }
}
