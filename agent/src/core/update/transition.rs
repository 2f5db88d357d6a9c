//! One step in progress: collects what changed and puts the effects into their order.

use fleet_protocol::Version;
use fleet_protocol::backoff::Backoff;
use fleet_protocol::update::{BootedSystem, FailureReason, UpdateReport};

use super::record::{MAX_FAILURES, MAX_REPORTS};
use super::{Effect, Engine, Event, Situation, State};
use crate::core::admission::{Failure, Memory};
use crate::core::{admission, after};

/// Pauses between tries of one version that failed for a passing cause.
const RETRY: Backoff = Backoff {
    base_ms: 30_000,
    max_ms: 3_600_000,
};

pub(super) struct Transition<'a> {
    pub(super) engine: Engine,
    pub(super) situation: &'a Situation,
    /// To be done at once, in this order, after the record is written.
    acts: Vec<Effect>,
    /// After everything else: nothing follows a reboot.
    last: Option<Effect>,
    dirty: bool,
    reports: Vec<Effect>,
}

impl<'a> Transition<'a> {
    pub(super) fn new(engine: Engine, situation: &'a Situation) -> Self {
        Self {
            engine,
            situation,
            acts: Vec::new(),
            last: None,
            dirty: false,
            reports: Vec::new(),
        }
    }

    pub(super) fn take(&mut self, event: Event) {
        let Some(booted) = self.engine.booted.clone() else {
            match event {
                Event::Booted(boot) => self.booted(&boot),
                Event::Operator(_) => {
                    self.answer(Err("the agent is still starting: try again".to_owned()));
                }
                _ => {}
            }
            return;
        };
        match event {
            Event::Booted(boot) => self.booted(&boot),
            Event::TargetReceived {
                generation,
                release,
            } => self.target_received(generation, release, &booted),
            Event::Tick => self.tick(&booted),
            Event::InstallProgress {
                transaction_id,
                percent,
                downloaded_bytes,
                message,
            } => self.install_progress(&transaction_id, percent, downloaded_bytes, message),
            Event::InstallFinished {
                transaction_id,
                result,
            } => self.install_finished(&transaction_id, result, &booted),
            Event::SlotSwitched { slot, result } => self.slot_switched(slot, result, &booted),
            Event::HealthSample(sample) => self.health_sample(&sample, &booted),
            Event::MarkedGood { slot } => self.marked_good(slot, &booted),
            Event::MarkFailed { slot, detail } => self.mark_failed(slot, &detail),
            Event::Operator(command) => self.operator(command, &booted),
            Event::ReportAcknowledged { sequence } => self.acknowledged(sequence),
        }
    }

    /// Persist first, reports before the end, a reboot at the very end.
    pub(super) fn finish(self) -> (Engine, Vec<Effect>) {
        let mut effects = Vec::new();
        if self.dirty {
            effects.push(Effect::Persist(Box::new(self.engine.record.clone())));
        }
        effects.extend(self.acts);
        effects.extend(self.reports);
        effects.extend(self.last);
        (self.engine, effects)
    }

    pub(super) fn act(&mut self, effect: Effect) {
        // What we change ourselves is known without reading it again.
        let env = self.engine.env.as_mut();
        match (&effect, env) {
            (Effect::RewriteBootEnv(wanted), _) => self.engine.env = Some(*wanted),
            (Effect::DisarmLock { slot }, Some(env)) => {
                let state = env.slot_mut(*slot);
                state.locked = false;
                state.tries = 0;
            }
            (Effect::StartInstall(order), Some(env)) => env.slot_mut(order.slot).ok = false,
            (Effect::MarkBad { slot }, Some(env)) => env.slot_mut(*slot).ok = false,
            _ => {}
        }
        self.acts.push(effect);
    }

    pub(super) fn answer(&mut self, answer: Result<String, String>) {
        self.acts.push(Effect::Answer(answer));
    }

