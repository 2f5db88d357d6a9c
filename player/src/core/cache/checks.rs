//! What was on the medium at the start is read over once, one file at a time.

use std::collections::BTreeSet;

use fleet_protocol::Sha256;

use super::room::Reason;
use super::{Effect, Step, Verdict};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Checks {
    due: BTreeSet<Sha256>,
    running: Option<Running>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Running {
    sha256: Sha256,
    /// That file is gone; another may have come in its place meanwhile.
    moot: bool,
}

impl Checks {
    pub(super) fn of(files: impl Iterator<Item = Sha256>) -> Self {
        Self {
            due: files.collect(),
            running: None,
        }
    }

    pub(super) fn forget(&mut self, sha256: &Sha256) {
        self.due.remove(sha256);
        if let Some(running) = &mut self.running {
            running.moot |= running.sha256 == *sha256;
        }
    }
}

impl Step {
    pub(super) fn checked(&mut self, sha256: Sha256, verdict: Verdict) {
        let running = self.policy.checks.running.take_if(|r| r.sha256 == sha256);
        if running.is_some_and(|r| !r.moot) && verdict == Verdict::Damaged {
            self.lose_damaged(sha256);
        }
    }

    pub(super) fn lose_damaged(&mut self, sha256: Sha256) {
        self.remove(sha256, Reason::Damaged);
    }

    /// What is needed comes first, then what was played last.
    pub(super) fn check_next(&mut self) {
        let policy = &self.policy;
        if policy.checks.running.is_some() {
            return;
        }
        let due = policy.checks.due.iter();
        let files = due.filter_map(|sha256| Some((*sha256, policy.stock.stored(sha256)?)));
        let next = files.max_by_key(|(sha256, f)| (policy.keeps(sha256), f.last_played));
        let Some((sha256, size_bytes)) = next.map(|(sha256, file)| (sha256, file.size_bytes))
        else {
            return;
        };
        let checks = &mut self.policy.checks;
        checks.due.remove(&sha256);
        checks.running = Some(Running {
            sha256,
            moot: false,
        });
        self.effects.push(Effect::Check { sha256, size_bytes });
    }
}
