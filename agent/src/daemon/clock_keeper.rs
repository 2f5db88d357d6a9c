//! Keeps what is known of the time over power cuts, and the clock above it. [`crate::core::clock`]
//! decides.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fleet_device::clock;
use fleet_device::files::{self, Access, FileError};
use jiff::Timestamp;

use super::identity::{self, Provision};
use crate::client::TimeFloor;
use crate::core::clock::{Decision, Evidence, Knowledge, Word};
use crate::platform::booted::read_state;
use crate::platform::clock::{discipline, step};
use crate::platform::paths::Paths;

/// A step of the clock that was made, or tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

#[derive(Debug)]
pub(crate) struct ClockKeeper {
    paths: Paths,
    floor: TimeFloor,
    known: Mutex<Knowledge>,
}

impl ClockKeeper {
    /// Takes what is known, and sets the clock if it is behind all that. Comes before anything that
    /// looks at certificates.
    pub(crate) fn start(
        paths: &Paths,
        floor: TimeFloor,
        evidence: Evidence,
    ) -> (Self, Option<Step>) {
        if let Some(certain) = evidence.certain() {
            floor.raise(certain);
        }
        let step = perform(evidence.at_start(clock::wall()));
        let keeper = Self {
            paths: paths.clone(),
            floor,
            known: Mutex::new(Knowledge::new(evidence)),
        };
        (keeper, step)
    }

    fn known(&self) -> MutexGuard<'_, Knowledge> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock can't be right below this.
    pub(super) fn floor(&self) -> Timestamp {
        self.known().floor(discipline(&self.paths))
    }

    /// The best guess at the time, whatever the clock shows: `None` until the control plane has
    /// spoken in this boot.
    pub(super) fn told(&self) -> Option<Timestamp> {
        self.known().told(clock::monotonic())
    }

    /// The control plane gave its time over an authenticated connection.
    pub(crate) fn heard(&self, server_time: Timestamp) -> Option<Step> {
        let word = Word {
            time: server_time,
            at: clock::monotonic(),
            not_after: self.floor.peer_not_after(),
        };
        let discipline = discipline(&self.paths);
        let mut known = self.known();
        let (next, decision) = known.hear(word, clock::wall(), discipline);
        *known = next;
        drop(known);
        if let Some(certain) = next.evidence().certain() {
            self.floor.raise(certain);
        }
        perform(decision)
    }

    /// Writes the time down, so that the next start is not before now.
    pub(crate) fn keep(&self) -> Result<(), FileError> {
        let mut known = self.known();
        known.saw(clock::wall());
        let kept = *known.evidence();
        drop(known);
        files::write_json(&file(&self.paths), &kept, Access::Public)
    }
}

/// What was kept of the time, and what the image and the provisioning file say.
pub(crate) fn evidence(paths: &Paths, built_at: Timestamp) -> Evidence {
    let kept: Evidence = read_state(&file(paths)).unwrap_or_default();
    let provisioned_at = match identity::provision(paths) {
        Provision::Ready { provision, .. }
        | Provision::Pairing(provision)
        | Provision::Used(provision) => Some(provision.server_time),
        Provision::None | Provision::Unusable { .. } => None,
    };
    Evidence {
        built_at: Some(built_at),
        // A new file corrects an old one.
        provisioned_at: provisioned_at.or(kept.provisioned_at),
        ..kept
    }
}

fn file(paths: &Paths) -> std::path::PathBuf {
    paths.state().join("clock.json")
}

fn perform(decision: Decision) -> Option<Step> {
    let Decision::Step { to } = decision else {
        return None;
    };
    let from = clock::wall();
    match step(to) {
        Ok(()) => log::warn!("clock.from":% = from, "clock.to":% = to; "the clock was set"),
        // Certificates are not judged by it.
        Err(error) => log::warn!(error:%; "the clock is wrong and could not be set"),
    }
    Some(Step { from, to })
}
