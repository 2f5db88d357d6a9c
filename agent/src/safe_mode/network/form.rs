//! The form as a technician fills it in, parsed into settings that make sense. Pure: which interfaces
//! exist is told.
//!
//! Nothing typed gets into a file as it was typed: addresses are parsed and printed anew, a Wi-Fi name
//! becomes hex digits, a password is printable ASCII. So no input can add a line to a file.

use serde::Deserialize;

use super::settings::{Addressing, NetworkSettings, Wifi};
use super::{addresses, is_interface};

/// The form's fields as they came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct NetworkForm {
    pub interface: String,
    /// `dhcp` or `static`
    pub mode: String,
    /// `192.168.1.20/24`, `2001:db8::20/64`, or both. Several values are separated by spaces or commas,
    /// in each of these three fields.
    pub address: String,
    /// One for each address at most.
    pub gateway: String,
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

pub(super) fn wrong(field: &'static str, message: impl Into<String>) -> FieldError {
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
            "static" => {
                Addressing::Static(addresses::parse(&self.address, &self.gateway, &self.dns)?)
            }
            _ => return Err(wrong("mode", "choose automatic or fixed addresses")),
        };
        Ok(NetworkSettings {
            interface: self.interface.clone(),
            addressing,
            wifi: self.wifi()?,
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
