//! How a device joins: a one-time token and a certificate request go in, a certificate and a
//! device token come out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::pairing_code::{PairingCode, ParsePairingCodeError};
use crate::{Compatible, DeviceId, RoleName, TenantId, TokenId, VenueId, Version};

/// What `fleet flash --provision` puts on the boot partition, at `/fleet/provision.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProvisionFile {
    /// `https://host[:port]`, without a path.
    pub server_url: String,
    /// The fleet's own CA; no other is believed.
    pub ca_certificate_pem: String,
    /// One use, then worthless. Empty: it was used, or the device is paired by a code.
    #[serde(default)]
    pub enrolment_token: String,
    /// When this file was made: a lower bound for the clock of a board without one.
    pub server_time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// The device shows a code and joins once somebody has claimed it. Such a file holds no secret, and does for any
    /// number of cards.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pairing: bool,
    /// Who alone may claim a device that is paired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
}

/// `POST /v1/enroll`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EnrollRequest {
    pub enrolment_token: String,
    /// PKCS#10, PEM; the key never leaves the device.
    pub csr_pem: String,
    pub compatible: Compatible,
    pub version: Version,
    /// Board model as the firmware names it (device tree or DMI).
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub hardware: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub serial_number: Option<String>,
}

/// Its answer; certificate and token are delivered this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EnrollResponse {
    pub device_id: DeviceId,
    pub tenant_id: TenantId,
    pub certificate_pem: String,
    /// 64 characters; the control plane keeps only its SHA-256.
    pub device_token: String,
    pub server_time: Timestamp,
}

/// `POST /v1/device/certificate`: a new certificate before the present one expires. The present one
/// stays valid until then, so that a device that lost the answer, or the power, asks again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RenewCertificate {
    /// PKCS#10, PEM, of the same key: the device's id is derived from it.
    pub csr_pem: String,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CertificateRenewed {
    pub certificate_pem: String,
    pub not_after: Timestamp,
    pub server_time: Timestamp,
}

/// `POST /v1/enrolment-tokens`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CreateEnrolmentToken {
    /// Hours until it expires unused. Default 24.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 8760)))]
    pub valid_hours: Option<u32>,
    /// How many devices may use it. Default 1; a factory batch takes more.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub max_uses: Option<u32>,
    /// The name given to the device, or the prefix for a batch.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub device_name: Option<String>,
    #[serde(default)]
    pub role: Option<RoleName>,
}

/// Its answer: the secret is shown this once, inside a file ready for `fleet flash --provision`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EnrolmentTokenCreated {
    pub token_id: TokenId,
    pub expires_at: Timestamp,
    pub provision: ProvisionFile,
}

/// One row of `GET /v1/enrolment-tokens`: never the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EnrolmentTokenView {
    pub token_id: TokenId,
    pub expires_at: Timestamp,
    pub max_uses: u32,
    pub used: u32,
    #[serde(default)]
    pub device_name: Option<String>,
    /// Where the devices that use it are to be; left out: where they are, or the first venue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub venue_id: Option<VenueId>,
}

/// `POST /v1/devices/pairing/start`: a device that nobody knows asks for a code to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StartPairing {
    /// Who alone may claim the code, as the provisioning file says; left out: whoever has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Board model as the firmware names it (device tree or DMI).
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub hardware: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub serial_number: Option<String>,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PairingStarted {
    pub pairing_code: PairingCode,
    /// The device's own secret. Once the code is claimed, it enrols with this as its enrolment token.
    pub pairing_token: String,
    /// Worthless from then on, unless it was claimed; the device asks for another.
    pub expires_at: Timestamp,
    pub server_time: Timestamp,
}

/// Seed 003, §26.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PairingState {
    Pending,
    /// The device may enrol now.
    Claimed,
    /// It has.
    Completed,
    Expired,
}

/// `GET /v1/devices/pairing/status`, with the pairing token as a bearer's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PairingStatus {
    pub status: PairingState,
    /// Of a claimed device, if whoever claimed it gave it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    pub server_time: Timestamp,
}

/// `POST /v1/venues/{venueId}/devices/pairing/claim`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimPairing {
    pub pairing_code: PairingCode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub device_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
}

/// Its answer: what the device says of itself, so that a person sees whether it is the right one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PairingClaimed {
    /// The enrolment token that the device has now. Until it has joined, the claim is taken back by this.
    pub token_id: TokenId,
    /// It has to have joined by then.
    pub expires_at: Timestamp,
    pub hardware: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
}

/// `x-device-token`: proves, beside the client certificate, which device is calling.
pub const DEVICE_TOKEN_HEADER: &str = "x-device-token";
