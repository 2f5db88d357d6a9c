//! Starting rollouts, steering them, looking at them.

use fleet_protocol::device::Page;
use fleet_protocol::problem::FieldError;
use fleet_protocol::release::ReleaseStatus;
use fleet_protocol::rollout::{
    CreateRollout, MemberStatus, Phase, RolloutMember, RolloutView, default_phases,
};
use fleet_protocol::{DeviceId, Percent, RolloutId, Version};
use jiff::SignedDuration;

use super::error::{Error, Kind, Refusal, no_such};
use super::{App, PageRequest, WakeupReason};
use crate::clock::random_id;
use crate::domain::rollout::{
    Act, DEFAULT_DEADLINE, DEFAULT_FAILURE_THRESHOLD, assign_phases, operate,
};
use crate::store::{Applied, NewRollout, ReleaseRow, RolloutRow, TenantContext};

const MAX_PHASES: usize = 20;
const DEADLINE_S: std::ops::RangeInclusive<u64> = 60..=30 * 24 * 3_600;
/// Members shown with one rollout.
const MEMBERS_SHOWN: u32 = 1_000;

impl App {
    pub async fn create_rollout(
        &self,
        ctx: &TenantContext,
        request: CreateRollout,
    ) -> Result<RolloutView, Error> {
        let release = self.release_row(ctx, &request.version).await?;
        may_start(&release)?;
        let phases = request.phases.unwrap_or_else(default_phases);
        check_phases(&phases)?;
        let deadline = check_deadline(request.deadline_seconds)?;
        let devices = self.members_for(ctx, &release, request.devices).await?;
        let rollback_on_failure = request.rollback_on_failure.unwrap_or(true);
        if rollback_on_failure {
            self.check_ways_back(ctx, &request.version, &devices)
                .await?;
        }
        let rollout_id: RolloutId = random_id("rol_");
        let new = NewRollout {
            members: assign_phases(&rollout_id, devices, &phases),
            rollout_id,
            version: request.version,
            phases,
            failure_threshold: request
                .failure_threshold
                .unwrap_or(DEFAULT_FAILURE_THRESHOLD),
            rollback_on_failure,
            deadline,
            summary: "starting".to_owned(),
        };
        if let Some(other) = self.store.add_rollout(ctx, &new, self.now()).await? {
            return Err(Refusal::new(
                Kind::Conflict,
                "DEVICES_BUSY",
                format!("the rollout {other} is not finished and has some of these devices"),
                format!(
                    "wait for it, or abort it first: `fleet rollout abort {other}` \
                     (POST /v1/rollouts/{other}/abort)"
                ),
            )
            .into());
        }
        tracing::info!(
            rollout.id = %new.rollout_id, release.version = %new.version,
            rollout.devices = new.members.len(), operator = ctx.actor_name(), "rollout started"
        );
        self.plan_rollout(ctx, &new.rollout_id).await?;
        self.rollout(ctx, &new.rollout_id).await
    }

    /// The devices asked for, or all of the compatible; without those that run the release already.
    async fn members_for(
        &self,
        ctx: &TenantContext,
        release: &ReleaseRow,
        asked: Option<Vec<DeviceId>>,
    ) -> Result<Vec<DeviceId>, Error> {
        let metadata = &release.metadata;
        let devices = match asked {
            None => {
                let (version, hash) = (&metadata.version, &metadata.root_hash);
                let compatible = metadata.compatible.as_str();
                self.store
                    .rollout_candidates(ctx, compatible, version, hash)
                    .await?
            }
            Some(mut devices) => {
                devices.sort();
                devices.dedup();
                let mut members = Vec::with_capacity(devices.len());
                for id in devices {
                    let row = self.device_row(ctx, &id).await?.view;
                    let there = row.version == metadata.version
                        && row.root_hash == Some(metadata.root_hash);
                    if !there && !row.revoked {
                        members.push(id);
                    }
                }
                members
            }
        };
        if devices.is_empty() {
            let what = format!("no device is left to update to {}", metadata.version);
            let hint = "see `fleet device list` (GET /v1/devices): devices have to be enrolled, of the release's \
                        compatible, and on another version";
            return Err(Refusal::field("devices", what, hint).into());
        }
        Ok(devices)
    }

    /// Going back takes the signed metadata of what a device runs now: a device believes nothing
    /// else, though its other slot may hold the system. So those versions have to be published.
    async fn check_ways_back(
        &self,
        ctx: &TenantContext,
        version: &Version,
        members: &[DeviceId],
    ) -> Result<(), Error> {
        let unpublished = self.store.unpublished_versions(ctx, members).await?;
        let counted: Vec<_> = unpublished
            .iter()
            .filter(|(v, _)| *v != version)
            .map(|(v, devices)| format!("{v} ({devices})"))
            .collect();
        if counted.is_empty() {
            return Ok(());
        }
        let message = format!(
            "devices could not be taken back to what they run now, for it is not published here: {}",
            counted.join(", ")
        );
        let mut refusal = Refusal::new(
            Kind::Conflict,
            "ROLLBACK_IMPOSSIBLE",
            message.clone(),
            format!(
                "publish it (`fleet release publish BUNDLE`), or start without a way back: \
                 `fleet rollout start {version} --no-rollback` (\"rollbackOnFailure\": false)"
            ),
        );
        refusal.fields.push(FieldError {
            field: "rollbackOnFailure".to_owned(),
            message,
        });
        Err(refusal.into())
    }

