//! Who may release what: signed documents, checked offline.
//!
//! A release is described by [`ReleaseMetadata`], signed as a DSSE [`Envelope`] by keys that never
//! touch the control plane. A device trusts a [`KeySet`] that came with its image; the next key set
//! is accepted if a threshold of the present one signed it (and a threshold of its own keys, which
//! proves that they exist). So whoever captures the control plane can withhold, but not install.
//!
//! The envelope follows the DSSE protocol 1.0 (secure-systems-lab/dsse), the rotation follows the
//! root role of The Update Framework 1.0.

mod envelope;
mod key_set;
mod release;

pub use envelope::{Envelope, KeyId, Signature, SigningKey, pre_authentication_encoding};
pub use key_set::{KeySet, KeySetError, PublicKey, TrustedKeys};
pub use release::{BundleRef, ReleaseMetadata, VerifiedRelease, VerifyReleaseError};

/// `payloadType` of a release's metadata.
pub const RELEASE_PAYLOAD_TYPE: &str = "application/vnd.fleet.release+json";
/// `payloadType` of a key set.
pub const KEY_SET_PAYLOAD_TYPE: &str = "application/vnd.fleet.key-set+json";
/// A signed document larger than this is refused before it is parsed.
pub const MAX_PAYLOAD_BYTES: usize = 64 * 1024;
