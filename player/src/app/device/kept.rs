//! The manifests on disk: `currentManifest.json` and `previousManifest.json`.
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

const CURRENT: &str = "currentManifest.json";
const PREVIOUS: &str = "previousManifest.json";

/// What was found at the start.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) current: Option<Box<Manifest>>,
    pub(super) previous: Option<Box<Manifest>>,
    /// Of what could not be understood.
    pub(super) complaints: Vec<PlayerEventKind>,
}

/// A disk that took nothing is asked again after so long.
const TRIED_AGAIN_MS: u64 = 10_000;

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
}

impl Kept {
    /// Makes the folder if it is missing.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            unkept: None,
        })
    }

    pub(super) fn load(&self) -> Found {
        let mut found = Found::default();
        found.current = self.read(CURRENT, &mut found.complaints);
        found.previous = self.read(PREVIOUS, &mut found.complaints);
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

    /// Time has passed.
    pub(super) fn try_again(&mut self, now: Monotonic) {
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
