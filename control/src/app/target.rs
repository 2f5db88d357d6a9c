//! Putting together what one device is to run.

use fleet_protocol::target::{Target, TargetConfig, TargetRelease};
use fleet_protocol::trust::{Envelope, RELEASE_PAYLOAD_TYPE};
use fleet_protocol::{DeviceId, Sha256, Version};
use serde_json::Map;

use super::App;
use super::error::Error;
use crate::domain::config::{DEFAULT_SCOPE, merged};
use crate::domain::target::{Place, desired};
use crate::store::{Assignment, TenantContext};

impl App {
    /// The device's target; its generation counts up whenever anything else in it is new.
    ///
    /// The device exists: its context or its row was had before. The target is computed from what is stored each time, so no change can be forgotten.
    pub async fn target(&self, ctx: &TenantContext, id: &DeviceId) -> Result<Target, Error> {
        let mut target = Target::default();
        if let Some(assignment) = self.store.assignment(ctx, id).await? {
            target.release = self.target_release(ctx, assignment).await?;
        }
        target.config = self.target_config(ctx, id).await?;
        // The first one comes with the image.
        target.key_sets = self.store.key_sets(ctx, 1).await?;
        let text = serde_json::to_vec(&target).expect("a target is plain data");
        let digest = Sha256::of(text);
        target.generation = self.store.target_generation(ctx, id, &digest).await?;
        Ok(target)
    }

    async fn target_release(
        &self,
        ctx: &TenantContext,
        assignment: Assignment,
    ) -> Result<Option<TargetRelease>, Error> {
        let place = Place {
            rollout: assignment.rollout_status,
            member: assignment.member_status,
            version: &assignment.version,
            previous: assignment.previous_version.as_ref(),
            begun: assignment.begun,
        };
        let Some((kind, version)) = desired(place) else {
            return Ok(None);
        };
        let (metadata, bundle_path) = self.metadata(ctx, &version).await?;
        Ok(Some(TargetRelease {
            kind,
            rollout_id: Some(assignment.rollout_id),
            version,
            metadata,
            bundle_path,
            attempt: assignment.attempt,
        }))
    }

    /// A release's envelope and bundle. A version that was never published here has neither, so a
    /// rollout with a way back does not start on it; should a device get there otherwise, it is told
    /// the version with an empty envelope, which it refuses by name.
    async fn metadata(
        &self,
        ctx: &TenantContext,
        version: &Version,
    ) -> Result<(Envelope, String), Error> {
        Ok(match self.store.release(ctx, version).await? {
            Some(release) => {
                let path = format!("/v1/device/bundles/{}", release.metadata.bundle.sha256);
                (release.envelope, path)
            }
            None => (
                Envelope::unsigned(RELEASE_PAYLOAD_TYPE, Vec::new()),
                String::new(),
            ),
        })
    }

    async fn target_config(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
    ) -> Result<Option<TargetConfig>, Error> {
        let default = self.store.config(ctx, DEFAULT_SCOPE).await?;
        let own = self.store.config(ctx, id.as_str()).await?;
        let version = [&default, &own]
            .into_iter()
            .flatten()
            .map(|c| c.version)
            .max();
        let document =
            |c: Option<fleet_protocol::device::ConfigView>| c.map_or_else(Map::new, |c| c.document);
        Ok(version.map(|version| TargetConfig {
            version,
            document: merged(&document(default), &document(own)),
        }))
    }
}