    pub(super) fn reboot(&mut self, delay_s: u32, reason: &str) {
        self.engine.reboot_ordered = Some(self.situation.now.mono);
        self.last = Some(Effect::Reboot {
            delay_s,
            reason: reason.to_owned(),
        });
    }

    pub(super) fn enter_safe_mode(&mut self, detail: String) {
        if !self.engine.in_safe_mode {
            self.engine.in_safe_mode = true;
            self.last = Some(Effect::EnterSafeMode { detail });
        }
    }

    /// The record has changed, but nobody needs to hear of it.
    pub(super) fn persist(&mut self) {
        self.dirty = true;
    }

    /// Enters `state`, persists and reports it.
    pub(super) fn enter(&mut self, state: State) {
        self.engine.record.state = state;
        self.report();
    }

    pub(super) fn report(&mut self) {
        self.dirty = true;
        let Some(booted) = self.engine.booted.clone() else {
            return;
        };
        let (rollout_id, downloaded_bytes) = self.engine.attribution();
        let state = self.engine.view(self.situation);
        let record = &mut self.engine.record;
        record.sequence = record.sequence.saturating_add(1);
        let report = UpdateReport {
            sequence: record.sequence,
            at: self.situation.now.wall,
            rollout_id,
            generation: record.generation,
            booted,
            state,
            downloaded_bytes,
        };
        record.reports.push(report.clone());
        let excess = record.reports.len().saturating_sub(MAX_REPORTS);
        record.reports.drain(..excess);
        self.reports.push(Effect::Report(Box::new(report)));
    }

    /// Has this step said something already?
    pub(super) fn reported(&self) -> bool {
        !self.reports.is_empty()
    }

    /// Sends again what is not acknowledged.
    pub(super) fn report_again(&mut self) {
        let waiting = self.engine.record.reports.iter();
        let waiting = waiting.map(|report| Effect::Report(Box::new(report.clone())));
        self.reports.splice(0..0, waiting);
    }

    fn acknowledged(&mut self, sequence: u64) {
        let reports = &mut self.engine.record.reports;
        let before = reports.len();
        reports.retain(|report| report.sequence > sequence);
        if reports.len() < before {
            self.persist();
        }
    }

    /// Remembers that `version` failed, so that it is not tried again until asked for.
    pub(super) fn penalise(&mut self, version: &Version, attempt: u32, why: &FailureReason) {
        let at = self.situation.now.wall;
        let record = &mut self.engine.record;
        record.retry = None;
        record.interruptions = 0;
        record.failures.retain(|f| f.version != *version);
        record.failures.push(Failure {
            version: version.clone(),
            attempt,
            why: why.clone(),
            at,
        });
        let excess = record.failures.len().saturating_sub(MAX_FAILURES);
        record.failures.drain(..excess);
    }

    /// Waits before `version` is tried again.
    pub(super) fn back_off(&mut self, version: &Version, last_error: &str) {
        let situation = self.situation;
        let earlier = self.engine.record.retry.take();
        let attempts = earlier
            .filter(|retry| retry.version == *version)
            .map_or(1, |retry| retry.attempts.saturating_add(1));
        let pause_ms = RETRY.pause_ms(attempts, situation.dice);
        let retry = admission::Retry {
            version: version.clone(),
            attempts,
            until: after(situation.now.wall, pause_ms / 1_000),
            last_error: last_error.chars().take(500).collect(),
        };
        self.engine.record.retry = Some(retry.clone());
        self.enter(State::Deferred {
            version: version.clone(),
            why: fleet_protocol::update::DeferReason::Backoff {
                until: retry.until,
                attempts,
                last_error: retry.last_error,
            },
        });
    }
}

impl Engine {
    pub(super) fn memory<'m>(&'m self, booted: &'m BootedSystem) -> Memory<'m> {
        let record = &self.record;
        Memory {
            booted,
            other: record.other.as_ref(),
            on_trial: matches!(record.state, State::Trial(_)),
            rollback_floor: record.rollback_floor.as_ref(),
            failures: &record.failures,
            backoff: record.retry.as_ref(),
            paused: record.paused,
        }
    }
}
