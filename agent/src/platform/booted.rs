//! What runs now, read from the running system itself and never from what was planned.

use fleet_device::files::{self, Found};
use fleet_protocol::update::{BootedSystem, Slot};
use fleet_protocol::{Compatible, Sha256, Version};
use jiff::Timestamp;
use serde::Deserialize;

use super::cmdline::CommandLine;
use super::paths::Paths;

/// `/usr/lib/fleet/release.json`, put there when the image was built.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageRelease {
    pub version: Version,
    pub compatible: Compatible,
    pub built_at: Timestamp,
    #[serde(default)]
    pub channel: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum BootedError {
    #[error("{path} is missing")]
    NoRelease { path: String },
    #[error("{path}: {reason}")]
    BadRelease { path: String, reason: String },
}

impl BootedError {
    /// What to do next.
    pub const fn hint(&self) -> &'static str {
        "the image is incomplete: build it again, or install another release from the local page"
    }
}

/// Reads the image's own description.
pub fn image_release(paths: &Paths) -> Result<ImageRelease, BootedError> {
    let path = paths.release_file();
    let shown = path.display().to_string();
    let bytes = files::read_limited(&path, 64 * 1024).map_err(|e| BootedError::BadRelease {
        path: shown.clone(),
        reason: e.to_string(),
    })?;
    let bytes = bytes.ok_or_else(|| BootedError::NoRelease {
        path: shown.clone(),
    })?;
    serde_json::from_slice(&bytes).map_err(|e| BootedError::BadRelease {
        path: shown,
        reason: e.to_string(),
    })
}

/// Slot A and a hash of zeros stand in for what the command line does not say: such a system was not
/// booted by the fleet's boot loader, and nothing can be verified against it.
pub fn system(paths: &Paths, release: &ImageRelease) -> BootedSystem {
    let line = CommandLine::read(paths);
    if line.slot.is_none() || line.root_hash.is_none() {
        log::warn!("the kernel command line names no slot or no root hash");
    }
    BootedSystem {
        slot: line.slot.unwrap_or(Slot::A),
        version: release.version.clone(),
        root_hash: line.root_hash.unwrap_or(Sha256::from_bytes([0; 32])),
        boot_id: boot_id(paths),
    }
}

/// The kernel's boot id, new with each boot.
pub fn boot_id(paths: &Paths) -> String {
    files::read_trimmed(&paths.proc.join("sys/kernel/random/boot_id")).unwrap_or_default()
}

/// Where RAUC keeps GRUB's environment: `grubenv=` in its system.conf, the truth for both.
pub fn grub_environment(paths: &Paths) -> Option<std::path::PathBuf> {
    let text = paths
        .rauc_system_conf
        .iter()
        .find_map(|path| files::read_trimmed(path))?;
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "grubenv").then(|| value.trim())
    })?;
    Some(value.into())
}

/// The version that `read_json` of a state file is bounded by.
pub const MAX_STATE_BYTES: u64 = 1024 * 1024;

/// Reads a state file of the agent; damage is reported once and moved aside.
pub fn read_state<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> Option<T> {
    match files::read_json(path, MAX_STATE_BYTES) {
        Found::Value(value) => Some(value),
        other => other.or_report(path),
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

    fn write(path: &std::path::Path, text: &str) {
        files::write_atomic(path, text.as_bytes(), files::Access::Public).unwrap();
    }

    #[test]
    fn the_running_system_describes_itself() {
        let (_folder, paths) = device();
        let hash = Sha256::of("root");
        write(
            &paths.release_file(),
            r#"{"version":"1.2.3","compatible":"c","builtAt":"2026-01-01T00:00:00Z"}"#,
        );
        write(
            &paths.proc.join("cmdline"),
            &format!("rauc.slot=B fleet.roothash={hash}\n"),
        );
        write(&paths.proc.join("sys/kernel/random/boot_id"), "b00t\n");
        let release = image_release(&paths).unwrap();
        let booted = system(&paths, &release);
        assert_eq!(
            booted,
            BootedSystem {
                slot: Slot::B,
                version: Version::new(1, 2, 3),
                root_hash: hash,
                boot_id: "b00t".to_owned(),
            }
        );
    }

    #[test]
    fn the_first_system_conf_that_exists_names_the_grub_environment() {
        let (_folder, paths) = device();
        write(
            &paths.rauc_system_conf[2],
            "[system]\ncompatible=x\ngrubenv=/boot/esp/EFI/fleet/grubenv\n",
        );
        assert_eq!(
            grub_environment(&paths).unwrap(),
            std::path::Path::new("/boot/esp/EFI/fleet/grubenv")
        );
    }

    #[test]
    fn a_missing_or_broken_release_file_is_an_error_with_its_path() {
        let (_folder, paths) = device();
        assert!(
            image_release(&paths)
                .unwrap_err()
                .to_string()
                .contains("release.json")
        );
        write(&paths.release_file(), "{");
        assert!(matches!(
            image_release(&paths),
            Err(BootedError::BadRelease { .. })
        ));
    }
}
