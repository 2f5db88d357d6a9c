//! What follows from one happening: effects of the machines, done in order, and what these come to.

use std::collections::VecDeque;

use fleet_device::request::RequestError;
use fleet_protocol::command::CommandOutcome;
use fleet_protocol::instant::Now;
use fleet_protocol::player::{
    PlayerCommand, PlayerCommandKind, PlayerEvent, PlayerEventBatch, PlayerEventKind,
    PlayerHeartbeat, ProofOfPlay, ProofOfPlayBatch,
};

use super::{COMMANDS, Conversation, Happening, Sending, Wish};
use crate::control_plane::{Given, Job, Report};
use crate::core::commands;
use crate::core::sync::{self, Failure, Lane, More, Request, Success, Sync, Upload};
use crate::journal::{JournalError, Row, Stream};

/// One happening, until nothing follows from it any more.
pub(super) struct Turn<'a> {
    conversation: &'a mut Conversation,
    heartbeat: &'a dyn Fn(&Sync) -> PlayerHeartbeat,
    now: Now,
    wishes: Vec<Wish>,
    /// For the machine that decides when to ask.
    events: VecDeque<sync::Event>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        conversation: &'a mut Conversation,
        heartbeat: &'a dyn Fn(&Sync) -> PlayerHeartbeat,
        now: Now,
    ) -> Self {
        Self {
            conversation,
            heartbeat,
            now,
            wishes: Vec::new(),
            events: VecDeque::new(),
        }
    }

    pub(super) fn take(mut self, happening: Happening) -> Vec<Wish> {
        self.begin(happening);
        self.settle();
        self.wishes
    }

    fn begin(&mut self, happening: Happening) {
        match happening {
            Happening::Started { known, dice } => {
                self.events.push_back(sync::Event::Started { known, dice });
                for (stream, upload) in [
                    (Stream::Events, Upload::Events),
                    (Stream::Proofs, Upload::Proofs),
                ] {
                    let waiting = self.conversation.journal.waiting(stream);
                    if self
                        .conversation
                        .noted(waiting)
                        .is_some_and(|count| count > 0)
                    {
                        self.events.push_back(sync::Event::Waiting(upload));
                    }
                }
                self.command(commands::Event::Started);
            }
            Happening::Woken { dice } => self.events.push_back(sync::Event::Woken { dice }),
            Happening::Tick => {
                self.events.push_back(sync::Event::Tick);
                self.command(commands::Event::Tick);
            }
            Happening::Boundary => self.command(commands::Event::Boundary),
            Happening::Report(report) => self.report(report),
            Happening::CommandEnded {
                id,
                outcome,
                detail,
                output,
            } => self.command(commands::Event::Ended {
                id,
                outcome,
                detail,
                output,
            }),
            Happening::Event(kind) => self.tell(kind),
            Happening::Played(proof) => self.record(&proof, Upload::Proofs),
            Happening::Registered(worker) => {
                self.conversation.worker = worker;
                self.events.push_back(sync::Event::Registered);
            }
        }
    }

    fn settle(&mut self) {
        while let Some(event) = self.events.pop_front() {
            let sync = std::mem::take(&mut self.conversation.sync);
            let (sync, effects) = sync.step(event, self.now);
            self.conversation.sync = sync;
            for effect in effects {
                match effect {
                    sync::Effect::Ask(request) => self.ask(request),
                    sync::Effect::Received(manifest) => self.wishes.push(Wish::Received(manifest)),
                    sync::Effect::TokenInvalid => self.wishes.push(Wish::TokenInvalid),
                    sync::Effect::Registered => self.wishes.push(Wish::Registered),
                    sync::Effect::Tell(kind) => self.tell(kind),
                }
            }
        }
    }

    fn ask(&mut self, request: Request) {
        let lane = request.lane();
        let job = match request {
            Request::Manifest { etag } => Job::Manifest { etag },
            Request::Commands => Job::Commands,
            Request::Heartbeat => {
                let heartbeat = (self.heartbeat)(&self.conversation.sync);
                Job::Heartbeat(Box::new(heartbeat))
            }
            Request::Upload(upload) => {
                let Some(job) = self.load(upload) else {
                    let nothing = sync::Event::NothingToSend(upload);
                    self.events.push_back(nothing);
                    return;
                };
                job
            }
        };
        if let Err(error) = self.conversation.worker.submit(job) {
            log::error!(error:% = error; "no request can be made");
            self.events.push_back(sync::Event::Answered {
                lane,
                result: Err(Failure {
                    status: None,
                    retry_after_s: None,
                    reason: error.to_string(),
                }),
                dice: self.now.mono.0,
            });
        }
    }

    /// The oldest that waits, if anything does.
    fn load(&mut self, upload: Upload) -> Option<Job> {
        let device_time = self.now.wall;
        let (job, sending) = match upload {
            Upload::Results => {
                let (id, result) = self.conversation.commands.next_result()?;
                let (id, result) = (id.clone(), Box::new(result.clone()));
                let sending = Sending::Result(id.clone());
                (Job::Result { id, result }, sending)
            }
            Upload::Events => {
                let drawn = self.conversation.journal.draw::<PlayerEvent>(device_time);
                let drawn = self.conversation.noted(drawn)??;
                let batch = PlayerEventBatch {
                    device_time,
                    events: drawn.rows,
                };
                let sending = Sending::Batch(Stream::Events, drawn.id.clone());
                let id = drawn.id;
                (Job::Events { id, batch }, sending)
            }
            Upload::Proofs => {
                let drawn = self.conversation.journal.draw::<ProofOfPlay>(device_time);
                let drawn = self.conversation.noted(drawn)??;
                let dropped = self.conversation.journal.dropped(Stream::Proofs);
                let dropped_total = self.conversation.noted(dropped).unwrap_or_default();
                let sending = Sending::Batch(Stream::Proofs, drawn.id.clone());
                let batch = ProofOfPlayBatch {
                    batch_id: drawn.id,
                    device_time,
                    dropped_total,
                    proofs: drawn.rows,
                };
                (Job::Proofs(batch), sending)
            }
        };
        self.conversation.sending = Some(sending);
        Some(job)
    }

    fn report(&mut self, report: Report) {
        let Report { lane, result, dice } = report;
        let sending = self.conversation.sending.take();
        let result = match result {
            Ok(Given::Manifest(success)) => Ok(success),
            Ok(Given::Commands(items)) => {
                self.command(commands::Event::Listed(items));
                Ok(Success::Done { more: More::None })
            }
            Ok(Given::Taken) => {
                if lane == Lane::Heartbeat {
                    self.wishes.push(Wish::HeartbeatAcknowledged);
                }
                Ok(self.delivered(sending))
            }
            Err(error) if is_refused_for_good(&error, sending.as_ref()) => {
                // Better a gap than a stop.
                log::warn!(error:% = error, hint = error.hint(); "what was sent is dropped");
                Ok(self.delivered(sending))
            }
            Err(error) => {
                log::debug!(error:% = error, hint = error.hint(); "a request has failed");
                Err(sync::Failure::from(&error))
            }
        };
        self.events
            .push_back(sync::Event::Answered { lane, result, dice });
    }

    fn delivered(&mut self, sending: Option<Sending>) -> Success {
        let more = match sending {
            None => false,
            Some(Sending::Result(id)) => {
                self.command(commands::Event::Acknowledged(id));
                self.conversation.commands.next_result().is_some()
            }
            Some(Sending::Batch(stream, id)) => {
                let more = self.conversation.journal.acknowledge(stream, &id);
                self.conversation.noted(more).unwrap_or_default()
            }
        };
        Success::Done {
            more: if more { More::Waits } else { More::None },
        }
    }

    /// Steps the queue of commands and does what it wants done.
    fn command(&mut self, event: commands::Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let queue = std::mem::take(&mut self.conversation.commands);
            let (queue, effects) = queue.step(event, self.now);
            self.conversation.commands = queue;
            let mut kept = Ok(());
            for effect in effects {
                match effect {
                    commands::Effect::Persist(queue) => {
                        kept = self.conversation.journal.keep(COMMANDS, &queue);
                    }
                    commands::Effect::Run(command) => {
                        events.extend(self.run(command, kept.as_ref().err()));
                    }
                    commands::Effect::ResultsWait => {
                        self.events.push_back(sync::Event::Waiting(Upload::Results));
                    }
                    commands::Effect::Tell(kind) => self.tell(kind),
                    commands::Effect::Ignored { detail } => log::warn!("{detail}"),
                }
            }
            self.conversation.noted(kept);
        }
    }

    /// What has ended already is given back.
    fn run(
        &mut self,
        command: Box<PlayerCommand>,
        unkept: Option<&JournalError>,
    ) -> Option<commands::Event> {
        let (outcome, detail) = if let Some(error) = unkept {
            let detail = format!(
                "not begun, since it cannot be kept: {error}; {}",
                error.hint()
            );
            (CommandOutcome::Failed, detail)
        } else if command.kind == PlayerCommandKind::RequestManifestRefresh {
            self.events.push_back(sync::Event::Refresh);
            let detail = "the manifest is being asked for".to_owned();
            (CommandOutcome::Succeeded, detail)
        } else {
            self.wishes.push(Wish::Run(command));
            return None;
        };
        Some(commands::Event::Ended {
            id: command.command_id,
            outcome,
            detail,
            output: None,
        })
    }

    fn tell(&mut self, kind: PlayerEventKind) {
        let event = PlayerEvent::new(kind, self.now.wall);
        self.record(&event, Upload::Events);
    }

    fn record<R: Row>(&mut self, row: &R, upload: Upload) {
        let recorded = self.conversation.journal.record(row, self.now.wall);
        if self.conversation.noted(recorded).is_some() {
            self.events.push_back(sync::Event::Waiting(upload));
        }
    }
}

/// The same again would be refused again. A command that the control plane does not know any more needs
/// no result.
fn is_refused_for_good(error: &RequestError, sending: Option<&Sending>) -> bool {
    match sending {
        None => false,
        Some(Sending::Result(_)) => error.is_refused_content() || error.status() == Some(404),
        Some(Sending::Batch(..)) => error.is_refused_content(),
    }
}
