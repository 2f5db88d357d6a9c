//! Releases and the chain of key sets that may sign them.
//!
//! The control plane checks signatures to catch mistakes early, with the key sets that it was given;
//! devices decide for themselves. Of the bundle it knows digest and size; that RAUC's manifest hash
//! is the signed one, the device finds out.

use fleet_protocol::Version;
use fleet_protocol::release::{CreateRelease, ReleaseStatus, ReleaseView};
use fleet_protocol::trust::{
    Envelope, KeySet, KeySetError, MAX_PAYLOAD_BYTES, RELEASE_PAYLOAD_TYPE, ReleaseMetadata,
    TrustedKeys,
};
use jiff::Timestamp;

use super::error::{Error, Kind, Refusal, no_such};
use super::{App, WakeupReason};
use crate::store::{KeySetAdded, ReleaseRow, TenantContext};

fn view(row: ReleaseRow) -> ReleaseView {
    ReleaseView {
        metadata: row.metadata,
        status: row.status,
        published_at: row.published_at,
        device_count: row.device_count,
    }
}

fn conflict(code: &'static str, detail: String, hint: &str) -> Error {
    Refusal::new(Kind::Conflict, code, detail, hint).into()
}

impl App {
    pub async fn releases(
        &self,
        ctx: &TenantContext,
        status: Option<ReleaseStatus>,
    ) -> Result<Vec<ReleaseView>, Error> {
        let rows = self.store.releases(ctx, status).await?;
        Ok(rows.into_iter().map(view).collect())
    }

    pub(super) async fn release_row(
        &self,
        ctx: &TenantContext,
        version: &Version,
    ) -> Result<ReleaseRow, Error> {
        let found = self.store.release(ctx, version).await?;
        found.ok_or_else(|| {
            no_such(
                "release",
                version,
                "`fleet release list` (GET /v1/releases)",
            )
        })
    }

    /// Publishes a release whose bundle is here. Publishing the same document again changes nothing.
    pub async fn create_release(
        &self,
        ctx: &TenantContext,
        request: &CreateRelease,
    ) -> Result<ReleaseView, Error> {
        let envelope = &request.metadata;
        let metadata = read(envelope)?;
        if let Some(row) = self.store.release(ctx, &metadata.version).await? {
            return same_release(row, envelope, &metadata);
        }
        let now = self.now();
        check_expiry(&metadata, now)?;
        self.check_signatures(ctx, envelope).await?;
        let turn = self.shelf().await?;
        self.check_bundle(ctx, &metadata).await?;
        let added = self
            .store
            .add_release(ctx, envelope, &metadata, request.status, now)
            .await?;
        drop(turn);
        let row = self.release_row(ctx, &metadata.version).await?;
        if !added {
            return same_release(row, envelope, &metadata);
        }
        tracing::info!(
            release.version = %metadata.version, release.status = request.status.name(),
            operator = ctx.actor_name(), "release published"
        );
        Ok(view(row))
    }

    /// A release that no device would believe is refused now rather than by each of them. Without a
    /// key set there is nothing to check against: then it is only seen that it is signed at all.
    async fn check_signatures(
        &self,
        ctx: &TenantContext,
        envelope: &Envelope,
    ) -> Result<(), Error> {
        let refused =
            |reason: String, hint: &str| Refusal::field("metadata.signatures", reason, hint).into();
        let hint = "let more holders of its keys sign (`fleet release sign --metadata FILE --key KEY`), \
                    then `fleet release publish`; after a rotation send the new key set first: \
                    `fleet keys publish` (POST /v1/keysets)";
        if envelope.signatures.is_empty() {
            return Err(refused("there are none".to_owned(), hint));
        }
        let chain = self.store.key_sets(ctx, 0).await?;
        let trusted = trusted(&chain)
            .transpose()
            .map_err(|e| refused(format!("the key sets here are no chain: {e}"), hint))?;
        let Some(keys) = trusted else {
            tracing::warn!("no key set is here to check a release's signatures with");
            return Ok(());
        };
        keys.verify(envelope).map_err(|error| {
            let newest = keys.key_set().version;
            refused(
                format!("key set {newest} does not verify them: {error}"),
                hint,
            )
        })
    }

    async fn check_bundle(
        &self,
        ctx: &TenantContext,
        metadata: &ReleaseMetadata,
    ) -> Result<(), Error> {
        let bundle = &metadata.bundle;
        match self.store.bundle_size(ctx, &bundle.sha256).await? {
            None => Err(conflict(
                "BUNDLE_MISSING",
                format!("the bundle {} is not here", bundle.sha256),
                "`fleet release publish BUNDLE` uploads it (PUT /v1/bundles/{sha256})",
            )),
            Some(size) if size != bundle.size_bytes => Err(Refusal::field(
                "metadata.bundle.sizeBytes",
                format!("is {}, but the bundle has {size} bytes", bundle.size_bytes),
                "make the metadata anew from the bundle, and sign it: `fleet release sign BUNDLE`",
            )
            .into()),
            Some(_) => Ok(()),
        }
    }

