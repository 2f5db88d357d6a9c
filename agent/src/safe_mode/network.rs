//! Network settings as a technician types them: checked, turned into files, tried, kept or undone.
//!
//! The files are those of systemd-networkd (systemd.network(5)) and `wpa_supplicant`
//! (`wpa_supplicant.conf(5)`). New settings lie under `/run` only, so a power cut undoes them; what was
//! there before is written down beside them, so that a restarted page undoes them too. Once somebody
//! reached the device under the new settings and kept them, they are copied to `/data`, from where
//! [`restore`] puts them back at each start.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::core::Monotonic;
use crate::platform::files::{self, Access, FileError};
use crate::platform::paths::Paths;

/// New settings that nobody keeps are undone after this long.
pub const TRIAL_S: u64 = 120;

/// The form's fields as they came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct NetworkForm {
    pub interface: String,
    /// `dhcp` or `static`
    pub mode: String,
    /// `192.168.1.20/24`
    pub address: String,
    pub gateway: String,
    /// Separated by spaces or commas.
    pub dns: String,
    pub ssid: String,
    pub passphrase: String,
}

/// One field that can't be taken, and what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    pub field: &'static str,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressing {
    Dhcp,
    Static {
        address: Ipv4Addr,
        prefix: u8,
        gateway: Option<Ipv4Addr>,
        dns: Vec<Ipv4Addr>,
    },
}

/// The network to join; the passphrase is not shown in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Wifi {
    ssid: Vec<u8>,
    /// `None`: an open network.
    passphrase: Option<String>,
}

impl std::fmt::Debug for Wifi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wifi({})", String::from_utf8_lossy(&self.ssid))
    }
}

/// Settings of one interface that make sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSettings {
    interface: String,
    addressing: Addressing,
    wifi: Option<Wifi>,
}

fn wrong(field: &'static str, message: impl Into<String>) -> FieldError {
    FieldError {
        field,
        message: message.into(),
    }
}

impl NetworkForm {
    /// Checks all fields against the interfaces that exist.
    pub fn parse(&self, interfaces: &[String]) -> Result<NetworkSettings, FieldError> {
        if !interfaces.contains(&self.interface) || !is_interface(&self.interface) {
            return Err(wrong("interface", "choose one of the device's interfaces"));
        }
        let addressing = match self.mode.as_str() {
            "dhcp" => Addressing::Dhcp,
            "static" => self.static_addressing()?,
            _ => return Err(wrong("mode", "choose automatic or fixed addresses")),
        };
        Ok(NetworkSettings {
            interface: self.interface.clone(),
            addressing,
            wifi: self.wifi()?,
        })
    }

    fn static_addressing(&self) -> Result<Addressing, FieldError> {
        let (address, prefix) =
            self.address.trim().split_once('/').ok_or_else(|| {
                wrong("address", "write it with its prefix, like 192.168.1.20/24")
            })?;
        let prefix: u8 = prefix
            .parse()
            .ok()
            .filter(|prefix| (1..=30).contains(prefix))
            .ok_or_else(|| {
                wrong(
                    "address",
                    "the prefix after the slash is a number from 1 to 30",
                )
            })?;
        let address = host("address", address)?;
        let mask = u32::MAX << (32 - u32::from(prefix));
        let host_part = address.to_bits() & !mask;
        if host_part == 0 || host_part == !mask {
            return Err(wrong(
                "address",
                "that is the address of the network itself, not of a device in it",
            ));
        }
        let gateway = match self.gateway.trim() {
            "" => None,
            text => Some(host("gateway", text)?),
        };
        if let Some(gateway) = gateway {
            if gateway.to_bits() & mask != address.to_bits() & mask {
                return Err(wrong("gateway", "it is not within the address's network"));
            }
            if gateway == address {
                return Err(wrong("gateway", "it is the device's own address"));
            }
        }
        let dns: Vec<Ipv4Addr> = self
            .dns
            .split([' ', ',', ';'])
            .filter(|text| !text.is_empty())
            .map(|text| host("dns", text))
            .collect::<Result<_, _>>()?;
        if dns.len() > 3 {
            return Err(wrong("dns", "at most three name servers"));
        }
        Ok(Addressing::Static {
            address,
            prefix,
            gateway,
            dns,
        })
    }

