//! The record of what was done (seed 003, §25.9): append-only, and chained by hashes so that a missing or altered
//! row shows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Sha256, TenantId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AuditOutcome {
    Done,
    /// Understood, and not done.
    Refused,
    /// Something broke; it may have been done.
    Failed,
}

/// One row of `GET /v1/audit`.
///
/// `hash` is the SHA-256 of this entry's JSON without `hash`, its members in the order that they have here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditEntry {
    pub tenant_id: TenantId,
    /// Counts up by one within the tenant, from 1.
    pub sequence: u64,
    pub at: Timestamp,
    /// `usr_…`, `key_…`, `operator:…`, `dev_…`.
    pub actor_id: String,
    /// A user's address, a key's name, a device's id, as they were then.
    pub actor: String,
    /// What was asked for: `POST /v1/rollouts`.
    pub action: String,
    /// What it was done to: the path with its ids.
    pub subject: String,
    pub outcome: AuditOutcome,
    /// The HTTP status.
    pub status: u16,
    pub address: String,
    /// The client's, if it gave one.
    pub request_id: String,
    /// The `hash` of the entry before it; of the first: all zeroes.
    pub previous_hash: Sha256,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Sha256>,
}

impl AuditEntry {
    /// What its `hash` has to be.
    pub fn expected_hash(&self) -> Sha256 {
        let bare = Self {
            hash: None,
            ..self.clone()
        };
        Sha256::of(serde_json::to_vec(&bare).expect("an entry is plain data"))
    }

    /// Whether it is as it was written, and follows upon what had this sequence and hash.
    pub fn follows(&self, sequence: u64, hash: &Sha256) -> bool {
        self.sequence == sequence + 1
            && self.previous_hash == *hash
            && self.hash.as_ref() == Some(&self.expected_hash())
    }
}

/// `GET /v1/audit/check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AuditCheck {
    pub entries: u64,
    /// Of the newest entry; keep it elsewhere, and a cut-off end shows as well.
    pub head: Sha256,
    /// The sequence at which the chain does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64, previous_hash: Sha256) -> AuditEntry {
        let mut entry = AuditEntry {
            tenant_id: "ten_a".parse().unwrap(),
            sequence,
            at: Timestamp::UNIX_EPOCH,
            actor_id: "operator:admin".to_owned(),
            actor: "admin".to_owned(),
            action: "POST /v1/rollouts".to_owned(),
            subject: "/v1/rollouts".to_owned(),
            outcome: AuditOutcome::Done,
            status: 201,
            address: "127.0.0.1".to_owned(),
            request_id: "req_1".to_owned(),
            previous_hash,
            hash: None,
        };
        entry.hash = Some(entry.expected_hash());
        entry
    }

    #[test]
    fn a_changed_or_missing_entry_breaks_the_chain() {
        let start = Sha256::from_bytes([0; 32]);
        let first = entry(1, start);
        let second = entry(2, first.hash.unwrap());
        let third = entry(3, second.hash.unwrap());
        assert!(first.follows(0, &start) && second.follows(1, &first.hash.unwrap()));
        assert!(
            !third.follows(1, &first.hash.unwrap()),
            "the second is missing"
        );
        let mut altered = second.clone();
        altered.actor = "somebody else".to_owned();
        assert!(!altered.follows(1, &first.hash.unwrap()));
        let text = serde_json::to_string(&second).unwrap();
        let read: AuditEntry = serde_json::from_str(&text).unwrap();
        assert!(
            read.follows(1, &first.hash.unwrap()),
            "as JSON it is the same"
        );
    }
}
