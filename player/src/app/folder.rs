//! `fleet-player play FOLDER`: loops the pictures and films of a folder, in the order of their names.
//!
//! The folder is looked at again every few seconds; what was added plays from the next item on.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use fleet_device::clock;
use fleet_protocol::instant::Monotonic;
use fleet_protocol::player::{
    Fit, Item, ItemKind, Manifest, PlayerEventKind, Playlist, ProofOfPlay, Settings, Transition,
};
use fleet_protocol::{AssetId, PlaylistId, Sha256};

use super::card::{self, Canvas};
use super::show::{Cover, News, Seen, Surroundings};
use crate::core::screen::{AssetRef, Card, Event, Screen};
use crate::media::frame::SharedFrame;

const LOOKED_AT_EVERY_MS: u64 = 3_000;

/// How the items of a folder are played.
#[derive(Debug, Clone)]
pub struct Manner {
    pub seconds_an_image: u32,
    pub fit: Fit,
    pub transition: Transition,
    pub volume_percent: u8,
    pub settings: Settings,
}

/// A folder as the surroundings of a screen.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    manner: Manner,
    files: BTreeMap<AssetId, PathBuf>,
    seen: Option<Playlist>,
    version: u64,
    looked: Monotonic,
}

/// Why a folder can't be played.
#[derive(Debug, thiserror::Error)]
#[error("reading the folder {path}")]
pub struct FolderError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Folder {
    /// Looks into the folder; gives the first event of a screen.
    pub fn open(path: &Path, manner: Manner) -> Result<(Self, Event), FolderError> {
        let mut folder = Self {
            path: path.to_owned(),
            manner,
            files: BTreeMap::new(),
            seen: None,
            version: 0,
            looked: clock::monotonic(),
        };
        let manifest = folder.look().map_err(|source| FolderError {
            path: path.to_owned(),
            source,
        })?;
        let current = manifest.map(Box::new);
        let items = current.as_deref().map_or(&[][..], Manifest::items);
        let present = items.iter().map(AssetRef::from).collect();
        let loaded = Event::Loaded {
            current,
            previous: None,
            present,
            left_at: None,
        };
        Ok((folder, loaded))
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// A manifest, if anything has changed.
    fn look(&mut self) -> io::Result<Option<Manifest>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let path = entry.path();
            let meta = entry.metadata()?;
            if let Some(kind) = kind_of(&path).filter(|_| meta.is_file() && meta.len() > 0) {
                found.push((path, kind, meta));
            }
        }
        found.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        self.files.clear();
        let mut items = Vec::new();
        for (index, (path, kind, meta)) in found.into_iter().enumerate() {
            let name = format!("item_{index}");
            let Ok(asset_id) = name.parse::<AssetId>() else {
                continue;
            };
            // Not of its content: a folder of films is not read through for this.
            let modified = meta.modified().ok();
            let identity = format!("{} {} {modified:?}", path.display(), meta.len());
            self.files.insert(asset_id.clone(), path);
            items.push(self.item(asset_id, kind, Sha256::of(identity), meta.len()));
        }
        self.manifest_of(items)
    }

    fn item(&self, asset_id: AssetId, kind: ItemKind, file: Sha256, size_bytes: u64) -> Item {
        Item {
            asset_id,
            kind,
            url: String::new(),
            checksum_sha256: file,
            duration_seconds: self.manner.seconds_an_image,
            width_px: 1,
            height_px: 1,
            file_size_bytes: size_bytes,
            fit: self.manner.fit,
            transition: self.manner.transition,
            volume_percent: self.manner.volume_percent,
        }
    }

    fn manifest_of(&mut self, items: Vec<Item>) -> io::Result<Option<Manifest>> {
        let mut playlist = Playlist {
            playlist_id: "folder".parse::<PlaylistId>().map_err(io::Error::other)?,
            published_version: self.version,
            items,
            skipped: Vec::new(),
        };
        if self.seen.as_ref() == Some(&playlist) {
            return Ok(None);
        }
        self.version += 1;
        playlist.published_version = self.version;
        self.seen = Some(playlist.clone());
        Ok(Some(Manifest {
            manifest_etag: format!("folder:{}", self.version),
            valid_to_utc: jiff::Timestamp::MAX,
            next_check_seconds: 60,
            settings: self.manner.settings.clone(),
            playlist: Some(playlist),
            look_ahead: None,
        }))
    }
}

