//! Pictures and films: what is known of each. Their files are the app's.

use std::collections::BTreeSet;

use fleet_protocol::content::{AssetFailure, AssetKind, AssetStatus, AssetView};
use fleet_protocol::{AssetId, Sha256, UploadId};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{
    Store, StoreError, TenantContext, count, flag, from_json, instant, maybe, ms, parse, signed,
    to_json,
};

/// One asset with its upload.
#[derive(Debug, Clone)]
pub struct AssetRow {
    pub view: AssetView,
    pub upload_id: UploadId,
    pub has_thumbnail: bool,
}

/// An upload that may begin.
#[derive(Debug)]
pub struct NewAsset {
    pub asset_id: AssetId,
    pub upload_id: UploadId,
    pub display_name: String,
    pub file_name: String,
    pub size_bytes: u64,
    pub sha256: Sha256,
}

/// What was seen in a file that can be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssetFacts {
    pub kind: AssetKind,
    pub width_px: u32,
    pub height_px: u32,
    pub duration_ms: Option<u64>,
    pub has_thumbnail: bool,
}

/// Which assets a list shows.
#[derive(Debug, Default, Clone)]
pub struct AssetFilter {
    /// Part of a name or id.
    pub text: Option<String>,
    pub status: Option<AssetStatus>,
}

const COLUMNS: &str =
    "asset_id, upload_id, display_name, file_name, size_bytes, sha256, status, kind, width_px,
    height_px, duration_ms, has_thumbnail, failure, created_ms, status_ms";

pub(super) fn kind(text: &str) -> Result<AssetKind, StoreError> {
    from_json("a kind of asset", &format!("\"{text}\""))
}

fn row(row: &AnyRow) -> Result<AssetRow, StoreError> {
    let status: String = row.try_get("status")?;
    let failure: Option<String> = row.try_get("failure")?;
    let view = AssetView {
        asset_id: parse("an asset id", row.try_get("asset_id")?)?,
        display_name: row.try_get("display_name")?,
        file_name: row.try_get("file_name")?,
        status: parse("a status of an asset", &status)?,
        file_size_bytes: count(row.try_get("size_bytes")?),
        checksum_sha256: parse("a digest", row.try_get("sha256")?)?,
        kind: row
            .try_get::<Option<&str>, _>("kind")?
            .map(kind)
            .transpose()?,
        width_px: maybe(row, "width_px")?,
        height_px: maybe(row, "height_px")?,
        duration_ms: row.try_get::<Option<i64>, _>("duration_ms")?.map(count),
        thumbnail_url: None,
        failure: failure
            .map(|f| from_json("an asset's failure", &f))
            .transpose()?,
        created_at: instant(row.try_get("created_ms")?)?,
        updated_at: instant(row.try_get("status_ms")?)?,
    };
    Ok(AssetRow {
        view,
        upload_id: parse("an upload id", row.try_get("upload_id")?)?,
        has_thumbnail: flag(row, "has_thumbnail")?,
    })
}

