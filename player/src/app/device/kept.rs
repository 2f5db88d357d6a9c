//! The manifests on disk: `currentManifest.json` and `previousManifest.json`.
//!
//! Each is replaced as a whole (written beside, flushed, renamed), so after a power cut there is the old one or
//! the new one. One that can't be understood is set aside for whoever looks into it, and the other one plays.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

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

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// Makes the folder if it is missing.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    pub(super) fn load(&self) -> Found {
        let mut found = Found::default();
        found.current = self.read(CURRENT, &mut found.complaints);
        found.previous = self.read(PREVIOUS, &mut found.complaints);
        found
    }

    /// Both are on the medium when this returns.
    pub(super) fn keep(
        &self,
        current: Option<&Manifest>,
        previous: Option<&Manifest>,
    ) -> io::Result<()> {
        // First the fallback: cut off in between, there are two of the old one.
        for (name, manifest) in [(PREVIOUS, previous), (CURRENT, current)] {
            if let Some(manifest) = manifest {
                self.replace(name, &serde_json::to_vec_pretty(manifest)?)?;
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

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut beside = tempfile::NamedTempFile::new_in(&self.folder)?;
        beside.write_all(bytes)?;
        beside.as_file().sync_all()?;
        beside.persist(self.folder.join(name))?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(etag: &str) -> Manifest {
        let json = serde_json::json!({
            "manifestEtag": etag, "validToUtc": "2030-01-01T00:00:00Z", "nextCheckSeconds": 60,
            "playlist": null
        });
        Manifest::parse(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_was_kept_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::open(&dir.path().join("player")).unwrap();
        assert!(kept.load().current.is_none());
        kept.keep(Some(&manifest("e:2")), Some(&manifest("e:1")))
            .unwrap();
        let found = kept.load();
        assert_eq!(*found.current.unwrap(), manifest("e:2"));
        assert_eq!(*found.previous.unwrap(), manifest("e:1"));
        assert_eq!(found.complaints, []);
    }

    #[test]
    fn a_damaged_manifest_is_named_and_set_aside_and_the_other_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::open(dir.path()).unwrap();
        kept.keep(Some(&manifest("e:2")), Some(&manifest("e:1")))
            .unwrap();
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
}
