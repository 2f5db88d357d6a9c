//! The player on a device: content from the control plane, kept on disk, played whether it can be reached or not.
//!
//! Everything here lives on the main loop's thread and never waits: downloads, checks and requests have threads
//! of their own and report by channels.

mod kept;
mod link;
mod notices;
mod reports;
mod setting;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use base64::Engine as _;
use fleet_device::clock;
use fleet_protocol::CommandId;
use fleet_protocol::command::CommandOutcome;
use fleet_protocol::instant::Monotonic;
use fleet_protocol::player::{
    Item, Manifest, PlayerCommand, PlayerCommandKind, PlayerEventKind, Power, ProofOfPlay,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::card::{self, Canvas};
use super::show::{Cover, News, Seen, Surroundings};
use crate::cache::{self, Cache, CacheEvent};
use crate::cec::Cec;
use crate::conversation::{Happening, Wish};
use crate::core::look_ahead::Plan;
use crate::core::power::{Attention, ScreenHours};
use crate::core::screen::{AssetRef, Card, Event, Screen};
use crate::core::sync::{Known, Sync};
use crate::media::frame::SharedFrame;
use crate::media::still::Stills;

use kept::Kept;
use link::Link;
use notices::Notices;
use reports::Counted;

pub use setting::{Facts, MediaLimits, Places, Setting};

/// The schedule's answer changes by the minute.
const PLANNED_EVERY_MS: u64 = 1_000;
/// Hours begin and end by the minute; somebody who wants to see the screen waits so long.
const HOURS_LOOKED_AT_EVERY_MS: u64 = 500;
/// A player that is to start anew waits so long for its answer to arrive.
const LAST_WORDS_MS: u64 = 5_000;

/// Why the player cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("making the folder {path}")]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("opening the cache {path}")]
    Cache {
        path: PathBuf,
        #[source]
        source: Box<cache::OpenError>,
    },
}

/// The device around a screen.
#[derive(Debug)]
pub struct Device {
    setting: Setting,
    kept: Kept,
    cache: Cache,
    cache_events: mpsc::Receiver<CacheEvent>,
    link: Link,
    notices: Notices,
    /// Of the manifest in force, and which that is.
    plan: Option<Plan>,
    plan_of: Option<(String, Timestamp)>,
    planned: Option<Monotonic>,
    hours: ScreenHours,
    hours_looked: Option<Monotonic>,
    cec: Cec,
    counted: Counted,
    stills: Stills<CommandId>,
    stage: Stage,
}

/// When a command that is begun is answered.
#[derive(Debug)]
enum Answer {
    Now(String),
    /// When what it asks for is made.
    Later,
}

/// How far the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// Told to start anew; what there is to answer has until then.
    Ending {
        at: Monotonic,
    },
}

impl Device {
    /// Opens all that is kept on disk; gives the first events of a screen.
    pub fn open(setting: Setting) -> Result<(Self, Vec<Event>), DeviceError> {
        let places = &setting.places;
        let folder = |path: &Path| {
            let path = path.to_owned();
            |source| DeviceError::Folder { path, source }
        };
        let kept = Kept::open(&places.state).map_err(folder(&places.state))?;
        let found = kept.load();
        let (send, cache_events) = mpsc::channel();
        let link = Link::open(&setting);
        let notices = Notices::new(places.notice.clone());
        let cec = Cec::start(places.cec.clone());
        // Over https there is nothing to fetch before there is an identity.
        let settings = cache::Settings::new(ureq::Agent::new_with_defaults());
        let cache =
            Cache::open(&places.cache, settings, send).map_err(|source| DeviceError::Cache {
                path: places.cache.clone(),
                source: Box::new(source),
            })?;
        let present = match cache_events.try_recv() {
            Ok(CacheEvent::Present(present)) => present,
            _ => Vec::new(),
        };
        let known = found.current.as_deref().map(Known::from);
        let has_manifest = found.current.is_some() || found.previous.is_some();
        let mut device = Self {
            setting,
            kept,
            cache,
            cache_events,
            link,
            notices,
            plan: None,
            plan_of: None,
            planned: None,
            hours: ScreenHours::default(),
            hours_looked: None,
            cec,
            counted: Counted::default(),
            stills: Stills::default(),
            stage: Stage::Running,
        };
        device.link.begin(&device.setting, known);
        device.renew_downloads();
        device.tell(device.started());
        device.look_at_hours(found.current.as_deref());
        for complaint in found.complaints {
            device.tell(complaint);
        }
        let loaded = Event::Loaded {
            current: found.current,
            previous: found.previous,
            present,
            left_at: found.left_at,
        };
        // A device that was never paired says so; one that plays goes on, whatever became of its identity.
        let unpaired = !device.link.is_paired() && !has_manifest;
        let events = std::iter::once(loaded).chain(unpaired.then_some(Event::TokenInvalid));
        Ok((device, events.collect()))
    }

