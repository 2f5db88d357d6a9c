//! Mail about alerts: addresses that are told when one opens, is acknowledged or is over. What happens within a minute
//! comes in one message.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::AlertKind;
use crate::webhook::DeliveryState;
use crate::{DeliveryId, MailRecipientId};

/// `POST /v1/mail-recipients`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddMailRecipient {
    #[cfg_attr(feature = "schema", schemars(length(min = 3, max = 254)))]
    pub email: String,
    /// Only alerts of these kinds; empty: all.
    #[serde(default)]
    pub kinds: Vec<AlertKind>,
}

/// One row of `GET /v1/mail-recipients`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MailRecipientView {
    pub recipient_id: MailRecipientId,
    pub email: String,
    /// Empty: all.
    pub kinds: Vec<AlertKind>,
    /// Since when no message was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    pub created_at: Timestamp,
}

/// One row of `GET /v1/mail-recipients/{recipientId}/deliveries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MailView {
    /// Part of the Message-ID, the same at each attempt.
    pub delivery_id: DeliveryId,
    pub state: DeliveryState,
    /// What it tells of: alerts that opened, were acknowledged or ended. None: somebody tries it out.
    pub events: u32,
    pub created_at: Timestamp,
    pub attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Status of the mail server's last answer, if it was a refusal (RFC 5321, §4.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u16>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}
