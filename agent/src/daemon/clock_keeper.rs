//! Keeps what is known of the time over power cuts, and the clock above it. [`crate::core::clock`]
//! decides.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::client::TimeFloor;
use crate::core::clock::{Decision, Discipline, Evidence};
use crate::platform::booted::read_state;
use crate::platform::files::{self, Access};
use crate::platform::paths::Paths;
use crate::platform::{clock, files::FileError};

/// A step of the clock that was made, or tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

#[derive(Debug)]
pub(super) struct ClockKeeper {
    paths: Paths,
    floor: TimeFloor,
    evidence: Mutex<Evidence>,
}

impl ClockKeeper {
    /// Reads what was kept, adds what the image and the provisioning file say, and sets the clock if
    /// it is behind all that. Comes before anything that looks at certificates.
    pub(super) fn start(
        paths: &Paths,
        floor: TimeFloor,
        built_at: Timestamp,
        provisioned_at: Option<Timestamp>,
    ) -> (Self, Option<Step>) {
        let mut evidence: Evidence = read_state(&file(paths)).unwrap_or_default();
        evidence.built_at = Some(built_at);
        evidence.provisioned_at = provisioned_at.max(evidence.provisioned_at);
        if let Some(at) = evidence.floor() {
            floor.raise(at);
        }
        let step = perform(evidence.at_start(clock::wall()));
        let keeper = Self {
            paths: paths.clone(),
            floor,
            evidence: Mutex::new(evidence),
        };
        (keeper, step)
    }

    fn evidence(&self) -> MutexGuard<'_, Evidence> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock can't be right below this.
    pub(super) fn floor(&self) -> Timestamp {
        self.evidence().floor().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The control plane gave its time over an authenticated connection.
    pub(super) fn heard(&self, server_time: Timestamp) -> Option<Step> {
        let discipline =
            if clock::is_synchronised(self.paths.run.parent().unwrap_or(&self.paths.run)) {
                Discipline::TimeService
            } else {
                Discipline::None
            };
        let mut evidence = self.evidence();
        let decision = evidence.at_server_time(clock::wall(), server_time, discipline);
        evidence.server_time = Some(server_time).max(evidence.server_time);
        if evidence.last_seen.is_some_and(|seen| seen > server_time)
            && matches!(decision, Decision::Step { .. })
        {
            // Written by a clock that ran ahead.
            evidence.last_seen = Some(server_time);
        }
        drop(evidence);
        self.floor.raise(server_time);
        perform(decision)
    }

    /// Writes the time down, so that the next start is not before now.
    pub(super) fn keep(&self) -> Result<(), FileError> {
        let mut evidence = self.evidence();
        evidence.last_seen = Some(clock::wall());
        let kept = *evidence;
        drop(evidence);
        files::write_json(&file(&self.paths), &kept, Access::Public)
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
    match clock::step(to) {
        Ok(()) => log::warn!("clock.from":% = from, "clock.to":% = to; "the clock was set"),
        // TLS goes by the floor all the same.
        Err(error) => log::warn!(error:%; "the clock is wrong and could not be set"),
    }
    Some(Step { from, to })
}
