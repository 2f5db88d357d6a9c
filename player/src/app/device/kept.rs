//! On disk: the manifests, `currentManifest.json` and `previousManifest.json`, and where the playlist is,
//! `bookmark.json`.
//!
//! Each is replaced as a whole (written beside, flushed, renamed), so after a power cut there is the old one or
//! the new one. One that can't be understood is set aside for whoever looks into it, and the other one plays.
//! What the disk does not take now is tried again; the screen does not wait for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fleet_device::files::{self, Access, FileError};
use fleet_protocol::instant::Monotonic;
use fleet_protocol::player::{Manifest, PlayerEventKind};

use crate::core::screen::Bookmark;

const CURRENT: &str = "currentManifest.json";
const PREVIOUS: &str = "previousManifest.json";
const BOOKMARK: &str = "bookmark.json";
const MAX_BOOKMARK_BYTES: u64 = 4_096;

/// What was found at the start.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) current: Option<Box<Manifest>>,
    pub(super) previous: Option<Box<Manifest>>,
    pub(super) left_at: Option<Bookmark>,
    /// Of what could not be understood.
    pub(super) complaints: Vec<PlayerEventKind>,
}

/// A disk that took nothing is asked again after so long.
const TRIED_AGAIN_MS: u64 = 10_000;
/// The bookmark is written no more often than this: flash wears out.
const BOOKMARKED_EVERY_MS: u64 = 10_000;

/// What is to be on disk and is not.
#[derive(Debug)]
struct Unkept {
    current: Option<Box<Manifest>>,
    previous: Option<Box<Manifest>>,
    tried: Monotonic,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    unkept: Option<Unkept>,
    /// The newest that is not on disk.
    bookmark: Option<Bookmark>,
    bookmarked: Option<Monotonic>,
}

