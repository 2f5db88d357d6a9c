//! Drives the decision for safe mode: counts failures over restarts and boots, and goes there.
//! [`crate::core::safe_mode`] decides.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use fleet_device::clock;
use fleet_device::files::{self, Access};
use fleet_protocol::UnitName;
use fleet_protocol::event::{EventKind, Severity};
use tokio::sync::mpsc;

use super::context::Ctx;
use super::health::PLAYER;
use crate::core::safe_mode::{Cause, Effect, Event, Limits, Watch};
use crate::platform::booted::read_state;
use crate::platform::cmdline::CommandLine;
use crate::platform::paths::Paths;

const DEADLINE: Duration = Duration::from_mins(3);
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) enum Message {
    /// The update engine has nothing to go back to.
    NothingHealthy { detail: String },
    /// The health gate held.
    Healthy,
}

/// Why `/data` can't be used; a full one still can, if poorly.
pub(super) fn data_trouble(paths: &Paths) -> Option<String> {
    let probe = paths.state().join("writable");
    let written = files::write_atomic(&probe, b"yes", Access::Public);
    match written.and_then(|()| files::remove(&probe)) {
        Ok(()) => None,
        Err(error) if error.source.kind() == io::ErrorKind::StorageFull => None,
        Err(error) => Some(error.to_string()),
    }
}

struct Driver {
    ctx: Ctx,
    watch: Watch,
    entering: Option<Cause>,
}

pub(super) async fn run(ctx: Ctx, mut messages: mpsc::Receiver<Message>) {
    let stamp = ctx.liveness.register("safe-mode", DEADLINE);
    let paths = &ctx.device.paths;
    let kept = read_state(&paths.state().join("safe-mode.json"));
    let kept = kept.or_else(|| read_state(&paths.run.join("safe-mode.json")));
    let mut driver = Driver {
        watch: kept.unwrap_or_default(),
        entering: None,
        ctx: ctx.clone(),
    };
    driver.feed(Event::Booted {
        forced_by_bootloader: CommandLine::read(paths).safe_mode,
        data_trouble: data_trouble(paths),
    });
    let mut restarts = BTreeMap::new();
    loop {
        stamp.touch();
        driver.enter().await;
        let pause = if driver.entering.is_some() {
            RETRY
        } else {
            LOOK_INTERVAL
        };
        let next = async {
            tokio::select! {
                message = messages.recv() => message,
                () = tokio::time::sleep(pause) => None,
            }
        };
        match stamp.idle(next).await {
            Some(Message::NothingHealthy { detail }) => {
                driver.feed(Event::NothingHealthy { detail });
            }
            Some(Message::Healthy) => driver.feed(Event::Healthy),
            None => driver.look_for_crashes(&mut restarts),
        }
    }
}

impl Driver {
    fn look_for_crashes(&mut self, known: &mut BTreeMap<UnitName, u32>) {
        let health = self.ctx.health.borrow().clone();
        for (unit, count) in &health.restarts {
            let (unit, count) = (unit.clone(), *count);
            let before = known.insert(unit.clone(), count);
            // A player that died and shows pictures again has cost the screen nothing.
            if unit.as_str() == PLAYER && health.shows_pictures() {
                continue;
            }
            let more = before.map_or(0, |before| count.saturating_sub(before));
            for _ in 0..more.min(16) {
                self.feed(Event::UnitFailed { unit: unit.clone() });
            }
        }
    }

    fn feed(&mut self, event: Event) {
        let step = self
            .watch
            .clone()
            .step(event, clock::wall(), &Limits::default());
        let (watch, effects) = step;
        self.watch = watch;
        for effect in effects {
            match effect {
                Effect::Persist(watch) => self.persist(&watch),
                Effect::Enter(cause) => {
                    log::error!("safe_mode.cause":? = cause; "safe mode is entered");
                    let payload = serde_json::json!({ "cause": cause.sentence() });
                    let (kind, severity) = (EventKind::SafeModeEntered, Severity::Error);
                    self.ctx.events.raise(kind, severity, payload);
                    self.entering = Some(cause);
                }
                Effect::Leave => self.entering = None,
            }
        }
    }

    /// On `/run` as well: `/data` may be what is broken. The decision stands even if neither works.
    fn persist(&self, watch: &Watch) {
        let paths = &self.ctx.device.paths;
        let kept = files::write_json(&paths.state().join("safe-mode.json"), watch, Access::Public);
        let held = files::write_json(&paths.run.join("safe-mode.json"), watch, Access::Public);
        if let (Err(error), Err(_)) = (kept, held) {
            log::error!(error:%; "the cause of safe mode could not be kept");
        }
    }

    /// Goes to safe mode; systemd stops this very agent for it. Asked again until it does.
    async fn enter(&mut self) {
        if self.entering.is_none() {
            return;
        }
        let target = "fleet-safe-mode.target"
            .parse()
            .expect("it is a unit's name");
        let asked = match self.ctx.bus.systemd().await {
            Ok(systemd) => systemd.isolate(&target).await.map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = asked {
            log::error!(error:%; "safe mode cannot be entered");
        }
    }
}
