//! Releases, and the chain of key sets.

use fleet_protocol::Version;
use fleet_protocol::release::ReleaseStatus;
use fleet_protocol::trust::{Envelope, ReleaseMetadata};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Store, StoreError, TenantContext, count, from_json, instant, ms, parse, to_json};

#[derive(Debug, Clone)]
pub struct ReleaseRow {
    pub envelope: Envelope,
    pub metadata: ReleaseMetadata,
    pub status: ReleaseStatus,
    pub published_at: Timestamp,
    pub device_count: u64,
}

/// What became of a key set that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySetAdded {
    Added,
    /// The very same document was there.
    AlreadyThere,
    /// Another document has that version.
    Different,
}

const RELEASE: &str = "SELECT envelope, status, published_ms,
        (SELECT count(*) FROM devices d WHERE d.tenant_id = r.tenant_id
            AND d.version = r.version AND d.revoked_ms IS NULL) AS device_count
    FROM releases r WHERE tenant_id = $1";

fn release(row: &AnyRow) -> Result<ReleaseRow, StoreError> {
    let envelope: Envelope = from_json("a release", row.try_get("envelope")?)?;
    let metadata = ReleaseMetadata::read(&envelope).map_err(|e| StoreError::Corrupt {
        what: "release metadata",
        text: String::new(),
        reason: e.to_string(),
    })?;
    Ok(ReleaseRow {
        envelope,
        metadata,
        status: parse("a release status", row.try_get("status")?)?,
        published_at: instant(row.try_get("published_ms")?)?,
        device_count: count(row.try_get("device_count")?),
    })
}

impl Store {
    /// False: a release of that version is there already.
    pub async fn add_release(
        &self,
        ctx: &TenantContext,
        envelope: &Envelope,
        metadata: &ReleaseMetadata,
        status: ReleaseStatus,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO releases (tenant_id, version, compatible, root_hash, bundle_sha256,
                                   envelope, status, published_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        )
        .bind(ctx.key())
        .bind(metadata.version.to_string())
        .bind(metadata.compatible.as_str())
        .bind(metadata.root_hash.to_string())
        .bind(metadata.bundle.sha256.to_string())
        .bind(to_json(envelope))
        .bind(status.name())
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    pub async fn release(
        &self,
        ctx: &TenantContext,
        version: &Version,
    ) -> Result<Option<ReleaseRow>, StoreError> {
        let sql = format!("{RELEASE} AND version = $2");
        self.row(ctx, sql, &version.to_string(), release).await
    }

    /// All releases, newest version first; there are few of them.
    pub async fn releases(
        &self,
        ctx: &TenantContext,
        status: Option<ReleaseStatus>,
    ) -> Result<Vec<ReleaseRow>, StoreError> {
        let sql = format!("{RELEASE} AND ($2 IS NULL OR status = $2)");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(status.map(ReleaseStatus::name))
            .fetch_all(&self.read)
            .await?;
        let mut releases: Vec<_> = rows.iter().map(release).collect::<Result<_, _>>()?;
        releases.sort_by(|a, b| b.metadata.version.cmp(&a.metadata.version));
        Ok(releases)
    }

    /// False: no such release.
    pub async fn set_release_status(
        &self,
        ctx: &TenantContext,
        version: &Version,
        status: ReleaseStatus,
    ) -> Result<bool, StoreError> {
        let done =
            sqlx::query("UPDATE releases SET status = $1 WHERE tenant_id = $2 AND version = $3")
                .bind(status.name())
                .bind(ctx.key())
                .bind(version.to_string())
                .execute(&self.write)
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The chain in order, above a version.
    pub async fn key_sets(
        &self,
        ctx: &TenantContext,
        above: u32,
    ) -> Result<Vec<Envelope>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT envelope FROM key_sets WHERE tenant_id = $1 AND version > $2 ORDER BY version",
        )
        .bind(ctx.key())
        .bind(i64::from(above))
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|e| from_json("a key set", e)).collect()
    }

    pub async fn add_key_set(
        &self,
        ctx: &TenantContext,
        version: u32,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<KeySetAdded, StoreError> {
        let text = to_json(envelope);
        let done = sqlx::query(
            "INSERT INTO key_sets (tenant_id, version, envelope, received_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
        )
        .bind(ctx.key())
        .bind(i64::from(version))
        .bind(&text)
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(KeySetAdded::Added);
        }
        let there: String = sqlx::query_scalar(
            "SELECT envelope FROM key_sets WHERE tenant_id = $1 AND version = $2",
        )
        .bind(ctx.key())
        .bind(i64::from(version))
        .fetch_one(&self.read)
        .await?;
        Ok(if there == text {
            KeySetAdded::AlreadyThere
        } else {
            KeySetAdded::Different
        })
    }
}
