//! What each fuzz target does with the bytes that it is given.
//!
//! Every function here must return for every input; what it asserts is a property of the parser, such
//! as "what was parsed can be written and parsed again". `cargo xtask fuzz` builds and runs them.

use fleet_protocol::trust::{Envelope, KeySet, PublicKey, SigningKey, TrustedKeys, VerifiedRelease};

/// A signing key, and the key set of it alone that a device might have in its image.
fn trusted() -> (SigningKey, TrustedKeys) {
    let key = SigningKey::from_secret(&[7; 32]);
    let set = KeySet {
        version: 1,
        threshold: 1,
        keys: vec![PublicKey::new("fuzz", key.verifying_key())],
        issued_at: "2026-01-01T00:00:00Z".parse().expect("a valid instant"),
    };
    let payload = serde_json::to_vec(&set).expect("plain data");
    let mut envelope = Envelope::unsigned(fleet_protocol::trust::KEY_SET_PAYLOAD_TYPE, payload);
    envelope.sign(&key);
    let keys = TrustedKeys::from_image(&envelope).expect("signed by its own key");
    (key, keys)
}

/// Release metadata as the network delivers it (never verified), and as a payload that was signed.
pub fn release_envelope(data: &[u8]) {
    let (key, keys) = trusted();
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(data) {
        assert!(
            VerifiedRelease::verify(&envelope, &keys).is_err(),
            "accepted what nobody signed"
        );
    }
    let mut signed =
        Envelope::unsigned(fleet_protocol::trust::RELEASE_PAYLOAD_TYPE, data.to_vec());
    signed.sign(&key);
    if let Ok(release) = VerifiedRelease::verify(&signed, &keys) {
        let again = release.metadata().to_envelope();
        let reread = fleet_protocol::trust::ReleaseMetadata::read(&again).expect("just written");
        assert_eq!(&reread, release.metadata());
    }
}

/// A key set that claims to follow the one in force.
pub fn key_set_rotation(data: &[u8]) {
    let (key, keys) = trusted();
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(data) {
        assert!(keys.rotate(&envelope).is_err(), "rotated to what nobody signed");
    }
    let mut signed =
        Envelope::unsigned(fleet_protocol::trust::KEY_SET_PAYLOAD_TYPE, data.to_vec());
    signed.sign(&key);
    if let Ok(next) = keys.rotate(&signed) {
        assert_eq!(next.key_set().version, 2);
        assert!(next.key_set().threshold >= 1);
    }
}

/// A partial configuration document over the defaults of the image.
pub fn device_config(data: &[u8]) {
    use fleet_protocol::config::{IMAGE_DEFAULTS, Layer, merge};
    let defaults = Layer::parse("defaults", IMAGE_DEFAULTS).expect("the image's own");
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(layer) = Layer::parse("fuzz", text)
        && let Err(error) = merge(&[defaults.clone(), layer])
    {
        assert!(!error.hint().is_empty());
    }
    if let Ok(document) = serde_json::from_slice(data)
        && let Ok(layer) = Layer::from_json("fuzz", &document)
    {
        let _ = merge(&[defaults, layer]);
    }
}

/// Everything that a device or the control plane reads as JSON.
pub fn wire_documents(data: &[u8]) {
    /// What is read can be written, and reads the same.
    fn survives<T>(data: &[u8])
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        if let Ok(document) = serde_json::from_slice::<T>(data) {
            let text = serde_json::to_vec(&document).expect("what was read can be written");
            assert_eq!(serde_json::from_slice::<T>(&text).expect("just written"), document);
        }
    }
    survives::<fleet_protocol::command::Command>(data);
    survives::<fleet_protocol::command::CreateCommand>(data);
    survives::<fleet_protocol::enrolment::ProvisionFile>(data);
    survives::<fleet_protocol::enrolment::EnrollRequest>(data);
    survives::<fleet_protocol::event::EventBatch>(data);
    survives::<fleet_protocol::heartbeat::HeartbeatAck>(data);
    survives::<fleet_protocol::problem::Problem>(data);
    survives::<fleet_protocol::rollout::CreateRollout>(data);
    survives::<fleet_protocol::target::Target>(data);
    survives::<fleet_protocol::update::UpdateReport>(data);
}

/// GRUB's environment block: what is read and written back reads the same.
pub fn grub_environment(data: &[u8]) {
    use fleet_agent::core::boot::BootEnv;
    use fleet_agent::core::boot::grubenv::GrubEnv;
    if let Ok(env) = GrubEnv::parse(data)
        && let Ok(block) = env.to_block()
    {
        assert_eq!(GrubEnv::parse(&block).as_ref(), Ok(&env));
    }
    if let Ok(env) = BootEnv::parse(data)
        && let Ok(block) = env.to_block()
    {
        assert_eq!(BootEnv::parse(&block).as_ref(), Ok(&env));
    }
}

pub fn kernel_command_line(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = fleet_agent::platform::cmdline::CommandLine::parse(text);
    }
}

/// The map of used blocks beside an image.
pub fn block_map(data: &[u8]) {
    let _ = fleet_cli::flash::bmap::parse(data);
}

pub fn gpt_header(data: &[u8]) {
    let _ = fleet_cli::flash::gpt::Table::parse(data, data.len() as u64);
}

/// What an operator types.
pub fn phases_and_durations(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = fleet_cli::text::parse_duration(text);
        let _ = fleet_cli::text::parse_phases(text);
        let _ = text.parse::<fleet_protocol::Version>();
        let _ = text.parse::<fleet_protocol::Percent>();
    }
}

/// A public key pasted into the safe-mode page.
pub fn ssh_key(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(key) = text.parse::<fleet_agent::safe_mode::ssh_key::SshKey>()
    {
        let line = key.authorized_line();
        assert!(!line.trim_end().contains('\n'), "one key, one line");
        let _ = key.fingerprint();
    }
}
