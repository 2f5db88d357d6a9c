//! Gathers what the last reset left behind, once a boot, and keeps the verdict for restarts of the
//! agent within the same boot. [`crate::core::reset`] decides.

use std::fs;
use std::path::Path;

use fleet_device::files::{self, Access};
use fleet_protocol::heartbeat::ResetReason;
use serde::{Deserialize, Serialize};

use super::booted::read_state;
use super::paths::Paths;
use crate::core::reset::{Facts, classify};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    boot_id: String,
    reason: ResetReason,
}

/// Panic reports kept from pstore, newest last.
const MAX_PANICS_KEPT: usize = 8;
const MAX_PANIC_BYTES: u64 = 256 * 1024;

/// Why this boot happened, and whether this call is the first of it to ask.
///
/// The first call of a boot removes the orderly-shutdown marker and takes pstore's panic reports over
/// into `/data/fleet/cache/panics`, so that neither is held against a later boot.
pub fn reason(paths: &Paths, boot_id: &str) -> (ResetReason, FirstOfBoot) {
    let file = paths.state().join("reset.json");
    let marker = paths.shutdown_marker();
    let earlier: Option<Verdict> = read_state(&file);
    if let Some(verdict) = &earlier
        && verdict.boot_id == boot_id
    {
        // The agent was stopped and started again: this boot has not ended in order yet.
        if let Err(error) = files::remove(&marker) {
            log::warn!(error:%; "the marker of an orderly shutdown could not be removed");
        }
        return (verdict.reason, FirstOfBoot::No);
    }
    let facts = Facts {
        watchdog_boot_status: watchdog_boot_status(paths),
        panic_in_pstore: collect_panics(paths),
        shutdown_marker: marker_of_another_boot(&marker, boot_id),
        first_boot: earlier.is_none() && !marker.exists(),
    };
    let reason = classify(&facts);
    log::info!(
        "reset.reason":? = reason,
        "reset.watchdog_boot_status":? = facts.watchdog_boot_status,
        "reset.orderly_marker" = facts.shutdown_marker;
        "the cause of the last reset was read"
    );
    let verdict = Verdict {
        boot_id: boot_id.to_owned(),
        reason,
    };
    // The verdict first: a cut between the two must not make an orderly shutdown look like one.
    if let Err(error) =
        files::write_json(&file, &verdict, Access::Public).and_then(|()| files::remove(&marker))
    {
        log::warn!(error:%; "the cause of the last reset could not be kept");
    }
    (reason, FirstOfBoot::Yes)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstOfBoot {
    Yes,
    /// The agent was restarted within this boot.
    No,
}

/// Says that this boot ended in order. Called last, while the system shuts down.
pub fn mark_orderly(paths: &Paths, boot_id: &str) -> Result<(), files::FileError> {
    files::write_atomic(&paths.shutdown_marker(), boot_id.as_bytes(), Access::Public)
}

/// The agent has stopped in this boot, but the boot goes on: how it ends is open again.
pub fn unmark_orderly(paths: &Paths, boot_id: &str) {
    let marker = paths.shutdown_marker();
    let is_own = files::read_trimmed(&marker).is_some_and(|text| text == boot_id);
    if is_own && let Err(error) = files::remove(&marker) {
        log::warn!(error:%; "the marker of an orderly shutdown could not be removed");
    }
}

/// A marker of this very boot only says that the agent was stopped and started again.
fn marker_of_another_boot(marker: &Path, boot_id: &str) -> bool {
    files::read_trimmed(marker).is_some_and(|text| !text.is_empty() && text != boot_id)
}

/// The first watchdog that can tell (Documentation/ABI/testing/sysfs-class-watchdog).
fn watchdog_boot_status(paths: &Paths) -> Option<u32> {
    ["watchdog0", "watchdog1"].iter().find_map(|name| {
        let path = paths
            .sys
            .join("class/watchdog")
            .join(name)
            .join("bootstatus");
        files::read_trimmed(&path)?.parse().ok()
    })
}

/// Moves panic reports (`dmesg-*`, fs/pstore) to the cache; removing one from pstore frees its record.
fn collect_panics(paths: &Paths) -> bool {
    let Ok(entries) = fs::read_dir(paths.sys.join("fs/pstore")) else {
        return false;
    };
    let kept = paths.cache().join("panics");
    let mut found = false;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("dmesg-") {
            continue;
        }
        let Ok(Some(report)) = files::read_limited(&entry.path(), MAX_PANIC_BYTES) else {
            continue;
        };
        let copy = kept.join(&name);
        let is_known = files::read_limited(&copy, MAX_PANIC_BYTES)
            .is_ok_and(|known| known.as_ref() == Some(&report));
        let tells_of_panic = report.starts_with(b"Panic") || report.starts_with(b"Oops");
        found |= tells_of_panic && !is_known;
        // Without /data the record stays in pstore; the verdict is then repeated, not lost. Removing
        // it frees its place; the hardened unit may not, and then the copy says that it is known.
        if is_known || files::write_atomic(&copy, &report, Access::Secret).is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
    prune(&kept);
    found
}

fn prune(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut files: Vec<_> = entries
        .flatten()
        .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(MAX_PANICS_KEPT);
    for (_, path) in files.into_iter().take(surplus) {
        let _ = fs::remove_file(path);
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

    fn put(path: &Path, text: &str) {
        files::write_atomic(path, text.as_bytes(), Access::Public).unwrap();
    }

    #[test]
    fn an_orderly_shutdown_is_told_from_a_power_cut() {
        let (_folder, paths) = device();
        assert_eq!(
            reason(&paths, "1"),
            (ResetReason::Unknown, FirstOfBoot::Yes)
        );
        mark_orderly(&paths, "1").unwrap();
        assert_eq!(
            reason(&paths, "2"),
            (ResetReason::Orderly, FirstOfBoot::Yes)
        );
        assert_eq!(reason(&paths, "3"), (ResetReason::Power, FirstOfBoot::Yes));
    }

    #[test]
    fn a_restart_of_the_agent_keeps_the_boots_verdict() {
        let (_folder, paths) = device();
        reason(&paths, "1");
        put(
            &paths.sys.join("class/watchdog/watchdog0/bootstatus"),
            "32\n",
        );
        assert_eq!(
            reason(&paths, "2"),
            (ResetReason::Watchdog, FirstOfBoot::Yes)
        );
        mark_orderly(&paths, "2").unwrap();
        assert_eq!(
            reason(&paths, "2"),
            (ResetReason::Watchdog, FirstOfBoot::No)
        );
    }

    #[test]
    fn a_power_cut_after_a_restart_of_the_agent_is_no_orderly_shutdown() {
        let (_folder, paths) = device();
        reason(&paths, "1");
        mark_orderly(&paths, "1").unwrap();
        reason(&paths, "1");
        assert_eq!(reason(&paths, "2").0, ResetReason::Power);
    }

    #[test]
    fn a_power_cut_in_safe_mode_is_no_orderly_shutdown() {
        let (_folder, paths) = device();
        reason(&paths, "1");
        mark_orderly(&paths, "1").unwrap();
        unmark_orderly(&paths, "1");
        assert_eq!(reason(&paths, "2").0, ResetReason::Power);
        mark_orderly(&paths, "2").unwrap();
        unmark_orderly(&paths, "3");
        assert_eq!(reason(&paths, "3").0, ResetReason::Orderly);
    }

    #[test]
    fn a_panic_report_is_kept_and_not_counted_twice() {
        let (_folder, paths) = device();
        reason(&paths, "1");
        let record = paths.sys.join("fs/pstore/dmesg-efi_pstore-1");
        put(&record, "Panic#1 Part1\nKernel panic - not syncing");
        assert_eq!(reason(&paths, "2").0, ResetReason::Panic);
        assert!(!record.exists());
        assert!(paths.cache().join("panics/dmesg-efi_pstore-1").exists());
        assert_eq!(reason(&paths, "3").0, ResetReason::Power);
    }
}
