//! The simulated device. It breaks off (a panic in the test) when a promise is broken.

use std::collections::{BTreeMap, VecDeque};

use fleet_protocol::Version;
use fleet_protocol::heartbeat::{HealthCheck, ResetReason};
use fleet_protocol::update::{Slot, UpdateState};

use crate::core::boot::bootloader::{Choice, next_boot};
use crate::core::boot::{BootEnv, MAX_ATTEMPTS, SlotEnv};
use crate::core::fixtures::{at, booted, root_hash, situation, version};
use crate::core::gate::{ControlPlaneSeen, Sample};
use crate::core::update::{Boot, Candidate, Effect, Engine, Event, Record, Situation};
use crate::core::{Monotonic, after};

/// What a release is like when it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quality {
    Good,
    /// The bootloader finds nothing to load.
    NoKernel,
    /// Panics before the agent starts.
    NoBoot,
    /// Panics once the agent runs.
    Crashing,
    /// Runs, but a check is never good.
    Unhealthy,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// Half written, or overwritten.
    Garbage,
    Image(Version),
}

/// Power, or the reason why it came back.
pub(super) struct Off(pub(super) ResetReason);

pub(super) type Running<T> = Result<T, Off>;

pub(crate) struct Device {
    engine: Option<Engine>,
    pub(crate) running: Option<(Slot, Version)>,
    pub(super) disk: Option<String>,
    pub(crate) env: Option<BootEnv>,
    pub(super) backup: BootEnv,
    pub(super) slots: BTreeMap<Slot, Content>,
    qualities: BTreeMap<Version, Quality>,
    pub(crate) target: Option<Candidate>,
    generation: u64,
    situation: Situation,
    reset: ResetReason,
    pub(super) queue: VecDeque<Event>,
    boots: u64,
    /// Attempts that each slot has had since it was made primary.
    pub(super) attempts: BTreeMap<Slot, u8>,
    /// How many effects may still be done before each next power cut.
    cuts: VecDeque<u32>,
    pub(crate) cut_count: u32,
    /// Cuts that came before the agent ran in a slot on trial.
    pub(crate) blind_cuts: u32,
    /// At the next cut.
    pub(crate) lose_data: bool,
    pub(crate) lose_env: bool,
    pub(crate) install_failures: u32,
    pub(crate) safe_mode: bool,
    pub(crate) slot_history: Vec<Slot>,
    pub(crate) installs: Vec<Version>,
    pub(crate) reported: BTreeMap<u64, UpdateState>,
}

impl Device {
    /// Runs version 1 in slot A, committed in the factory; `qualities` are those of 2, 3, ….
    pub(crate) fn new(qualities: &[Quality], cuts: &[u32]) -> Self {
        let of = |(index, quality): (usize, &Quality)| (version(index as u64 + 2), *quality);
        let mut qualities: BTreeMap<_, _> = qualities.iter().enumerate().map(of).collect();
        qualities.insert(version(1), Quality::Good);
        Self {
            engine: None,
            running: None,
            disk: None,
            env: Some(BootEnv::committed_to(Slot::A)),
            backup: BootEnv::committed_to(Slot::A),
            slots: [
                (Slot::A, Content::Image(version(1))),
                (Slot::B, Content::Garbage),
            ]
            .into(),
            qualities,
            target: None,
            generation: 0,
            situation: situation(),
            reset: ResetReason::Orderly,
            queue: VecDeque::new(),
            boots: 0,
            attempts: BTreeMap::new(),
            cuts: cuts.iter().copied().collect(),
            cut_count: 0,
            blind_cuts: 0,
            lose_data: false,
            lose_env: false,
            install_failures: 0,
            safe_mode: false,
            slot_history: Vec::new(),
            installs: Vec::new(),
            reported: BTreeMap::new(),
        }
    }

    pub(crate) fn want(&mut self, target: Option<Candidate>) {
        self.generation += 1;
        self.target = target;
        self.queue.push_back(Event::TargetReceived {
            generation: self.generation,
            release: self.target.clone(),
        });
    }