    pub(super) async fn rollout_row(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
    ) -> Result<RolloutRow, Error> {
        let row = self.store.rollout(ctx, id).await?;
        row.ok_or_else(|| no_such("rollout", id, "`fleet rollout status` (GET /v1/rollouts)"))
    }

    /// With its members.
    pub async fn rollout(&self, ctx: &TenantContext, id: &RolloutId) -> Result<RolloutView, Error> {
        let mut view = self.rollout_row(ctx, id).await?.view;
        let members = self.store.members(ctx, id, MEMBERS_SHOWN).await?;
        view.members = members
            .into_iter()
            .map(|m| RolloutMember {
                device_id: m.device_id,
                name: m.name,
                phase: m.phase,
                status: m.status,
                detail: m.detail,
                update: m.update,
            })
            .collect();
        Ok(view)
    }

    /// How many members of each phase have each status.
    pub async fn rollout_phases(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
    ) -> Result<Vec<(u32, MemberStatus, u64)>, Error> {
        Ok(self.store.phase_counts(ctx, id).await?)
    }

    /// Newest first, without members.
    pub async fn rollouts(
        &self,
        ctx: &TenantContext,
        status: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<RolloutView>, Error> {
        let (before, limit) = (page.number()?, page.with_one_more());
        let rows = self.store.rollouts(ctx, status, before, limit).await?;
        Ok(page.page(rows, |r| r.number.to_string(), |r| r.view))
    }

    /// Pauses, resumes or aborts; again if the planner was faster.
    pub async fn operate_rollout(
        &self,
        ctx: &TenantContext,
        id: &RolloutId,
        act: Act,
    ) -> Result<RolloutView, Error> {
        loop {
            let row = self.rollout_row(ctx, id).await?;
            let status = row.view.status;
            let next = operate(status, act).map_err(|hint| {
                let detail = format!("this can't be done while the rollout is {}", status.name());
                Refusal::new(Kind::Conflict, "WRONG_STATUS", detail, hint)
            })?;
            let now = self.now();
            let applied = self
                .store
                .set_rollout_status(ctx, id, row.generation, next, now)
                .await?;
            if applied == Applied::Done {
                tracing::info!(
                    rollout.id = %id, rollout.status = next.name(), operator = ctx.actor_name(),
                    "rollout steered"
                );
                break;
            }
        }
        self.plan_rollout(ctx, id).await?;
        self.wakeups.wake_all(WakeupReason::Target);
        self.rollout(ctx, id).await
    }
}

fn may_start(release: &ReleaseRow) -> Result<(), Error> {
    let version = &release.metadata.version;
    let (state, hint) = match release.status {
        ReleaseStatus::Beta | ReleaseStatus::Stable => return Ok(()),
        ReleaseStatus::Draft => ("a draft", "make it beta or stable first"),
        ReleaseStatus::Deprecated => ("deprecated", "take a newer release, or make it stable"),
    };
    let hint = format!("{hint}: `fleet release status {version} stable`");
    let detail = format!("release {version} is {state}");
    Err(Refusal::new(Kind::Conflict, "RELEASE_NOT_READY", detail, hint).into())
}

fn check_phases(phases: &[Phase]) -> Result<(), Error> {
    let hint = "give growing percentages, such as 5, 20 and 100";
    let refused =
        |field: String, message: String| Err(Refusal::field(&field, message, hint).into());
    if phases.is_empty() || phases.len() > MAX_PHASES {
        let message = format!(
            "has {} phases; 1 to {MAX_PHASES} are possible",
            phases.len()
        );
        return refused("phases".to_owned(), message);
    }
    let mut last = Percent::ZERO;
    for (i, phase) in phases.iter().enumerate() {
        if phase.percentage <= last {
            let message = format!("{} is not more than {last}", phase.percentage);
            return refused(format!("phases[{i}].percentage"), message);
        }
        if phase.wait_seconds > 365 * 24 * 3_600 {
            return refused(
                format!("phases[{i}].waitSeconds"),
                "is more than a year".to_owned(),
            );
        }
        last = phase.percentage;
    }
    Ok(())
}

fn check_deadline(seconds: Option<u64>) -> Result<SignedDuration, Error> {
    match seconds {
        None => Ok(DEFAULT_DEADLINE),
        Some(s) if DEADLINE_S.contains(&s) => Ok(SignedDuration::from_secs(s.cast_signed())),
        Some(s) => {
            let message = format!("{s} is not within 60 to {}", DEADLINE_S.end());
            Err(Refusal::field("deadlineSeconds", message, "leave it out for a day").into())
        }
    }
}
