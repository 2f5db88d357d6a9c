//! Which alerts open, change and end: a function of the rules, of what is known already, and of facts at an instant.
//!
//! ```text
//!                holds            holds for its time              over
//!   (nothing) ─────────► watched ───────────────────► open ◄──────────────► ending
//!       ▲                   │ holds no more             ▲      holds again     │ over for its time,
//!       └───────────────────┴───────────────────────────┼──────────────────────┘ or nothing to be wrong any more
//! ```
//!
//! Invariants:
//! - Each kind of alert is there once for each subject: what is known has one entry for a [`Key`], and a change of it
//!   leads from one state to another.
//! - Whether something is wrong, is over, or can't be told is a [`Reading`] of its own: an alert ends by what is known,
//!   never by silence.

mod readings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use fleet_protocol::alert::{AlertKind, AlertRules};
use fleet_protocol::{DeviceId, RolloutId};
use jiff::{SignedDuration, Timestamp};

pub use readings::clear_count;
use readings::{is_enabled, of_device, timing};

/// What an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Device(DeviceId),
    Rollout(RolloutId),
}

impl Subject {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Device(id) => id.as_str(),
            Self::Rollout(id) => id.as_str(),
        }
    }
}

/// There is one alert of a kind for a subject.
pub type Key = (AlertKind, Subject);

/// What is known of one [`Key`] so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It has been so, not for long enough yet.
    Watched { since: Timestamp },
    Open {
        detail: String,
        /// Since when it has been over, not for long enough yet.
        over_since: Option<Timestamp>,
    },
}

/// What a look at one subject shows of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// It is so.
    Holds {
        /// Where the facts themselves say since when.
        since: Option<Timestamp>,
        detail: String,
    },
    /// Neither: close to the threshold, or the figures are old.
    Unclear,
    /// It is not so any more.
    Over,
    /// There is nothing to be wrong: the rule is off, the device revoked, the rollout followed by another one.
    Gone,
}

/// For how long it has to be so, and for how long over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    pub hold: SignedDuration,
    pub resolve: SignedDuration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Watch {
        since: Timestamp,
    },
    Forget,
    Open {
        since: Timestamp,
        detail: String,
    },
    Update {
        detail: String,
        over_since: Option<Timestamp>,
    },
    Resolve,
}

/// What a device last said of itself, as far as alerts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFacts {
    pub device_id: DeviceId,
    pub heard_at: Timestamp,
    /// For how long it may be silent.
    pub silence: SignedDuration,
    pub disk_free_bytes: Option<u64>,
    pub temperature_mc: Option<i64>,
    pub under_voltage: bool,
    /// In words.
    pub update_failure: Option<String>,
    /// `None`: it has no player.
    pub player: Option<PlayerFacts>,
    pub certificate_until: Option<Timestamp>,
    /// Events within the time of their rule.
    pub errors: u64,
    pub download_failures: u64,
}

/// What a device's player last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayerFacts {
    pub heard_at: Timestamp,
    pub error_screen: bool,
}

/// A rollout that was stopped, and that no other one has followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedRollout {
    pub rollout_id: RolloutId,
    pub summary: String,
}

/// Of every device and rollout that something is known of or may be wrong with. Those that can't be wrong any more,
/// such as revoked devices, are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Since when whoever speaks is heard: silence before this says nothing.
    pub listening_since: Timestamp,
    pub devices: Vec<DeviceFacts>,
    pub stopped: Vec<StoppedRollout>,
}

/// Everything that changes at `now`.
pub fn evaluate(
    rules: &AlertRules,
    known: &BTreeMap<Key, Known>,
    facts: &Facts,
    now: Timestamp,
) -> Vec<(Key, Change)> {
    let mut readings: BTreeMap<Key, Reading> = known
        .keys()
        .map(|key| (key.clone(), Reading::Gone))
        .collect();
    for device in &facts.devices {
        for (kind, reading) in of_device(rules, device, facts.listening_since, now) {
            let subject = Subject::Device(device.device_id.clone());
            readings.insert((kind, subject), reading);
        }
    }
    if is_enabled(rules, AlertKind::RolloutStopped) {
        for rollout in &facts.stopped {
            let subject = Subject::Rollout(rollout.rollout_id.clone());
            let holds = Reading::Holds {
                since: None,
                detail: rollout.summary.clone(),
            };
            readings.insert((AlertKind::RolloutStopped, subject), holds);
        }
    }
    let changes = readings.into_iter().filter_map(|(key, reading)| {
        let change = step(known.get(&key), reading, timing(rules, key.0), now)?;
        Some((key, change))
    });
    changes.collect()
}

/// What one reading changes; `None`: nothing.
pub fn step(
    known: Option<&Known>,
    reading: Reading,
    timing: Timing,
    now: Timestamp,
) -> Option<Change> {
    match (known, reading) {
        (None, Reading::Holds { since, detail }) => {
            let since = since.unwrap_or(now);
            Some(if lasted(since, timing.hold, now) {
                Change::Open { since, detail }
            } else {
                Change::Watch { since }
            })
        }
        (Some(Known::Watched { since }), Reading::Holds { detail, .. }) => {
            let since = *since;
            lasted(since, timing.hold, now).then_some(Change::Open { since, detail })
        }
        (Some(Known::Watched { .. }), _) => Some(Change::Forget),
        (Some(Known::Open { detail, over_since }), reading) => {
            while_open(detail, *over_since, reading, timing, now)
        }
        (None, _) => None,
    }
}

fn while_open(
    known: &str,
    over_since: Option<Timestamp>,
    reading: Reading,
    timing: Timing,
    now: Timestamp,
) -> Option<Change> {
    let (detail, over) = match reading {
        Reading::Gone => return Some(Change::Resolve),
        Reading::Over => (known.to_owned(), Some(over_since.unwrap_or(now))),
        Reading::Unclear => (known.to_owned(), None),
        Reading::Holds { detail, .. } => (detail, None),
    };
    if over.is_some_and(|since| lasted(since, timing.resolve, now)) {
        return Some(Change::Resolve);
    }
    (detail != known || over != over_since).then_some(Change::Update {
        detail,
        over_since: over,
    })
}

fn lasted(since: Timestamp, time: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(since) >= time
}
