//! Commands to one player (seed 003, §28.7): fetched in the order in which they are listed, effective
//! once by id, answered with [`crate::command::CommandResult`].
//!
//! The contract names the types and leaves the envelope open; it is that of the device's commands, with
//! what the contract does not have made optional.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::CommandId;
use crate::command::{Kind, LogLevel, Receiver};

/// What is asked for; on the wire `{"type": "SET_LOG_LEVEL", "payload": {"level": "debug"}}`. The payload
/// may be left out where nothing has to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(
        rename = "PlayerCommand",
        !try_from,
        !into,
        tag = "type",
        content = "payload",
        rename_all = "SCREAMING_SNAKE_CASE",
        rename_all_fields = "camelCase"
    )
)]
#[serde(try_from = "KindShape", into = "KindShape")]
pub enum PlayerCommandKind {
    /// Ask for the manifest now.
    RequestManifestRefresh,
    /// From the first item on.
    RestartPlaybackLoop,
    /// Remove the files that no manifest names.
    ClearCacheUnused,
    /// Remove every file.
    ClearCacheAll,
    /// Start the player anew.
    RebootApp,
    /// Until the player starts anew.
    SetLogLevel { level: LogLevel },
    /// Send what is on the glass. Beyond the contract.
    TakeScreenshot,
}

impl PlayerCommandKind {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestManifestRefresh => "REQUEST_MANIFEST_REFRESH",
            Self::RestartPlaybackLoop => "RESTART_PLAYBACK_LOOP",
            Self::ClearCacheUnused => "CLEAR_CACHE_UNUSED",
            Self::ClearCacheAll => "CLEAR_CACHE_ALL",
            Self::RebootApp => "REBOOT_APP",
            Self::SetLogLevel { .. } => "SET_LOG_LEVEL",
            Self::TakeScreenshot => "TAKE_SCREENSHOT",
        }
    }

    /// Whether it waits for the end of an item, so that no video is cut off.
    pub const fn needs_boundary(self) -> bool {
        match self {
            Self::RestartPlaybackLoop | Self::ClearCacheAll | Self::RebootApp => true,
            Self::RequestManifestRefresh
            | Self::ClearCacheUnused
            | Self::SetLogLevel { .. }
            | Self::TakeScreenshot => false,
        }
    }
}

impl Kind for PlayerCommandKind {
    const RECEIVER: Receiver = Receiver::Player;

    fn name(&self) -> &'static str {
        (*self).name()
    }
}

#[derive(Serialize, Deserialize)]
struct KindShape {
    #[serde(rename = "type")]
    name: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    payload: Value,
}

impl TryFrom<KindShape> for PlayerCommandKind {
    type Error = String;

    fn try_from(shape: KindShape) -> Result<Self, Self::Error> {
        Ok(match shape.name.as_str() {
            "REQUEST_MANIFEST_REFRESH" => Self::RequestManifestRefresh,
            "RESTART_PLAYBACK_LOOP" => Self::RestartPlaybackLoop,
            "CLEAR_CACHE_UNUSED" => Self::ClearCacheUnused,
            "CLEAR_CACHE_ALL" => Self::ClearCacheAll,
            "REBOOT_APP" => Self::RebootApp,
            "SET_LOG_LEVEL" => Self::SetLogLevel {
                level: read_level(&shape.payload)?,
            },
            "TAKE_SCREENSHOT" => Self::TakeScreenshot,
            other => {
                let name: String = other.chars().take(80).collect();
                return Err(format!("this player knows no command of type `{name}`"));
            }
        })
    }
}

/// In either case: the contract's enums are written large, the device's levels small.
fn read_level(payload: &Value) -> Result<LogLevel, String> {
    let level = payload.get("level").and_then(Value::as_str);
    let level = level.ok_or("`payload.level` is missing")?;
    serde_json::from_value(json!(level.to_ascii_lowercase()))
        .map_err(|error| format!("`payload.level`: {error}"))
}

impl From<PlayerCommandKind> for KindShape {
    fn from(kind: PlayerCommandKind) -> Self {
        Self {
            name: kind.name().to_owned(),
            payload: match kind {
                PlayerCommandKind::SetLogLevel { level } => json!({ "level": level }),
                _ => Value::Null,
            },
        }
    }
}

/// One command as a player sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlayerCommand {
    pub command_id: CommandId,
    /// Not begun after this instant; `None` means that it is never too late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(flatten)]
    pub kind: PlayerCommandKind,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_of_the_contract_is_read_and_written_the_same() {
        let check = |kind: Value, expected: PlayerCommandKind| {
            let mut command = json!({"commandId": "cmd_1", "expiresAt": "2026-01-01T00:00:00Z"});
            for (key, value) in kind.as_object().unwrap() {
                command[key] = value.clone();
            }
            let read: PlayerCommand = serde_json::from_value(command.clone()).unwrap();
            assert_eq!(read.kind, expected);
            assert_eq!(kind["type"], expected.name());
            assert_eq!(serde_json::to_value(&read).unwrap(), command);
        };
        check(
            json!({"type": "REQUEST_MANIFEST_REFRESH"}),
            PlayerCommandKind::RequestManifestRefresh,
        );
        check(
            json!({"type": "RESTART_PLAYBACK_LOOP"}),
            PlayerCommandKind::RestartPlaybackLoop,
        );
        check(
            json!({"type": "CLEAR_CACHE_UNUSED"}),
            PlayerCommandKind::ClearCacheUnused,
        );
        check(
            json!({"type": "CLEAR_CACHE_ALL"}),
            PlayerCommandKind::ClearCacheAll,
        );
        check(json!({"type": "REBOOT_APP"}), PlayerCommandKind::RebootApp);
        check(
            json!({"type": "SET_LOG_LEVEL", "payload": {"level": "debug"}}),
            PlayerCommandKind::SetLogLevel {
                level: LogLevel::Debug,
            },
        );
        check(
            json!({"type": "TAKE_SCREENSHOT"}),
            PlayerCommandKind::TakeScreenshot,
        );
    }

    #[test]
    fn a_payload_may_be_empty_and_a_level_large() {
        let read = |json: Value| serde_json::from_value::<PlayerCommandKind>(json).unwrap();
        let empty = read(json!({"type": "REBOOT_APP", "payload": {}}));
        assert_eq!(empty, PlayerCommandKind::RebootApp);
        let level = LogLevel::Warn;
        let large = read(json!({"type": "SET_LOG_LEVEL", "payload": {"level": "WARN"}}));
        assert_eq!(large, PlayerCommandKind::SetLogLevel { level });
    }

    #[test]
    fn what_is_not_understood_says_what_it_is() {
        let check = |json: Value, expected: &str| {
            let error = serde_json::from_value::<PlayerCommandKind>(json).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(json!({"type": "DANCE"}), "`DANCE`");
        check(json!({"type": "SET_LOG_LEVEL"}), "`payload.level`");
        check(
            json!({"type": "SET_LOG_LEVEL", "payload": {"level": "loud"}}),
            "`payload.level`",
        );
    }
}