/// By the name: what is in it is the decoder's business.
fn kind_of(path: &Path) -> Option<ItemKind> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "jpg" | "jpeg" | "png" => Some(ItemKind::Image),
        "mp4" | "m4v" | "mov" | "webm" | "mkv" => Some(ItemKind::Video),
        _ => None,
    }
}

impl Surroundings for Folder {
    fn persist(&mut self, _: Option<Box<Manifest>>, _: Option<Box<Manifest>>) {}

    fn fetch(&mut self, _: Vec<Item>, _: &Screen) {}

    fn tell(&mut self, kind: PlayerEventKind) {
        match kind {
            PlayerEventKind::PlaybackFailed {
                asset_id,
                reason,
                message,
            } => {
                let file = self.files.get(&asset_id).map(|path| path.display());
                let file = file.map_or_else(|| asset_id.to_string(), |path| path.to_string());
                log::warn!("{file} is left out for a while: {reason:?}, {message}");
            }
            other => log::debug!("{other:?}"),
        }
    }

    fn file(&self, item: &Item) -> Option<PathBuf> {
        self.files.get(&item.asset_id).cloned()
    }

    fn card(&self, _: Card, canvas: Canvas) -> SharedFrame {
        let card = fleet_cards::Card::Status {
            device: self.path.display().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            online: false,
            activity: Some("There is nothing to play in this folder".to_owned()),
            addresses: Vec::new(),
            url: None,
        };
        card::picture(&card, canvas)
    }

    fn cover(&mut self, _: Canvas) -> Option<Cover> {
        None
    }

    fn shown(&mut self, _: Option<ProofOfPlay>, screen: &Screen) {
        let shown = screen.on_glass();
        if let Some(path) = shown.and_then(|shown| self.file(&shown.item)) {
            log::debug!("{} is on the glass", path.display());
        }
    }

    fn news(&mut self, _: &Seen<'_>) -> News {
        let now = clock::monotonic();
        if now.since(self.looked) < LOOKED_AT_EVERY_MS {
            return News::Events(Vec::new());
        }
        self.looked = now;
        News::Events(match self.look() {
            Ok(Some(manifest)) => {
                let ready = manifest.items().iter().map(AssetRef::from);
                let mut news: Vec<_> = ready.map(Event::AssetReady).collect();
                news.push(Event::Received(Box::new(manifest)));
                news
            }
            Ok(None) => Vec::new(),
            Err(error) => {
                log::warn!("reading {}: {error}", self.path.display());
                Vec::new()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANNER: Manner = Manner {
        seconds_an_image: 10,
        fit: Fit::Letterbox,
        transition: Transition {
            kind: fleet_protocol::player::TransitionKind::Cut,
            duration_ms: 0,
        },
        volume_percent: 100,
        settings: Settings::KIOSK,
    };

    fn names(event: &Event, folder: &Folder) -> Vec<String> {
        let manifest = match event {
            Event::Loaded { current, .. } => current.as_deref(),
            Event::Received(manifest) => Some(&**manifest),
            _ => None,
        };
        let items = manifest.map_or(&[][..], Manifest::items);
        let files = items.iter().filter_map(|item| folder.file(item));
        let names = files.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        names.collect()
    }

    #[test]
    fn media_are_played_in_the_order_of_their_names_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.MP4", "a.jpg", "notes.txt", "c.png", ".hidden"] {
            std::fs::write(dir.path().join(name), b"x").unwrap();
        }
        std::fs::write(dir.path().join("empty.png"), b"").unwrap();
        let (folder, loaded) = Folder::open(dir.path(), MANNER).unwrap();
        assert_eq!(names(&loaded, &folder), ["a.jpg", "b.MP4", "c.png"]);
    }

    #[test]
    fn a_file_that_is_added_makes_a_new_manifest_and_none_without_a_change() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.jpg"), b"x").unwrap();
        let (mut folder, _) = Folder::open(dir.path(), MANNER).unwrap();
        assert_eq!(folder.look().unwrap(), None);
        std::fs::write(dir.path().join("b.jpg"), b"x").unwrap();
        let changed = folder.look().unwrap().unwrap();
        assert_eq!(changed.items().len(), 2);
        assert_eq!(changed.manifest_etag, "folder:2");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Folder::open(Path::new("/nowhere/at/all"), MANNER).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"));
    }
}
