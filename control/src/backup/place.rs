//! Puts what was unpacked and checked into the data folder's place.
//!
//! The data folder itself may be a mount, so what is in it is exchanged, and that takes many renames. One of them decides:
//!
//! ```text
//! .restoring ──(all verified)──► .restored ──(old files are in .before-restore)──► .placing ──► gone
//! ```
//!
//! Until `.restored` is there, nothing has changed. From then on whoever comes next, be it the restore or the next start of
//! the server, does the rest, each step of which can be repeated.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::{Contents, HEADER};
use crate::disk::{DiskError, create_folder, failed, rename};

pub(super) const UNPACKED: &str = ".restoring";
pub(super) const BEFORE: &str = ".before-restore";
const DECIDED: &str = ".restored";
const PLACING: &str = ".placing";
/// What stays where it is.
const FIXED: [&str; 2] = ["lock", "lost+found"];

/// What a data folder holds, but for what is not data.
pub(super) fn names(data: &Path) -> Result<Vec<String>, DiskError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(data).map_err(failed("list", data))? {
        let name = entry.map_err(failed("list", data))?.file_name();
        let name = name.to_string_lossy().into_owned();
        if !name.starts_with('.') && !FIXED.contains(&name.as_str()) {
            names.push(name);
        }
    }
    Ok(names)
}

/// From here on there is no way but forward.
pub(super) fn decide(data: &Path) -> Result<(), DiskError> {
    rename(&data.join(UNPACKED), &data.join(DECIDED))?;
    finish(data)?;
    Ok(())
}

/// Brings a restore that was decided to its end; says whether there was one. The data folder's lock is held.
pub fn finish(data: &Path) -> Result<bool, DiskError> {
    let (decided, placing) = (data.join(DECIDED), data.join(PLACING));
    if decided.is_dir() {
        let kept = left_out(&decided.join(HEADER))?;
        let before = data.join(BEFORE);
        create_folder(&before)?;
        for name in names(data)? {
            if !kept.contains(&name) {
                move_to(&data.join(&name), &before.join(&name))?;
            }
        }
        sync(&before)?;
        // An empty one says nothing.
        let _ = fs::remove_dir(&before);
        rename(&decided, &placing)?;
    }
    if !placing.is_dir() {
        return Ok(false);
    }
    for name in names(&placing)? {
        if name != HEADER {
            move_to(&placing.join(&name), &data.join(&name))?;
        }
    }
    sync(data)?;
    fs::remove_dir_all(&placing).map_err(failed("remove", &placing))?;
    Ok(true)
}

fn left_out(header: &Path) -> Result<Vec<String>, DiskError> {
    let read = fs::read(header)
        .and_then(|text| serde_json::from_slice::<Contents>(&text).map_err(io::Error::other));
    Ok(read.map_err(failed("read", header))?.left_out)
}

fn move_to(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::rename(from, to).map_err(failed("rename to", to))
}

fn sync(folder: &Path) -> Result<(), DiskError> {
    let synced = File::open(folder).and_then(|f| f.sync_all());
    synced.map_err(failed("sync the folder", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn decided(left_out: &str) -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("lock", ""),
            ("fleet.db", "old"),
            ("fleet.db-wal", "old"),
            ("assets/a", "old"),
            (".restored/fleet.db", "new"),
            (".restored/pki/ca.key.pem", "new"),
        ] {
            put(data.path(), name, text);
        }
        let header = format!(
            r#"{{"format":1,"version":"0","createdAt":"1970-01-01T00:00:00Z","schema":1,
                "leftOut":[{left_out}],"files":[]}}"#
        );
        put(data.path(), ".restored/fleet-backup.json", &header);
        data
    }

    fn text(data: &Path, name: &str) -> Option<String> {
        fs::read_to_string(data.join(name)).ok()
    }

    #[track_caller]
    fn check(data: &Path, media: &str) {
        for (name, expected) in [
            ("fleet.db", Some("new")),
            ("pki/ca.key.pem", Some("new")),
            ("fleet.db-wal", None),
            ("fleet-backup.json", None),
            (".before-restore/fleet.db", Some("old")),
            (".before-restore/fleet.db-wal", Some("old")),
            (&format!("{media}assets/a"), Some("old")),
            ("lock", Some("")),
        ] {
            assert_eq!(text(data, name).as_deref(), expected, "{name}");
        }
        assert!(!finish(data).unwrap(), "it is done");
    }

    #[test]
    fn a_restore_that_was_cut_off_anywhere_is_brought_to_its_end() {
        let whole = decided("");
        assert!(finish(whole.path()).unwrap());
        check(whole.path(), ".before-restore/");

        let first_half = decided("");
        put(first_half.path(), ".before-restore/x", "");
        move_to(
            &first_half.path().join("fleet.db"),
            &first_half.path().join(".before-restore/fleet.db"),
        )
        .unwrap();
        assert!(finish(first_half.path()).unwrap());
        check(first_half.path(), ".before-restore/");

        let second_half = decided("");
        let data = second_half.path();
        fs::create_dir(data.join(BEFORE)).unwrap();
        for name in names(data).unwrap() {
            move_to(&data.join(&name), &data.join(BEFORE).join(&name)).unwrap();
        }
        rename(&data.join(DECIDED), &data.join(PLACING)).unwrap();
        move_to(&data.join(".placing/fleet.db"), &data.join("fleet.db")).unwrap();
        assert!(finish(data).unwrap());
        check(data, ".before-restore/");
    }

    #[test]
    fn media_that_a_backup_left_out_stay_where_they_are() {
        let data = decided(r#""assets""#);
        assert!(finish(data.path()).unwrap());
        check(data.path(), "");
    }
}
