//! A loop's state that outlives the agent: on `/data`, and held in `/run` while that does not take it.
//!
//! A full or broken disk must not stop a device from being talked to. What is held lasts until the next
//! boot, and is newer than what is on the disk.

use std::path::PathBuf;

use fleet_device::files::{self, Access, FileError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::booted::read_state;
use super::paths::Paths;

/// The two places of one state file.
#[derive(Debug, Clone)]
pub struct Kept {
    disk: PathBuf,
    memory: PathBuf,
}

/// Where a state is now.
#[derive(Debug)]
pub enum Written {
    OnDisk,
    /// Until the next boot.
    InMemory(FileError),
    Nowhere(FileError),
}

/// Whether a state may be in force that a power cut takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    Allowed,
    Forbidden,
}

impl Kept {
    pub fn new(paths: &Paths, name: &str) -> Self {
        Self {
            disk: paths.state().join(name),
            memory: paths.run.join(name),
        }
    }

    /// What the update engine remembers, a [`crate::core::update::Record`].
    pub fn update_record(paths: &Paths) -> Self {
        Self::new(paths, "update.json")
    }

    /// The newest state there is; true if the disk lacks it. Blocking.
    pub fn read<T: DeserializeOwned>(&self) -> (Option<T>, bool) {
        match read_state(&self.memory) {
            Some(held) => (Some(held), true),
            None => (read_state(&self.disk), false),
        }
    }

    /// Replaces the state. Blocking.
    pub fn write(&self, state: &impl Serialize, hold: Hold) -> Written {
        match files::write_json(&self.disk, state, Access::Public) {
            // A held state that stays would win over this one after a restart.
            Ok(()) => match files::remove(&self.memory) {
                Ok(()) => Written::OnDisk,
                Err(error) => Written::InMemory(error),
            },
            Err(error) if hold == Hold::Forbidden => Written::Nowhere(error),
            Err(error) => match files::write_json(&self.memory, state, Access::Public) {
                Ok(()) => Written::InMemory(error),
                Err(_) => Written::Nowhere(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> (tempfile::TempDir, Paths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        (folder, paths)
    }

    /// A file where a folder should be: nothing below can be written.
    fn break_data(paths: &Paths) {
        let _ = std::fs::remove_dir_all(paths.state());
        files::write_atomic(&paths.state(), b"", Access::Public).unwrap();
    }

    fn mend_data(paths: &Paths) {
        std::fs::remove_file(paths.state()).unwrap();
    }

    #[test]
    fn what_the_disk_does_not_take_is_held_until_it_does() {
        let (_folder, paths) = device();
        let kept = Kept::new(&paths, "n.json");
        assert!(matches!(kept.write(&1, Hold::Allowed), Written::OnDisk));
        break_data(&paths);
        assert!(matches!(
            kept.write(&2, Hold::Allowed),
            Written::InMemory(_)
        ));
        assert_eq!(kept.read::<u8>(), (Some(2), true));
        mend_data(&paths);
        assert_eq!(kept.read::<u8>(), (Some(2), true));
        assert!(matches!(kept.write(&3, Hold::Allowed), Written::OnDisk));
        assert_eq!(kept.read::<u8>(), (Some(3), false));
    }

    #[test]
    fn what_needs_the_disk_is_not_held() {
        let (_folder, paths) = device();
        let kept = Kept::new(&paths, "n.json");
        break_data(&paths);
        assert!(matches!(
            kept.write(&2, Hold::Forbidden),
            Written::Nowhere(_)
        ));
        assert_eq!(kept.read::<u8>(), (None, false));
    }
}