    fn wifi(&self) -> Result<Option<Wifi>, FieldError> {
        if self.ssid.is_empty() {
            return if self.passphrase.is_empty() {
                Ok(None)
            } else {
                Err(wrong(
                    "ssid",
                    "a Wi-Fi password needs the name of its network",
                ))
            };
        }
        if self.ssid.len() > 32 {
            return Err(wrong("ssid", "a Wi-Fi name has at most 32 bytes"));
        }
        let passphrase = match self.passphrase.as_str() {
            "" => None,
            text if !(8..=63).contains(&text.len()) => {
                return Err(wrong(
                    "passphrase",
                    "a Wi-Fi password has 8 to 63 characters",
                ));
            }
            text if !text.bytes().all(|b| (0x20..0x7f).contains(&b)) => {
                return Err(wrong(
                    "passphrase",
                    "only letters, digits and signs of ASCII",
                ));
            }
            text => Some(text.to_owned()),
        };
        Ok(Some(Wifi {
            ssid: self.ssid.as_bytes().to_vec(),
            passphrase,
        }))
    }
}

fn host(field: &'static str, text: &str) -> Result<Ipv4Addr, FieldError> {
    let address: Ipv4Addr = text.trim().parse().map_err(|_| {
        wrong(
            field,
            format!(
                "`{}` is no IPv4 address",
                text.chars().take(40).collect::<String>()
            ),
        )
    })?;
    if address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_broadcast()
    {
        return Err(wrong(
            field,
            format!("{address} can't be the address of a device"),
        ));
    }
    Ok(address)
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

/// One file of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsFile {
    /// Within the folder of settings.
    pub name: String,
    pub content: String,
}

impl NetworkSettings {
    pub fn interface(&self) -> &str {
        &self.interface
    }

    pub const fn has_wifi(&self) -> bool {
        self.wifi.is_some()
    }

    /// For networkd, and for `wpa_supplicant` if there is a Wi-Fi network to join.
    pub fn files(&self) -> Vec<SettingsFile> {
        let mut files = vec![SettingsFile {
            name: network_file(&self.interface),
            content: self.networkd(),
        }];
        if let Some(wifi) = &self.wifi {
            files.push(SettingsFile {
                name: wpa_file(&self.interface),
                content: wifi.wpa_supplicant(),
            });
        }
        files
    }

    fn networkd(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!(
            "# Set on the device's local page.\n[Match]\nName={}\n\n[Network]\n",
            self.interface
        );
        // Writing to a String cannot fail.
        match &self.addressing {
            Addressing::Dhcp => text.push_str("DHCP=yes\n"),
            Addressing::Static {
                address,
                prefix,
                gateway,
                dns,
            } => {
                let _ = writeln!(text, "Address={address}/{prefix}");
                if let Some(gateway) = gateway {
                    let _ = writeln!(text, "Gateway={gateway}");
                }
                for server in dns {
                    let _ = writeln!(text, "DNS={server}");
                }
            }
        }
        text
    }
}

impl Wifi {
    fn wpa_supplicant(&self) -> String {
        // The name as hex digits: no character in it can mean anything to the parser. A passphrase
        // ends at the line's last quote, so quotes within are no trouble.
        let key = self.passphrase.as_ref().map_or_else(
            || "key_mgmt=NONE".to_owned(),
            |passphrase| format!("psk=\"{passphrase}\""),
        );
        format!(
            "# Set on the device's local page.\nnetwork={{\n\tscan_ssid=1\n\tssid={}\n\t{key}\n}}\n",
            hex::encode(&self.ssid)
        )
    }
}

pub fn network_file(interface: &str) -> String {
    // Before the image's own files, of which networkd takes the first that matches.
    format!("05-fleet-{interface}.network")
}

pub fn wpa_file(interface: &str) -> String {
    format!("wpa-{interface}.conf")
}

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
        network_file(&settings.interface),
        wpa_file(&settings.interface),
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
        interface: settings.interface.clone(),
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

#[cfg(test)]
mod tests;
