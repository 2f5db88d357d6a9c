//! What Fleet's programs say to one another.
//!
//! Identifiers, versions, trust documents and the wire types between device, control plane and
//! operator. No I/O, no clock, no randomness: everything here is parsed at the edge once and can
//! then be relied upon.
//!
//! Invariants:
//! - JSON on the wire is camelCase; unknown fields are ignored, so that old programs understand
//!   newer ones. Files that a person edits (configuration) refuse unknown fields instead.
//! - A value of [`trust::VerifiedRelease`] exists only if its signatures were checked.

pub mod access;
pub mod alert;
pub mod backoff;
pub mod command;
pub mod config;
pub mod content;
pub mod device;
mod digest;
pub mod enrolment;
pub mod event;
pub mod heartbeat;
mod id;
pub mod instant;
pub mod mail;
mod pairing_code;
mod percent;
pub mod player;
pub mod problem;
pub mod release;
pub mod rollout;
pub mod schedule;
pub mod target;
pub mod trust;
pub mod update;
mod version;
pub mod webhook;
pub mod why;

pub use digest::{ParseDigestError, Sha256};
pub use id::{
    AlertId, ApiKeyId, AssetId, BatchId, CommandId, Compatible, DeliveryId, DeviceId, EventId,
    MailRecipientId, OverrideId, ParseIdError, PlaylistId, PlaylistItemId, RoleName, RolloutId,
    SessionId, SlotId, TargetId, TenantId, TokenId, UnitName, UploadId, UserId, VenueId, WebhookId,
};
pub use percent::{ParsePercentError, Percent};
pub use version::{ParseVersionError, Version};