    fn renew_downloads(&mut self) {
        if let Some(agent) = self.link.new_downloads() {
            self.cache.set_agent(agent);
        }
    }

    fn started(&self) -> PlayerEventKind {
        let facts = self.setting.facts.clone();
        PlayerEventKind::AppStarted {
            app_version: facts.app_version,
            device_model: facts.device_model,
            os_version: facts.os_version,
        }
    }

    /// From the cache, for the screen.
    fn cached(&mut self, events: &mut Vec<Event>) {
        while let Ok(event) = self.cache_events.try_recv() {
            match event {
                CacheEvent::Present(present) => {
                    events.extend(present.into_iter().map(Event::AssetReady));
                }
                CacheEvent::Ready(asset) => events.push(Event::AssetReady(asset)),
                CacheEvent::Lost(asset) => events.push(Event::AssetLost(asset)),
                CacheEvent::Tell(kind) => self.tell(kind),
            }
        }
    }

    /// What the schedule wants shown while the control plane is away.
    fn look_ahead(&mut self, screen: &Screen, events: &mut Vec<Event>) {
        let now = clock::now();
        let lately = |planned: Monotonic| now.mono.since(planned) < PLANNED_EVERY_MS;
        let staged = screen.manifests().staged();
        let Some(current) = screen.manifests().current() else {
            return;
        };
        if staged.is_on_its_way() || self.planned.is_some_and(lately) {
            return;
        }
        self.planned = Some(now.mono);
        // What the schedule made of a manifest has its tag and its end, and needs no other plan.
        let which = (current.manifest_etag.clone(), current.valid_to_utc);
        if self.plan_of.as_ref() != Some(&which) {
            self.plan_of = Some(which);
            self.plan = Plan::of(current).unwrap_or_else(|error| {
                log::warn!("{error}");
                None
            });
        }
        let plan = self.plan.as_ref();
        if let Some(successor) = plan.and_then(|plan| plan.successor(current, now.wall)) {
            events.push(Event::Received(Box::new(successor)));
        }
    }

    /// Whether the screen is to be on, by the manifest in force.
    fn look_at_hours(&mut self, current: Option<&Manifest>) {
        let now = clock::now();
        let lately = |looked: Monotonic| now.mono.since(looked) < HOURS_LOOKED_AT_EVERY_MS;
        if self.hours_looked.is_some_and(lately) {
            return;
        }
        self.hours_looked = Some(now.mono);
        let attention = if self.notices.is_urgent() {
            Attention::Wanted
        } else {
            Attention::None
        };
        for kind in self.hours.look(current, attention, now.wall) {
            self.tell(kind);
        }
        self.cec.follow(self.hours.wanted_by_hours());
        if let Some(reason) = self.cec.failure() {
            self.tell(PlayerEventKind::ScreenPowerFailed { reason });
        }
    }

    fn grant(&mut self, wish: Wish, seen: &Seen<'_>, events: &mut Vec<Event>) {
        match wish {
            Wish::Received(manifest) => events.push(Event::Received(manifest)),
            Wish::TokenInvalid => events.push(Event::TokenInvalid),
            Wish::Registered => events.push(Event::Registered),
            Wish::HeartbeatAcknowledged => self.counted.acknowledged(),
            Wish::Run(command) => {
                let id = command.command_id.clone();
                match self.run(&command, seen, events) {
                    Ok(Answer::Now(detail)) => self.answer(id, Ok((detail, None))),
                    Ok(Answer::Later) => {}
                    Err(detail) => self.answer(id, Err(detail)),
                }
            }
        }
    }

    /// What a command came to: its detail, and its output if it has one.
    fn answer(&mut self, id: CommandId, done: Result<(String, Option<Value>), String>) {
        let (outcome, detail, output) = match done {
            Ok((detail, output)) => (CommandOutcome::Succeeded, detail, output),
            Err(detail) => (CommandOutcome::Failed, detail, None),
        };
        self.link.queue(Happening::CommandEnded {
            id,
            outcome,
            detail,
            output,
        });
    }

    /// Screenshots that were asked for and are made by now.
    fn answer_stills(&mut self) {
        while let Some((id, made)) = self.stills.made() {
            let done = made.map_err(|error| error.to_string()).map(|jpeg| {
                let data = base64::engine::general_purpose::STANDARD.encode(jpeg);
                let output = json!({"mediaType": "image/jpeg", "base64": data});
                ("what is on the screen".to_owned(), Some(output))
            });
            self.answer(id, done);
        }
    }

