//! Settings of one interface, and the files that they become. Pure. The files are those of
//! systemd-networkd (systemd.network(5)) and `wpa_supplicant` (`wpa_supplicant.conf(5)`).

use std::net::IpAddr;

/// Where an interface has its addresses from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressing {
    /// DHCP and router advertisements.
    Dhcp,
    Static(StaticAddresses),
}

/// One address of each family at most, one at least; name servers of either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticAddresses {
    pub(super) hosts: Vec<HostAddress>,
    pub(super) dns: Vec<IpAddr>,
}

/// The gateway is of the address's family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostAddress {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
    pub(super) gateway: Option<IpAddr>,
}

impl StaticAddresses {
    /// As lines of a `[Network]` section.
    fn write(&self, text: &mut String) {
        use std::fmt::Write as _;
        // Writing to a String cannot fail.
        for HostAddress {
            address, prefix, ..
        } in &self.hosts
        {
            let _ = writeln!(text, "Address={address}/{prefix}");
        }
        let gateways = || self.hosts.iter().filter_map(|host| host.gateway);
        for gateway in gateways() {
            let _ = writeln!(text, "Gateway={gateway}");
        }
        for server in &self.dns {
            let _ = writeln!(text, "DNS={server}");
        }
        // A router that announces itself would be a second way out, beside the one that was chosen. Where
        // none was chosen, as is usual with IPv6, the announced one is all there is.
        if gateways().any(|gateway| gateway.is_ipv6()) {
            text.push_str("IPv6AcceptRA=no\n");
        }
    }
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
        let mut text = format!(
            "# Set on the device's local page.\n[Match]\nName={}\n\n[Network]\n",
            self.interface
        );
        match &self.addressing {
            Addressing::Dhcp => text.push_str("DHCP=yes\n"),
            Addressing::Static(addresses) => addresses.write(&mut text),
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
