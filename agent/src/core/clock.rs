//! What is known of the time, and how far each source is believed
//! ([decision 0009](../../../docs/decisions/0009-clock-floor.md)).
//!
//! | source | believed |
//! |---|---|
//! | the image's build time | for certain: no time before it is possible |
//! | the control plane's word | as the best guess; it becomes certain slowly, while it agrees with itself |
//! | provisioning file, clock as last written down | as a guess, until the control plane speaks |
//!
//! Invariants:
//! - What is certain never moves back, and no local clock moves it at all.
//! - A single wrong word of the control plane moves nothing that is certain.
//! - What is certain never passes the end of the certificate that the control plane showed, so that
//!   the same server is accepted afterwards.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Monotonic, after};

/// Kept over power cuts. What is unknown is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// When the running image was built.
    pub built_at: Option<Timestamp>,
    /// From the provisioning file.
    pub provisioned_at: Option<Timestamp>,
    /// What the control plane said last over an authenticated connection.
    pub server_time: Option<Timestamp>,
    /// How far the control plane's word has become certain.
    pub credible: Option<Timestamp>,
    /// The clock as it was last written down while running or at shutdown.
    pub last_seen: Option<Timestamp>,
}

/// More than this behind or ahead of the server's word, the clock is set.
pub const MAX_SKEW_S: i64 = 30;
/// Two words of the control plane agree when they differ from what passed between them by no more.
/// A word is on its way for as long as a request may take.
pub const MAX_DISAGREEMENT_S: i64 = 300;
/// What is certain moves towards the control plane's word by at most so many seconds for each one
/// that passes while it agrees with itself: fast enough to catch up with nights without mains, slow
/// enough that a control plane that is wrong for a day does harm for ten.
pub const CREDIT_S_PER_S: u64 = 10;
/// Between two words that agree no more is credited than this, the longest heartbeat interval.
const MAX_CREDITED_S: u64 = 24 * 60 * 60;

/// What to do with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Leave,
    /// Set the clock, and raise `CLOCK_STEPPED`.
    Step {
        to: Timestamp,
    },
}

/// Who keeps the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// A time service (NTP) has set it and goes on doing so.
    TimeService,
    /// Nobody.
    None,
}

/// The control plane's word on the time, over an authenticated connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    pub time: Timestamp,
    /// When it came.
    pub at: Monotonic,
    /// The end of the certificate that the control plane showed; its word can't be later.
    pub not_after: Option<Timestamp>,
}

impl Word {
    /// What it says of the instant `at`.
    fn moved_to(&self, at: Monotonic) -> Timestamp {
        after(self.time, at.since(self.at) / 1_000)
    }

    fn agrees_with(&self, earlier: &Self) -> bool {
        let expected = earlier.moved_to(self.at).as_second();
        self.time.as_second().saturating_sub(expected).abs() <= MAX_DISAGREEMENT_S
    }
}

impl Evidence {
    /// Has passed for certain. Certificates that ended before it are refused, and so is a word of the
    /// control plane that is earlier.
    pub fn certain(&self) -> Option<Timestamp> {
        self.built_at.max(self.credible)
    }

    /// The latest of them all, guesses too; `None` if nothing is known.
    pub fn floor(&self) -> Option<Timestamp> {
        let guesses = [self.provisioned_at, self.server_time, self.last_seen];
        guesses.into_iter().fold(self.certain(), Option::max)
    }

    /// What to do with a clock that shows `now`, before anything else is believed.
    pub fn at_start(&self, now: Timestamp) -> Decision {
        match self.floor() {
            Some(floor) if now < floor => Decision::Step { to: floor },
            _ => Decision::Leave,
        }
    }
}

/// What is known in this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Knowledge {
    evidence: Evidence,
    /// The last word, credible or not.
    last: Option<Word>,
    /// The last word that was followed, held within what is possible.
    followed: Option<Word>,
}

impl Knowledge {
    pub fn new(evidence: Evidence) -> Self {
        Self {
            evidence,
            last: None,
            followed: None,
        }
    }

    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The clock shows `wall`: worth keeping over a power cut.
    pub fn saw(&mut self, wall: Timestamp) {
        self.evidence.last_seen = Some(wall);
    }

    /// Takes the control plane's word while the clock shows `wall`.
    ///
    /// The first word of a boot is followed, forwards as backwards. One that contradicts the last is
    /// only remembered: it is followed as soon as another agrees with it. Nothing is followed below
    /// what is certain, or beyond the end of the server's certificate.
    #[must_use]
    pub fn hear(mut self, word: Word, wall: Timestamp, discipline: Discipline) -> (Self, Decision) {
        let before = self.last.replace(word);
        if before.is_some_and(|before| !word.agrees_with(&before)) {
            return (self, Decision::Leave);
        }
        let certain = self.evidence.certain().unwrap_or(Timestamp::UNIX_EPOCH);
        let within = word.not_after.map_or(word.time, |end| word.time.min(end));
        let time = within.max(certain);
        if let Some(before) = before {
            let passed_s = (word.at.since(before.at) / 1_000).min(MAX_CREDITED_S);
            let reach = after(certain, passed_s * CREDIT_S_PER_S);
            self.evidence.credible = Some(time.min(reach));
        }
        self.evidence.server_time = Some(time);
        // Guesses that the word has overtaken: a clock that ran ahead, a file from a wrong clock.
        self.evidence.last_seen = self.evidence.last_seen.map(|seen| seen.min(time));
        self.evidence.provisioned_at = self.evidence.provisioned_at.map(|at| at.min(time));
        self.followed = Some(Word { time, ..word });
        (self, decide(time, wall, discipline))
    }

    /// The time by the control plane's word, whatever the clock shows: `None` until it has spoken in
    /// this boot.
    pub fn told(&self, now: Monotonic) -> Option<Timestamp> {
        self.followed.map(|word| word.moved_to(now))
    }

    /// A clock below this is wrong, and no release that ended before it is installed. Guesses from
    /// before this boot count until somebody who knows has set the clock.
    pub fn floor(&self, discipline: Discipline) -> Timestamp {
        let floor = match (self.followed, discipline) {
            (None, Discipline::None) => self.evidence.floor(),
            (None, Discipline::TimeService) => self.evidence.certain(),
            (Some(_), _) => self.evidence.certain().max(self.evidence.server_time),
        };
        floor.unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// A clock that a time service keeps is touched only when it is behind.
fn decide(to: Timestamp, wall: Timestamp, discipline: Discipline) -> Decision {
    let skew_s = wall.as_second().saturating_sub(to.as_second()).abs();
    match discipline {
        Discipline::TimeService if wall >= to => Decision::Leave,
        _ if skew_s > MAX_SKEW_S => Decision::Step { to },
        _ => Decision::Leave,
    }
}

#[cfg(test)]
mod tests;
