//! Looks at what was uploaded, one file after another. What was being looked at when the control plane ended is looked
//! at again.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleet_protocol::content::{AssetStatus, AssetView, FailureReason};
use jiff::SignedDuration;

use super::App;
use super::assets::{FOLDER, UPLOAD_WITHIN};
use super::error::Error;
use crate::disk::{self, Access, failed};
use crate::media::Seen;
use crate::metrics::{Looked, Task};
use crate::store::{AssetFacts, TenantContext};

/// Until what could not be looked at is tried again.
const TICK: Duration = Duration::from_secs(30);
/// Seed 003, §13.5.
const PROCESSED_WITHIN: SignedDuration = SignedDuration::from_mins(10);
const FAILED_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

impl App {
    /// Runs until the control plane is shut down. A failure is logged and tried again.
    pub async fn run_looker(self: Arc<Self>) {
        let mut shutdown = self.shutdown_signal();
        loop {
            let looked = tokio::select! {
                _ = shutdown.wait_for(|ended| *ended) => return,
                looked = self.measured(Task::Look, self.look_at_all()) => looked,
            };
            if let Err(error) = looked {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "finding what to look at failed"
                );
            }
            tokio::select! {
                _ = shutdown.wait_for(|ended| *ended) => return,
                () = self.looks.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// What goes wrong with one asset holds up no other.
    async fn look_at_all(&self) -> Result<(), Error> {
        for ctx in self.store.all_tenants().await? {
            let waiting = AssetStatus::Processing;
            for row in self.store.assets_waiting(&ctx, waiting, self.now()).await? {
                let asset = &row.view;
                if let Err(error) = self.look_at(&ctx, asset).await {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        asset.id = %asset.asset_id, "looking at an asset failed"
                    );
                }
            }
        }
        Ok(())
    }

    async fn look_at(&self, ctx: &TenantContext, asset: &AssetView) -> Result<(), Error> {
        let Some(_turn) = self
            .store
            .try_turn(&format!("look at {}", asset.asset_id))
            .await?
        else {
            return Ok(());
        };
        // Another control plane may have looked since the list was made.
        let present = self.store.asset(ctx, &asset.asset_id).await?;
        if present.is_none_or(|row| row.view.status != AssetStatus::Processing) {
            return Ok(());
        }
        let path = self.asset_path(ctx, &asset.checksum_sha256);
        let opened = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || std::fs::File::open(path)).await
        };
        let file = match opened.expect("opening does not panic") {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let detail = "The control plane has lost the file.".to_owned();
                let reason = FailureReason::InternalError;
                return self.give_up(ctx, asset, reason, detail).await;
            }
            Err(error) => return Err(failed("open", &path)(error).into()),
        };
        match self.settings.looker.look(file, self.settings.media).await {
            Ok(Ok(seen)) => self.keep_seen(ctx, asset, seen).await,
            Ok(Err(unfit)) => self.give_up(ctx, asset, unfit.reason, unfit.detail).await,
            // That is this host's fault and not the file's: it is tried again, for a while.
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    asset.id = %asset.asset_id, "an asset could not be looked at"
                );
                if self.now().duration_since(asset.updated_at) <= PROCESSED_WITHIN {
                    self.metrics.looked(Looked::Postponed);
                    return Ok(());
                }
                let detail =
                    "The control plane could not look at the file for ten minutes.".to_owned();
                let reason = FailureReason::ProcessingTimeout;
                self.give_up(ctx, asset, reason, detail).await
            }
        }
    }

    async fn give_up(
        &self,
        ctx: &TenantContext,
        asset: &AssetView,
        reason: FailureReason,
        detail: String,
    ) -> Result<(), Error> {
        self.metrics.looked(Looked::Failed);
        self.fail_asset(ctx, asset, reason, detail).await
    }

    async fn keep_seen(
        &self,
        ctx: &TenantContext,
        asset: &AssetView,
        seen: Seen,
    ) -> Result<(), Error> {
        let id = &asset.asset_id;
        let facts = AssetFacts {
            kind: seen.kind,
            width_px: seen.width_px,
            height_px: seen.height_px,
            duration_ms: seen.duration_ms,
            has_thumbnail: seen.thumbnail.is_some(),
        };
        let _shelf = self.shelf().await?;
        if let Some(jpeg) = seen.thumbnail {
            let path = self.thumbnail_path(ctx, id);
            let write = move || disk::write(&path, &jpeg, Access::Owner);
            let written = tokio::task::spawn_blocking(write).await;
            written.expect("writing does not panic")?;
        }
        if self.store.asset_ready(ctx, id, &facts, self.now()).await? {
            self.metrics.looked(Looked::Ready);
            tracing::info!(asset.id = %id, asset.kind = ?seen.kind, "asset is ready");
        } else {
            // It was deleted meanwhile; its own file went then.
            let _ = tokio::fs::remove_file(self.thumbnail_path(ctx, id)).await;
        }
        Ok(())
    }

    /// Gives up what was never completed, and forgets what failed long ago (seed 003, §13.5).
    pub(super) async fn tidy_assets(&self, ctx: &TenantContext) -> Result<(), Error> {
        let now = self.now();
        let uploading = AssetStatus::Uploading;
        for row in self
            .store
            .assets_waiting(ctx, uploading, now - UPLOAD_WITHIN)
            .await?
        {
            let detail = "The upload was not completed within an hour.".to_owned();
            let reason = FailureReason::ProcessingTimeout;
            self.fail_asset(ctx, &row.view, reason, detail).await?;
        }
        let old = now - FAILED_KEPT;
        for row in self
            .store
            .assets_waiting(ctx, AssetStatus::Failed, old)
            .await?
        {
            self.store.delete_asset(ctx, &row.view.asset_id).await?;
        }
        self.sweep_assets(ctx).await
    }

    /// Deletes files that nothing names: what a crash left between a row and its file.
    async fn sweep_assets(&self, ctx: &TenantContext) -> Result<(), Error> {
        let folder = self.tenant_folder(ctx, FOLDER);
        // Nothing gets a name meanwhile.
        let _shelf = self.shelf().await?;
        let (files, ready) = self.store.asset_files(ctx).await?;
        let swept = tokio::task::spawn_blocking(move || sweep(&folder, &files, &ready)).await;
        for file in swept.expect("sweeping does not panic") {
            tracing::info!(file = %file.display(), "deleted a file that no asset has");
        }
        Ok(())
    }
}

/// What was deleted.
fn sweep(folder: &Path, files: &BTreeSet<String>, ready: &BTreeSet<String>) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let orphans = entries.map(|entry| entry.path()).filter(|path| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        match name.strip_suffix(".jpg") {
            Some(id) => !ready.contains(id),
            None => name.len() == 64 && !files.contains(name),
        }
    });
    orphans
        .filter(|path| std::fs::remove_file(path).is_ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_asset_has_is_swept_away_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, lost) = ("a1".repeat(32), "b2".repeat(32));
        let names = [&kept, &lost, "ast_1.jpg", "ast_2.jpg", ".partial-upl_1"];
        for name in names {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let swept = sweep(folder.path(), &[kept].into(), &["ast_1".to_owned()].into());
        let mut swept: Vec<_> = swept
            .iter()
            .filter_map(|path| path.file_name()?.to_str())
            .collect();
        swept.sort_unstable();
        assert_eq!(swept, ["ast_2.jpg", &lost]);
    }
}
