//! When the player asks the control plane for what, and what it makes of the answers.
//!
//! ```text
//!            due                       answered
//! Waiting ───────► asking, one at a time ───────► Waiting
//!    ▲                  │ no answer                  │ 401 twice
//!    └─ pause over ─ OfflineBackoff              Unregistered ─ any success, a new token ─► Waiting
//! ```
//!
//! Each kind of request has a lane: when it is due next, and how often it has failed. A lane without
//! success backs off by its own count, or as long as it is told to; after a request without any answer the
//! others wait for a moment too. The manifest sets the pace: commands and heartbeats follow its requests
//! (seed 003, §§27.8 and 28.6).
//!
//! Invariants:
//! - One request at most is in flight.
//! - The pause before the next request has a bound, whatever was answered.
//! - A manifest that cannot be read changes nothing but the record.
//! - No lane starves another: what failed is due after what did not.

mod answer;
mod lane;
mod link;

use fleet_protocol::instant::{Monotonic, Now};
use fleet_protocol::player::{Manifest, PlayerEventKind};
use jiff::Timestamp;
use serde::Serialize;

pub use answer::{Failure, More, Success};
pub use lane::{Lane, MAX_RETRY_AFTER_S, Upload};

use lane::Lanes;
use link::Link;

/// Until a manifest says otherwise.
const DEFAULT_CHECK_MS: u64 = 60_000;
/// With a manifest on the disk there is no hurry, and a street of screens gets its power back at once.
const START_SPREAD_MS: u64 = 3_000;
/// All screens of a venue are woken at once, and a playlist wakes those of all venues.
const WAKE_SPREAD_MS: u64 = 5_000;

/// What a driver has to ask the control plane for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Manifest {
        /// For `If-None-Match`.
        etag: Option<String>,
    },
    Commands,
    Heartbeat,
    /// The oldest rows of this kind.
    Upload(Upload),
}

impl Request {
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Manifest { .. } => Lane::Manifest,
            Self::Commands => Lane::Commands,
            Self::Heartbeat => Lane::Heartbeat,
            Self::Upload(upload) => upload.lane(),
        }
    }
}

/// The manifest that is in force when the player starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub etag: String,
    pub valid_to_utc: Timestamp,
    pub next_check_seconds: u32,
}

impl From<&Manifest> for Known {
    fn from(manifest: &Manifest) -> Self {
        Self {
            etag: quoted(&manifest.manifest_etag),
            valid_to_utc: manifest.valid_to_utc,
            next_check_seconds: manifest.next_check_seconds,
        }
    }
}

/// `dice` is any random number.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Comes first.
    Started { known: Option<Known>, dice: u64 },
    /// Time has passed.
    Tick,
    /// The request on this lane has ended.
    Answered {
        lane: Lane,
        result: Result<Success, Failure>,
        dice: u64,
    },
    /// There was nothing of this to send after all; no request was made.
    NothingToSend(Upload),
    /// An operator's command: ask for the manifest now.
    Refresh,
    /// There may be another manifest, or a command: many others are told the same.
    Woken { dice: u64 },
    /// Rows wait for delivery.
    Waiting(Upload),
    /// The device has a new token.
    Registered,
}

/// What the driver has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ends in [`Event::Answered`].
    Ask(Request),
    /// For the screen.
    Received(Box<Manifest>),
    /// For the screen: the device belongs to nobody.
    TokenInvalid,
    /// For the screen: it is accepted again.
    Registered,
    Tell(PlayerEventKind),
}

/// Where the conversation stands, by the contract's names (§28.3), for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    Boot,
    /// Nothing is due; what is on the screen is no matter of this machine.
    Waiting,
    SyncManifest,
    SyncCommands,
    /// Heartbeat, results, events or proofs of play are being sent.
    Reporting,
    OfflineBackoff,
    Unregistered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Boot,
    Registered,
    /// The token was refused twice; asks seldom.
    Unregistered,
}

/// The whole state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sync {
    mode: Mode,
    /// As `If-None-Match` takes it.
    etag: Option<String>,
    check_ms: Option<u64>,
    /// `None` when nothing is known, or the control plane has confirmed it beyond its end.
    valid_to: Option<Timestamp>,
    lanes: Lanes,
    in_flight: Option<Lane>,
    link: Link,
    /// 401s since the last success.
    unauthorized: u32,
    /// Told once each.
    rejected: Option<String>,
    fetch_failures: FetchFailures,
}

/// Of the manifest, for the heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct FetchFailures {
    untold: u32,
    /// Of these, what the heartbeat in flight tells.
    being_told: u32,
}

impl Sync {
    pub fn phase(&self) -> Phase {
        match (self.mode, self.in_flight) {
            (Mode::Boot, _) => Phase::Boot,
            (Mode::Unregistered, _) => Phase::Unregistered,
            (_, Some(Lane::Manifest)) => Phase::SyncManifest,
            (_, Some(Lane::Commands)) => Phase::SyncCommands,
            (_, Some(_)) => Phase::Reporting,
            (_, None) if self.is_backing_off() => Phase::OfflineBackoff,
            (_, None) => Phase::Waiting,
        }
    }

    /// The next instant at which [`Event::Tick`] makes a request; `None` while one is in flight.
    pub fn due(&self) -> Option<Monotonic> {
        if self.mode == Mode::Boot || self.in_flight.is_some() {
            return None;
        }
        let (due, _) = self.lanes.next(self.may_ask())?;
        Some(due.max(self.link.held_until()))
    }

