//! The health gate: what a slot on trial, or a new configuration, has to show before it is kept.
//!
//! ```text
//! Waiting ──all checks good──► Holding(since) ──window over──► Passed
//!    ▲                            │ any check bad, a restart, or a gap between samples
//!    └────────────────────────────┘
//! deadline over, or a crash loop: Failed(the checks that failed)
//! ```

use std::collections::BTreeMap;

use fleet_protocol::UnitName;
use fleet_protocol::config::{ControlPlaneCheck, Health};
use fleet_protocol::heartbeat::HealthCheck;
use serde::{Deserialize, Serialize};

use super::Monotonic;

/// Name of the check that the gate itself makes of [`Sample::control_plane`].
pub const CONTROL_PLANE: &str = "control-plane";
/// Prefix of the checks that the gate makes of restart counts: `crash-loop:UNIT`.
pub const CRASH_LOOP: &str = "crash-loop:";
/// Samples further apart than this break the window: nobody looked.
pub const MAX_GAP_MS: u64 = 30_000;

/// How strict to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub window_ms: u64,
    pub deadline_ms: u64,
    /// This many restarts of one unit within the window are a crash loop; 0: never.
    pub max_restarts: u32,
    pub control_plane: ControlPlaneCheck,
}

impl From<&Health> for Settings {
    fn from(health: &Health) -> Self {
        Self {
            window_ms: u64::from(health.window_s) * 1_000,
            deadline_ms: u64::from(health.deadline_s) * 1_000,
            max_restarts: health.max_restarts,
            control_plane: health.control_plane,
        }
    }
}

/// Whether the control plane answered the old slot: a fact from before the update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReachedBefore {
    Yes,
    No,
    #[default]
    Unknown,
}

/// What is seen of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ControlPlaneSeen {
    /// Everything that the agent needs of it was asked for at this instant or later, and was answered
    /// with a success that the agent understood.
    pub answered_at: Option<Monotonic>,
    /// It says that it is out of service, and refuses nothing: no fault of the slot's.
    pub out_of_service: bool,
}

/// One look at the system.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// Units active, loops alive, data writable: each with its own name.
    pub checks: Vec<HealthCheck>,
    pub control_plane: ControlPlaneSeen,
    /// A network link is up.
    pub network_up: bool,
    /// systemd's `NRestarts` of each required unit.
    pub restarts: BTreeMap<UnitName, u32>,
}

/// How the gate stands after a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All good for so long, of so much that is asked.
    Holding {
        healthy_ms: u64,
        window_ms: u64,
    },
    Passed,
    Failed {
        checks: Vec<String>,
    },
}

/// A gate in progress. Not persisted: a restarted agent looks for a whole window again, while the
/// deadline goes on counting from `began`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    began: Monotonic,
    /// The control plane's answers to what was asked before this say nothing of what is on trial.
    answers_from: Monotonic,
    reached_before: ReachedBefore,
    healthy_since: Option<Monotonic>,
    last_sample: Option<Monotonic>,
    /// (when, unit, how many more than before)
    restarts: Vec<(Monotonic, UnitName, u32)>,
    counts: BTreeMap<UnitName, u32>,
    failing: Vec<String>,
    judged: Vec<HealthCheck>,
}

impl Gate {
    /// For a slot. `began`: when the deadline starts to count; all of this boot is the slot's.
    pub const fn of_boot(began: Monotonic, reached_before: ReachedBefore) -> Self {
        let mut gate = Self::new(began, reached_before);
        gate.answers_from = Monotonic(0);
        gate
    }

    /// For a configuration that came into force at `began`.
    pub const fn new(began: Monotonic, reached_before: ReachedBefore) -> Self {
        Self {
            began,
            answers_from: began,
            reached_before,
            healthy_since: None,
            last_sample: None,
            restarts: Vec::new(),
            counts: BTreeMap::new(),
            failing: Vec::new(),
            judged: Vec::new(),
        }
    }

    /// The checks of the last sample with the gate's own, for the heartbeat.
    pub fn judged(&self) -> &[HealthCheck] {
        &self.judged
    }

    /// For how long everything has been good, in milliseconds.
    pub fn healthy_ms(&self) -> u64 {
        match (self.healthy_since, self.last_sample) {
            (Some(since), Some(last)) => last.since(since),
            _ => 0,
        }
    }

