//! Network settings as a technician types them: checked, turned into files, tried, kept or undone.
//!
//! ```text
//! form (what was typed) ─► settings (what makes sense) ─► files ─► trial ─► kept, or undone
//! ```

mod addresses;
mod form;
mod settings;
mod trial;

use crate::platform::paths::Paths;

pub use form::{FieldError, NetworkForm};
pub use settings::{
    Addressing, HostAddress, NetworkSettings, SettingsFile, StaticAddresses, Wifi, wpa_file,
};
pub use trial::{TRIAL_S, Trial, active_folder, begin, keep, restore, trial, undo};

/// The device's interfaces but the loopback, from sysfs, each with whether it is a radio.
pub fn interfaces(paths: &Paths) -> Vec<(String, bool)> {
    let folder = paths.sys.join("class/net");
    let mut names: Vec<(String, bool)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let wireless =
                entry.path().join("wireless").exists() || entry.path().join("phy80211").exists();
            (entry.file_name().to_string_lossy().into_owned(), wireless)
        })
        .filter(|(name, _)| is_interface(name))
        .collect();
    names.sort();
    names
}

/// As the kernel allows it, without what could leave a file name.
fn is_interface(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name != "lo"
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests;
