//! Which files there are, and which of them could not be played lately.

use std::collections::{BTreeMap, BTreeSet};

use fleet_protocol::instant::Monotonic;
use fleet_protocol::player::{DecodeFailure, Item};

use super::AssetRef;

/// After its first failure an item is left out for so long, then for twice as long each time.
const FIRST_PAUSE_MS: u64 = 30_000;
const LONGEST_PAUSE_MS: u64 = 3_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Broken {
    until: Monotonic,
    failures: u32,
}

/// The cache as the screen sees it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Library {
    present: BTreeSet<AssetRef>,
    broken: BTreeMap<AssetRef, Broken>,
}

impl Library {
    pub(super) fn of(present: Vec<AssetRef>) -> Self {
        Self {
            present: present.into_iter().collect(),
            broken: BTreeMap::new(),
        }
    }

    pub fn has(&self, asset: &AssetRef) -> bool {
        self.present.contains(asset)
    }

    /// Its file is here, and it did not fail lately.
    pub fn can_play(&self, item: &Item, now: Monotonic) -> bool {
        let asset = AssetRef::from(item);
        let broken = self.broken.get(&asset).is_some_and(|b| now < b.until);
        self.has(&asset) && !broken
    }

    /// A file that came anew deserves another try.
    pub(super) fn add(&mut self, asset: AssetRef) {
        self.broken.remove(&asset);
        self.present.insert(asset);
    }

    pub(super) fn remove(&mut self, asset: &AssetRef) {
        self.present.remove(asset);
        self.broken.remove(asset);
    }

    /// A decoder that died may have been killed for what is no fault of the file: that is tried again at once,
    /// one time.
    pub(super) fn mark_broken(&mut self, asset: AssetRef, why: DecodeFailure, now: Monotonic) {
        let failures = self.broken.get(&asset).map_or(0, |b| b.failures);
        let pause_ms = if failures == 0 && why == DecodeFailure::DecoderCrashed {
            0
        } else {
            FIRST_PAUSE_MS
                .saturating_mul(1 << failures.min(16))
                .min(LONGEST_PAUSE_MS)
        };
        let broken = Broken {
            until: now.plus_ms(pause_ms),
            failures: failures.saturating_add(1),
        };
        self.broken.insert(asset, broken);
    }

    /// It was shown after all.
    pub(super) fn mark_whole(&mut self, asset: &AssetRef) {
        self.broken.remove(asset);
    }
}
