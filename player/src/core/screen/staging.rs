//! The manifest in force, the one before it, and the one that waits for its files: applied at the end of
//! an item, in two phases (seed 003, §28.5).

use fleet_protocol::player::{Item, Manifest, Orientation, PlayerEventKind};

use super::{AssetRef, Bookmark, Effect, Position, Source, Step};

/// A newer manifest on its way.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Staged {
    #[default]
    None,
    WaitingAssets(Box<Manifest>),
    Ready(Box<Manifest>),
    /// Nothing of it can be shown here, as things stand. It takes over after all once something of it can: a file
    /// came anew, or did not fail when it was tried again.
    Rejected(Box<Manifest>),
}

impl Staged {
    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::WaitingAssets(manifest) | Self::Ready(manifest) | Self::Rejected(manifest) => {
                Some(manifest)
            }
            Self::None => None,
        }
    }

    /// Whether it takes over as soon as its files are here.
    pub const fn is_on_its_way(&self) -> bool {
        matches!(self, Self::WaitingAssets(_) | Self::Ready(_))
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

    /// In a playlist that is still what it was.
    pub(super) fn find(&self, left_at: &Bookmark) -> Option<Position> {
        let is_of = |source: &Source| {
            let playlist = self.of(*source).and_then(|m| m.playlist.as_ref());
            playlist.is_some_and(|playlist| {
                playlist.playlist_id == left_at.playlist_id
                    && playlist.published_version == left_at.published_version
            })
        };
        let mut sources = [Source::Current, Source::Previous].into_iter();
        let source = sources.find(is_of)?;
        Some(Position {
            source,
            index: left_at.index,
        })
    }

    /// How the screen is mounted while an item of `source` is seen: the newest manifest of those in force then knows.
    pub(super) fn orientation_with(&self, source: Source) -> Orientation {
        let staged = self.of(source).filter(|_| source == Source::Staged);
        let newest = staged.or(self.current()).or(self.previous());
        let orientation = newest.map(|manifest| manifest.settings.orientation);
        orientation.unwrap_or_default()
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

    /// The staged one takes over. `fallback` is which of the others is worth more now; one that had nothing to show is
    /// none, nor is one of an override: what it said is over.
    fn apply(&mut self, fallback: Source) -> Option<String> {
        let staged = match std::mem::take(&mut self.staged) {
            Staged::WaitingAssets(manifest)
            | Staged::Ready(manifest)
            | Staged::Rejected(manifest) => manifest,
            Staged::None => return None,
        };
        let before = self.current.replace(staged);
        let etag = before.as_ref().map(|m| m.manifest_etag.clone());
        if fallback == Source::Current
            && let Some(before) = before.filter(|m| !m.items().is_empty() && !m.settings.temporary)
        {
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
        // The same with other addresses, say: nobody needs to be told again.
        let again = matches!(&manifests.staged, Staged::Rejected(m) if m.manifest_etag == etag);
        self.drop_next_of(Source::Staged);
        let manifest = Box::new(manifest);
        let manifests = &mut self.screen.manifests;
        if again {
            manifests.staged = Staged::Rejected(manifest);
        } else if useless {
            self.reject(manifest, "no item of it can be shown on this player");
        } else {
            manifests.staged = Staged::WaitingAssets(manifest);
            self.tell(PlayerEventKind::ManifestStaged {
                manifest_etag: etag,
            });
        }
        self.settle_staged();
        self.fetch();
    }

    fn reject(&mut self, manifest: Box<Manifest>, reason: &str) {
        let manifest_etag = manifest.manifest_etag.clone();
        self.screen.manifests.staged = Staged::Rejected(manifest);
        self.tell(PlayerEventKind::ManifestRejected {
            manifest_etag,
            reason: reason.to_owned(),
        });
    }

    /// A staged manifest is ready while all its files are here.
    pub(super) fn settle_staged(&mut self) {
        let staged = std::mem::take(&mut self.screen.manifests.staged);
        self.screen.manifests.staged = match staged {
            Staged::WaitingAssets(manifest) if self.has_all_of(&manifest) => {
                Staged::Ready(manifest)
            }
            Staged::Ready(manifest) if !self.has_all_of(&manifest) => {
                Staged::WaitingAssets(manifest)
            }
            other => other,
        };
    }

    fn has_all_of(&self, manifest: &Manifest) -> bool {
        let mut items = manifest.items().iter();
        items.all(|item| self.screen.library.has(&AssetRef::from(item)))
    }

    /// A manifest of which every item failed takes nothing away from the screen.
    pub(super) fn reject_unplayable(&mut self) {
        let Staged::Ready(manifest) = &self.screen.manifests.staged else {
            return;
        };
        if !manifest.items().is_empty() && self.first_playable(Source::Staged, 0).is_none() {
            let manifest = manifest.clone();
            self.reject(
                manifest,
                "all its files are here, and none of them can be decoded",
            );
        }
    }

    /// Whether the staged manifest may take over at the next end of an item: all its files are here and one can be
    /// played, or one can and what is in force has ended or shows nothing, or nothing is scheduled.
    pub(super) fn staged_may_apply(&self) -> bool {
        let manifests = &self.screen.manifests;
        let playable = |source| self.first_playable(source, 0).is_some();
        let complete = match &manifests.staged {
            Staged::None => return false,
            Staged::Ready(manifest) if manifest.items().is_empty() => return true,
            Staged::Ready(_) => true,
            Staged::WaitingAssets(_) => false,
            Staged::Rejected(manifest) => self.has_all_of(manifest),
        };
        let current = manifests.current();
        let over = current.is_none_or(|m| m.valid_to_utc <= self.now.wall);
        playable(Source::Staged) && (complete || over || !playable(Source::Current))
    }

    pub(super) fn apply_staged(&mut self) {
        let playable = |source| self.first_playable(source, 0).is_some();
        let fallback = if playable(Source::Previous) && !playable(Source::Current) {
            Source::Previous
        } else {
            Source::Current
        };
        let previous_etag = self.screen.manifests.apply(fallback);
        let manifests = &self.screen.manifests;
        let Some(current) = manifests.current.clone() else {
            return;
        };
        let manifest_etag = current.manifest_etag.clone();
        self.effects.push(Effect::Persist {
            current: Some(current),
            previous: manifests.previous.clone(),
        });
        self.screen.left_at = None;
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
