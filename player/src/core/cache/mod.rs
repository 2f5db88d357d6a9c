//! Which file is fetched next, which one goes when there is no room, and which are read over again.
//!
//! The unit is a file, named by its SHA-256; several assets may share one. What is wanted comes as a list,
//! the most urgent first, and is fetched in that order, a few at a time. What fails pauses alone; a medium
//! that takes nothing pauses all downloads. Pauses never touch what is already here, so playing goes on.
//!
//! Room: a download begins only if its whole file fits into the budget, together with everything else.
//! Until then files go that no manifest needs, the least recently played first. They also go whenever
//! more than nine tenths of the budget are in use.
//!
//! Invariants:
//! - In use are at most the budget, or what is protected and under way where that is more (after the
//!   budget was lowered).
//! - What is protected or wanted is removed only if it is damaged, or by command.
//! - At most [`Limits::max_downloads`] are under way.
//! - Whatever is wanted and fits is fetched in the end, as soon as nothing fails any more.
//! - A partial file is kept only for what is wanted.

mod checks;
mod downloads;
mod room;
mod stock;

use std::collections::{BTreeMap, BTreeSet};

use fleet_protocol::Sha256;
use fleet_protocol::backoff::Backoff;
use fleet_protocol::instant::{Monotonic, Now};
use fleet_protocol::player::{CacheStatus, Item, PlayerEventKind};

use super::screen::AssetRef;

pub use room::Refusal;
pub use stock::{Found, StoredFile};

use checks::Checks;
use downloads::{Trouble, UnderWay};
use stock::Stock;

/// For the media on a device whose configuration and manifest name no budget.
pub const DEFAULT_BUDGET_BYTES: u64 = 2 * 1024 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub budget_bytes: u64,
    /// At once; at least 1.
    pub max_downloads: usize,
    /// After a failed download, for that asset alone.
    pub retry: Backoff,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            budget_bytes: DEFAULT_BUDGET_BYTES,
            max_downloads: 2,
            retry: Backoff {
                base_ms: 5_000,
                max_ms: 1_800_000,
            },
        }
    }
}

/// Why a download ended without a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The server's answer.
    Http(u16),
    /// No answer, or it broke off.
    Network,
    /// It is not the file of the manifest.
    WrongContent,
    /// The medium does not take this file.
    Medium,
    /// The medium takes no file.
    Full,
    ReadOnly,
    /// As asked by [`Effect::Cancel`].
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Whole,
    Damaged,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// All that is lacking, the most urgent first, and all that must not be evicted. Replaces the lists
    /// before. What is here after all is answered with [`Effect::Ready`].
    Wanted {
        items: Vec<Item>,
        protected: BTreeSet<AssetRef>,
    },
    BudgetChanged {
        budget_bytes: u64,
    },
    /// It is whole and in its place.
    Finished {
        sha256: Sha256,
        size_bytes: u64,
    },
    /// `kept_bytes` of it are on the medium and can be resumed; `dice` is any random number.
    Failed {
        sha256: Sha256,
        kept_bytes: u64,
        fault: Fault,
        dice: u64,
    },
    /// It is on the glass now.
    Played(AssetRef),
    /// The answer to [`Effect::Check`].
    Checked {
        sha256: Sha256,
        verdict: Verdict,
    },
    /// Something came across it that is not what was stored.
    FoundDamaged(Sha256),
    /// [`Effect::Remove`] did not work.
    RemoveFailed {
        sha256: Sha256,
        size_bytes: u64,
    },
    /// An operator's command: away with what no manifest needs.
    ClearUnused,
    /// An operator's command: away with everything but what is on the glass.
    ClearAll,
    /// Time has passed.
    Tick,
}

/// What the driver has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ends in [`Event::Finished`] or [`Event::Failed`].
    Begin(Box<Item>),
    /// The download ends at its next chance, unless it is through already.
    Cancel(Sha256),
    /// The file, and what the index says of it. Answered only if it fails.
    Remove {
        sha256: Sha256,
        size_bytes: u64,
    },
    DropPartial(Sha256),
    /// Read it all; ends in [`Event::Checked`].
    Check {
        sha256: Sha256,
        size_bytes: u64,
    },
    /// It can be played. The index keeps that the file is this asset's.
    Ready(AssetRef),
    Lost(AssetRef),
    /// It is wanted, and there will never be room for it as things stand.
    Refuse {
        asset: AssetRef,
        refusal: Refusal,
    },
    Tell(PlayerEventKind),
}

