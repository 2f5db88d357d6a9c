//! Events that wait for the control plane: bounded by count and age, whatever happens.
//!
//! When there is no room, the oldest of the least severe goes first. What was dropped is counted and
//! told with one `EVENTS_DROPPED`, so that a gap in the record is known to be one.

mod journal;

use std::collections::{BTreeSet, VecDeque};

use fleet_protocol::EventId;
use fleet_protocol::event::{Event, EventKind, MAX_EVENTS_PER_BATCH, Severity};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use journal::{Line, replay};

/// Half of what the control plane takes in one request.
pub const MAX_BATCH_BYTES: usize = 512 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_events: usize,
    pub max_age_s: u64,
}

impl From<&fleet_protocol::config::Spool> for Limits {
    fn from(spool: &fleet_protocol::config::Spool) -> Self {
        Self {
            max_events: usize::try_from(spool.max_events).unwrap_or(usize::MAX),
            max_age_s: u64::from(spool.max_age_days) * 86_400,
        }
    }
}

/// The waiting events, oldest first. As JSON it is the file's content; a driver that appends lines
/// instead follows the [`Change`]s.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spool {
    events: VecDeque<Event>,
    /// Dropped and not yet told.
    dropped: u32,
    dropped_since: Option<Timestamp>,
}

/// What a step did to the stored events.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Added(Box<Event>),
    Removed(Vec<EventId>),
}

impl Spool {
    /// What a driver kept of an earlier spool, oldest first; of two events with one id the first.
    pub fn restored(mut events: VecDeque<Event>) -> Self {
        let mut seen = BTreeSet::new();
        events.retain(|event| seen.insert(event.event_id.clone()));
        Self {
            events,
            ..Self::default()
        }
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Events that never got here.
    pub fn count_dropped(&mut self, count: u32, now: Timestamp) {
        if count > 0 {
            self.dropped = self.dropped.saturating_add(count);
            self.dropped_since.get_or_insert(now);
        }
    }

    /// All waiting events, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    /// Dropped and not yet told.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Adds an event, unless one with its id is there, and makes room for it.
    #[must_use]
    pub fn push(mut self, event: Event, now: Timestamp, limits: Limits) -> (Self, Vec<Change>) {
        let mut changes = Vec::new();
        if self.events.iter().all(|e| e.event_id != event.event_id) {
            self.events.push_back(event.clone());
            changes.push(Change::Added(Box::new(event)));
        }
        let removed = self.enforce(now, limits);
        changes.extend(removed);
        (self, changes)
    }

    /// Drops what is too old or too much, such as after the limits or the clock changed.
    #[must_use]
    pub fn trim(mut self, now: Timestamp, limits: Limits) -> (Self, Vec<Change>) {
        let changes = self.enforce(now, limits).into_iter().collect();
        (self, changes)
    }

    /// The next events to deliver, oldest first: at least one, at most what a request may hold.
    pub fn batch(&self) -> Vec<Event> {
        let mut bytes = 0;
        let mut events: Vec<Event> = Vec::new();
        for event in self.events.iter().take(MAX_EVENTS_PER_BATCH) {
            bytes += serde_json::to_vec(event).map_or(0, |json| json.len());
            if bytes > MAX_BATCH_BYTES && !events.is_empty() {
                break;
            }
            events.push(event.clone());
        }
        events
    }

    /// The control plane has these.
    #[must_use]
    pub fn acknowledge(mut self, ids: &[EventId]) -> (Self, Vec<Change>) {
        let wanted: BTreeSet<&EventId> = ids.iter().collect();
        let (gone, kept) = self
            .events
            .into_iter()
            .partition::<VecDeque<_>, _>(|e| wanted.contains(&e.event_id));
        self.events = kept;
        let removed = gone.into_iter().map(|e| e.event_id).collect();
        (self, vec![Change::Removed(removed)])
    }

    /// The event that tells of what was dropped, with an id that the driver drew; `None` if nothing
    /// was. Push it next: it is counted no more.
    #[must_use]
    pub fn take_dropped(mut self, id: EventId, now: Timestamp) -> (Self, Option<Event>) {
        if self.dropped == 0 {
            return (self, None);
        }
        let event = Event {
            event_id: id,
            event_type: EventKind::EventsDropped,
            event_time_utc: now,
            severity: Severity::Warning,
            payload: serde_json::json!({
                "count": self.dropped,
                "since": self.dropped_since,
            }),
        };
        self.dropped = 0;
        self.dropped_since = None;
        (self, Some(event))
    }

    fn enforce(&mut self, now: Timestamp, limits: Limits) -> Option<Change> {
        let mut removed = Vec::new();
        let max_age_s = i64::try_from(limits.max_age_s).unwrap_or(i64::MAX);
        let too_old =
            |e: &Event| now.as_second().saturating_sub(e.event_time_utc.as_second()) > max_age_s;
        self.events.retain(|event| {
            let old = too_old(event);
            if old {
                removed.push(event.event_id.clone());
            }
            !old
        });
        while self.events.len() > limits.max_events.max(1) {
            let least = self.events.iter().map(|e| e.severity).min();
            let at = self.events.iter().position(|e| Some(e.severity) == least);
            let Some(event) = at.and_then(|at| self.events.remove(at)) else {
                break;
            };
            removed.push(event.event_id);
        }
        if removed.is_empty() {
            return None;
        }
        self.count_dropped(u32::try_from(removed.len()).unwrap_or(u32::MAX), now);
        Some(Change::Removed(removed))
    }
}

#[cfg(test)]
mod tests;
