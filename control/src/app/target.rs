//! Putting together what one device is to run.

use fleet_protocol::target::{Target, TargetConfig, TargetRelease};
use fleet_protocol::trust::{Envelope, RELEASE_PAYLOAD_TYPE};
use fleet_protocol::{DeviceId, Sha256, Version};
use serde_json::Map;

use super::App;
use super::devices::DEVICE_LIST;
use super::error::{Error, no_such};
use crate::domain::config::{DEFAULT_SCOPE, merged};
use crate::domain::target::{Place, desired};
use crate::store::{Assignment, TenantContext, Versioned};

impl App {
    /// The device's target; its generation counts up whenever anything else in it is new.
    ///
    /// The device exists: its context or its row was had before. The target is computed from what is stored each time, so no change can be forgotten.
    pub async fn target(&self, ctx: &TenantContext, id: &DeviceId) -> Result<Target, Error> {
        Ok(self.target_and_commands(ctx, id).await?.0)
    }

    /// The same, with how many commands wait for its agent.
    pub(super) async fn target_and_commands(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
    ) -> Result<(Target, u32), Error> {
        let facts = self.store.target_facts(ctx, id, DEFAULT_SCOPE, self.now());
        let facts = facts
            .await?
            .ok_or_else(|| no_such("device", id, DEVICE_LIST))?;
        let mut target = Target {
            config: target_config(facts.general, facts.own),
            key_sets: facts.key_sets,
            ..Target::default()
        };
        if let Some(assignment) = facts.assignment {
            target.release = self.target_release(ctx, assignment).await?;
        }
        let text = serde_json::to_vec(&target).expect("a target is plain data");
        let digest = Sha256::of(text);
        target.generation = if facts.digest == digest.to_string() {
            facts.generation
        } else {
            self.store.next_generation(ctx, id, &digest).await?
        };
        Ok((target, facts.commands_pending))
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
}

fn target_config(general: Option<Versioned>, own: Option<Versioned>) -> Option<TargetConfig> {
    let version = [&general, &own].into_iter().flatten().map(|d| d.0).max()?;
    let document = |found: Option<Versioned>| found.map_or_else(Map::new, |(_, document)| document);
    Some(TargetConfig {
        version,
        document: merged(&document(general), &document(own)),
    })
}