    /// The control plane was not out of reach when last asked.
    pub fn is_online(&self) -> bool {
        self.link.is_online()
    }

    /// When the control plane last gave what it was asked for.
    pub fn last_success_at(&self) -> Option<Timestamp> {
        self.link.last_success_at()
    }

    /// Since the last heartbeat that was acknowledged.
    pub fn manifest_fetch_failures(&self) -> u32 {
        self.fetch_failures.untold
    }

    fn is_backing_off(&self) -> bool {
        self.link.is_held() || self.lanes.failures(Lane::Manifest) > 0
    }

    /// Without a token that is accepted nothing but the manifest is asked for, as a probe.
    fn may_ask(&self) -> fn(Lane) -> bool {
        match self.mode {
            Mode::Unregistered => |lane| lane == Lane::Manifest,
            Mode::Boot | Mode::Registered => |_| true,
        }
    }

    fn check_ms(&self) -> u64 {
        self.check_ms.unwrap_or(DEFAULT_CHECK_MS)
    }

    /// Takes one event. An answer to what was not asked changes nothing.
    #[must_use]
    pub fn step(self, event: Event, now: Now) -> (Self, Vec<Effect>) {
        let mut step = Step {
            sync: self,
            now,
            effects: Vec::new(),
        };
        step.take(event);
        step.ask();
        (step.sync, step.effects)
    }
}

/// One step under way.
struct Step {
    sync: Sync,
    now: Now,
    effects: Vec<Effect>,
}

impl Step {
    fn take(&mut self, event: Event) {
        if (self.sync.mode == Mode::Boot) != matches!(event, Event::Started { .. }) {
            return;
        }
        match event {
            Event::Started { known, dice } => self.started(known, dice),
            Event::Tick => {}
            Event::Answered { lane, result, dice } => {
                if self
                    .sync
                    .in_flight
                    .take_if(|asked| *asked == lane)
                    .is_some()
                {
                    match result {
                        Ok(success) => self.succeeded(lane, success, dice),
                        Err(failure) => self.failed(lane, &failure, dice),
                    }
                }
            }
            Event::NothingToSend(upload) => {
                let lane = upload.lane();
                self.sync.in_flight.take_if(|asked| *asked == lane);
            }
            Event::Refresh => {
                self.sync.lanes.set(Lane::Manifest, self.now.mono);
                self.sync.link.release();
            }
            Event::Woken { dice } => {
                // In a pause after a failure it is no news: whoever does not answer need not be asked sooner.
                for lane in [Lane::Manifest, Lane::Commands] {
                    if self.sync.lanes.failures(lane) == 0 {
                        let soon = self.now.mono.plus_ms(dice % WAKE_SPREAD_MS);
                        self.sync.lanes.set(lane, soon);
                    }
                }
            }
            Event::Waiting(upload) => self.sync.lanes.gather(upload, self.now.mono),
            Event::Registered => {
                self.sync.unauthorized = 0;
                self.sync.link.release();
                self.register();
            }
        }
    }

    fn started(&mut self, known: Option<Known>, dice: u64) {
        self.sync.mode = Mode::Registered;
        let spread_ms = known.as_ref().map_or(0, |_| dice % START_SPREAD_MS);
        if let Some(known) = known {
            self.sync.etag = Some(known.etag);
            self.sync.valid_to = Some(known.valid_to_utc);
            self.sync.check_ms = Some(u64::from(known.next_check_seconds) * 1_000);
        }
        let first = self.now.mono.plus_ms(spread_ms);
        self.sync.lanes.begin_regular(first);
    }

    /// The device belongs to somebody: everything is asked for at once.
    fn register(&mut self) {
        if self.sync.mode == Mode::Unregistered {
            self.sync.mode = Mode::Registered;
            self.effects.push(Effect::Registered);
        }
        self.sync.lanes.begin_regular(self.now.mono);
    }

    fn ask(&mut self) {
        if self.sync.due().is_none_or(|due| due > self.now.mono) {
            return;
        }
        let Some((_, lane)) = self.sync.lanes.next(self.sync.may_ask()) else {
            return;
        };
        self.sync.link.release();
        self.sync.lanes.asked(lane, self.now.mono);
        self.sync.in_flight = Some(lane);
        let request = match lane {
            Lane::Manifest => Request::Manifest {
                etag: self.sync.etag.clone(),
            },
            Lane::Commands => Request::Commands,
            Lane::Heartbeat => {
                self.sync.fetch_failures.being_told = self.sync.fetch_failures.untold;
                Request::Heartbeat
            }
            Lane::Results => Request::Upload(Upload::Results),
            Lane::Events => Request::Upload(Upload::Events),
            Lane::Proofs => Request::Upload(Upload::Proofs),
        };
        self.effects.push(Effect::Ask(request));
    }

    fn tell(&mut self, kind: PlayerEventKind) {
        self.effects.push(Effect::Tell(kind));
    }
}

/// An entity tag as HTTP has it.
fn quoted(etag: &str) -> String {
    if etag.ends_with('"') {
        etag.to_owned()
    } else {
        format!("\"{etag}\"")
    }
}

#[cfg(test)]
mod tests;
