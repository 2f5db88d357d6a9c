//! The keys in force in safe mode, as the agent left them: whatever it trusts, safe mode trusts, and no
//! more. Nothing is rotated here, because no new key set arrives while the agent does not run.

use fleet_protocol::trust::{Envelope, TrustedKeys};

use super::actions::ActionError;
use crate::platform::paths::Paths;
use crate::platform::{booted, files};

/// The key set of the image, and its successors as far as the agent had got.
///
/// # Errors
/// Only without the image's own: successors that are lost or damaged leave an older set in force.
pub(super) fn trusted_keys(paths: &Paths) -> Result<TrustedKeys, ActionError> {
    let hint = "the image is incomplete; flash the device anew";
    let path = paths.key_set_file();
    let bytes = files::read_limited(&path, 256 * 1024)
        .map_err(|e| ActionError::new(e, hint))?
        .ok_or_else(|| ActionError::new(format!("{} is missing", path.display()), hint))?;
    let envelope: Envelope = serde_json::from_slice(&bytes)
        .map_err(|e| ActionError::new(format!("{}: {e}", path.display()), hint))?;
    let mut keys = TrustedKeys::from_image(&envelope)
        .map_err(|e| ActionError::new(format!("{}: {e}", path.display()), hint))?;
    let chain: Vec<Envelope> =
        booted::read_state(&paths.state().join("key-sets.json")).unwrap_or_default();
    for envelope in &chain {
        // Each was checked before it was stored; one that does not follow is not ours.
        if let Ok(next) = keys.rotate(envelope) {
            keys = next;
        }
    }
    Ok(keys)
}

#[cfg(test)]
pub(super) mod tests {
    use fleet_protocol::trust::{KEY_SET_PAYLOAD_TYPE, KeySet, PublicKey, SigningKey};
    use jiff::Timestamp;

    use super::*;
    use crate::platform::files::Access;

    pub(in crate::safe_mode) const IMAGE_KEY: u8 = 5;
    pub(in crate::safe_mode) const NEXT_KEY: u8 = 6;

    fn signing_key(seed: u8) -> SigningKey {
        SigningKey::from_secret(&[seed; 32])
    }

    /// A key set of one key, signed by it and by the one that vouches for it.
    pub(in crate::safe_mode) fn key_set(version: u32, key: u8, voucher: u8) -> Envelope {
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
    pub(in crate::safe_mode) fn device_with_key_sets(
        chain: &[Envelope],
    ) -> (tempfile::TempDir, Paths) {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        let image = key_set(1, IMAGE_KEY, IMAGE_KEY);
        files::write_json(&paths.key_set_file(), &image, Access::Public).unwrap();
        let file = paths.state().join("key-sets.json");
        files::write_json(&file, &chain, Access::Public).unwrap();
        (root, paths)
    }

    #[test]
    fn what_the_agent_had_rotated_to_is_trusted_and_what_does_not_follow_is_not() {
        let second = || key_set(2, NEXT_KEY, IMAGE_KEY);
        let check = |chain: &[Envelope], version: u32| {
            let (_root, paths) = device_with_key_sets(chain);
            assert_eq!(trusted_keys(&paths).unwrap().key_set().version, version);
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
        std::fs::write(paths.state().join("key-sets.json"), "[{").unwrap();
        assert_eq!(trusted_keys(&paths).unwrap().key_set().version, 1);
        std::fs::remove_dir_all(paths.state()).unwrap();
        assert_eq!(trusted_keys(&paths).unwrap().key_set().version, 1);
        std::fs::remove_file(paths.key_set_file()).unwrap();
        let error = trusted_keys(&paths).unwrap_err();
        assert!(error.hint.contains("flash"), "{error:?}");
    }
}
