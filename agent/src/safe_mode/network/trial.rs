//! Settings in force: tried, then kept or undone.
//!
//! New settings lie under `/run` only, so a power cut undoes them; what was there before is written down
//! beside them, so that a restarted page undoes them too. Once somebody reached the device under the new
//! settings and kept them, they are copied to `/data`, from where [`restore`] puts them back at each start.

use std::path::{Path, PathBuf};

use fleet_device::files::{self, Access, FileError};
use serde::{Deserialize, Serialize};

use super::settings::{NetworkSettings, network_file, wpa_file};
use crate::core::Monotonic;
use crate::platform::paths::Paths;

/// New settings that nobody keeps are undone after this long.
pub const TRIAL_S: u64 = 120;

/// Where settings lie while they are in force; networkd reads this folder.
pub fn active_folder(paths: &Paths) -> PathBuf {
    paths
        .run
        .parent()
        .unwrap_or(&paths.run)
        .join("systemd/network")
}

fn kept_folder(paths: &Paths) -> PathBuf {
    paths.config().join("network")
}

fn trial_file(paths: &Paths) -> PathBuf {
    paths.run.join("network-trial.json")
}

/// Settings on trial, with what to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    pub interface: String,
    pub until: Monotonic,
    /// File name and earlier content, `None` if there was no such file.
    before: Vec<(String, Option<String>)>,
}

/// Puts the settings in force on trial. networkd has to be told to read them.
pub fn begin(
    paths: &Paths,
    settings: &NetworkSettings,
    now: Monotonic,
) -> Result<Trial, FileError> {
    // A trial on top of a trial goes back to what was there before both.
    undo(paths)?;
    let folder = active_folder(paths);
    let names = [
        network_file(settings.interface()),
        wpa_file(settings.interface()),
    ];
    let before = names
        .iter()
        .map(|name| {
            (
                name.clone(),
                std::fs::read_to_string(folder.join(name)).ok(),
            )
        })
        .collect();
    let trial = Trial {
        interface: settings.interface().to_owned(),
        until: now.plus_ms(TRIAL_S * 1_000),
        before,
    };
    // First what to go back to, then the change.
    files::write_json(&trial_file(paths), &trial, Access::Secret)?;
    let new = settings.files();
    for name in &names {
        let content = new
            .iter()
            .find(|f| f.name == *name)
            .map(|f| f.content.as_str());
        put(&folder.join(name), content)?;
    }
    Ok(trial)
}

/// The trial that is running, if one is.
pub fn trial(paths: &Paths) -> Option<Trial> {
    match files::read_json(&trial_file(paths), 256 * 1024) {
        files::Found::Value(trial) => Some(trial),
        other => other.or_report(&trial_file(paths)),
    }
}

/// Back to what was there before; `false` if nothing was on trial.
pub fn undo(paths: &Paths) -> Result<bool, FileError> {
    let Some(trial) = trial(paths) else {
        return Ok(false);
    };
    for (name, content) in &trial.before {
        if Path::new(name).components().count() == 1 {
            put(&active_folder(paths).join(name), content.as_deref())?;
        }
    }
    files::remove(&trial_file(paths))?;
    Ok(true)
}

/// Keeps what is on trial: in force until the next power cut at least, and for good if `/data` can
/// be written.
///
/// # Errors
/// When `/data` can't be written; the settings stay in force until then.
pub fn keep(paths: &Paths) -> Result<bool, FileError> {
    let Some(trial) = trial(paths) else {
        return Ok(false);
    };
    files::remove(&trial_file(paths))?;
    for (name, _) in &trial.before {
        let content = std::fs::read_to_string(active_folder(paths).join(name)).ok();
        put(&kept_folder(paths).join(name), content.as_deref())?;
    }
    Ok(true)
}

/// At every start, in either mode: what was kept comes back into force. Returns the interfaces whose
/// Wi-Fi has to be started; `None` if nothing was kept.
pub fn restore(paths: &Paths) -> Result<Option<Vec<String>>, FileError> {
    let mut wifi: Option<Vec<String>> = None;
    for entry in std::fs::read_dir(kept_folder(paths))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let interface = name
            .strip_prefix("wpa-")
            .and_then(|rest| rest.strip_suffix(".conf"));
        let is_ours =
            interface.is_some() || (name.starts_with("05-fleet-") && name.ends_with(".network"));
        if !is_ours {
            continue;
        }
        if let Ok(content) = std::fs::read_to_string(entry.path()) {
            put(&active_folder(paths).join(&name), Some(&content))?;
            wifi.get_or_insert_default()
                .extend(interface.map(str::to_owned));
        }
    }
    Ok(wifi)
}

fn put(path: &Path, content: Option<&str>) -> Result<(), FileError> {
    let Some(content) = content else {
        return if path.exists() {
            files::remove(path)
        } else {
            Ok(())
        };
    };
    // networkd runs as its own user and must be able to read its files; a Wi-Fi key is for root.
    let is_network = path.extension().is_some_and(|e| e == "network");
    let access = if is_network {
        Access::Public
    } else {
        Access::Secret
    };
    files::write_atomic(path, content.as_bytes(), access)?;
    if is_network {
        open_to_readers(path);
    }
    Ok(())
}

/// The unit's umask keeps new files from everybody; networkd has to read these.
fn open_to_readers(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = path.parent().unwrap_or(path);
    for (path, mode) in [(folder, 0o755), (path, 0o644)] {
        let opened = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
        if let Err(error) = opened {
            log::warn!(path:% = path.display(), error:% = error; "networkd may be unable to read this");
        }
    }
}
