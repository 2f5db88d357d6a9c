//! One command on its way.

use fleet_protocol::CommandId;
use fleet_protocol::command::{CommandOutcome, CommandResult};
use fleet_protocol::player::{PlayerCommand, PlayerCommandKind, PlayerEventKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::MAX_ATTEMPTS;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "progress",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(super) enum Progress {
    Waiting {
        /// How often it was begun and cut off.
        attempts: u32,
    },
    Running {
        attempts: u32,
    },
    Finished {
        result: CommandResult,
    },
}

/// What the control plane listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Asked {
    Understood(Box<PlayerCommand>),
    /// By this player; such an entry is finished from the start.
    Unknown {
        command_type: String,
    },
}

impl Asked {
    fn name(&self) -> &str {
        match self {
            Self::Understood(command) => command.kind.name(),
            Self::Unknown { command_type } => command_type,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) id: CommandId,
    pub(super) asked: Asked,
    #[serde(flatten)]
    pub(super) progress: Progress,
}

impl Entry {
    pub(super) fn listed(id: CommandId, item: &Value, now: Timestamp) -> Self {
        match serde_json::from_value::<PlayerCommand>(item.clone()) {
            Ok(command) => Self {
                id,
                asked: Asked::Understood(Box::new(command)),
                progress: Progress::Waiting { attempts: 0 },
            },
            Err(error) => {
                let name = item.get("type").and_then(Value::as_str).unwrap_or("none");
                Self {
                    id,
                    asked: Asked::Unknown {
                        command_type: name.chars().take(80).collect(),
                    },
                    progress: finished(
                        CommandOutcome::Failed,
                        format!(
                            "not understood: {error}; update the player, or correct the command"
                        ),
                        now,
                    ),
                }
            }
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(self.progress, Progress::Finished { .. })
    }

    /// The player has started anew, whatever it was doing.
    pub(super) fn recover(&mut self, now: Timestamp) {
        let (Progress::Running { attempts }, Asked::Understood(command)) =
            (&self.progress, &self.asked)
        else {
            return;
        };
        let attempts = *attempts;
        self.progress = if command.kind == PlayerCommandKind::RebootApp {
            let detail = "the player has started anew".to_owned();
            finished(CommandOutcome::Succeeded, detail, now)
        } else if attempts < MAX_ATTEMPTS {
            Progress::Waiting { attempts }
        } else {
            let detail = format!(
                "the player stopped {attempts} times while the command ran; see its log before \
                 sending it again"
            );
            finished(CommandOutcome::Interrupted, detail, now)
        };
    }

    /// One that was begun before may be begun again.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let (Progress::Waiting { attempts: 0 }, Asked::Understood(command)) =
            (&self.progress, &self.asked)
        else {
            return;
        };
        if let Some(expires_at) = command.expires_at.filter(|end| *end < now) {
            let detail =
                format!("not begun before {expires_at}; send it again if it is still wanted");
            self.progress = finished(CommandOutcome::Expired, detail, now);
        }
    }

    /// What there is to tell of its end.
    pub(super) fn event(&self) -> Option<PlayerEventKind> {
        let Progress::Finished { result } = &self.progress else {
            return None;
        };
        let command_id = self.id.clone();
        let command_type = self.asked.name().to_owned();
        Some(if result.outcome == CommandOutcome::Succeeded {
            PlayerEventKind::CommandExecuted {
                command_id,
                command_type,
            }
        } else {
            PlayerEventKind::CommandFailed {
                command_id,
                command_type,
                reason: result.detail.clone(),
            }
        })
    }
}

fn finished(outcome: CommandOutcome, detail: String, now: Timestamp) -> Progress {
    Progress::Finished {
        result: CommandResult {
            outcome,
            finished_at: now,
            detail,
            output: None,
        },
    }
}
