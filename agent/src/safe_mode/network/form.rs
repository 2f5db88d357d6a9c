//! The form as a technician fills it in, parsed into settings that make sense. Pure: which interfaces
//! exist is told.
//!
//! Nothing typed gets into a file as it was typed: addresses are parsed and printed anew, a Wi-Fi name
//! becomes hex digits, a password is printable ASCII. So no input can add a line to a file.

use std::net::Ipv4Addr;

use serde::Deserialize;

use super::is_interface;
use super::settings::{Addressing, NetworkSettings, Wifi};

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
