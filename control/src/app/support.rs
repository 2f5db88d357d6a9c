//! Support bundles: what a device sends for those who help it.

use std::io::ErrorKind;

use bytes::Bytes;
use fleet_protocol::DeviceId;
use fleet_protocol::device::SupportBundleView;
use futures_util::Stream;
use tokio::fs::File;

use super::error::{Error, Refusal, no_such};
use super::upload::{self, BodyError};
use super::{App, BundleFile};
use crate::disk::failed;
use crate::store::TenantContext;

impl App {
    fn support_folder(&self, ctx: &TenantContext, id: &DeviceId) -> std::path::PathBuf {
        self.tenant_folder(ctx, "support-bundles").join(id.as_str())
    }

    /// Keeps the bundle, and only the newest few of the device.
    pub async fn put_support_bundle<S>(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        name: &str,
        body: S,
    ) -> Result<SupportBundleView, Error>
    where
        S: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        check_file_name(name)?;
        let folder = self.support_folder(ctx, id);
        let max = self.settings.max_support_bundle_bytes;
        let received = upload::receive(&folder, max, body).await?;
        let view = SupportBundleView {
            name: name.to_owned(),
            size_bytes: received.size_bytes,
            sha256: received.sha256,
            received_at: self.now(),
        };
        received.keep_as(folder.join(name)).await?;
        self.store.put_support_bundle(ctx, id, &view).await?;
        let all = self.store.support_bundles(ctx, id).await?;
        for old in all.iter().skip(self.settings.support_bundles_kept) {
            let _ = tokio::fs::remove_file(folder.join(&old.name)).await;
            self.store.forget_support_bundle(ctx, id, &old.name).await?;
        }
        tracing::info!(device.id = %id, bundle.name = name, "support bundle received");
        Ok(view)
    }

    pub async fn support_bundles(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
    ) -> Result<Vec<SupportBundleView>, Error> {
        self.device_row(ctx, id).await?;
        Ok(self.store.support_bundles(ctx, id).await?)
    }

    pub async fn support_bundle(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        name: &str,
    ) -> Result<BundleFile, Error> {
        let all = self.support_bundles(ctx, id).await?;
        let list = "`fleet device bundle DEVICE` (GET /v1/devices/{id}/support-bundles)";
        let found = all.into_iter().find(|b| b.name == name);
        let found = found.ok_or_else(|| no_such("support bundle", name, list))?;
        let path = self.support_folder(ctx, id).join(&found.name);
        let file = File::open(&path).await.map_err(failed("open", &path))?;
        Ok(BundleFile {
            file,
            size_bytes: found.size_bytes,
            sha256: found.sha256,
        })
    }

    /// Of a device that is gone.
    pub(super) async fn remove_support_bundles(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
    ) -> Result<(), Error> {
        let folder = self.support_folder(ctx, id);
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(failed("remove", &folder)(error).into())
            }
            _ => Ok(()),
        }
    }
}

fn check_file_name(name: &str) -> Result<(), Error> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if (1..=120).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain) {
        return Ok(());
    }
    let message = "has to be 1 to 120 of a-z, A-Z, 0-9, -, _ and ., not beginning with a dot";
    Err(Refusal::field(
        "name",
        message,
        "name it like support-20260101T000000Z.tar.zst",
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_leave_its_folder() {
        for bad in ["..", ".hidden", "a/b", "", "ä", "a\0"] {
            assert!(check_file_name(bad).is_err(), "{bad}");
        }
        check_file_name("support-1.tar.zst").unwrap();
    }
}
