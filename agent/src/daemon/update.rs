//! Drives the update engine: feeds it what happens, and does what it wants done, in its order.
//!
//! The record is written before anything that depends on it. When `/data` does not take it, it is held
//! in `/run` and written as soon as it can be: a full or broken disk keeps nobody from hearing why
//! nothing happens, or from going back. Only what begins something new needs the disk; without it the
//! engine stays as it was, and the event is as if it had not come.

use std::collections::VecDeque;
use std::time::Duration;

use fleet_protocol::event::{EventKind, Severity};
use fleet_protocol::update::UpdateState;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::context::{Ctx, UpdateView};
use super::install::Installation;
use super::situation::situation;
use super::{reports, safe_mode};
use crate::core::gate;
use crate::core::update::{
    Boot, Candidate, Effect, Engine, Event, InstallError, OperatorCommand, Record, Situation,
};
use crate::platform::cmdline::CommandLine;
use crate::platform::kept::{Hold, Kept, Written};
use crate::platform::rauc::Progress;
use crate::platform::systemd;
use crate::platform::systemd::Stamp;

const TICK: Duration = Duration::from_secs(5);
/// Marking slots asks RAUC several times, 30 s each.
const DEADLINE: Duration = Duration::from_mins(5);
/// An installation that an earlier agent began ends when its proxy is gone.
const RAUC_IDLE_DEADLINE: Duration = Duration::from_mins(3);

pub(super) type Reply = oneshot::Sender<Result<String, String>>;

/// What other loops tell the engine.
#[derive(Debug)]
pub(super) enum Message {
    Target {
        generation: u64,
        release: Option<Candidate>,
    },
    Progress {
        transaction_id: String,
        progress: Progress,
        downloaded_bytes: u64,
    },
    Installed {
        transaction_id: String,
        result: Result<(), InstallError>,
    },
    Sample(gate::Sample),
    Operator {
        command: OperatorCommand,
        reply: Reply,
    },
    /// Whether a reboot that somebody asks for may happen now.
    MayReboot(Reply),
    Acknowledged {
        sequence: u64,
    },
}

/// The other ends of the engine's channels.
#[derive(Debug)]
pub(super) struct Wiring {
    pub(super) messages: mpsc::Receiver<Message>,
    /// For tasks that report back.
    pub(super) own: mpsc::Sender<Message>,
    pub(super) reports: mpsc::Sender<reports::Message>,
    pub(super) safe_mode: mpsc::Sender<safe_mode::Message>,
}

pub(super) struct Driver {
    pub(super) ctx: Ctx,
    pub(super) engine: Engine,
    pub(super) own: mpsc::Sender<Message>,
    pub(super) reports: mpsc::Sender<reports::Message>,
    pub(super) safe_mode: mpsc::Sender<safe_mode::Message>,
    pub(super) installation: Option<Installation>,
    pub(super) reboot: Option<JoinHandle<()>>,
    /// Whoever asked what is being worked on.
    pub(super) reply: Option<Reply>,
    /// To be fed next, before any message.
    pub(super) follow_ups: VecDeque<Event>,
    /// The end of an installation that could not be acted on yet.
    put_off: Option<Event>,
    kept: Kept,
    /// The record is in `/run` only.
    is_held: bool,
}

pub(super) async fn run(ctx: Ctx, wiring: Wiring) {
    let stamp = ctx.liveness.register("update", DEADLINE);
    let kept = Kept::update_record(&ctx.device.paths);
    let (record, is_held) = kept.read::<Record>();
    let mut driver = Driver {
        kept,
        is_held,
        engine: Engine::new(record.unwrap_or_default()),
        own: wiring.own,
        reports: wiring.reports,
        safe_mode: wiring.safe_mode,
        installation: None,
        reboot: None,
        reply: None,
        follow_ups: VecDeque::new(),
        put_off: None,
        ctx,
    };
    driver.await_rauc(&stamp).await;
    let boot = driver.boot();
    driver.feed(Event::Booted(boot)).await;
    driver.serve(wiring.messages, &stamp).await;
}