    /// # Errors
    /// 409 when it is withdrawn (to draft) while a rollout of it is going on.
    pub async fn set_release_status(
        &self,
        ctx: &TenantContext,
        version: &Version,
        status: ReleaseStatus,
    ) -> Result<ReleaseView, Error> {
        if status == ReleaseStatus::Draft
            && let Some(rollout) = self.store.unfinished_rollout_of(ctx, version).await?
        {
            return Err(conflict(
                "ROLLOUT_GOING_ON",
                format!("the rollout {rollout} of {version} is not finished"),
                &format!(
                    "abort the rollout first (`fleet rollout abort {rollout}`), or deprecate the \
                     release instead (`fleet release status {version} deprecated`)"
                ),
            ));
        }
        self.store.set_release_status(ctx, version, status).await?;
        let row = self.release_row(ctx, version).await?;
        tracing::info!(release.version = %version, release.status = status.name(), "release status set");
        Ok(view(row))
    }

    pub async fn key_sets(&self, ctx: &TenantContext) -> Result<Vec<Envelope>, Error> {
        Ok(self.store.key_sets(ctx, 0).await?)
    }

    /// Adds the next key set of the chain; devices get it with their next target.
    ///
    /// # Errors
    /// 422 unless it is the first, or signed by a threshold of the one before it and of its own.
    pub async fn add_key_set(&self, ctx: &TenantContext, envelope: &Envelope) -> Result<(), Error> {
        let refused = |reason: String| {
            let hint = "make it with `fleet keys rotate`, which signs with old and new keys";
            Refusal::field("payload", reason, hint)
        };
        let chain = self.store.key_sets(ctx, 0).await?;
        if chain.contains(envelope) {
            return Ok(());
        }
        let checked = match trusted(&chain) {
            None => TrustedKeys::from_image(envelope),
            Some(keys) => keys.and_then(|k| k.rotate(envelope)),
        };
        let set: KeySet = checked
            .map_err(|e| refused(e.to_string()))?
            .key_set()
            .clone();
        let added = self
            .store
            .add_key_set(ctx, set.version, envelope, self.now())
            .await?;
        if added == KeySetAdded::Different {
            return Err(conflict(
                "KEY_SET_EXISTS",
                format!("there is another key set {} already", set.version),
                "fetch the chain again (GET /v1/keysets) and rotate from its last key set: `fleet keys rotate`",
            ));
        }
        tracing::warn!(
            key_set.version = set.version,
            operator = ctx.actor_name(),
            "key set added"
        );
        self.wakeups.wake_all(WakeupReason::Target);
        Ok(())
    }
}

/// The newest keys of a chain; `None` when it is empty.
fn trusted(chain: &[Envelope]) -> Option<Result<TrustedKeys, KeySetError>> {
    chain.split_first().map(|(first, rest)| {
        let first = TrustedKeys::from_image(first)?;
        rest.iter().try_fold(first, |keys, next| keys.rotate(next))
    })
}

/// The same document again changes nothing; a version names one release for one compatible.
fn same_release(
    row: ReleaseRow,
    envelope: &Envelope,
    metadata: &ReleaseMetadata,
) -> Result<ReleaseView, Error> {
    if row.envelope == *envelope {
        return Ok(view(row));
    }
    let version = &metadata.version;
    Err(if row.metadata.compatible == metadata.compatible {
        conflict(
            "RELEASE_EXISTS",
            format!("there is another release {version} already"),
            "a release never changes: publish this one under a new version (`fleet release list`)",
        )
    } else {
        conflict(
            "RELEASE_EXISTS",
            format!(
                "{version} is a release for {} already; this one is for {}",
                row.metadata.compatible, metadata.compatible
            ),
            "rollouts name releases by version alone: give each compatible versions of its own",
        )
    })
}

fn check_expiry(metadata: &ReleaseMetadata, now: Timestamp) -> Result<(), Error> {
    if metadata.not_after > now {
        return Ok(());
    }
    Err(Refusal::field(
        "metadata.notAfter",
        format!(
            "no device installs it any more: it expired at {}",
            metadata.not_after
        ),
        "sign it again with a later end: `fleet release sign BUNDLE --not-after 90d`",
    )
    .into())
}

fn read(envelope: &Envelope) -> Result<ReleaseMetadata, Error> {
    let refused = |field: &str, reason: String| -> Error {
        let hint = "make and sign it with `fleet release publish`";
        Refusal::field(field, reason, hint).into()
    };
    if envelope.payload_type != RELEASE_PAYLOAD_TYPE {
        let reason = format!(
            "is `{}`, not `{RELEASE_PAYLOAD_TYPE}`",
            envelope.payload_type
        );
        return Err(refused("metadata.payloadType", reason));
    }
    if envelope.payload.len() > MAX_PAYLOAD_BYTES {
        let reason = format!("is longer than {MAX_PAYLOAD_BYTES} bytes");
        return Err(refused("metadata.payload", reason));
    }
    ReleaseMetadata::read(envelope).map_err(|e| refused("metadata.payload", e.to_string()))
}
