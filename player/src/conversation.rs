//! The player's side of the conversation with the control plane, as one thing: the machine that decides when
//! to ask, the queue of commands, the journal, and the thread that speaks.
//!
//! It lives on the thread of the main loop and never waits for the network. What concerns the screen is handed
//! on as [`Wish`]es; what concerns the conversation alone, such as a command to refresh, is dealt with here.
//!
//! Invariants: a command is on disk before it runs; one that cannot be put there is answered and not run.

mod turn;

use fleet_protocol::command::CommandOutcome;
use fleet_protocol::instant::Now;
use fleet_protocol::player::{
    Manifest, PlayerCommand, PlayerEventKind, PlayerHeartbeat, ProofOfPlay,
};
use fleet_protocol::{BatchId, CommandId};
use serde_json::Value;

use crate::control_plane::{Report, Worker};
use crate::core::commands::Commands;
use crate::core::sync::{Known, Sync};
use crate::journal::{Journal, JournalError, Stream};

use turn::Turn;

/// The name under which the queue of commands is kept.
const COMMANDS: &str = "commands";

/// What the main loop passes on.
#[derive(Debug)]
pub enum Happening {
    /// Comes first. `known`: the manifest in force, if there is one; `dice`: any number.
    Started {
        known: Option<Known>,
        dice: u64,
    },
    /// There may be another manifest, or a command. `dice`: any number.
    Woken {
        dice: u64,
    },
    /// Time has passed.
    Tick,
    /// An item has come to its end, or a card is shown.
    Boundary,
    /// From the [`Worker`].
    Report(Report),
    /// A command of a [`Wish::Run`] has ended.
    CommandEnded {
        id: CommandId,
        outcome: CommandOutcome,
        detail: String,
        output: Option<Value>,
    },
    /// Something to be told to the control plane.
    Event(PlayerEventKind),
    Played(ProofOfPlay),
    /// The device has a new token, and the worker too. Its reports come the same way as those of the one
    /// before, whose last one is still waited for.
    Registered(Worker),
}

/// What the main loop has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// For the screen.
    Received(Box<Manifest>),
    /// For the screen.
    TokenInvalid,
    /// For the screen.
    Registered,
    /// Ends in [`Happening::CommandEnded`]; never a request to refresh the manifest.
    Run(Box<PlayerCommand>),
    /// What the last heartbeat counted need not be counted again.
    HeartbeatAcknowledged,
}

/// What is on its way up.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sending {
    Result(CommandId),
    Batch(Stream, BatchId),
}

/// The whole conversation.
#[derive(Debug)]
pub struct Conversation {
    sync: Sync,
    commands: Commands,
    journal: Journal,
    worker: Worker,
    sending: Option<Sending>,
    /// Of the journal; once until it works again.
    complained: bool,
}

impl Conversation {
    /// Begins with [`Happening::Started`].
    pub fn new(mut journal: Journal, worker: Worker) -> Self {
        let commands = journal.kept(COMMANDS);
        let mut conversation = Self {
            sync: Sync::default(),
            commands: Commands::default(),
            journal,
            worker,
            sending: None,
            complained: false,
        };
        conversation.commands = conversation.noted(commands).flatten().unwrap_or_default();
        conversation
    }

    pub fn sync(&self) -> &Sync {
        &self.sync
    }

    /// Takes one happening. `heartbeat` is called when one is to be sent; it is given the state to report.
    pub fn take(
        &mut self,
        happening: Happening,
        heartbeat: &dyn Fn(&Sync) -> PlayerHeartbeat,
        now: Now,
    ) -> Vec<Wish> {
        Turn::new(self, heartbeat, now).take(happening)
    }

    /// A player without a record goes on playing.
    fn noted<T>(&mut self, result: Result<T, JournalError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.complained = false;
                Some(value)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    log::warn!(error:% = error, hint = error.hint(); "the player's journal does not work");
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
