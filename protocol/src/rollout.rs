//! Rollouts over the wire: phases, progress, and what an operator may do to one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::update::UpdateState;
use crate::{DeviceId, Percent, RolloutId, Version};

/// One step of a rollout: so many of the devices, then wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// Of all targeted devices, counted from the start (so phases grow: 5, 20, 100).
    pub percentage: Percent,
    /// Seconds that must pass, with the phase complete, before the next one begins.
    #[serde(default)]
    pub wait_seconds: u64,
}

/// 5 %, a day, 20 %, two days, then all: what a rollout goes through that names no phases. The one place
/// that says so.
pub fn default_phases() -> Vec<Phase> {
    [(500, 86_400), (2_000, 172_800), (10_000, 0)]
        .map(|(hundredths, wait_seconds)| Phase {
            percentage: Percent::from_hundredths(hundredths),
            wait_seconds,
        })
        .to_vec()
}

/// `POST /v1/rollouts`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CreateRollout {
    pub version: Version,
    /// Default: 5 %, a day later 20 %, two days later 100 %.
    #[serde(default)]
    pub phases: Option<Vec<Phase>>,
    /// More failures than this share of a phase's devices stop the rollout. Default 5 %.
    #[serde(default)]
    pub failure_threshold: Option<Percent>,
    /// Take back those already updated when the threshold is passed. Default true.
    #[serde(default)]
    pub rollback_on_failure: Option<bool>,
    /// Only these devices; default: all of the release's compatible.
    #[serde(default)]
    pub devices: Option<Vec<DeviceId>>,
    /// A device that began to update and shows no verified boot for this long has failed.
    /// Default 86,400 (a day).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 60, max = 2_592_000)))]
    pub deadline_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum RolloutStatus {
    Running,
    Paused,
    /// Too many failures; the devices already updated are being taken back.
    RollingBack,
    Completed,
    /// Stopped by the threshold, everyone who could be was taken back.
    RolledBack,
    /// Stopped by the threshold, and rollback was not wanted.
    Failed,
    Aborted,
}

impl RolloutStatus {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::RollingBack => "rollingBack",
            Self::Completed => "completed",
            Self::RolledBack => "rolledBack",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }

    /// Nothing more will happen to it.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::RolledBack | Self::Failed | Self::Aborted
        )
    }
}

/// Where one device stands in a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum MemberStatus {
    /// Not its phase's turn yet.
    Waiting,
    /// Was told to update; nothing verified yet.
    Offered,
    /// Booted the new slot, root hash as signed, health held.
    Verified,
    /// Came back to the old version, or never came back in time.
    Failed,
    /// Was told to go back.
    RollingBack,
    /// Verified on the version that it had before.
    RolledBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RolloutCounts {
    pub total: u64,
    pub waiting: u64,
    pub offered: u64,
    pub verified: u64,
    pub failed: u64,
    pub rolling_back: u64,
    pub rolled_back: u64,
}

/// One device of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RolloutMember {
    pub device_id: DeviceId,
    pub name: String,
    pub phase: u32,
    pub status: MemberStatus,
    /// Why it failed, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(default)]
    pub update: Option<UpdateState>,
}

/// `GET /v1/rollouts/{id}`, and one row of the list (there without members).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RolloutView {
    pub rollout_id: RolloutId,
    pub version: Version,
    pub status: RolloutStatus,
    pub phases: Vec<Phase>,
    pub current_phase: u32,
    pub failure_threshold: Percent,
    pub rollback_on_failure: bool,
    pub counts: RolloutCounts,
    pub created_at: Timestamp,
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// One sentence: what it is doing, or why it stopped.
    pub summary: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<RolloutMember>,
}
