//! Drives the command queue: fetches, runs one command at a time, and sends each result until it has
//! arrived. [`crate::core::command_queue`] decides.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fleet_device::clock;
use fleet_protocol::CommandId;
use fleet_protocol::backoff::Backoff;
use fleet_protocol::command::{Command, CommandOutcome, CommandResult};
use fleet_protocol::event::{EventKind, Severity};
use serde_json::Value;
use tokio::sync::mpsc;

use super::context::{CallError, Ctx, dice};
use super::enrol::linked;
use super::execute::{self, Hands, Outcome};
use crate::core::command_queue::{Effect, Event, Queue};
use crate::platform::kept::{Hold, Kept, Written};

const TICK: Duration = Duration::from_secs(10);
/// Beside the heartbeat, which says when there is something.
const POLL: Duration = Duration::from_mins(15);
const DEADLINE: Duration = Duration::from_mins(5);
const BACKOFF: Backoff = Backoff {
    base_ms: 2_000,
    max_ms: 300_000,
};

#[derive(Debug)]
enum Message {
    Ended { id: CommandId, outcome: Outcome },
}

struct Driver {
    ctx: Ctx,
    queue: Queue,
    hands: Hands,
    ended: mpsc::Sender<Message>,
    to_send: BTreeMap<CommandId, CommandResult>,
    kept: Kept,
    /// What could not be kept anywhere; fed again later, in its order.
    put_off: VecDeque<Event>,
}

pub(super) async fn run(ctx: Ctx, hands: Hands) {
    let stamp = ctx.liveness.register("commands", DEADLINE);
    let (ended_in, mut ended_out) = mpsc::channel(4);
    let kept = Kept::new(&ctx.device.paths, "commands.json");
    let queue = kept.read::<Queue>().0.unwrap_or_default();
    let mut driver = Driver {
        to_send: queue
            .unacknowledged()
            .map(|(id, result)| (id.clone(), result.clone()))
            .collect(),
        queue,
        hands,
        ended: ended_in,
        kept,
        put_off: VecDeque::new(),
        ctx: ctx.clone(),
    };
    let boot_id = ctx.device.booted.boot_id.clone();
    driver.feed(Event::Started { boot_id });
    stamp.idle(linked(&ctx)).await;
    let mut poll_at = tokio::time::Instant::now();
    let mut failures = 0;
    loop {
        stamp.touch();
        let fetch = poll_at <= tokio::time::Instant::now();
        let went_well = driver.exchange(fetch).await;
        failures = if went_well { 0 } else { failures + 1 };
        let pause = match failures {
            0 => TICK,
            failures => Duration::from_millis(BACKOFF.pause_ms(failures, dice())),
        };
        if fetch {
            poll_at = tokio::time::Instant::now() + if went_well { POLL } else { pause };
        }
        let wait = async {
            tokio::select! {
                message = ended_out.recv() => message,
                () = ctx.bells.commands.notified() => {
                    poll_at = tokio::time::Instant::now();
                    None
                }
                () = tokio::time::sleep(pause) => None,
            }
        };
        match stamp.idle(wait).await {
            Some(Message::Ended { id, outcome }) => driver.ended(id, outcome),
            None => driver.feed(Event::Tick),
        }
    }
}

impl Driver {
    /// Sends results first: the list that is fetched then is without them. `false`: try again later.
    async fn exchange(&mut self, fetch: bool) -> bool {
        while let Some((id, result)) = self.to_send.first_key_value() {
            let (id, result) = (id.clone(), result.clone());
            let sending = id.clone();
            let sent = self
                .ctx
                .call(move |client| client.command_result(&sending, &result))
                .await;
            match sent {
                Ok(()) => {}
                // The control plane does not know it any more: nobody waits for the answer.
                Err(CallError::Client(e)) if matches!(e.status(), Some(404 | 409 | 410 | 422)) => {
                    log::warn!("command.id":% = id, error:% = e; "a command's result is not wanted");
                }
                Err(_) => return false,
            }
            self.to_send.remove(&id);
            self.feed(Event::Acknowledged { id });
        }
        if !fetch {
            return true;
        }
        match self.ctx.call(crate::client::ControlPlane::commands).await {
            Ok(list) => {
                self.feed(Event::Fetched(list.items));
                true
            }
            Err(error) => {
                log::debug!(error:%; "the commands could not be fetched");
                false
            }
        }
    }

    fn ended(&mut self, id: CommandId, outcome: Outcome) {
        let ok = outcome.ended == CommandOutcome::Succeeded;
        log::info!("command.id":% = id, "command.outcome":? = outcome.ended; "a command has ended");
        let (kind, severity) = if ok {
            (EventKind::CommandExecuted, Severity::Info)
        } else {
            self.ctx.count(|c| c.command = c.command.saturating_add(1));
            (EventKind::CommandFailed, Severity::Warning)
        };
        let payload = serde_json::json!({ "commandId": id, "detail": outcome.detail });
        self.ctx.events.raise(kind, severity, payload);
        self.feed(Event::Ended {
            id,
            outcome: outcome.ended,
            detail: outcome.detail,
            output: outcome.output,
        });
    }

    fn feed(&mut self, event: Event) {
        let mut events = std::mem::take(&mut self.put_off);
        events.push_back(event);
        while let Some(event) = events.pop_front() {
            let boot_id = &self.ctx.device.booted.boot_id;
            let step = self
                .queue
                .clone()
                .step(event.clone(), boot_id, clock::wall());
            let (queue, effects) = step;
            if !self.persist(&effects) {
                // The list is fetched again; everything else comes only once.
                events.push_front(event);
                events.retain(|e| !matches!(e, Event::Fetched(_) | Event::Tick));
                self.put_off = events;
                return;
            }
            self.queue = queue;
            for effect in effects {
                match effect {
                    Effect::Persist(_) => {}
                    Effect::Run(command) => self.start(*command),
                    Effect::Send { id, result } => {
                        self.to_send.insert(id, result);
                    }
                    Effect::Ignored { detail } => log::warn!("{detail}"),
                }
            }
        }
    }

    /// `false`: the queue could not be kept, so nothing of this may happen.
    fn persist(&self, effects: &[Effect]) -> bool {
        let queue = effects.iter().find_map(|effect| match effect {
            Effect::Persist(queue) => Some(queue),
            _ => None,
        });
        let Some(queue) = queue else { return true };
        match self.kept.write(&**queue, Hold::Allowed) {
            Written::OnDisk => true,
            Written::InMemory(error) => {
                log::warn!(error:%, hint = error.hint(); "the commands are held in memory only");
                true
            }
            Written::Nowhere(error) => {
                log::error!(error:%, hint = error.hint(); "the commands could not be kept");
                false
            }
        }
    }

    fn start(&self, command: Command) {
        log::info!("command.id":% = command.command_id, "command.type" = command.kind.name();
            "a command begins");
        let (ctx, hands, ended) = (self.ctx.clone(), self.hands.clone(), self.ended.clone());
        tokio::spawn(async move {
            let id = command.command_id.clone();
            let outcome = execute::run(&ctx, &hands, command).await;
            let _ = ended.send(Message::Ended { id, outcome }).await;
        });
    }
}

impl Outcome {
    pub(super) fn new(ended: CommandOutcome, detail: impl Into<String>) -> Self {
        Self {
            ended,
            detail: detail.into(),
            output: None,
        }
    }

    pub(super) fn with(mut self, output: Value) -> Self {
        self.output = Some(output);
        self
    }
}
