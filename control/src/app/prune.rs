//! Bundles that nobody needs: deleted when an operator says so, or when they were forgotten.
//!
//! A bundle is uploaded before the release that refers to it; one without a release is what a
//! publication left behind that never came to its end.

use std::io::ErrorKind;

use fleet_protocol::Sha256;
use fleet_protocol::release::{BundlesPruned, PruneBundles, StoredBundle};
use jiff::SignedDuration;

use super::App;
use super::error::{Error, Kind, Refusal, no_such};
use crate::disk::failed;
use crate::store::TenantContext;

const BUNDLE_LIST: &str = "`fleet bundle list` (GET /v1/bundles)";
/// As long as an upload may be gone on with.
const PRUNED_AFTER: SignedDuration = SignedDuration::from_hours(48);

impl App {
    pub async fn bundles(&self, ctx: &TenantContext) -> Result<Vec<StoredBundle>, Error> {
        Ok(self.store.bundles(ctx).await?)
    }

    /// # Errors
    /// 409 while a release refers to it.
    pub async fn delete_bundle(&self, ctx: &TenantContext, sha256: &Sha256) -> Result<(), Error> {
        if self.take_down(ctx, sha256).await? {
            tracing::info!(bundle.sha256 = %sha256, operator = ctx.actor_name(), "bundle deleted");
            return Ok(());
        }
        let all = self.store.bundles(ctx).await?;
        let Some(bundle) = all.iter().find(|b| b.sha256 == *sha256) else {
            return Err(no_such("bundle", sha256, BUNDLE_LIST));
        };
        let releases: Vec<_> = bundle.releases.iter().map(ToString::to_string).collect();
        let detail = format!("the bundle belongs to {}", releases.join(", "));
        let hint = "a published release keeps its bundle: devices may need it to go back";
        Err(Refusal::new(Kind::Conflict, "BUNDLE_IN_USE", detail, hint).into())
    }

    /// Deletes what no release refers to and has been here for a while.
    pub async fn prune_bundles(
        &self,
        ctx: &TenantContext,
        request: PruneBundles,
    ) -> Result<BundlesPruned, Error> {
        let age = request.older_than_seconds;
        let age = age.map_or(PRUNED_AFTER, |s| SignedDuration::from_secs(i64::from(s)));
        let before = self.now() - age;
        let mut items = self.store.bundles(ctx).await?;
        items.retain(|b| b.releases.is_empty() && b.received_at <= before);
        if !request.dry_run {
            let mut gone = Vec::new();
            for bundle in items {
                if self.take_down(ctx, &bundle.sha256).await? {
                    gone.push(bundle);
                }
            }
            items = gone;
        }
        let pruned = BundlesPruned {
            freed_bytes: items.iter().map(|b| b.size_bytes).sum(),
            items,
        };
        if !request.dry_run && !pruned.items.is_empty() {
            tracing::info!(
                bundles.count = pruned.items.len(),
                bundles.size_bytes = pruned.freed_bytes,
                operator = ctx.actor_name(),
                "bundles without a release deleted"
            );
        }
        Ok(pruned)
    }

    /// False: a release refers to it, or it is not here. A device that reads it now reads on.
    async fn take_down(&self, ctx: &TenantContext, sha256: &Sha256) -> Result<bool, Error> {
        let _shelf = self.shelf().await?;
        if !self.store.forget_bundle(ctx, sha256).await? {
            return Ok(false);
        }
        let path = self.bundle_path(ctx, sha256);
        match tokio::fs::remove_file(&path).await {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(true),
            Err(e) => Err(failed("delete", &path)(e).into()),
        }
    }

    /// Housekeeping: bundles without a release, and files that a crash left without a row.
    pub(super) async fn tidy_bundles(&self, ctx: &TenantContext) -> Result<(), Error> {
        let keep = self.settings.keep_unnamed_bundles.as_secs();
        let request = PruneBundles {
            older_than_seconds: Some(u32::try_from(keep).unwrap_or(u32::MAX)),
            dry_run: false,
        };
        self.prune_bundles(ctx, request).await?;
        let folder = self.tenant_folder(ctx, "bundles");
        let _shelf = self.shelf().await?;
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let digest = name.to_str().and_then(|n| n.strip_suffix(".raucb"));
            let Some(Ok(sha256)) = digest.map(str::parse) else {
                continue;
            };
            if self.store.bundle_size(ctx, &sha256).await?.is_none() {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}