    /// Takes one sample at `now`.
    #[must_use]
    pub fn sample(mut self, sample: &Sample, now: Monotonic, at: &Settings) -> (Self, Verdict) {
        let restarted = self.count_restarts(sample, now, at);
        let looping = self.crash_loops(at);
        self.judged.clone_from(&sample.checks);
        self.judged.push(self.control_plane(sample, at));
        for unit in &looping {
            self.judged.push(HealthCheck {
                name: format!("{CRASH_LOOP}{unit}"),
                ok: false,
                detail: format!("{unit} was restarted {} times or more", at.max_restarts),
            });
        }
        let failed = self.judged.iter().filter(|c| !c.ok);
        self.failing = failed.map(|c| c.name.clone()).collect();
        let gap = self
            .last_sample
            .is_some_and(|last| now.since(last) > MAX_GAP_MS);
        self.last_sample = Some(now);
        if self.failing.is_empty() && !restarted {
            let since = self.healthy_since.filter(|_| !gap).unwrap_or(now);
            self.healthy_since = Some(since);
        } else {
            self.healthy_since = None;
        }
        let verdict = if looping.is_empty() {
            self.verdict(now, at)
        } else {
            Verdict::Failed {
                checks: self.failing.clone(),
            }
        };
        (self, verdict)
    }

    /// How it stands when only time has passed: the deadline counts even if samples stop coming.
    pub fn verdict(&self, now: Monotonic, at: &Settings) -> Verdict {
        let healthy_ms = self.healthy_ms();
        if self.healthy_since.is_some() && healthy_ms >= at.window_ms {
            return Verdict::Passed;
        }
        if now.since(self.began) >= at.deadline_ms {
            let mut checks = self.failing.clone();
            if checks.is_empty() {
                checks.push("window: not healthy without a break for long enough".to_owned());
            }
            return Verdict::Failed { checks };
        }
        Verdict::Holding {
            healthy_ms,
            window_ms: at.window_ms,
        }
    }

    fn control_plane(&self, sample: &Sample, at: &Settings) -> HealthCheck {
        let answered_at = sample.control_plane.answered_at;
        let reached = answered_at.is_some_and(|answered| answered >= self.answers_from);
        let excuse = match (at.control_plane, self.reached_before) {
            (ControlPlaneCheck::Excused, _) => Some("not required by the configuration"),
            (_, ReachedBefore::No) => Some("it was not reached before the trial either"),
            (_, ReachedBefore::Unknown) => Some("whether it was reachable before is not known"),
            _ if !sample.network_up => Some("the network link is down"),
            _ if sample.control_plane.out_of_service => Some("it says that it is out of service"),
            _ => None,
        };
        let (ok, detail) = match excuse {
            _ if reached => (true, "reached".to_owned()),
            Some(excuse) => (true, format!("not reached, excused: {excuse}")),
            None => (
                false,
                "not reached since the trial began, though it was before".to_owned(),
            ),
        };
        HealthCheck {
            name: CONTROL_PLANE.to_owned(),
            ok,
            detail,
        }
    }

    fn count_restarts(&mut self, sample: &Sample, now: Monotonic, at: &Settings) -> bool {
        self.restarts
            .retain(|(when, ..)| now.since(*when) <= at.window_ms);
        let mut restarted = false;
        for (unit, &count) in &sample.restarts {
            let before = self.counts.insert(unit.clone(), count);
            // A count that went down began anew (the unit was reset): nothing is known of it.
            let more = before.map_or(0, |before| count.saturating_sub(before));
            if more > 0 {
                restarted = true;
                self.restarts.push((now, unit.clone(), more));
            }
        }
        restarted
    }

    fn crash_loops(&self, at: &Settings) -> Vec<UnitName> {
        let mut totals: BTreeMap<&UnitName, u32> = BTreeMap::new();
        for (_, unit, more) in &self.restarts {
            let total = totals.entry(unit).or_default();
            *total = total.saturating_add(*more);
        }
        let looping = totals
            .iter()
            .filter(|(_, total)| **total >= at.max_restarts.max(1));
        match at.max_restarts {
            0 => Vec::new(),
            _ => looping.map(|(unit, _)| (*unit).clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