impl Driver {
    async fn serve(&mut self, mut messages: mpsc::Receiver<Message>, stamp: &Stamp) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = async {
                tokio::select! {
                    message = messages.recv() => message,
                    _ = tick.tick() => None,
                }
            };
            if let Some(message) = stamp.idle(next).await {
                self.take(message).await;
            } else {
                self.write_what_is_held().await;
                let put_off = self.put_off.take();
                self.feed(put_off.unwrap_or(Event::Tick)).await;
            }
            stamp.touch();
        }
    }

    /// Does not begin while RAUC still works on what an earlier agent began.
    async fn await_rauc(&self, stamp: &Stamp) {
        let idle = async {
            loop {
                let installing = match self.ctx.bus.rauc().await {
                    Ok(rauc) => rauc.is_installing().await.unwrap_or(false),
                    Err(_) => false,
                };
                if !installing {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        if stamp
            .idle(tokio::time::timeout(RAUC_IDLE_DEADLINE, idle))
            .await
            .is_err()
        {
            log::warn!("RAUC does not end an earlier installation: going on beside it");
        }
    }

    fn boot(&self) -> Boot {
        let env = match self.ctx.boot_env.read() {
            Ok(env) => Some(env),
            Err(error) => {
                log::error!(error:%, hint = error.hint(); "the boot environment is unusable");
                None
            }
        };
        Boot {
            booted: self.ctx.device.booted.clone(),
            env,
            reset: self.ctx.device.reset_reason,
            safe_mode: CommandLine::read(&self.ctx.device.paths).safe_mode,
        }
    }

    async fn take(&mut self, message: Message) {
        let event = match message {
            Message::Target {
                generation,
                release,
            } => Event::TargetReceived {
                generation,
                release,
            },
            Message::Progress {
                transaction_id,
                progress,
                downloaded_bytes,
            } => Event::InstallProgress {
                transaction_id,
                percent: progress.percent,
                downloaded_bytes,
                message: progress.message,
            },
            Message::Installed {
                transaction_id,
                result,
            } => {
                self.installation = None;
                if let Err(error) = &result {
                    log::warn!(error:? = error; "the installation failed");
                    self.ctx.count(|c| c.install = c.install.saturating_add(1));
                }
                Event::InstallFinished {
                    transaction_id,
                    result,
                }
            }
            Message::Sample(sample) => Event::HealthSample(sample),
            Message::Operator { command, reply } => {
                self.reply = Some(reply);
                Event::Operator(command)
            }
            Message::MayReboot(reply) => {
                let answer = self.engine.may_reboot();
                let answer = answer.map(|()| "yes".to_owned()).map_err(str::to_owned);
                // Who asked may be gone by now.
                let _ = reply.send(answer);
                return;
            }
            Message::Acknowledged { sequence } => Event::ReportAcknowledged { sequence },
        };
        self.feed(event).await;
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(Ok("noted".to_owned()));
        }
    }

    /// One event and everything that follows from it at once.
    async fn feed(&mut self, event: Event) {
        self.follow_ups.push_back(event);
        while let Some(event) = self.follow_ups.pop_front() {
            let situation = situation(&self.ctx);
            let before = self.engine.view(&situation);
            // Comes only once, and the engine would wait for it for ever.
            let ends_install = matches!(event, Event::InstallFinished { .. });
            let again = ends_install.then(|| event.clone());
            let (engine, effects) = self.engine.clone().step(event, &situation);
            if !self.persist(&effects).await {
                self.put_off = again.or(self.put_off.take());
                if let Some(reply) = self.reply.take() {
                    let lost = "the update's state could not be kept, so nothing was done; free space on /data";
                    let _ = reply.send(Err(lost.to_owned()));
                }
                continue;
            }
            self.engine = engine;
            self.publish(&situation, &before);
            self.perform_all(effects).await;
        }
    }

    /// `false`: the record could not be kept, so nothing of this may happen.
    async fn persist(&mut self, effects: &[Effect]) -> bool {
        let record = effects.iter().find_map(|effect| match effect {
            Effect::Persist(record) => Some(record.clone()),
            _ => None,
        });
        let Some(record) = record else { return true };
        let begins = effects
            .iter()
            .any(|e| matches!(e, Effect::StartInstall(_) | Effect::DisarmLock { .. }));
        let hold = if begins {
            Hold::Forbidden
        } else {
            Hold::Allowed
        };
        let kept = self.kept.clone();
        let written = tokio::task::spawn_blocking(move || kept.write(&*record, hold));
        let Ok(written) = written.await else {
            return false;
        };
        if let Written::InMemory(error) | Written::Nowhere(error) = &written
            && !self.is_held
        {
            log::error!(error:%, hint = error.hint(); "the update's state could not be kept");
        }
        match written {
            Written::OnDisk => self.is_held = false,
            Written::InMemory(_) => self.is_held = true,
            Written::Nowhere(_) => return false,
        }
        true
    }

    /// `/data` may take again what it did not take before.
    async fn write_what_is_held(&mut self) {
        if !self.is_held {
            return;
        }
        let again = [Effect::Persist(Box::new(self.engine.record().clone()))];
        self.persist(&again).await;
        if !self.is_held {
            log::info!("the update's state is on the disk again");
        }
    }

    fn publish(&self, situation: &Situation, before: &UpdateState) {
        let state = self.engine.view(situation);
        if state.name() != before.name() {
            log::info!("update.state" = state.name(), "update.before" = before.name();
                "the update's state changed");
            let payload = serde_json::to_value(&state).unwrap_or_default();
            let (kind, severity) = match &state {
                UpdateState::Refused { .. } => (EventKind::UpdateRefused, Severity::Warning),
                UpdateState::RolledBack { .. } => (EventKind::SlotRolledBack, Severity::Error),
                _ => (EventKind::UpdateStateChanged, Severity::Info),
            };
            self.ctx.events.raise(kind, severity, payload);
            self.ctx.bells.health.notify_one();
            systemd::status(&format!("update: {}", state.name()));
        }
        let view = UpdateView {
            state,
            why: self.engine.why(situation),
            wanted: self.engine.wanted_version().cloned(),
            other_version: self.engine.other_version().cloned(),
            generation: self.engine.record().generation,
        };
        self.ctx.update.send_if_modified(|held| {
            let changed = *held != view;
            *held = view;
            changed
        });
    }
}
