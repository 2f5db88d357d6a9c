//! Commands to one device: fetched in order, persisted before they run, effective once by id.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{CommandId, UnitName, Version};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Which program on a device runs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    Agent,
    Player,
}

impl Receiver {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Player => "player",
        }
    }
}

/// What may be asked of one receiver.
pub trait Kind: Serialize + DeserializeOwned {
    const RECEIVER: Receiver;

    /// The name on the wire.
    fn name(&self) -> &'static str;
}

/// What is asked for; on the wire `{"type": "reboot", "payload": {"delaySeconds": 60}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "AgentCommand")
)]
#[serde(
    tag = "type",
    content = "payload",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum CommandKind {
    /// Converge on the target now; `force` ignores the maintenance window and an earlier failure
    /// of this version, never a signature or a version floor.
    Update {
        #[serde(default)]
        version: Option<Version>,
        #[serde(default)]
        force: bool,
    },
    /// Reboot, after this time.
    Reboot {
        #[serde(default)]
        delay_seconds: u32,
    },
    /// Restart a unit from the role's allow-list.
    RestartService { service: UnitName },
    /// Collect a support bundle and upload it.
    Bundle {
        #[serde(default = "yes")]
        include_logs: bool,
        #[serde(default = "yes")]
        include_config: bool,
    },
    /// Changes to the device's own configuration, merged over what it has; validated whole.
    Config {
        changes: serde_json::Map<String, serde_json::Value>,
    },
    /// Poll everything now.
    Refresh {},
    /// What is logged from now on.
    LogLevel { level: LogLevel },
    /// Show a card on the screen that says which device this is.
    Identify {
        #[serde(default = "thirty")]
        seconds: u32,
    },
}

const fn yes() -> bool {
    true
}

const fn thirty() -> u32 {
    30
}

impl CommandKind {
    /// The name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Update { .. } => "update",
            Self::Reboot { .. } => "reboot",
            Self::RestartService { .. } => "restart_service",
            Self::Bundle { .. } => "bundle",
            Self::Config { .. } => "config",
            Self::Refresh {} => "refresh",
            Self::LogLevel { .. } => "log_level",
            Self::Identify { .. } => "identify",
        }
    }
}

impl Kind for CommandKind {
    const RECEIVER: Receiver = Receiver::Agent;

    fn name(&self) -> &'static str {
        Self::name(self)
    }
}

/// One command as a device sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "Delivered{K}")
)]
#[serde(rename_all = "camelCase")]
pub struct Command<K = CommandKind> {
    pub command_id: CommandId,
    /// Position in the device's queue; a device runs them in this order.
    pub sequence: u64,
    pub created_at: Timestamp,
    /// Not begun after this instant.
    pub expires_at: Timestamp,
    #[serde(flatten)]
    pub kind: K,
}

/// `GET /v1/device/commands`: a command of a kind that this agent does not know is still listed,
/// so that it can be answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommandList {
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Command>"))]
    pub items: Vec<serde_json::Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CommandOutcome {
    Succeeded,
    Failed,
    /// Came too late.
    Expired,
    /// Not allowed, or not understood.
    Refused,
    /// The device lost power while it ran, and whether it took effect is unknown.
    Interrupted,
}

/// `POST /v1/device/commands/{commandId}/result`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CommandResult {
    pub outcome: CommandOutcome,
    pub finished_at: Timestamp,
    /// For people: what was done, or why not and what to do about it.
    pub detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<serde_json::Value>,
}

/// `POST /v1/devices/{id}/commands`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "Create{K}")
)]
#[serde(rename_all = "camelCase")]
pub struct CreateCommand<K = CommandKind> {
    #[serde(flatten)]
    pub kind: K,
    /// Default one hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 2_592_000)))]
    pub expires_in_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CommandStatus {
    Pending,
    /// Handed to the device at least once, no result yet.
    Delivered,
    Finished,
    Expired,
    Cancelled,
}

/// One command as an operator sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "{K}View")
)]
#[serde(rename_all = "camelCase")]
pub struct CommandView<K = CommandKind> {
    #[serde(flatten)]
    pub command: Command<K>,
    pub status: CommandStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<CommandResult>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_on_the_wire_has_type_and_payload() {
        let json = serde_json::json!({
            "commandId": "cmd_1", "sequence": 1, "createdAt": "2026-01-01T00:00:00Z",
            "expiresAt": "2026-01-01T01:00:00Z",
            "type": "reboot", "payload": {"delaySeconds": 60}
        });
        let command: Command = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(command.kind, CommandKind::Reboot { delay_seconds: 60 });
        assert_eq!(serde_json::to_value(&command).unwrap(), json);
    }

    #[test]
    fn a_service_name_is_checked_while_it_is_parsed() {
        let json = r#"{"type":"restart_service","payload":{"service":"rm -rf"}}"#;
        assert!(serde_json::from_str::<CommandKind>(json).is_err());
    }
}
