//! One file that holds everything a control plane has, taken while it runs, and the way back.
//!
//! A backup is a tar archive, compressed with zstd:
//!
//! 1. `fleet-backup.json`: what follows ([`Contents`]), so that a restore knows before it unpacks anything;
//! 2. the files of the data folder, under their paths in it; `fleet.db` is a copy of one instant;
//! 3. `SHA256SUMS`: the digest of each of them, as `sha256sum` writes it. A file that ends early has none.
//!
//! Invariants:
//! - Neither a backup nor a restored data folder is ever there in part: each is made beside its place, synced, and renamed.
//! - What the archive holds is written only below the folder that is being restored, as plain files with announced names and
//!   sizes; anything else ends the restore before its data folder is touched.

mod archive;
mod command;
mod create;
mod error;
mod place;
mod progress;
mod restore;

use std::path::{Component, Path};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use archive::Archive;
pub use command::{Backup, Restore};
pub use create::{Created, create};
pub use error::BackupError;
pub use place::finish;
pub use progress::Progress;
pub use restore::{Present, Restored, restore};

/// Of what is described here.
const FORMAT: u32 = 1;
const HEADER: &str = "fleet-backup.json";
const SUMS: &str = "SHA256SUMS";
const DATABASE: &str = "fleet.db";
/// Folders of files that never change under their names: what `--without-media` leaves out.
const MEDIA: [&str; 3] = ["assets", "bundles", "support-bundles"];
/// What belongs to the running process and not to what it keeps.
const TRANSIENT: [&str; 5] = [
    "address",
    "fleet.db",
    "fleet.db-shm",
    "fleet.db-wal",
    "lock",
];

/// How much goes into a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Everything,
    WithoutMedia,
}

/// The archive's first file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    pub format: u32,
    /// Of the program that made it.
    pub version: String,
    pub created_at: Timestamp,
    /// The newest migration of its database.
    pub schema: i64,
    /// Folders that were left out.
    pub left_out: Vec<String>,
    pub files: Vec<Entry>,
}

/// A file to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub path: String,
    pub size_bytes: u64,
}

impl Contents {
    pub fn size_bytes(&self) -> u64 {
        let sizes = self.files.iter().map(|f| f.size_bytes);
        sizes.fold(0, u64::saturating_add)
    }
}

/// Whether it names a file below a folder, in one way only: no `..`, nothing absolute, hidden or empty.
fn is_plain(path: &str) -> bool {
    let normal = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let shown = path
        .split('/')
        .all(|name| !name.is_empty() && !name.starts_with('.'));
    normal && shown && !path.contains(['\n', '\r', '\0', '\\'])
}

/// The first part of a path that [`is_plain`].
fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_that_leads_elsewhere_is_not_plain() {
        for plain in [
            "fleet.db",
            "pki/ca.key.pem",
            "assets/ten_default/a1",
            "a/b..",
        ] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "",
            ".",
            "..",
            "/",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a/..",
            "./a",
            "a/./b",
            "a//b",
            "a/",
            "a\nb",
            "a\\..\\b",
        ] {
            assert!(!is_plain(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_plain_stays_below_its_folder(path in "[a./\\\\\n]{0,12}") {
            let folder = Path::new("/below/here");
            if is_plain(&path) {
                let joined = folder.join(&path);
                prop_assert!(joined.starts_with(folder) && joined != folder);
                prop_assert!(!joined.components().any(|c| c == Component::ParentDir));
            }
        }
    }
}