impl Store {
    pub async fn add_asset(
        &self,
        ctx: &TenantContext,
        asset: &NewAsset,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO assets (tenant_id, asset_id, upload_id, display_name, file_name, size_bytes, sha256,
                                 status, created_ms, status_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        )
        .bind(ctx.key())
        .bind(asset.asset_id.as_str())
        .bind(asset.upload_id.as_str())
        .bind(&asset.display_name)
        .bind(&asset.file_name)
        .bind(signed(asset.size_bytes))
        .bind(asset.sha256.to_string())
        .bind(AssetStatus::Uploading.name())
        .bind(ms(now))
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// One page ordered by id.
    pub async fn assets(
        &self,
        ctx: &TenantContext,
        filter: &AssetFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AssetRow>, StoreError> {
        let text = "display_name || ' ' || file_name || ' ' || asset_id";
        let contains = self.dialect.contains(text, "$3");
        let sql = format!(
            "SELECT {COLUMNS} FROM assets
             WHERE tenant_id = $1 AND ($2 IS NULL OR asset_id > $2)
               AND ($3 IS NULL OR {contains})
               AND ($4 IS NULL OR status = $4)
             ORDER BY asset_id LIMIT $5"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(after)
            .bind(&filter.text)
            .bind(filter.status.map(AssetStatus::name))
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(row).collect()
    }

    pub async fn asset(
        &self,
        ctx: &TenantContext,
        id: &AssetId,
    ) -> Result<Option<AssetRow>, StoreError> {
        self.asset_by(ctx, "asset_id", id.as_str()).await
    }

    pub async fn asset_of_upload(
        &self,
        ctx: &TenantContext,
        id: &UploadId,
    ) -> Result<Option<AssetRow>, StoreError> {
        self.asset_by(ctx, "upload_id", id.as_str()).await
    }

    async fn asset_by(
        &self,
        ctx: &TenantContext,
        column: &'static str,
        id: &str,
    ) -> Result<Option<AssetRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM assets WHERE tenant_id = $1 AND {column} = $2");
        self.row(ctx, sql, id, row).await
    }

    /// Those in this status since `until` or longer, oldest first.
    pub async fn assets_waiting(
        &self,
        ctx: &TenantContext,
        status: AssetStatus,
        until: Timestamp,
    ) -> Result<Vec<AssetRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM assets WHERE tenant_id = $1 AND status = $2 AND status_ms <= $3
             ORDER BY status_ms, asset_id LIMIT 1000"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(status.name())
            .bind(ms(until))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(row).collect()
    }

    /// False: it is not being uploaded (any more).
    pub async fn asset_received(
        &self,
        ctx: &TenantContext,
        id: &AssetId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE assets SET status = $1, status_ms = $2
             WHERE tenant_id = $3 AND asset_id = $4 AND status = $5",
        )
        .bind(AssetStatus::Processing.name())
        .bind(ms(now))
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(AssetStatus::Uploading.name())
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// It can be played from now on. False: it has failed or is gone meanwhile.
    pub async fn asset_ready(
        &self,
        ctx: &TenantContext,
        id: &AssetId,
        facts: &AssetFacts,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE assets SET status = $1, status_ms = $2, kind = $3, width_px = $4, height_px = $5,
                 duration_ms = $6, has_thumbnail = $7
             WHERE tenant_id = $8 AND asset_id = $9 AND status = $10",
        )
        .bind(AssetStatus::Ready.name())
        .bind(ms(now))
        .bind(to_json(&facts.kind).trim_matches('"'))
        .bind(i64::from(facts.width_px))
        .bind(i64::from(facts.height_px))
        .bind(facts.duration_ms.map(signed))
        .bind(i64::from(facts.has_thumbnail))
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(AssetStatus::Processing.name())
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// It never will be played. False: it is ready, or gone.
    pub async fn asset_failed(
        &self,
        ctx: &TenantContext,
        id: &AssetId,
        failure: &AssetFailure,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE assets SET status = $1, status_ms = $2, failure = $3
             WHERE tenant_id = $4 AND asset_id = $5 AND status <> $6",
        )
        .bind(AssetStatus::Failed.name())
        .bind(ms(failure.failed_at_utc))
        .bind(to_json(failure))
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(AssetStatus::Ready.name())
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The digests of all files that some asset has or is to have, and the ids of assets that can be played.
    pub async fn asset_files(
        &self,
        ctx: &TenantContext,
    ) -> Result<(BTreeSet<String>, BTreeSet<String>), StoreError> {
        let rows = sqlx::query("SELECT asset_id, sha256, status FROM assets WHERE tenant_id = $1")
            .bind(ctx.key())
            .fetch_all(&self.read)
            .await?;
        let (mut files, mut ready) = (BTreeSet::new(), BTreeSet::new());
        for row in &rows {
            let status: String = row.try_get("status")?;
            if status != AssetStatus::Failed.name() {
                files.insert(row.try_get("sha256")?);
            }
            if status == AssetStatus::Ready.name() {
                ready.insert(row.try_get("asset_id")?);
            }
        }
        Ok((files, ready))
    }

    /// Names of playlists whose draft or published version shows it; a few.
    pub async fn playlists_with(
        &self,
        ctx: &TenantContext,
        id: &AssetId,
    ) -> Result<Vec<String>, StoreError> {
        let draft = self.dialect.json_each("p.items");
        let published = self.dialect.json_each("q.items");
        let sql = format!(
            "SELECT name FROM playlists p
             WHERE tenant_id = $1 AND (
                 EXISTS (SELECT 1 FROM {draft} AS i WHERE i.value ->> 'assetId' = $2)
                 OR EXISTS (SELECT 1 FROM playlists_published q, {published} AS i
                     WHERE q.tenant_id = $1 AND q.playlist_id = p.playlist_id AND q.version = p.published
                       AND i.value ->> 'assetId' = $2))
             ORDER BY name LIMIT 5"
        );
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(id.as_str())
            .fetch_all(&self.read)
            .await?)
    }

    /// Whether another asset has the very same file.
    pub async fn file_is_shared(
        &self,
        ctx: &TenantContext,
        id: &AssetId,
        sha256: &Sha256,
    ) -> Result<bool, StoreError> {
        let others: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM assets
             WHERE tenant_id = $1 AND sha256 = $2 AND asset_id <> $3 AND status <> $4",
        )
        .bind(ctx.key())
        .bind(sha256.to_string())
        .bind(id.as_str())
        .bind(AssetStatus::Failed.name())
        .fetch_one(&self.read)
        .await?;
        Ok(others > 0)
    }

    /// False: there is none.
    pub async fn delete_asset(
        &self,
        ctx: &TenantContext,
        id: &AssetId,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM assets WHERE tenant_id = $1 AND asset_id = $2";
        self.change_row(ctx, sql, id.as_str()).await
    }
}
