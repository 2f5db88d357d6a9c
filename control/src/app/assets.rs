//! Assets: uploaded in parts under an announced digest, stored once for each content, looked at before they count.

use std::io::ErrorKind;
use std::path::PathBuf;

use bytes::Bytes;
use fleet_protocol::content::{
    AssetFailure, AssetKind, AssetStatus, AssetView, CreateUpload, FailureReason, UploadSession,
};
use fleet_protocol::device::Page;
use fleet_protocol::{AssetId, Sha256, UploadId};
use futures_util::Stream;
use jiff::SignedDuration;
use tokio::fs::File;

use super::bundles::BundleFile;
use super::enrolment::check_name;
use super::error::{Error, Kind, Refusal, no_such};
use super::resume::{self, Part, Progress};
use super::upload::BodyError;
use super::{App, PageRequest};
use crate::clock::random_id;
use crate::disk::{self, failed};
use crate::store::{AssetFilter, AssetRow, NewAsset, TenantContext};

pub(super) const FOLDER: &str = "assets";
const ASSET_LIST: &str = "`fleet asset list` (GET /v1/library/assets)";
/// Seed 003, §13.5.
pub(super) const UPLOAD_WITHIN: SignedDuration = SignedDuration::from_mins(60);

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upload {
    Whole,
    Partly,
}

impl App {
    pub(super) fn asset_path(&self, ctx: &TenantContext, sha256: &Sha256) -> PathBuf {
        self.tenant_folder(ctx, FOLDER).join(sha256.to_string())
    }

    pub(super) fn thumbnail_path(&self, ctx: &TenantContext, id: &AssetId) -> PathBuf {
        self.tenant_folder(ctx, FOLDER).join(format!("{id}.jpg"))
    }

    fn partial_asset_path(&self, ctx: &TenantContext, id: &UploadId) -> PathBuf {
        resume::partial_path(&self.tenant_folder(ctx, FOLDER), id)
    }

    pub async fn create_upload(
        &self,
        ctx: &TenantContext,
        request: CreateUpload,
    ) -> Result<UploadSession, Error> {
        check_name("fileName", &request.file_name)?;
        let display_name = request
            .display_name
            .unwrap_or_else(|| request.file_name.clone());
        check_name("displayName", &display_name)?;
        let most = self.settings.media.largest();
        if !(1..=most).contains(&request.file_size_bytes) {
            let message = format!("{} is not within 1 and {most}", request.file_size_bytes);
            let hint = "make the file smaller, or let the administrator raise the limit";
            return Err(Refusal::field("fileSizeBytes", message, hint).into());
        }
        let now = self.now();
        let asset = NewAsset {
            asset_id: random_id("ast_"),
            upload_id: random_id("upl_"),
            display_name,
            file_name: request.file_name,
            size_bytes: request.file_size_bytes,
            sha256: request.checksum_sha256,
        };
        self.store.add_asset(ctx, &asset, now).await?;
        Ok(UploadSession {
            upload_url: format!("/v1/library/assets/uploads/{}/content", asset.upload_id),
            upload_id: asset.upload_id,
            asset_id: asset.asset_id,
            expires_at_utc: now + UPLOAD_WITHIN,
        })
    }

