//! Commands from the control plane: persisted before they run, effective once by id, answered until
//! the answer has arrived.
//!
//! ```text
//! fetched ─► Waiting ─► Running ─► Finished ─► acknowledged (the id is remembered)
//!               └ expired ──────────►┘
//! ```
//!
//! Invariants: one command runs at a time, in the order of their sequence; a reboot that waits for its
//! delay holds up nobody. A command that was running when the device stopped is never run again, except
//! a reboot that has not happened.

use std::collections::VecDeque;

use fleet_protocol::CommandId;
use fleet_protocol::command::{Command, CommandKind, CommandOutcome, CommandResult};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Ids of acknowledged commands that are remembered. The control plane lists unfinished commands
/// only, so this has to outlast a lost acknowledgement, no more.
pub const MAX_REMEMBERED: usize = 256;
/// Commands that are held at once; more stay at the control plane.
pub const MAX_HELD: usize = 64;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "progress",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Progress {
    Waiting,
    /// Started in the boot with this id.
    Running {
        boot_id: String,
    },
    Finished {
        result: CommandResult,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub id: CommandId,
    pub sequence: u64,
    /// `None`: not understood; such an entry is finished from the start.
    pub command: Option<Command>,
    #[serde(flatten)]
    pub progress: Progress,
}

impl Entry {
    fn holds_up_others(&self) -> bool {
        let kind = self.command.as_ref().map(|c| &c.kind);
        let waits = matches!(kind, Some(CommandKind::Reboot { delay_seconds: 1.. }));
        matches!(self.progress, Progress::Running { .. }) && !waits
    }
}

/// The queue; persisted whole.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Queue {
    entries: Vec<Entry>,
    remembered: VecDeque<CommandId>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The agent started. Comes first.
    Started { boot_id: String },
    /// `items` of `GET /v1/device/commands`.
    Fetched(Vec<Value>),
    /// Time has passed.
    Tick,
    /// A command that [`Effect::Run`] started has ended.
    Ended {
        id: CommandId,
        outcome: CommandOutcome,
        detail: String,
        output: Option<Value>,
    },
    /// The control plane has the result.
    Acknowledged { id: CommandId },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write the queue; the rest only if that worked.
    Persist(Box<Queue>),
    Run(Box<Command>),
    /// Send, and again until [`Event::Acknowledged`].
    Send {
        id: CommandId,
        result: CommandResult,
    },
    /// An item without a usable id cannot even be answered.
    Ignored {
        detail: String,
    },
}