impl Kept {
    /// Makes the folder if it is missing.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            unkept: None,
            bookmark: None,
            bookmarked: None,
        })
    }

    pub(super) fn load(&self) -> Found {
        let mut found = Found::default();
        found.current = self.read(CURRENT, &mut found.complaints);
        found.previous = self.read(PREVIOUS, &mut found.complaints);
        let path = self.folder.join(BOOKMARK);
        found.left_at = files::read_json(&path, MAX_BOOKMARK_BYTES).or_report(&path);
        found
    }

    /// Both are on the medium when this returns, unless that takes nothing; then they will be.
    pub(super) fn keep(
        &mut self,
        current: Option<Box<Manifest>>,
        previous: Option<Box<Manifest>>,
        now: Monotonic,
    ) {
        let unkept = Unkept {
            current,
            previous,
            tried: now,
        };
        match self.write(&unkept) {
            Ok(()) => self.unkept = None,
            Err(error) => {
                log::error!(error:%, hint = error.hint(); "the manifest is not kept and plays from memory");
                self.unkept = Some(unkept);
            }
        }
    }

    /// It is on disk when this returns, unless one was written lately; then it will be.
    pub(super) fn keep_bookmark(&mut self, bookmark: Bookmark, now: Monotonic) {
        self.bookmark = Some(bookmark);
        self.write_bookmark(now);
    }

    fn write_bookmark(&mut self, now: Monotonic) {
        let lately = |at: Monotonic| now.since(at) < BOOKMARKED_EVERY_MS;
        if self.bookmarked.is_some_and(lately) {
            return;
        }
        let Some(bookmark) = self.bookmark.take() else {
            return;
        };
        self.bookmarked = Some(now);
        // A disk that takes nothing has been told of already; the next one may come through.
        if let Err(error) =
            files::write_json(&self.folder.join(BOOKMARK), &bookmark, Access::Public)
        {
            log::debug!("{error}");
        }
    }

    /// Time has passed.
    pub(super) fn try_again(&mut self, now: Monotonic) {
        self.write_bookmark(now);
        let due = |unkept: &mut Unkept| now.since(unkept.tried) >= TRIED_AGAIN_MS;
        if let Some(mut unkept) = self.unkept.take_if(due) {
            unkept.tried = now;
            if self.write(&unkept).is_err() {
                self.unkept = Some(unkept);
            }
        }
    }

    fn write(&self, unkept: &Unkept) -> Result<(), FileError> {
        // First the fallback: cut off in between, there are two of the old one.
        for (name, manifest) in [(PREVIOUS, &unkept.previous), (CURRENT, &unkept.current)] {
            if let Some(manifest) = manifest {
                files::write_json(&self.folder.join(name), manifest, Access::Public)?;
            }
        }
        Ok(())
    }

    fn read(&self, name: &str, complaints: &mut Vec<PlayerEventKind>) -> Option<Box<Manifest>> {
        let path = self.folder.join(name);
        let read = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
            Ok(bytes) => Manifest::parse(&bytes).map_err(|error| error.to_string()),
        };
        match read {
            Ok(manifest) => Some(Box::new(manifest)),
            Err(parse_error) => {
                // If it cannot be moved it is overwritten by the next one.
                let _ = fs::rename(&path, path.with_extension("damaged"));
                complaints.push(PlayerEventKind::LocalManifestCorrupt {
                    file_name: name.to_owned(),
                    parse_error,
                });
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(etag: &str) -> Box<Manifest> {
        let json = serde_json::json!({
            "manifestEtag": etag, "validToUtc": "2030-01-01T00:00:00Z", "nextCheckSeconds": 60,
            "playlist": null
        });
        Box::new(Manifest::parse(json.to_string().as_bytes()).unwrap())
    }

    fn keep_two(kept: &mut Kept) {
        let (current, previous) = (manifest("e:2"), manifest("e:1"));
        kept.keep(Some(current), Some(previous), Monotonic(0));
    }

    #[test]
    fn what_was_kept_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::open(&dir.path().join("player")).unwrap();
        assert!(kept.load().current.is_none());
        keep_two(&mut kept);
        let found = kept.load();
        assert_eq!(found.current.unwrap(), manifest("e:2"));
        assert_eq!(found.previous.unwrap(), manifest("e:1"));
        assert_eq!(found.complaints, []);
    }

    #[test]
    fn a_damaged_manifest_is_named_and_set_aside_and_the_other_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::open(dir.path()).unwrap();
        keep_two(&mut kept);
        fs::write(dir.path().join(CURRENT), b"{\"manifestEtag\": \"e:2\"").unwrap();
        let found = kept.load();
        assert!(found.current.is_none());
        assert!(found.previous.is_some());
        assert!(matches!(
            &found.complaints[..],
            [PlayerEventKind::LocalManifestCorrupt { file_name, .. }] if file_name == CURRENT
        ));
        assert_eq!(kept.load().complaints, []);
    }

    #[test]
    fn the_newest_bookmark_is_found_again_and_not_written_at_every_item() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::open(dir.path()).unwrap();
        let bookmark = |index| Bookmark {
            playlist_id: "pl_1".parse().unwrap(),
            published_version: 1,
            index,
        };
        let index = |kept: &Kept| kept.load().left_at.map(|left_at| left_at.index);
        assert_eq!(index(&kept), None);
        kept.keep_bookmark(bookmark(0), Monotonic(0));
        kept.keep_bookmark(bookmark(1), Monotonic(1));
        kept.keep_bookmark(bookmark(2), Monotonic(2));
        assert_eq!(index(&kept), Some(0));
        kept.try_again(Monotonic(BOOKMARKED_EVERY_MS));
        assert_eq!(index(&kept), Some(2));
        fs::write(dir.path().join(BOOKMARK), b"{").unwrap();
        assert_eq!(index(&kept), None);
    }

    #[test]
    fn what_the_disk_does_not_take_is_kept_once_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("player");
        let mut kept = Kept::open(&folder).unwrap();
        fs::remove_dir(&folder).unwrap();
        fs::write(&folder, "no folder").unwrap();
        keep_two(&mut kept);
        fs::remove_file(&folder).unwrap();
        kept.try_again(Monotonic(TRIED_AGAIN_MS - 1));
        assert!(kept.load().current.is_none());
        kept.try_again(Monotonic(TRIED_AGAIN_MS));
        assert_eq!(kept.load().current.unwrap(), manifest("e:2"));
    }
}