    /// Takes the file, or the next part of it. A broken connection loses nothing that arrived.
    ///
    /// # Errors
    /// 409 when the upload is over; 422 (and the asset has failed) when the whole is not what was announced; see
    /// `resume::receive` for others.
    pub async fn put_upload<S>(
        &self,
        ctx: &TenantContext,
        id: &UploadId,
        part: Part,
        body: S,
    ) -> Result<Upload, Error>
    where
        S: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        let asset = self.open_upload(ctx, id).await?;
        let (size, sha256) = (asset.file_size_bytes, asset.checksum_sha256);
        let named = self.asset_path(ctx, &sha256);
        if self.is_here(ctx, &asset).await? {
            return Ok(Upload::Whole);
        }
        let path = self.partial_asset_path(ctx, id);
        let progress = resume::receive(&self.uploads, &path, &sha256, part, size, body).await;
        match progress {
            Ok(Progress::Partial) => Ok(Upload::Partly),
            // The turn is held until the file has its name.
            Ok(Progress::Whole(found, _turn)) if found == size => {
                let _shelf = self.shelf().await?;
                let renamed = tokio::task::spawn_blocking(move || disk::rename(&path, &named));
                renamed.await.expect("renaming does not panic")?;
                Ok(Upload::Whole)
            }
            Ok(Progress::Whole(found, _turn)) => Err(self.other_size(ctx, &asset, found).await?),
            Err(Error::Refused(refusal)) if refusal.code == "DIGEST_MISMATCH" => {
                let detail = format!(
                    "What arrived is not what was announced: {}.",
                    refusal.detail
                );
                let reason = FailureReason::ChecksumMismatch;
                self.fail_asset(ctx, &asset, reason, detail).await?;
                let hint =
                    "begin another upload: `fleet asset upload` (POST /v1/library/assets/uploads)";
                let hint = hint.to_owned();
                Err(Refusal { hint, ..*refusal }.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the content that was announced is here, by this upload or an earlier one.
    ///
    /// # Errors
    /// 422 (and the asset has failed) when it is, and has another size than was announced.
    async fn is_here(&self, ctx: &TenantContext, asset: &AssetView) -> Result<bool, Error> {
        let path = self.asset_path(ctx, &asset.checksum_sha256);
        match tokio::fs::metadata(&path).await {
            Ok(file) if file.len() == asset.file_size_bytes => Ok(true),
            Ok(file) => Err(self.other_size(ctx, asset, file.len()).await?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("look at", &path)(error).into()),
        }
    }

    async fn other_size(
        &self,
        ctx: &TenantContext,
        asset: &AssetView,
        found: u64,
    ) -> Result<Error, Error> {
        let announced = asset.file_size_bytes;
        let detail = format!("The file has {found} bytes, {announced} were announced.");
        let reason = FailureReason::ChecksumMismatch;
        self.fail_asset(ctx, asset, reason, detail.clone()).await?;
        let hint = "begin another upload with the file's own size";
        Ok(Refusal::field("fileSizeBytes", detail, hint).into())
    }

    async fn open_upload(&self, ctx: &TenantContext, id: &UploadId) -> Result<AssetView, Error> {
        let asset = self.upload(ctx, id).await?.view;
        let expired = self.now().duration_since(asset.created_at) > UPLOAD_WITHIN;
        if asset.status == AssetStatus::Uploading && !expired {
            return Ok(asset);
        }
        let detail = if expired {
            "the upload took more than an hour".to_owned()
        } else {
            format!("the upload is over: its asset is {}", asset.status.name())
        };
        let hint = "begin another one: `fleet asset upload` (POST /v1/library/assets/uploads)";
        Err(Refusal::new(Kind::Conflict, "UPLOAD_CLOSED", detail, hint).into())
    }

    async fn upload(&self, ctx: &TenantContext, id: &UploadId) -> Result<AssetRow, Error> {
        let found = self.store.asset_of_upload(ctx, id).await?;
        found.ok_or_else(|| no_such("upload", id, ASSET_LIST))
    }

    /// All of it is here: it is looked at as soon as there is time. Saying so again changes nothing.
    pub async fn complete_upload(
        &self,
        ctx: &TenantContext,
        id: &UploadId,
    ) -> Result<AssetView, Error> {
        let row = self.upload(ctx, id).await?;
        if row.view.status != AssetStatus::Uploading {
            return Ok(dressed(row));
        }
        let asset = self.open_upload(ctx, id).await?;
        if !self.is_here(ctx, &asset).await? {
            let here = resume::received(&self.partial_asset_path(ctx, id)).await?;
            let detail = format!("{here} of {} bytes are here", asset.file_size_bytes);
            let hint = "send the rest to the upload's uploadUrl first, from receivedBytes on (of all, the last byte)";
            let refusal = Refusal::new(Kind::Conflict, "UPLOAD_INCOMPLETE", detail, hint);
            return Err(refusal.with("receivedBytes", here).into());
        }
        self.store
            .asset_received(ctx, &asset.asset_id, self.now())
            .await?;
        self.looks.notify_one();
        self.asset(ctx, &asset.asset_id).await
    }

    pub async fn assets(
        &self,
        ctx: &TenantContext,
        filter: &AssetFilter,
        page: &PageRequest,
    ) -> Result<Page<AssetView>, Error> {
        let (cursor, limit) = (page.cursor.as_deref(), page.with_one_more());
        let rows = self.store.assets(ctx, filter, cursor, limit).await?;
        Ok(page.page(rows, |row| row.view.asset_id.to_string(), dressed))
    }

    async fn asset_row(&self, ctx: &TenantContext, id: &AssetId) -> Result<AssetRow, Error> {
        let found = self.store.asset(ctx, id).await?;
        found.ok_or_else(|| no_such("asset", id, ASSET_LIST))
    }

    pub async fn asset(&self, ctx: &TenantContext, id: &AssetId) -> Result<AssetView, Error> {
        Ok(dressed(self.asset_row(ctx, id).await?))
    }

    /// # Errors
    /// 409 while a playlist shows it.
    pub async fn delete_asset(&self, ctx: &TenantContext, id: &AssetId) -> Result<(), Error> {
        let asset = self.asset_row(ctx, id).await?.view;
        let _shelf = self.shelf().await?;
        let playlists = self.store.playlists_with(ctx, id).await?;
        if !playlists.is_empty() {
            let detail = format!("the asset is shown by {}", playlists.join(", "));
            let hint = "take it out of the playlists (`fleet playlist set`) and publish them first";
            return Err(Refusal::new(Kind::Conflict, "ASSET_IN_USE", detail, hint).into());
        }
        self.store.delete_asset(ctx, id).await?;
        self.forget_files(ctx, &asset).await?;
        tracing::info!(asset.id = %id, operator = ctx.actor_name(), "asset deleted");
        Ok(())
    }

    /// The file itself, with its type.
    pub async fn asset_file(
        &self,
        ctx: &TenantContext,
        id: &AssetId,
    ) -> Result<(BundleFile, &'static str), Error> {
        let asset = self.asset_row(ctx, id).await?.view;
        let (AssetStatus::Ready, Some(kind)) = (asset.status, asset.kind) else {
            return Err(no_such("file of an asset", id, ASSET_LIST));
        };
        let path = self.asset_path(ctx, &asset.checksum_sha256);
        let file = File::open(&path).await.map_err(failed("open", &path))?;
        let file = BundleFile {
            file,
            size_bytes: asset.file_size_bytes,
            sha256: asset.checksum_sha256,
        };
        Ok((file, content_type(kind, &asset.file_name)))
    }

    pub async fn thumbnail(&self, ctx: &TenantContext, id: &AssetId) -> Result<Vec<u8>, Error> {
        if !self.asset_row(ctx, id).await?.has_thumbnail {
            return Err(no_such("thumbnail of", id, ASSET_LIST));
        }
        let path = self.thumbnail_path(ctx, id);
        Ok(tokio::fs::read(&path)
            .await
            .map_err(failed("read", &path))?)
    }

    pub(super) async fn fail_asset(
        &self,
        ctx: &TenantContext,
        asset: &AssetView,
        reason: FailureReason,
        detail: String,
    ) -> Result<(), Error> {
        let failure = AssetFailure {
            failure_reason: reason,
            failure_detail: detail,
            failed_at_utc: self.now(),
        };
        let _shelf = self.shelf().await?;
        let id = &asset.asset_id;
        if self.store.asset_failed(ctx, id, &failure).await? {
            let detail = failure.failure_detail;
            tracing::warn!(asset.id = %id, asset.failure = ?reason, "{detail}");
            self.forget_files(ctx, asset).await?;
        }
        Ok(())
    }

    /// Deletes what only this asset had. The shelf is held.
    async fn forget_files(&self, ctx: &TenantContext, asset: &AssetView) -> Result<(), Error> {
        let (id, sha256) = (&asset.asset_id, &asset.checksum_sha256);
        let mut files = vec![self.thumbnail_path(ctx, id)];
        if !self.store.file_is_shared(ctx, id, sha256).await? {
            files.push(self.asset_path(ctx, sha256));
        }
        for file in files {
            match tokio::fs::remove_file(&file).await {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed("delete", &file)(error).into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn dressed(row: AssetRow) -> AssetView {
    let thumbnail = format!("/v1/library/assets/{}/thumbnail", row.view.asset_id);
    AssetView {
        thumbnail_url: row.has_thumbnail.then_some(thumbnail),
        ..row.view
    }
}

/// Only a browser asks.
fn content_type(kind: AssetKind, file_name: &str) -> &'static str {
    let png = file_name.to_ascii_lowercase().ends_with(".png");
    match kind {
        AssetKind::Video => "video/mp4",
        AssetKind::Image if png => "image/png",
        AssetKind::Image => "image/jpeg",
    }
}
