//! Webhooks: addresses that are told when an alert opens, is acknowledged or is over. Requests and signatures are those
//! of the Standard Webhooks specification (<https://www.standardwebhooks.com>).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::{AlertKind, AlertView};
use crate::{AlertId, DeliveryId, WebhookId};

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum WebhookEvent {
    #[serde(rename = "alert.opened")]
    AlertOpened,
    #[serde(rename = "alert.acknowledged")]
    AlertAcknowledged,
    #[serde(rename = "alert.resolved")]
    AlertResolved,
    /// Somebody tries it out.
    #[serde(rename = "webhook.test")]
    Test,
}

impl WebhookEvent {
    pub const ALL: [Self; 4] = [
        Self::AlertOpened,
        Self::AlertAcknowledged,
        Self::AlertResolved,
        Self::Test,
    ];

    /// As on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AlertOpened => "alert.opened",
            Self::AlertAcknowledged => "alert.acknowledged",
            Self::AlertResolved => "alert.resolved",
            Self::Test => "webhook.test",
        }
    }
}

impl std::str::FromStr for WebhookEvent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|event| event.name() == text);
        found.ok_or_else(|| format!("`{text}` is no event of a webhook"))
    }
}

/// The body of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookMessage {
    #[serde(rename = "type")]
    pub event: WebhookEvent,
    /// When it happened; that of the attempt is in the header.
    pub timestamp: Timestamp,
    pub data: MessageData,
}

/// What a message tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageData {
    /// As it was then. `None`: a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertView>,
}

/// `POST /v1/webhooks`, and `PUT /v1/webhooks/{webhookId}` with `If-Match`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutWebhook {
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub name: String,
    /// `https://…`, without a login in it.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 2000)))]
    pub url: String,
    /// Only alerts of these kinds; empty: all.
    #[serde(default)]
    pub kinds: Vec<AlertKind>,
    /// Switching it on also forgets that it failed.
    #[serde(default = "yes")]
    pub enabled: bool,
}

const fn yes() -> bool {
    true
}

/// Whether messages arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum WebhookState {
    Active,
    /// The last attempt failed, and others are made.
    Failing,
    /// Switched off by an operator, or after five days of nothing but failures.
    Disabled,
}

/// One row of `GET /v1/webhooks`; the secret is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WebhookView {
    pub webhook_id: WebhookId,
    pub name: String,
    pub url: String,
    pub kinds: Vec<AlertKind>,
    pub state: WebhookState,
    /// Since when every attempt has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The answer to `POST /v1/webhooks`; the secret is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WebhookCreated {
    pub webhook: WebhookView,
    /// `whsec_…`: what signatures are checked with.
    pub secret: String,
}

/// How far a message has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum DeliveryState {
    /// Not tried yet, or to be tried again.
    Pending,
    Delivered,
    /// Given up.
    Failed,
}

impl DeliveryState {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// As on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for DeliveryState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|state| state.name() == text);
        found.ok_or_else(|| format!("`{text}` is no state of a delivery"))
    }
}

/// One row of `GET /v1/webhooks/{webhookId}/deliveries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// The header `webhook-id`, the same at each attempt.
    pub delivery_id: DeliveryId,
    pub event: WebhookEvent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_id: Option<AlertId>,
    pub state: DeliveryState,
    pub created_at: Timestamp,
    pub attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Status of the last answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u16>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_states_are_called_as_on_the_wire() {
        for event in WebhookEvent::ALL {
            assert_eq!(serde_json::to_value(event).unwrap(), event.name());
            assert_eq!(event.name().parse(), Ok(event));
        }
        for state in DeliveryState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
            assert_eq!(state.name().parse(), Ok(state));
        }
    }

    #[test]
    fn a_webhook_is_on_and_takes_all_kinds_unless_it_is_said_otherwise() {
        let given: PutWebhook =
            serde_json::from_str(r#"{"name": "a", "url": "https://a.example/hook"}"#).unwrap();
        assert!(given.enabled && given.kinds.is_empty());
    }
}
