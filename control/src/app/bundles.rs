//! Bundles: stored once under their SHA-256, served to devices in ranges.

use std::path::PathBuf;

use bytes::Bytes;
use fleet_protocol::Sha256;
use futures_util::Stream;
use tokio::fs::File;

use super::App;
use super::error::{Error, Kind, Refusal, no_such};
use super::upload::{self, BodyError};
use crate::disk::failed;
use crate::store::TenantContext;

/// A stored file, open for reading.
#[derive(Debug)]
pub struct BundleFile {
    pub file: File,
    pub size_bytes: u64,
    pub sha256: Sha256,
}

impl App {
    fn bundle_path(&self, ctx: &TenantContext, sha256: &Sha256) -> PathBuf {
        self.tenant_folder(ctx, "bundles")
            .join(format!("{sha256}.raucb"))
    }

    /// Stores the bundle; true if it was not there yet.
    ///
    /// # Errors
    /// 422 if the body has another digest than its name says.
    pub async fn put_bundle<S>(
        &self,
        ctx: &TenantContext,
        sha256: &Sha256,
        body: S,
    ) -> Result<bool, Error>
    where
        S: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        if self.store.bundle_size(ctx, sha256).await?.is_some() {
            return Ok(false);
        }
        let folder = self.tenant_folder(ctx, "bundles");
        let received = upload::receive(&folder, self.settings.max_bundle_bytes, body).await?;
        if received.sha256 != *sha256 {
            return Err(Refusal::new(
                Kind::Unprocessable,
                "DIGEST_MISMATCH",
                format!("the body's SHA-256 is {}, not {sha256}", received.sha256),
                "the file changed or was damaged on the way: compute its SHA-256 and send it again",
            )
            .into());
        }
        let size_bytes = received.size_bytes;
        received.keep_as(self.bundle_path(ctx, sha256)).await?;
        self.store
            .add_bundle(ctx, sha256, size_bytes, self.now())
            .await?;
        tracing::info!(bundle.sha256 = %sha256, bundle.size_bytes = size_bytes, "bundle stored");
        Ok(true)
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
