//! The release keys that this device trusts: the key set of its image, then those that were delivered,
//! each vouched for by the one before it. What the agent has followed to is kept in `key-sets.json`, so
//! that safe mode trusts the same keys and no more.

use std::path::PathBuf;

use fleet_device::files::{self, Access, FileError};
use fleet_protocol::trust::{Envelope, KeySetError, TrustedKeys};

use super::booted;
use super::paths::Paths;

const MAX_KEY_SET_BYTES: u64 = 256 * 1024;

/// Why the image's own key set is of no use; no release can be trusted then.
#[derive(Debug, thiserror::Error)]
pub enum KeyChainError {
    #[error(transparent)]
    Read(#[from] FileError),
    #[error("{} is missing", path.display())]
    Missing { path: PathBuf },
    #[error("{} does not parse: {source}", path.display())]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{} is not to be trusted: {source}", path.display())]
    Untrusted { path: PathBuf, source: KeySetError },
}

impl KeyChainError {
    /// What to do about it.
    pub const HINT: &'static str = "the image is incomplete: build it with the key set of `fleet keys init`, and flash it anew";
}

/// The keys in force, and how they came about.
#[derive(Debug)]
pub struct KeyChain {
    trusted: TrustedKeys,
    successors: Vec<Envelope>,
}

impl KeyChain {
    /// Of the image alone.
    pub fn new(trusted: TrustedKeys) -> Self {
        Self {
            trusted,
            successors: Vec::new(),
        }
    }

    /// Reads the image's key set and the successors that were kept. Blocking.
    ///
    /// # Errors
    /// Only for the image's own: successors that are lost or damaged leave an older set in force.
    pub fn load(paths: &Paths) -> Result<Self, KeyChainError> {
        let path = paths.key_set_file();
        let Some(bytes) = files::read_limited(&path, MAX_KEY_SET_BYTES)? else {
            return Err(KeyChainError::Missing { path });
        };
        let trusted = match serde_json::from_slice::<Envelope>(&bytes) {
            Ok(envelope) => TrustedKeys::from_image(&envelope)
                .map_err(|source| KeyChainError::Untrusted { path, source })?,
            Err(source) => return Err(KeyChainError::Parse { path, source }),
        };
        let mut chain = Self::new(trusted);
        let kept: Vec<Envelope> = booted::read_state(&paths.key_chain_file()).unwrap_or_default();
        chain.follow(&kept);
        Ok(chain)
    }

    pub fn trusted(&self) -> &TrustedKeys {
        &self.trusted
    }

    /// The version of the key set in force.
    pub fn version(&self) -> u32 {
        self.trusted.key_set().version
    }

    /// Goes on to whichever of `envelopes` follow, in order; true if there was one. What is older than
    /// the set in force, skips one, or is vouched for by nobody changes nothing.
    pub fn follow(&mut self, envelopes: &[Envelope]) -> bool {
        let before = self.successors.len();
        for envelope in envelopes {
            if let Ok(next) = self.trusted.rotate(envelope) {
                self.trusted = next;
                self.successors.push(envelope.clone());
            }
        }
        self.successors.len() > before
    }

    /// Keeps the successors for the next start. Blocking.
    ///
    /// # Errors
    /// When the file can't be written; the set in force stays in force until the restart.
    pub fn store(&self, paths: &Paths) -> Result<(), FileError> {
        files::write_json(&paths.key_chain_file(), &self.successors, Access::Public)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use fleet_protocol::trust::{KEY_SET_PAYLOAD_TYPE, KeySet, PublicKey, SigningKey};
    use jiff::Timestamp;

    use super::*;

    pub(crate) const IMAGE_KEY: u8 = 5;
    pub(crate) const NEXT_KEY: u8 = 6;

    fn signing_key(seed: u8) -> SigningKey {
        SigningKey::from_secret(&[seed; 32])
    }

    /// A key set of one key, signed by it and by the one that vouches for it.
    pub(crate) fn key_set(version: u32, key: u8, voucher: u8) -> Envelope {
        let set = KeySet {
            version,
            threshold: 1,
            keys: vec![PublicKey::new("test", signing_key(key).verifying_key())],
            issued_at: Timestamp::UNIX_EPOCH,
        };
        let payload = serde_json::to_vec(&set).unwrap();
        let mut envelope = Envelope::unsigned(KEY_SET_PAYLOAD_TYPE, payload);
        envelope.sign(&signing_key(key));
        if voucher != key {
            envelope.sign(&signing_key(voucher));
        }
        envelope
    }

    /// A device whose image has key set 1, and on whose data partition `chain` lies.
    pub(crate) fn device_with_key_sets(chain: &[Envelope]) -> (tempfile::TempDir, Paths) {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        let image = key_set(1, IMAGE_KEY, IMAGE_KEY);
        files::write_json(&paths.key_set_file(), &image, Access::Public).unwrap();
        let file = paths.key_chain_file();
        files::write_json(&file, &chain, Access::Public).unwrap();
        (root, paths)
    }

    #[test]
    fn what_the_agent_had_rotated_to_is_trusted_and_what_does_not_follow_is_not() {
        let second = || key_set(2, NEXT_KEY, IMAGE_KEY);
        let check = |chain: &[Envelope], version: u32| {
            let (_root, paths) = device_with_key_sets(chain);
            assert_eq!(KeyChain::load(&paths).unwrap().version(), version);
        };
        check(&[], 1);
        check(&[second()], 2);
        check(&[second(), key_set(3, 7, NEXT_KEY)], 3);
        check(&[key_set(2, 8, 8)], 1);
        check(&[key_set(2, 8, 8), second()], 2);
        check(&[key_set(3, 7, IMAGE_KEY)], 1);
    }

    #[test]
    fn damage_on_data_leaves_the_keys_of_the_image() {
        let (_root, paths) = device_with_key_sets(&[]);
        std::fs::write(paths.key_chain_file(), "[{").unwrap();
        assert_eq!(KeyChain::load(&paths).unwrap().version(), 1);
        std::fs::remove_dir_all(paths.state()).unwrap();
        assert_eq!(KeyChain::load(&paths).unwrap().version(), 1);
        std::fs::remove_file(paths.key_set_file()).unwrap();
        let error = KeyChain::load(&paths).unwrap_err();
        assert!(matches!(error, KeyChainError::Missing { .. }), "{error:?}");
    }
}