    pub(crate) fn send(&mut self, event: Event) {
        self.queue.push_back(event);
    }

    pub(crate) fn overwrite(&mut self, slot: Slot) {
        self.slots.insert(slot, Content::Garbage);
    }

    pub(crate) fn record(&self) -> &Record {
        self.engine.as_ref().unwrap().record()
    }

    pub(crate) fn view(&self) -> UpdateState {
        self.engine.as_ref().unwrap().view(&self.situation)
    }

    /// Goes on for so many rounds of about five seconds (ten minutes while it only waits).
    pub(crate) fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            if self.engine.is_none() {
                self.power_on();
            }
            if let Err(Off(reset)) = self.round() {
                self.switch_off(reset);
            } else if self.cuts.is_empty() && self.rests() {
                break;
            }
        }
        if self.engine.is_none() {
            self.power_on();
        }
    }

    /// Nothing will happen any more without a new wish.
    fn rests(&self) -> bool {
        let view = self.view();
        let ends = ["idle", "refused", "committed", "rolledBack"];
        self.queue.is_empty() && ends.contains(&view.name())
    }

    /// As [`Self::run`], until the power has been cut once more.
    pub(crate) fn cut_after(&mut self, effects: u32) {
        self.cuts.push_back(effects);
        let before = self.cut_count;
        for _ in 0..200 {
            self.run(1);
            if self.cut_count > before {
                return;
            }
        }
    }

    pub(crate) fn mains_off(&mut self) {
        self.cut_count += 1;
        self.switch_off(ResetReason::Power);
        self.run(1);
    }

    fn switch_off(&mut self, reset: ResetReason) {
        self.engine = None;
        self.running = None;
        self.queue.clear();
        self.reset = reset;
        if std::mem::take(&mut self.lose_data) {
            self.disk = None;
        }
        if std::mem::take(&mut self.lose_env) {
            self.env = None;
        }
    }

    /// A moment at which the power may go.
    pub(super) fn moment(&mut self) -> Running<()> {
        match self.cuts.front_mut() {
            Some(0) => {
                self.cuts.pop_front();
                self.cut_count += 1;
                Err(Off(ResetReason::Power))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn quality(&self, slot: Slot) -> Option<Quality> {
        match &self.slots[&slot] {
            Content::Garbage => None,
            Content::Image(version) => Some(self.qualities[version]),
        }
    }

    /// Boots until something runs.
    fn power_on(&mut self) {
        for _ in 0..30 {
            match self.boot() {
                Ok(true) => return,
                Ok(false) => {}
                Err(Off(reset)) => self.switch_off(reset),
            }
        }
        panic!("a brick: {:?} {:?}", self.env, self.slots);
    }

    fn boot(&mut self) -> Running<bool> {
        let env = self.env.unwrap_or(self.backup);
        let loads = |slot| self.quality(slot) != Some(Quality::NoKernel);
        let (choice, saved) = next_boot(&env, loads);
        let choice = choice.expect("some slot has a kernel");
        if let Some(saved) = saved {
            for slot in [Slot::A, Slot::B] {
                if saved.slot(slot).tries > env.slot(slot).tries {
                    self.count_attempt(slot);
                }
            }
            match &mut self.env {
                Some(env) => *env = saved,
                None => self.backup = saved,
            }
        }
        let slot = choice.slot();
        self.boots += 1;
        self.moment().inspect_err(|_| self.blind_cuts += 1)?;
        let version = match &self.slots[&slot] {
            Content::Image(version) if self.quality(slot) != Some(Quality::NoBoot) => {
                version.clone()
            }
            _ => {
                // dm-verity refuses it; the initrd takes the lock away before it panics.
                if let Some(env) = &mut self.env {
                    env.slot_mut(slot).locked = false;
                }
                self.reset = ResetReason::Panic;
                return Ok(false);
            }
        };
        self.slot_history.push(slot);
        self.running = Some((slot, version.clone()));
        self.situation.now.mono = Monotonic(30_000);
        self.pass(30);
        let boot = Boot {
            booted: booted(slot, &version, self.boots),
            env: self.env,
            reset: self.reset,
            safe_mode: matches!(choice, Choice::SafeMode(_)),
        };
        self.safe_mode |= boot.safe_mode;
        let record = self.disk.as_deref().map(serde_json::from_str);
        self.engine = Some(Engine::new(record.transpose().unwrap().unwrap_or_default()));
        // A cut before the record is written: nobody can know that this boot was healthy.
        self.feed(Event::Booted(boot))
            .inspect_err(|_| self.blind_cuts += 1)?;
        self.feed(Event::TargetReceived {
            generation: self.generation,
            release: self.target.clone(),
        })?;
        Ok(true)
    }

    fn count_attempt(&mut self, slot: Slot) {
        let attempts = self.attempts.entry(slot).or_default();
        *attempts += 1;
        assert!(
            *attempts <= MAX_ATTEMPTS,
            "slot {slot} had {attempts} attempts"
        );
    }

    fn pass(&mut self, seconds: u64) {
        let now = &mut self.situation.now;
        now.mono = now.mono.plus_ms(seconds * 1_000);
        now.wall = after(now.wall, seconds);
        self.situation.dice = self.situation.dice.wrapping_mul(6_364_136_223_846_793_005) + 1;
    }

    fn round(&mut self) -> Running<()> {
        while let Some(event) = self.queue.pop_front() {
            self.feed(event)?;
        }
        let waits = matches!(self.view(), UpdateState::Deferred { .. });
        self.pass(if waits { 600 } else { 5 });
        self.moment()?;
        let Some((slot, _)) = self.running.clone() else {
            return Ok(());
        };
        let quality = self.quality(slot);
        if quality == Some(Quality::Crashing) && self.boots.is_multiple_of(2) {
            return Err(Off(ResetReason::Watchdog));
        } else if quality == Some(Quality::Crashing) {
            return Err(Off(ResetReason::Panic));
        }
        self.feed(Event::HealthSample(Sample {
            checks: vec![HealthCheck {
                name: "units".to_owned(),
                ok: quality == Some(Quality::Good),
                detail: String::new(),
            }],
            control_plane: ControlPlaneSeen {
                answered_at: Some(self.situation.now.mono),
                out_of_service: false,
            },
            network_up: true,
            restarts: BTreeMap::new(),
        }))?;
        self.feed(Event::Tick)
    }

    pub(super) fn feed(&mut self, event: Event) -> Running<()> {
        let engine = self.engine.clone().unwrap();
        let (next, effects) = engine.step(event, &self.situation);
        let persists = effects.iter().position(|e| matches!(e, Effect::Persist(_)));
        assert!(matches!(persists, None | Some(0)), "persisting comes first");
        self.engine = Some(next);
        for effect in effects {
            self.moment()?;
            self.perform(effect)?;
        }
        Ok(())
    }

    /// The running slot is locked, first, and what the record says.
    pub(crate) fn assert_settled(&self) {
        let (slot, version) = self.running.clone().unwrap();
        let env = self.env.unwrap();
        assert_eq!((env.first, *env.slot(slot)), (slot, SlotEnv::COMMITTED));
        let committed = self.record().committed.clone().unwrap();
        assert_eq!(committed.slot, slot);
        assert_eq!(committed.content.root_hash, root_hash(&version));
        assert_eq!(self.backup, BootEnv::committed_to(slot));
    }
}

/// The major version of what is never signed.
pub(crate) const UNSIGNED: u64 = 66;

pub(super) fn major(version: &Version) -> u64 {
    let text = version.to_string();
    text.split('.').next().unwrap().parse().unwrap()
}

/// Keeps the test's clock where the fixtures start.
#[test]
fn the_clock_of_the_simulation_starts_at_the_fixtures_now() {
    let device = Device::new(&[], &[]);
    assert_eq!(device.situation.now.wall, at(crate::core::fixtures::NOW));
}
