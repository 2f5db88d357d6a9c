//! What happened on a device, buffered there until the control plane has it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::EventId;

/// More in one batch is refused with 422.
pub const MAX_EVENTS_PER_BATCH: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    Info,
    Warning,
    Error,
}

/// What kind of thing happened. A kind unknown to the reader is kept as its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventKind {
    AgentStarted,
    UpdateStateChanged,
    UpdateRefused,
    SlotRolledBack,
    ConfigApplied,
    ConfigRejected,
    CommandExecuted,
    CommandFailed,
    TemperatureHigh,
    TemperatureNormal,
    UnderVoltage,
    Throttled,
    ResetDetected,
    SafeModeEntered,
    ClockStepped,
    BootEnvironmentRepaired,
    OfflineEntered,
    OnlineRestored,
    /// The control plane does not take the device for one of its own any more. Arrives once it does again.
    IdentityRefused,
    IdentityRestored,
    CertificateRenewed,
    /// Raised once for each spell of failures.
    CertificateRenewalFailed,
    EventsDropped,
    #[serde(untagged)]
    Other(String),
}

/// One event. The id makes delivery idempotent: the receiver drops what it already has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub event_id: EventId,
    pub event_type: EventKind,
    pub event_time_utc: Timestamp,
    pub severity: Severity,
    #[serde(default)]
    pub payload: serde_json::Value,
}

/// `POST /v1/device/events`, at most [`MAX_EVENTS_PER_BATCH`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventBatch {
    pub device_time: Timestamp,
    #[cfg_attr(feature = "schema", schemars(length(max = 100)))]
    pub events: Vec<Event>,
}