impl Queue {
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Results that still have to arrive.
    pub fn unacknowledged(&self) -> impl Iterator<Item = (&CommandId, &CommandResult)> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.progress {
                Progress::Finished { result } => Some((&entry.id, result)),
                _ => None,
            })
    }

    /// Takes one event at `now`, in the boot with id `boot_id`.
    #[must_use]
    pub fn step(mut self, event: Event, boot_id: &str, now: Timestamp) -> (Self, Vec<Effect>) {
        let before = self.clone();
        let mut effects = Vec::new();
        match event {
            Event::Started { boot_id } => self.recover(&boot_id, now),
            Event::Fetched(items) => {
                for item in &items {
                    effects.extend(self.add(item, now));
                }
            }
            Event::Tick => {}
            Event::Ended {
                id,
                outcome,
                detail,
                output,
            } => self.finish(&id, outcome, detail, output, now),
            Event::Acknowledged { id } => self.forget(&id),
        }
        self.expire(now);
        // Answers first: what runs next may be a reboot.
        for (id, result) in self.unacknowledged() {
            if before.result(id) != Some(result) {
                effects.push(Effect::Send {
                    id: id.clone(),
                    result: result.clone(),
                });
            }
        }
        effects.extend(std::iter::from_fn(|| self.start_next(boot_id)));
        if self != before {
            effects.insert(0, Effect::Persist(Box::new(self.clone())));
        }
        (self, effects)
    }

    fn result(&self, id: &CommandId) -> Option<&CommandResult> {
        self.unacknowledged()
            .find(|(i, _)| *i == id)
            .map(|(_, r)| r)
    }

    fn recover(&mut self, boot_id: &str, now: Timestamp) {
        for entry in &mut self.entries {
            let Progress::Running { boot_id: ran_in } = &entry.progress else {
                continue;
            };
            let same_boot = ran_in == boot_id;
            let kind = entry.command.as_ref().map(|c| &c.kind);
            entry.progress = match kind {
                Some(CommandKind::Reboot { .. }) if same_boot => Progress::Waiting,
                Some(CommandKind::Reboot { .. }) => finished(
                    CommandOutcome::Succeeded,
                    "the device has rebooted".to_owned(),
                    now,
                ),
                _ => finished(
                    CommandOutcome::Interrupted,
                    if same_boot {
                        "the agent was restarted while the command ran; whether it took effect \
                         is not known"
                    } else {
                        "the device was restarted while the command ran; whether it took effect \
                         is not known"
                    }
                    .to_owned(),
                    now,
                ),
            };
        }
    }

    fn add(&mut self, item: &Value, now: Timestamp) -> Option<Effect> {
        let id = item.get("commandId").and_then(Value::as_str);
        let Some(id) = id.and_then(|id| id.parse::<CommandId>().ok()) else {
            return Some(Effect::Ignored {
                detail: "a command without a usable `commandId` was listed".to_owned(),
            });
        };
        let known = self.entries.iter().any(|e| e.id == id) || self.remembered.contains(&id);
        if known || self.entries.len() >= MAX_HELD {
            return None;
        }
        let entry = match serde_json::from_value::<Command>(item.clone()) {
            Ok(command) => Entry {
                id,
                sequence: command.sequence,
                command: Some(command),
                progress: Progress::Waiting,
            },
            Err(error) => {
                let kind = item.get("type").and_then(Value::as_str).unwrap_or("none");
                Entry {
                    id,
                    sequence: item.get("sequence").and_then(Value::as_u64).unwrap_or(0),
                    command: None,
                    progress: finished(
                        CommandOutcome::Refused,
                        format!(
                            "this agent does not understand the command (type `{kind}`): {error}; \
                             update the device, or correct the command"
                        ),
                        now,
                    ),
                }
            }
        };
        self.entries.push(entry);
        self.entries.sort_by_key(|e| e.sequence);
        None
    }

    fn finish(
        &mut self,
        id: &CommandId,
        outcome: CommandOutcome,
        detail: String,
        output: Option<Value>,
        now: Timestamp,
    ) {
        let running =
            |e: &&mut Entry| e.id == *id && matches!(e.progress, Progress::Running { .. });
        if let Some(entry) = self.entries.iter_mut().find(running) {
            entry.progress = Progress::Finished {
                result: CommandResult {
                    outcome,
                    finished_at: now,
                    detail,
                    output,
                },
            };
        }
    }

    fn forget(&mut self, id: &CommandId) {
        let done = |e: &Entry| e.id == *id && matches!(e.progress, Progress::Finished { .. });
        let before = self.entries.len();
        self.entries.retain(|e| !done(e));
        if self.entries.len() < before {
            self.remembered.push_back(id.clone());
            while self.remembered.len() > MAX_REMEMBERED {
                self.remembered.pop_front();
            }
        }
    }

    fn expire(&mut self, now: Timestamp) {
        for entry in &mut self.entries {
            let Some(command) = &entry.command else {
                continue;
            };
            if entry.progress == Progress::Waiting && now > command.expires_at {
                entry.progress = finished(
                    CommandOutcome::Expired,
                    format!(
                        "not begun before {}; send it again if it is still wanted",
                        command.expires_at
                    ),
                    now,
                );
            }
        }
    }

    fn start_next(&mut self, boot_id: &str) -> Option<Effect> {
        if self.entries.iter().any(Entry::holds_up_others) {
            return None;
        }
        let next = self
            .entries
            .iter_mut()
            .find(|e| e.progress == Progress::Waiting)?;
        let command = next.command.clone()?;
        next.progress = Progress::Running {
            boot_id: boot_id.to_owned(),
        };
        Some(Effect::Run(Box::new(command)))
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

#[cfg(test)]
mod tests;
