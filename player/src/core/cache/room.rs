//! Who has to go, and what will never fit.

use fleet_protocol::Sha256;
use fleet_protocol::player::{Item, PlayerEventKind};

use super::downloads::{MEDIUM_PAUSE_MS, failure};
use super::stock::refs;
use super::{AssetRef, Effect, Policy, Step};

/// One part in so many of the budget is for what the manifests need alone.
const SPARE: u64 = 10;

/// Why there will be no room for a file, whatever is evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{size_bytes} bytes do not fit: of the budget of {budget_bytes} bytes, \
     {kept_bytes} are held by what the manifests need"
)]
pub struct Refusal {
    pub size_bytes: u64,
    pub kept_bytes: u64,
    pub budget_bytes: u64,
}

/// Why a file is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Budget,
    FullMedium,
    Damaged,
    Command,
}

impl Reason {
    /// For the record. What an operator ordered, the command's own event tells.
    const fn told(self) -> Option<&'static str> {
        match self {
            Self::Budget => Some("the budget is used up; least recently played"),
            Self::FullMedium => Some("the medium is full; least recently played"),
            Self::Damaged => Some("the file is damaged"),
            Self::Command => None,
        }
    }
}

/// Whether there is room for a download.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// Not while these downloads are under way.
    Later,
    Never(Refusal),
}

impl Policy {
    /// What is on the medium, and what is still to come of the downloads under way.
    pub(super) fn in_use(&self) -> u64 {
        self.stock.bytes() + self.under_way_bytes()
    }

    fn under_way_bytes(&self) -> u64 {
        let items = self.under_way.values();
        items.map(|under_way| under_way.item.file_size_bytes).sum()
    }

    /// The file that goes first.
    fn evictable(&self) -> Option<Sha256> {
        self.stock.least_recently_played(self.kept.as_ref()?)
    }

    fn least_urgent_partial(&self) -> Option<Sha256> {
        let mut wanted = self.wanted.iter().rev().map(|item| item.checksum_sha256);
        wanted.find(|sha256| self.stock.has_partial(sha256))
    }

    /// Of whole files.
    pub(super) fn kept_bytes(&self) -> u64 {
        let kept = self.kept.as_ref();
        kept.map_or(0, |kept| self.stock.bytes_of(kept))
    }

    pub(super) fn room_for(&self, item: &Item, kept_bytes: u64) -> Room {
        let size_bytes = item.file_size_bytes;
        let budget_bytes = self.limits.budget_bytes;
        let passing = self.under_way_bytes() + self.stock.stuck_bytes();
        if kept_bytes.saturating_add(size_bytes) > budget_bytes {
            Room::Never(Refusal {
                size_bytes,
                kept_bytes,
                budget_bytes,
            })
        } else if kept_bytes + passing + size_bytes > budget_bytes {
            Room::Later
        } else {
            Room::Enough
        }
    }
}

impl Step {
    /// Evicts until this much more stays below the mark, or nothing is left that may go. Partial files
    /// go only for the budget itself, the least urgent first.
    pub(super) fn make_room_for(&mut self, size_bytes: u64) {
        let budget = self.policy.limits.budget_bytes;
        let mark = budget - budget / SPARE;
        while self.policy.in_use().saturating_add(size_bytes) > mark
            && let Some(sha256) = self.policy.evictable()
        {
            self.remove(sha256, Reason::Budget);
        }
        while self.policy.in_use().saturating_add(size_bytes) > budget
            && let Some(sha256) = self.policy.least_urgent_partial()
        {
            self.drop_partial(sha256);
        }
    }

    /// The medium had no room for this much, whatever the budget says.
    pub(super) fn free_medium(&mut self, size_bytes: u64) {
        let mut freed = 0;
        while freed < size_bytes
            && let Some(sha256) = self.policy.evictable()
        {
            freed += self.policy.file(&sha256).map_or(0, |file| file.size_bytes);
            self.remove(sha256, Reason::FullMedium);
        }
    }

    pub(super) fn remove(&mut self, sha256: Sha256, reason: Reason) {
        let Some(file) = self.policy.stock.take(&sha256) else {
            return;
        };
        self.policy.checks.forget(&sha256);
        let size_bytes = file.size_bytes;
        self.effects.push(Effect::Remove { sha256, size_bytes });
        for asset in refs(sha256, &file) {
            let asset_id = asset.asset_id.clone();
            self.effects.push(Effect::Lost(asset));
            if let Some(reason) = reason.told() {
                self.tell(PlayerEventKind::CacheEviction {
                    asset_id,
                    freed_bytes: size_bytes,
                    reason: reason.to_owned(),
                });
            }
        }
    }

    pub(super) fn drop_partial(&mut self, sha256: Sha256) {
        if self.policy.stock.take_partial(&sha256).is_some() {
            self.effects.push(Effect::DropPartial(sha256));
        }
    }

    /// It still takes its room. It is tried again after the pause.
    pub(super) fn remove_failed(&mut self, sha256: Sha256, size_bytes: u64) {
        self.policy.stock.keep_stuck(sha256, size_bytes);
        self.policy.paused_until = Some(self.now.plus_ms(MEDIUM_PAUSE_MS));
    }

    /// The medium gets another chance once its pause is over.
    pub(super) fn resume_medium(&mut self) {
        if self
            .policy
            .paused_until
            .take_if(|until| *until <= self.now)
            .is_some()
        {
            for (sha256, size_bytes) in self.policy.stock.take_stuck() {
                self.effects.push(Effect::Remove { sha256, size_bytes });
            }
        }
    }

    /// Says so once; another budget or other manifests may change it.
    pub(super) fn refuse(&mut self, item: &Item, refusal: Refusal) {
        let asset = AssetRef::from(item);
        if self.policy.refused.insert(asset.clone()) {
            self.effects.push(Effect::Refuse { asset, refusal });
            self.tell(failure(item, None, 0));
        }
    }

    pub(super) fn clear_unused(&mut self) {
        while let Some(sha256) = self.policy.evictable() {
            self.remove(sha256, Reason::Command);
        }
    }

    /// Everything is fetched anew; downloads under way go on, their content is checked anyway.
    pub(super) fn clear_all(&mut self) {
        let on_glass = self.policy.on_glass.into_iter().collect();
        while let Some(sha256) = self.policy.stock.least_recently_played(&on_glass) {
            self.remove(sha256, Reason::Command);
        }
        let partials: Vec<Sha256> = self.policy.stock.partials().copied().collect();
        for sha256 in partials {
            self.drop_partial(sha256);
        }
        self.policy.troubles.clear();
        self.policy.refused.clear();
    }
}
