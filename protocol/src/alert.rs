//! Alerts: what is wrong in the fleet, from when it was noticed until it is over, and the rules by which it is noticed.

mod rules;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AlertId, DeviceId, RolloutId, VenueId};

pub use rules::{
    AlertRules, AlertRulesView, Bounded, CertificateRule, CountRule, DiskRule, HotRule, PlainRule,
    RolloutRule, Seconds,
};

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum AlertKind {
    /// A device was not heard for longer than it may be silent.
    Offline,
    /// A device reports more errors than it should.
    ErrorTrend,
    /// A device's data partition is almost full.
    LowDisk,
    /// A device's player can't fetch what it is to play.
    DownloadFailures,
    /// A device's screen shows an error, or its player is not heard while the device itself is.
    BlankScreen,
    /// A device refused its update, or went back to what it ran before.
    UpdateFailed,
    /// A device is too hot.
    Hot,
    /// A device's power supply is too weak.
    UnderVoltage,
    /// A rollout was stopped by failures.
    RolloutStopped,
    /// A device's certificate was not renewed, and ends soon.
    CertificateExpiring,
}

impl AlertKind {
    pub const ALL: [Self; 10] = [
        Self::Offline,
        Self::ErrorTrend,
        Self::LowDisk,
        Self::DownloadFailures,
        Self::BlankScreen,
        Self::UpdateFailed,
        Self::Hot,
        Self::UnderVoltage,
        Self::RolloutStopped,
        Self::CertificateExpiring,
    ];

    /// As on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::ErrorTrend => "errorTrend",
            Self::LowDisk => "lowDisk",
            Self::DownloadFailures => "downloadFailures",
            Self::BlankScreen => "blankScreen",
            Self::UpdateFailed => "updateFailed",
            Self::Hot => "hot",
            Self::UnderVoltage => "underVoltage",
            Self::RolloutStopped => "rolloutStopped",
            Self::CertificateExpiring => "certificateExpiring",
        }
    }
}

impl std::str::FromStr for AlertKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is no kind of alert: expected one of {all}")
        })
    }
}

/// How far it has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum AlertState {
    /// Nobody has said yet that they know of it.
    Open,
    /// Somebody looks after it; it is not over.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl AlertState {
    /// As on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// Which alerts a list shows, by how far they have got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum AlertStatus {
    Open,
    Acknowledged,
    Resolved,
    /// Open or acknowledged.
    Unresolved,
}

impl AlertStatus {
    pub const ALL: [Self; 4] = [
        Self::Open,
        Self::Acknowledged,
        Self::Resolved,
        Self::Unresolved,
    ];

    /// As on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Unresolved => "unresolved",
        }
    }
}

/// Who said that they know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Acknowledgement {
    pub at: Timestamp,
    /// A person's address, or the name of a key.
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `GET /v1/alerts/{alertId}`, and one row of `GET /v1/alerts`. Of one kind there is never more
/// than one for a device, or a rollout, that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AlertView {
    pub alert_id: AlertId,
    pub kind: AlertKind,
    pub state: AlertState,
    /// One sentence: what is wrong, with the figures of the last look.
    pub detail: String,
    /// The device that it is about, with its name and where its screen is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub venue_id: Option<VenueId>,
    /// The rollout that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_id: Option<RolloutId>,
    /// Since when it has been so.
    pub since: Timestamp,
    pub opened_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
}

/// `POST /v1/alerts/{alertId}/acknowledge`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcknowledgeAlert {
    /// For whoever reads it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 500)))]
    pub note: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_states_are_called_as_on_the_wire() {
        for kind in AlertKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        for status in AlertStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.name());
        }
        assert!(
            "smoke"
                .parse::<AlertKind>()
                .unwrap_err()
                .contains("lowDisk")
        );
    }
}
