//! What the medium holds, and since when it was not played.

use std::collections::{BTreeMap, BTreeSet};

use fleet_protocol::{AssetId, Sha256};

use crate::core::screen::AssetRef;

/// One whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredFile {
    pub size_bytes: u64,
    /// Rises by one with each playing of any file. An order rather than a time: clocks get set.
    pub last_played: u64,
    /// The assets that it was asked for as. None after the index was lost, until it is asked for again.
    pub names: BTreeSet<AssetId>,
}

/// What was on the medium at the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    pub files: BTreeMap<Sha256, StoredFile>,
    /// With their present sizes.
    pub partials: BTreeMap<Sha256, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Stock {
    files: BTreeMap<Sha256, StoredFile>,
    /// Of downloads that are not under way.
    partials: BTreeMap<Sha256, u64>,
    /// Ought to be gone, but could not be removed.
    stuck: BTreeMap<Sha256, u64>,
    last_turn: u64,
}

impl Stock {
    pub(super) fn of(found: Found) -> Self {
        let last_turn = found.files.values().map(|file| file.last_played).max();
        Self {
            files: found.files,
            partials: found.partials,
            stuck: BTreeMap::new(),
            last_turn: last_turn.unwrap_or(0),
        }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&Sha256, &StoredFile)> {
        self.files.iter()
    }

    pub(super) fn stored(&self, sha256: &Sha256) -> Option<&StoredFile> {
        self.files.get(sha256)
    }

    pub(super) fn present(&self) -> Vec<AssetRef> {
        let refs = self
            .files
            .iter()
            .flat_map(|(sha256, file)| refs(*sha256, file));
        refs.collect()
    }

    /// Whole files, partial ones and stuck ones.
    pub(super) fn bytes(&self) -> u64 {
        let files: u64 = self.files.values().map(|file| file.size_bytes).sum();
        files + self.partials.values().sum::<u64>() + self.stuck_bytes()
    }

    pub(super) fn stuck_bytes(&self) -> u64 {
        self.stuck.values().sum()
    }

    /// Of whole files that are in the set.
    pub(super) fn bytes_of(&self, set: &BTreeSet<Sha256>) -> u64 {
        let kept = self.files.iter().filter(|(sha256, _)| set.contains(sha256));
        kept.map(|(_, file)| file.size_bytes).sum()
    }

    pub(super) fn least_recently_played(&self, except: &BTreeSet<Sha256>) -> Option<Sha256> {
        let free = self
            .files
            .iter()
            .filter(|(sha256, _)| !except.contains(sha256));
        free.min_by_key(|(_, file)| file.last_played)
            .map(|(sha256, _)| *sha256)
    }

    /// A new file is as good as just played.
    pub(super) fn store(&mut self, sha256: Sha256, size_bytes: u64) {
        self.stuck.remove(&sha256);
        self.last_turn += 1;
        let file = StoredFile {
            size_bytes,
            last_played: self.last_turn,
            names: BTreeSet::new(),
        };
        self.files.insert(sha256, file);
    }

    pub(super) fn play(&mut self, sha256: &Sha256) {
        if let Some(file) = self.files.get_mut(sha256)
            && file.last_played != self.last_turn
        {
            self.last_turn += 1;
            file.last_played = self.last_turn;
        }
    }

    pub(super) fn name(&mut self, asset: &AssetRef) {
        if let Some(file) = self.files.get_mut(&asset.checksum_sha256) {
            file.names.insert(asset.asset_id.clone());
        }
    }

    pub(super) fn take(&mut self, sha256: &Sha256) -> Option<StoredFile> {
        self.files.remove(sha256)
    }

    pub(super) fn keep_partial(&mut self, sha256: Sha256, bytes: u64) {
        if bytes > 0 {
            self.partials.insert(sha256, bytes);
        }
    }

    pub(super) fn take_partial(&mut self, sha256: &Sha256) -> Option<u64> {
        self.partials.remove(sha256)
    }

    pub(super) fn has_partial(&self, sha256: &Sha256) -> bool {
        self.partials.contains_key(sha256)
    }

    pub(super) fn partials(&self) -> impl Iterator<Item = &Sha256> {
        self.partials.keys()
    }

    pub(super) fn keep_stuck(&mut self, sha256: Sha256, size_bytes: u64) {
        if !self.files.contains_key(&sha256) {
            self.stuck.insert(sha256, size_bytes);
        }
    }

    pub(super) fn take_stuck(&mut self) -> BTreeMap<Sha256, u64> {
        std::mem::take(&mut self.stuck)
    }
}

/// The assets that a file is.
pub(super) fn refs(sha256: Sha256, file: &StoredFile) -> impl Iterator<Item = AssetRef> {
    let asset = move |asset_id: &AssetId| AssetRef {
        asset_id: asset_id.clone(),
        checksum_sha256: sha256,
    };
    file.names.iter().map(asset)
}
