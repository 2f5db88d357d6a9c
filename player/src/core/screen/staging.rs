//! The manifest in force, the one before it, and the one that waits for its files: applied at the end of
//! an item, in two phases (seed 003, §28.5).

use fleet_protocol::player::{Item, Manifest, PlayerEventKind};

use super::{AssetRef, Effect, Source, Step};

/// A newer manifest on its way.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Staged {
    #[default]
    None,
    WaitingAssets(Box<Manifest>),
    Ready(Box<Manifest>),
    /// Nothing of it can ever be shown here.
    Rejected {
        manifest_etag: String,
    },
}

impl Staged {
    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::WaitingAssets(manifest) | Self::Ready(manifest) => Some(manifest),
            Self::None | Self::Rejected { .. } => None,
        }
    }
}

/// All that is known of what to show.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Manifests {
    current: Option<Box<Manifest>>,
    previous: Option<Box<Manifest>>,
    staged: Staged,
}

impl Manifests {
    pub(super) fn new(current: Option<Box<Manifest>>, previous: Option<Box<Manifest>>) -> Self {
        Self {
            current,
            previous,
            staged: Staged::None,
        }
    }

    pub fn current(&self) -> Option<&Manifest> {
        self.current.as_deref()
    }

    pub fn previous(&self) -> Option<&Manifest> {
        self.previous.as_deref()
    }

    pub fn staged(&self) -> &Staged {
        &self.staged
    }

    pub fn of(&self, source: Source) -> Option<&Manifest> {
        match source {
            Source::Current => self.current(),
            Source::Previous => self.previous(),
            Source::Staged => self.staged.manifest(),
        }
    }

    pub fn items(&self, source: Source) -> &[Item] {
        self.of(source).map_or(&[], Manifest::items)
    }

    /// Every item of every manifest, the most urgent for the cache first. Its files are not evicted.
    pub fn wanted(&self) -> impl Iterator<Item = &Item> {
        let upcoming = [Source::Staged, Source::Current].into_iter();
        let upcoming = upcoming.filter_map(|source| self.of(source));
        [Source::Staged, Source::Current]
            .into_iter()
            .flat_map(|source| self.items(source))
            .chain(upcoming.flat_map(Manifest::upcoming))
            .chain(self.items(Source::Previous))
    }

    /// The staged one takes over. One that had nothing to show is no fallback, nor is one of an override: what it said
    /// is over.
    fn apply(&mut self) -> Option<String> {
        let staged = match std::mem::take(&mut self.staged) {
            Staged::WaitingAssets(manifest) | Staged::Ready(manifest) => manifest,
            other => {
                self.staged = other;
                return None;
            }
        };
        let before = self.current.replace(staged);
        let etag = before.as_ref().map(|m| m.manifest_etag.clone());
        if let Some(before) = before.filter(|m| !m.items().is_empty() && !m.settings.temporary) {
            self.previous = Some(before);
        }
        etag
    }
}

impl Step {
    pub(super) fn received(&mut self, manifest: Manifest) {
        let etag = manifest.manifest_etag.clone();
        let manifests = &mut self.screen.manifests;
        let known = manifests.current().is_some_and(|m| *m == manifest)
            || manifests.staged.manifest().is_some_and(|m| *m == manifest);
        if known {
            return;
        }
        let useless = manifest
            .playlist
            .as_ref()
            .is_some_and(|playlist| playlist.items.is_empty() && !playlist.skipped.is_empty());
        if useless {
            let again = matches!(&manifests.staged, Staged::Rejected { manifest_etag } if *manifest_etag == etag);
            self.drop_next_of(Source::Staged);
            self.screen.manifests.staged = Staged::Rejected {
                manifest_etag: etag.clone(),
            };
            if !again {
                let reason = "no item of it can be shown on this player".to_owned();
                self.tell(PlayerEventKind::ManifestRejected {
                    manifest_etag: etag,
                    reason,
                });
            }
            return;
        }
        self.drop_next_of(Source::Staged);
        self.screen.manifests.staged = Staged::WaitingAssets(Box::new(manifest));
        self.tell(PlayerEventKind::ManifestStaged {
            manifest_etag: etag,
        });
        self.settle_staged();
        self.fetch();
    }

    /// A staged manifest is ready once all its files are here.
    pub(super) fn settle_staged(&mut self) {
        let screen = &mut self.screen;
        let complete = |manifest: &Manifest| {
            let mut items = manifest.items().iter();
            items.all(|item| screen.library.has(&AssetRef::from(item)))
        };
        screen.manifests.staged = match std::mem::take(&mut screen.manifests.staged) {
            Staged::WaitingAssets(manifest) if complete(&manifest) => Staged::Ready(manifest),
            other => other,
        };
    }

    /// Whether the staged manifest may take over at the next end of an item: all its files are here, or
    /// some are and what is in force has ended or shows nothing.
    pub(super) fn staged_may_apply(&self) -> bool {
        let screen = &self.screen;
        let playable = |source| self.first_playable(source, 0).is_some();
        match &screen.manifests.staged {
            Staged::Ready(_) => true,
            Staged::WaitingAssets(_) => {
                let current = screen.manifests.current();
                let over = current.is_none_or(|m| m.valid_to_utc <= self.now.wall);
                playable(Source::Staged) && (over || !playable(Source::Current))
            }
            Staged::None | Staged::Rejected { .. } => false,
        }
    }

    pub(super) fn apply_staged(&mut self) {
        let previous_etag = self.screen.manifests.apply();
        let manifests = &self.screen.manifests;
        let Some(current) = manifests.current.clone() else {
            return;
        };
        let manifest_etag = current.manifest_etag.clone();
        self.effects.push(Effect::Persist {
            current: Some(current),
            previous: manifests.previous.clone(),
        });
        self.screen.loop_count = 0;
        self.screen.fell_back = false;
        self.tell(PlayerEventKind::ManifestApplied {
            manifest_etag,
            previous_etag,
        });
        self.fetch();
    }

    /// Says what is missing.
    pub(super) fn fetch(&mut self) {
        let screen = &self.screen;
        let mut seen = std::collections::BTreeSet::new();
        let missing = screen.manifests.wanted().filter(|item| {
            let asset = AssetRef::from(*item);
            !screen.library.has(&asset) && seen.insert(asset)
        });
        let missing: Vec<Item> = missing.cloned().collect();
        self.effects.push(Effect::Fetch(missing));
    }
}