    fn run(
        &mut self,
        command: &PlayerCommand,
        seen: &Seen<'_>,
        events: &mut Vec<Event>,
    ) -> Result<Answer, String> {
        let said = |text: &str| Ok(Answer::Now(text.to_owned()));
        match command.kind {
            PlayerCommandKind::RequestManifestRefresh => said("the manifest is being asked for"),
            PlayerCommandKind::RestartPlaybackLoop => {
                events.push(Event::RestartPlayback);
                said("the playlist begins anew")
            }
            PlayerCommandKind::ClearCacheUnused => {
                self.cache.clear_unused();
                said("files that no manifest names are removed")
            }
            PlayerCommandKind::ClearCacheAll => {
                self.cache.clear_all();
                said("all files but the one on the screen are removed, and fetched anew")
            }
            PlayerCommandKind::RebootApp => {
                let at = clock::monotonic().plus_ms(LAST_WORDS_MS);
                self.stage = Stage::Ending { at };
                said("the player starts anew within 5 s; the picture stays")
            }
            PlayerCommandKind::SetLogLevel { level } => {
                fleet_device::logging::set_level(level);
                said("set until the player starts anew")
            }
            PlayerCommandKind::TakeScreenshot => {
                let picture = seen.engine.snapshot();
                let picture = picture.ok_or("there is nothing on the screen yet")?;
                let id = command.command_id.clone();
                self.stills.begin(id, picture, seen.engine.size());
                Ok(Answer::Later)
            }
        }
    }
}

impl Surroundings for Device {
    fn persist(&mut self, current: Option<Box<Manifest>>, previous: Option<Box<Manifest>>) {
        self.kept.keep(current, previous, clock::monotonic());
    }

    fn fetch(&mut self, missing: Vec<Item>, screen: &Screen) {
        // First of all: what is kept and what is wanted depends on them, after a restart too.
        let limits = self.setting.media.under(screen.manifests());
        self.cache.set_budget(limits.cache_budget_bytes);
        self.cache
            .set_max_bytes_per_s(limits.bandwidth_limit_bytes_per_s);
        let protected = screen.manifests().wanted().map(AssetRef::from);
        self.cache.want(missing, protected);
    }

    fn tell(&mut self, kind: PlayerEventKind) {
        self.counted.count(&kind);
        log::info!("{kind:?}");
        self.link.queue(Happening::Event(kind));
    }

    fn file(&self, item: &Item) -> Option<PathBuf> {
        self.cache.path(&AssetRef::from(item))
    }

    fn card(&self, which: Card, canvas: Canvas) -> SharedFrame {
        let facts = &self.setting.facts;
        let nothing = || Some("There is no content for this screen yet".to_owned());
        if let Some(card) = self.notices.card() {
            let mut card = card.clone();
            if let fleet_cards::Card::Status { activity, .. } = &mut card {
                *activity = activity.take().or_else(nothing);
            }
            return card::picture(&card, canvas);
        }
        let card = match which {
            Card::Pairing => fleet_cards::Card::Pairing {
                status: "This screen waits to be enrolled".to_owned(),
                code: None,
                url: None,
                device: facts.name.clone(),
            },
            Card::Status => fleet_cards::Card::Status {
                device: facts.name.clone(),
                version: facts.os_version.clone(),
                online: self.link.is_online(),
                activity: nothing(),
                addresses: Vec::new(),
                url: None,
            },
        };
        card::picture(&card, canvas)
    }

    fn cover(&mut self, canvas: Canvas) -> Option<Cover> {
        self.notices.cover(canvas)
    }

    fn power(&self) -> Power {
        self.hours.wanted()
    }

    fn shown(&mut self, proof: Option<ProofOfPlay>, screen: &Screen) {
        let was_seen = self.hours.begin_item();
        if let Some(shown) = screen.on_glass() {
            self.cache.played(&AssetRef::from(&*shown.item));
        }
        if let Some(bookmark) = screen.bookmark() {
            self.kept.keep_bookmark(bookmark, clock::monotonic());
        }
        if let Some(proof) = proof.filter(|_| was_seen) {
            self.link.queue(Happening::Played(proof));
        }
        self.link.queue(Happening::Boundary);
    }

    fn news(&mut self, seen: &Seen<'_>) -> News {
        let mut events = Vec::new();
        self.kept.try_again(clock::monotonic());
        self.cached(&mut events);
        if self.notices.look(clock::monotonic()) {
            events.push(Event::CardChanged);
        }
        if self.notices.take_wake() {
            let dice = clock::monotonic().0;
            self.link.queue(Happening::Woken { dice });
        }
        self.look_ahead(seen.screen, &mut events);
        self.look_at_hours(seen.screen.manifests().current());
        self.answer_stills();
        let (facts, cache, counted) = (&self.setting.facts, &self.cache, &self.counted);
        let hours = &self.hours;
        let heartbeat = |sync: &Sync| {
            reports::heartbeat(
                seen,
                sync,
                facts,
                cache.status(),
                counted.send(),
                hours.status(clock::wall()),
            )
        };
        for wish in self.link.turn(&self.setting, seen.screen, &heartbeat) {
            self.grant(wish, seen, &mut events);
        }
        self.renew_downloads();
        match self.stage {
            Stage::Ending { at } if clock::monotonic() >= at => News::Stop,
            Stage::Ending { .. } | Stage::Running => News::Events(events),
        }
    }
}
