//! The spool's file: a JSON document a line, each saying what came or what went.
//!
//! A line that says nothing, such as a torn last one, costs what it would have said and no more.

use std::collections::{BTreeSet, VecDeque};

use fleet_protocol::EventId;
use fleet_protocol::event::Event;
use serde::{Deserialize, Serialize};

use super::Spool;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    Add(Box<Event>),
    Remove(Vec<EventId>),
}

/// What waits after all these lines, and how many of them say nothing.
pub fn replay(journal: &[u8]) -> (Spool, usize) {
    let mut events = VecDeque::new();
    let mut removed = BTreeSet::new();
    let mut damaged = 0;
    for line in journal
        .split(|&b| b == b'\n')
        .filter(|line| !line.is_empty())
    {
        match serde_json::from_slice(line) {
            Ok(Line::Add(event)) => events.push_back(*event),
            Ok(Line::Remove(ids)) => removed.extend(ids),
            Err(_) => damaged += 1,
        }
    }
    // An id is drawn once, so nothing comes back after it was removed.
    events.retain(|event| !removed.contains(&event.event_id));
    (Spool::restored(events), damaged)
}