/// The whole state.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    limits: Limits,
    stock: Stock,
    /// Each asset once.
    wanted: Vec<Item>,
    /// Protected by a manifest, or wanted. `None` until that is known, and nothing is evicted before.
    kept: Option<BTreeSet<Sha256>>,
    under_way: BTreeMap<Sha256, UnderWay>,
    troubles: BTreeMap<AssetRef, Trouble>,
    /// Told already.
    refused: BTreeSet<AssetRef>,
    /// The medium takes nothing until then.
    paused_until: Option<Monotonic>,
    on_glass: Option<Sha256>,
    checks: Checks,
    failures: u64,
    stepped_at: Monotonic,
}

impl Policy {
    /// Begins with what the medium holds. None of it is trusted: it is all read over, by and by.
    #[must_use]
    pub fn start(limits: Limits, found: Found, now: Now) -> (Self, Vec<Effect>) {
        let policy = Self {
            limits,
            checks: Checks::of(found.files.keys().copied()),
            stock: Stock::of(found),
            ..Self::default()
        };
        policy.step(Event::Tick, now)
    }

    /// Takes one event. One that names a download or check which is not under way changes nothing.
    #[must_use]
    pub fn step(self, event: Event, now: Now) -> (Self, Vec<Effect>) {
        let mut step = Step {
            policy: self,
            now: now.mono,
            effects: Vec::new(),
        };
        step.take(event);
        step.go_on();
        step.policy.stepped_at = now.mono;
        (step.policy, step.effects)
    }

    /// When [`Event::Tick`] is due, which may have passed by now; `None` if only an event changes anything.
    pub fn next_tick(&self) -> Option<Monotonic> {
        if self.paused_until.is_some() {
            return self.paused_until;
        }
        let lacking = self.wanted.iter().filter(|item| self.lacks(item));
        let resting = lacking.filter_map(|item| self.resting_until(item));
        // What rested no more at the last step waits for something else.
        resting.filter(|until| self.stepped_at < *until).min()
    }

    /// What can be played, by the names under which it was asked for.
    pub fn present(&self) -> Vec<AssetRef> {
        self.stock.present()
    }

    /// `None` if it is not here.
    pub fn file(&self, sha256: &Sha256) -> Option<&StoredFile> {
        self.stock.stored(sha256)
    }

    pub fn files(&self) -> impl Iterator<Item = (&Sha256, &StoredFile)> {
        self.stock.files()
    }

    /// Downloads that failed since the start.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// For the heartbeat. What is under way counts with what it will need.
    pub fn status(&self) -> CacheStatus {
        let lacking = self.wanted.iter().filter(|item| self.lacks(item));
        let lacking: BTreeSet<Sha256> = lacking.map(|item| item.checksum_sha256).collect();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        CacheStatus {
            total_bytes: self.limits.budget_bytes,
            used_bytes: self.in_use(),
            asset_count: count(self.stock.files().count()),
            pending_downloads: count(lacking.len()),
        }
    }

    fn lacks(&self, item: &Item) -> bool {
        self.stock.stored(&item.checksum_sha256).is_none()
    }

    fn keeps(&self, sha256: &Sha256) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.contains(sha256))
    }

    fn wants(&self, sha256: &Sha256) -> bool {
        let mut wanted = self.wanted.iter();
        wanted.any(|item| item.checksum_sha256 == *sha256)
    }
}

/// One step under way.
struct Step {
    policy: Policy,
    now: Monotonic,
    effects: Vec<Effect>,
}

impl Step {
    fn take(&mut self, event: Event) {
        match event {
            Event::Wanted { items, protected } => self.wanted(items, &protected),
            Event::BudgetChanged { budget_bytes } => self.policy.limits.budget_bytes = budget_bytes,
            Event::Finished { sha256, size_bytes } => self.finished(sha256, size_bytes),
            Event::Failed {
                sha256,
                kept_bytes,
                fault,
                dice,
            } => self.failed(sha256, kept_bytes, fault, dice),
            Event::Played(asset) => {
                self.policy.stock.play(&asset.checksum_sha256);
                self.policy.on_glass = Some(asset.checksum_sha256);
            }
            Event::Checked { sha256, verdict } => self.checked(sha256, verdict),
            Event::FoundDamaged(sha256) => self.lose_damaged(sha256),
            Event::RemoveFailed { sha256, size_bytes } => self.remove_failed(sha256, size_bytes),
            Event::ClearUnused => self.clear_unused(),
            Event::ClearAll => self.clear_all(),
            Event::Tick => {}
        }
    }

    /// Whatever follows from how things stand: after every event.
    fn go_on(&mut self) {
        self.check_next();
        self.resume_medium();
        if self.policy.paused_until.is_none() {
            self.make_room_for(0);
            self.begin_downloads();
        }
    }

    fn tell(&mut self, kind: PlayerEventKind) {
        self.effects.push(Effect::Tell(kind));
    }
}

#[cfg(test)]
mod tests;
