//! Bundles: stored once under their SHA-256, served to devices in ranges.

use std::path::PathBuf;

use bytes::Bytes;
use fleet_protocol::Sha256;
use fleet_protocol::release::BundleUpload;
use futures_util::Stream;
use tokio::fs::File;

use super::App;
use super::error::{Error, no_such};
use super::resume::{self, Part, Progress};
use super::upload::BodyError;
use crate::disk::{self, failed};
use crate::store::TenantContext;

/// A stored file, open for reading.
#[derive(Debug)]
pub struct BundleFile {
    pub file: File,
    pub size_bytes: u64,
    pub sha256: Sha256,
}

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleStored {
    New,
    AlreadyThere,
    /// The part is here, the whole is not yet.
    Partly,
}

impl App {
    pub(super) fn bundle_path(&self, ctx: &TenantContext, sha256: &Sha256) -> PathBuf {
        self.tenant_folder(ctx, "bundles")
            .join(format!("{sha256}.raucb"))
    }

    /// How far an upload of this bundle got.
    pub async fn bundle_upload(
        &self,
        ctx: &TenantContext,
        sha256: &Sha256,
    ) -> Result<BundleUpload, Error> {
        if let Some(size) = self.store.bundle_size(ctx, sha256).await? {
            return Ok(BundleUpload {
                received_bytes: size,
                complete: true,
            });
        }
        let path = resume::partial_path(&self.tenant_folder(ctx, "bundles"), sha256);
        Ok(BundleUpload {
            received_bytes: resume::received(&path).await?,
            complete: false,
        })
    }

    /// Takes the bundle, or the next part of it. A broken connection loses nothing that arrived.
    ///
    /// # Errors
    /// 422 if the whole has another digest than its name says; see `resume::receive` for others.
    pub async fn put_bundle<S>(
        &self,
        ctx: &TenantContext,
        sha256: &Sha256,
        part: Part,
        body: S,
    ) -> Result<BundleStored, Error>
    where
        S: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        if self.store.bundle_size(ctx, sha256).await?.is_some() {
            return Ok(BundleStored::AlreadyThere);
        }
        let path = resume::partial_path(&self.tenant_folder(ctx, "bundles"), sha256);
        let max = self.settings.max_bundle_bytes;
        let progress = resume::receive(&self.uploads, &path, sha256, part, max, body).await?;
        let Progress::Whole(size_bytes, _turn) = progress else {
            return Ok(BundleStored::Partly);
        };
        let named = self.bundle_path(ctx, sha256);
        let _shelf = self.shelf().await?;
        let renamed = tokio::task::spawn_blocking(move || disk::rename(&path, &named)).await;
        renamed.expect("renaming does not panic")?;
        self.store
            .add_bundle(ctx, sha256, size_bytes, self.now())
            .await?;
        tracing::info!(bundle.sha256 = %sha256, bundle.size_bytes = size_bytes, "bundle stored");
        Ok(BundleStored::New)
    }

    pub async fn bundle(&self, ctx: &TenantContext, sha256: &Sha256) -> Result<BundleFile, Error> {
        let Some(size_bytes) = self.store.bundle_size(ctx, sha256).await? else {
            return Err(no_such(
                "bundle",
                sha256,
                "`fleet release list` (GET /v1/releases)",
            ));
        };
        let path = self.bundle_path(ctx, sha256);
        let file = File::open(&path).await.map_err(failed("open", &path))?;
        Ok(BundleFile {
            file,
            size_bytes,
            sha256: *sha256,
        })
    }
}
