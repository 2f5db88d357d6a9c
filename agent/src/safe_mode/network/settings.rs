//! Settings of one interface, and the files that they become. Pure. The files are those of
//! systemd-networkd (systemd.network(5)) and `wpa_supplicant` (`wpa_supplicant.conf(5)`).

use std::net::Ipv4Addr;

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
    pub(super) ssid: Vec<u8>,
    /// `None`: an open network.
    pub(super) passphrase: Option<String>,
}

impl std::fmt::Debug for Wifi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wifi({})", String::from_utf8_lossy(&self.ssid))
    }
}

/// Settings of one interface that make sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSettings {
    pub(super) interface: String,
    pub(super) addressing: Addressing,
    pub(super) wifi: Option<Wifi>,
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

pub(super) fn network_file(interface: &str) -> String {
    // Before the image's own files, of which networkd takes the first that matches.
    format!("05-fleet-{interface}.network")
}

pub fn wpa_file(interface: &str) -> String {
    format!("wpa-{interface}.conf")
}
