//! Commands from the control plane: persisted before they run, effective once by id, answered until the
//! answer has arrived (seed 003, §28.7).
//!
//! ```text
//! listed ─► Waiting ─► Running ─► Finished ─► acknowledged (the id is remembered)
//!              │  ▲        │         ▲
//!              │  └─ player stopped ─┤ (a restart proves a restart; the second stop ends the others)
//!              └─ too late ──────────┘
//! ```
//!
//! Smaller than the agent's queue and not shared with it: that one has boots, delays and interrupted
//! updates to think of, this one the ends of items.
//!
//! Invariants:
//! - One command runs at a time, in the order in which they were listed.
//! - A finished command never runs again, however often it is listed.
//! - A command that was cut off runs once more, since each of them may be repeated; one that stops the
//!   player each time does not stop it for ever.
//! - What would cut off a video waits for the end of an item.

mod entry;

use std::collections::VecDeque;

use fleet_protocol::CommandId;
use fleet_protocol::command::{CommandOutcome, CommandResult};
use fleet_protocol::instant::Now;
use fleet_protocol::player::{PlayerCommand, PlayerEventKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use entry::{Asked, Entry, Progress};

/// Ids of acknowledged commands that are remembered. The control plane lists unfinished commands only,
/// so this has to outlast a lost acknowledgement, no more.
pub const MAX_REMEMBERED: usize = 256;
/// Commands that are held at once; more stay at the control plane.
pub const MAX_HELD: usize = 64;
/// How often a command is begun.
const MAX_ATTEMPTS: u32 = 2;

/// The queue; persisted whole.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Commands {
    entries: Vec<Entry>,
    remembered: VecDeque<CommandId>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The player started. Comes first.
    Started,
    /// `items` of `GET /v1/player/commands`.
    Listed(Vec<Value>),
    /// Time has passed.
    Tick,
    /// An item has come to its end, or a card is shown: nothing is cut off now.
    Boundary,
    /// A command that [`Effect::Run`] started has ended.
    Ended {
        id: CommandId,
        outcome: CommandOutcome,
        detail: String,
        output: Option<Value>,
    },
    /// The control plane has the result, or will never take it.
    Acknowledged(CommandId),
}

/// What the driver has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write the queue; the rest only if that worked.
    Persist(Box<Commands>),
    Run(Box<PlayerCommand>),
    /// [`Commands::next_result`] has something to send, until [`Event::Acknowledged`].
    ResultsWait,
    Tell(PlayerEventKind),
    /// An item without a usable id cannot even be answered.
    Ignored {
        detail: String,
    },
}

/// Whether a command may run that would cut off what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Glass {
    Busy,
    AtBoundary,
}

impl Commands {
    /// The oldest result that still has to arrive.
    pub fn next_result(&self) -> Option<(&CommandId, &CommandResult)> {
        self.results().next()
    }

    fn results(&self) -> impl Iterator<Item = (&CommandId, &CommandResult)> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.progress {
                Progress::Finished { result } => Some((&entry.id, result)),
                Progress::Waiting { .. } | Progress::Running { .. } => None,
            })
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes one event. One that names a command which does not run changes nothing.
    #[must_use]
    pub fn step(mut self, event: Event, now: Now) -> (Self, Vec<Effect>) {
        let before = self.clone();
        let mut glass = Glass::Busy;
        let mut effects = Vec::new();
        let mut starts = false;
        match event {
            Event::Started => {
                for entry in &mut self.entries {
                    entry.recover(now.wall);
                }
                starts = true;
            }
            Event::Listed(items) => {
                for item in &items {
                    effects.extend(self.add(item, now.wall));
                }
            }
            Event::Tick => {}
            Event::Boundary => glass = Glass::AtBoundary,
            Event::Ended {
                id,
                outcome,
                detail,
                output,
            } => self.finish(&id, outcome, detail, output, now.wall),
            Event::Acknowledged(id) => self.forget(&id),
        }
        for entry in &mut self.entries {
            entry.expire(now.wall);
        }
        let finished = self.tell_of_finished(&before, &mut effects);
        if finished || (starts && self.next_result().is_some()) {
            effects.push(Effect::ResultsWait);
        }
        effects.extend(self.start_next(glass).map(Effect::Run));
        if self != before {
            effects.insert(0, Effect::Persist(Box::new(self.clone())));
        }
        (self, effects)
    }

    /// True if a command has come to its end.
    fn tell_of_finished(&self, before: &Self, effects: &mut Vec<Effect>) -> bool {
        let was_finished = |id: &CommandId| before.results().any(|(known, _)| known == id);
        let events = self.entries.iter().filter(|e| !was_finished(&e.id));
        let count = effects.len();
        effects.extend(events.filter_map(Entry::event).map(Effect::Tell));
        effects.len() > count
    }

    fn add(&mut self, item: &Value, now: Timestamp) -> Option<Effect> {
        let id = item.get("commandId").and_then(Value::as_str);
        let Some(id) = id.and_then(|id| id.parse::<CommandId>().ok()) else {
            return Some(Effect::Ignored {
                detail: "a command without a usable `commandId` was listed".to_owned(),
            });
        };
        let known = self.entries.iter().any(|e| e.id == id) || self.remembered.contains(&id);
        if !known && self.entries.len() < MAX_HELD {
            self.entries.push(Entry::listed(id, item, now));
        }
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
        let before = self.entries.len();
        self.entries.retain(|e| !(e.id == *id && e.is_finished()));
        if self.entries.len() < before {
            self.remembered.push_back(id.clone());
            while self.remembered.len() > MAX_REMEMBERED {
                self.remembered.pop_front();
            }
        }
    }

    /// The first that waits, if none runs and nothing is cut off by it.
    fn start_next(&mut self, glass: Glass) -> Option<Box<PlayerCommand>> {
        let next = self.entries.iter_mut().find(|e| !e.is_finished())?;
        let Progress::Waiting { attempts } = next.progress else {
            return None;
        };
        let Asked::Understood(command) = &next.asked else {
            return None;
        };
        if command.kind.needs_boundary() && glass == Glass::Busy {
            return None;
        }
        let command = command.clone();
        next.progress = Progress::Running {
            attempts: attempts + 1,
        };
        Some(command)
    }
}

#[cfg(test)]
mod tests;
