//! The regular sign of life.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::update::{BootedSystem, UpdateState};
use crate::{Compatible, RoleName, Version};

/// Load and temperature, where the board can tell.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Since the last heartbeat, all cores together: 0 to 100.
    #[serde(deserialize_with = "finite")]
    pub cpu_percent: f32,
    #[serde(deserialize_with = "finite")]
    pub mem_percent: f32,
    /// Free bytes on the data partition.
    pub disk_free_bytes: u64,
    #[serde(default, deserialize_with = "finite_or_none")]
    pub temperature_c: Option<f32>,
    #[serde(default)]
    pub throttled: Option<bool>,
    #[serde(default)]
    pub under_voltage: Option<bool>,
    /// The agent's own resident memory.
    #[serde(default)]
    pub agent_resident_bytes: u64,
}

/// A number too large for `f32` would become infinite, which JSON can't say: what was stored of it
/// could not be read again.
fn finite<'de, D: Deserializer<'de>>(from: D) -> Result<f32, D::Error> {
    let value = f32::deserialize(from)?;
    if value.is_finite() {
        Ok(value)
    } else {
        Err(D::Error::custom("the number is too large"))
    }
}

fn finite_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f32>, D::Error> {
    let value = Option::<f32>::deserialize(from)?;
    match value {
        Some(value) if !value.is_finite() => Err(D::Error::custom("the number is too large")),
        value => Ok(value),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum NetworkType {
    Ethernet,
    Wifi,
    #[default]
    None,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Network {
    pub connected: bool,
    #[serde(rename = "type")]
    pub network_type: NetworkType,
    #[serde(default)]
    pub last_sync_at_utc: Option<Timestamp>,
    /// Addresses on the LAN, where the device's own page is found; the player says none. Beyond the signage contract.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// Why the device last started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum ResetReason {
    /// Shut down or rebooted in order.
    Orderly,
    /// Power was cut.
    Power,
    Watchdog,
    Panic,
    Unknown,
}

/// One health check and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    pub name: String,
    pub ok: bool,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum OperatingMode {
    Normal,
    Safe,
}

/// Failures since the last heartbeat that was acknowledged, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ErrorCounts {
    pub control_plane: u32,
    pub install: u32,
    pub command: u32,
    pub dropped_events: u32,
}

/// What the device's application says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApplicationStatus {
    /// 0: everything works; above: how far it has cut back to go on at all.
    #[serde(default)]
    pub degradation_level: u8,
    /// Whatever else its role has to tell, such as `recordingActive`.
    #[serde(flatten)]
    pub facts: serde_json::Map<String, serde_json::Value>,
}

/// `POST /v1/device/heartbeat`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// The device's clock; the server's time of receipt counts.
    pub device_time: Timestamp,
    pub agent_version: String,
    pub compatible: Compatible,
    pub hardware: String,
    pub role: RoleName,
    pub mode: OperatingMode,
    pub booted: BootedSystem,
    /// What the other slot holds, as far as is known.
    #[serde(default)]
    pub other_version: Option<Version>,
    pub uptime_seconds: u64,
    pub reset_reason: ResetReason,
    pub update: UpdateState,
    pub health: Vec<HealthCheck>,
    pub metrics: Metrics,
    pub network: Network,
    pub errors: ErrorCounts,
    /// Left out by a device whose application has nothing to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ApplicationStatus>,
    /// The next heartbeat comes within this time, jitter included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_within_seconds: Option<u32>,
    /// The configuration version in force, 0 for the image's own.
    pub config_version: u64,
    /// Of the key set that the device trusts.
    pub key_set_version: u32,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatAck {
    pub ack: bool,
    pub commands_pending: u32,
    /// Newer than the device's: fetch `/v1/device/target`.
    pub target_generation: u64,
    /// The version that the device is to run, if any; the target itself has the signed release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_version: Option<Version>,
    pub server_time: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_could_not_be_written_again_is_refused() {
        let read = |cpu: &str, degrees: &str| {
            let text = format!(
                r#"{{"cpuPercent":{cpu},"memPercent":1,"diskFreeBytes":1,"temperatureC":{degrees}}}"#
            );
            serde_json::from_str::<Metrics>(&text).is_ok()
        };
        assert!(read("99.5", "40.5") && read("0", "null"));
        assert!(!read("1e39", "null") && !read("1", "-1e39"));
    }

    #[test]
    fn a_status_block_keeps_what_only_its_role_knows() {
        let json = serde_json::json!({
            "degradationLevel": 2, "recordingActive": false, "activeInputs": ["cam1"],
        });
        let status: ApplicationStatus = serde_json::from_value(json.clone()).unwrap();
        assert_eq!((status.degradation_level, status.facts.len()), (2, 2));
        assert_eq!(serde_json::to_value(&status).unwrap(), json);
    }
}
