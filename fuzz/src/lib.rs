//! What each fuzz target does with the bytes that it is given.
//!
//! Every function here must return for every input; what it asserts is a property of the parser, such
//! as "what was parsed can be written and parsed again". `cargo xtask fuzz` builds and runs them.

mod control;
mod device;
mod device_state;
mod flash;
mod network;
mod player;

use fleet_protocol::trust::{
    Envelope, KeySet, PublicKey, SigningKey, TrustedKeys, VerifiedRelease,
};

pub use control::{audit_record, backup_archive, media_files, request_bodies, webhook_url};
pub use device::{board_facts, certificates, input_events, rauc_replies};
pub use device_state::device_state;
pub use flash::{block_map, boot_partition, flash_image, gpt_header, mountinfo};
pub use network::{
    http_ranges, http_refusals, network_form, page_headers, upload_form, wakeup_stream,
};
pub use player::decoder_messages;

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
    let mut signed = Envelope::unsigned(fleet_protocol::trust::RELEASE_PAYLOAD_TYPE, data.to_vec());
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
        assert!(
            keys.rotate(&envelope).is_err(),
            "rotated to what nobody signed"
        );
    }
    let mut signed = Envelope::unsigned(fleet_protocol::trust::KEY_SET_PAYLOAD_TYPE, data.to_vec());
    signed.sign(&key);
    if let Ok(next) = keys.rotate(&signed) {
        assert_eq!(next.key_set().version, 2);
        assert!(next.key_set().threshold >= 1);
    }
}

/// A partial configuration document over the defaults of the image; its maintenance window opens at
/// some time or is open.
pub fn device_config(data: &[u8]) {
    use fleet_agent::core::admission::Window;
    use fleet_protocol::config::{DeviceConfig, IMAGE_DEFAULTS, Layer, merge};
    fn window(config: &DeviceConfig) {
        let Some(window) = &config.updates.maintenance_window else {
            return;
        };
        let parsed = Window::parse(window);
        let Ok(window) = parsed else { return };
        for now in [0, 1_798_761_600, 1_774_746_000] {
            let now = jiff::Timestamp::from_second(now).expect("within the calendar");
            assert!(window.opens_at(now).is_none_or(|opens| opens > now));
        }
    }
    let defaults = Layer::parse("defaults", IMAGE_DEFAULTS).expect("the image's own");
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(layer) = Layer::parse("fuzz", text)
    {
        match merge(&[defaults.clone(), layer]) {
            Ok(config) => window(&config),
            Err(error) => assert!(!error.hint().is_empty()),
        }
    }
    if let Ok(document) = serde_json::from_slice(data)
        && let Ok(layer) = Layer::from_json("fuzz", &document)
    {
        let _ = merge(&[defaults, layer]);
    }
}

/// What is read as this document can be written, and reads the same.
fn survives<T>(data: &[u8])
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    if let Ok(document) = serde_json::from_slice::<T>(data) {
        let text = serde_json::to_vec(&document).expect("what was read can be written");
        assert_eq!(
            serde_json::from_slice::<T>(&text).expect("just written"),
            document
        );
    }
}

/// A folder that is gone in the end; in memory where there is such a place.
fn scratch() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
    folder.expect("a temporary folder can be made")
}

/// Everything that a device and the control plane say to one another as JSON.
pub fn wire_documents(data: &[u8]) {
    survives::<fleet_protocol::command::Command>(data);
    survives::<fleet_protocol::command::CreateCommand>(data);
    survives::<fleet_protocol::command::CommandList>(data);
    survives::<fleet_protocol::command::CommandResult>(data);
    survives::<fleet_protocol::enrolment::CreateEnrolmentToken>(data);
    survives::<fleet_protocol::enrolment::ProvisionFile>(data);
    survives::<fleet_protocol::enrolment::EnrollRequest>(data);
    survives::<fleet_protocol::enrolment::EnrollResponse>(data);
    survives::<fleet_protocol::enrolment::RenewCertificate>(data);
    survives::<fleet_protocol::enrolment::CertificateRenewed>(data);
    survives::<fleet_protocol::event::EventBatch>(data);
    survives::<fleet_protocol::heartbeat::Heartbeat>(data);
    survives::<fleet_protocol::heartbeat::HeartbeatAck>(data);
    survives::<fleet_protocol::player::PlayerEventBatch>(data);
    survives::<fleet_protocol::player::PlayerHeartbeat>(data);
    survives::<fleet_protocol::problem::Problem>(data);
    survives::<fleet_protocol::release::CreateRelease>(data);
    survives::<fleet_protocol::release::PruneBundles>(data);
    survives::<fleet_protocol::rollout::CreateRollout>(data);
    survives::<fleet_protocol::target::Target>(data);
    manifest(data);
    survives::<fleet_protocol::update::UpdateReport>(data);
}

/// A manifest that was read is kept, and reads the same, without what could not be shown.
fn manifest(data: &[u8]) {
    use fleet_protocol::player::Manifest;
    let Ok(mut manifest) = Manifest::parse(data) else {
        return;
    };
    let text = serde_json::to_vec(&manifest).expect("what was read can be written");
    let ahead = manifest.look_ahead.iter_mut();
    let ahead = ahead.flat_map(|ahead| &mut ahead.playlists);
    for playlist in manifest.playlist.iter_mut().chain(ahead) {
        playlist.skipped.clear();
    }
    assert_eq!(Manifest::parse(&text).expect("just written"), manifest);
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

/// What an operator types.
pub fn phases_and_durations(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = fleet_cli::text::parse_duration(text);
        let _ = fleet_cli::text::parse_phases(text);
        let _ = text.parse::<fleet_protocol::Version>();
        let _ = text.parse::<fleet_protocol::Percent>();
        let page = fleet_control::app::PageRequest {
            cursor: Some(text.to_owned()),
            limit: 1,
        };
        let _ = page.number();
        let _ = fleet_cli::text::parse_screen_hours(text);
        if let Ok(code) = text.parse::<fleet_protocol::enrolment::PairingCode>() {
            assert_eq!(code.to_string().parse(), Ok(code));
        }
        if let Some(pin) = fleet_agent::safe_mode::pin::Pin::parse(text) {
            let shown = fleet_agent::safe_mode::pin::Pin::parse(&pin.for_people());
            assert!(pin.matches(&shown.expect("as it is shown, it can be typed")));
        }
    }
}

/// A certificate request from the network, and the keys and certificates that an operator has; PEM as it
/// came, and the bytes as what PEM would hold.
pub fn pem_files(data: &[u8]) {
    fn all(pem: &[u8]) {
        if let Ok(text) = std::str::from_utf8(pem)
            && let Ok(key) = fleet_control::pki::RequestedKey::from_csr(text)
        {
            assert_eq!(key.device_id().as_str().len(), 24);
        }
        let _ = fleet_cli::keys::parse_signing_key(pem);
        let _ = fleet_cli::keys::ends_at(pem);
    }
    all(data);
    for tag in ["CERTIFICATE REQUEST", "CERTIFICATE", "PRIVATE KEY"] {
        all(pem::encode(&pem::Pem::new(tag, data)).as_bytes());
    }
}

/// What `rauc` prints about itself and about a bundle.
pub fn rauc_info(data: &[u8]) {
    let _ = fleet_cli::rauc::Info::parse(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = fleet_cli::rauc::parse_version(text);
    }
}

/// An operator's context file.
pub fn context_file(data: &[u8]) {
    use fleet_cli::context::{Context, parse_server};
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(context) = Context::parse(text)
        && let Ok(server) = parse_server(&context.server)
    {
        assert_eq!(parse_server(&server).expect("as it was written"), server);
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

/// Text of a support bundle, after secrets that end with a zero byte: none of them is left.
pub fn redaction(data: &[u8]) {
    use fleet_agent::support_bundle::redact::{REDACTED, Secrets};
    /// Shorter values are not looked for, and armour is not secret.
    fn is_secret(line: &str) -> bool {
        line.len() >= 6 && !line.starts_with("-----")
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (known, text) = text.split_once('\0').unwrap_or(("", text));
    let mut secrets = Secrets::default();
    secrets.add(known);
    let redacted = secrets.redact(text);
    // What replaces a secret may itself spell one, or a part of one.
    let spelt = |secret: &str| REDACTED.contains(secret) || secret.contains(['[', ']']);
    for secret in known.lines().map(str::trim).filter(|line| is_secret(line)) {
        assert!(
            spelt(secret) || !redacted.contains(secret),
            "{secret:?} is left"
        );
    }
    assert!(
        !redacted.contains("-----BEGIN PRIVATE KEY-----"),
        "a private key is left"
    );
}

/// A schedule with its devices: whatever it says, a screen has an answer at every instant, the answers
/// agree, and a timeline has no hole.
pub fn schedule_file(data: &[u8]) {
    use fleet_schedule::ScheduleFile;
    use jiff::{SignedDuration, Timestamp};
    let Ok(parsed) = ScheduleFile::parse(data) else {
        return;
    };
    let text = serde_json::to_vec(&parsed.file).expect("what was read can be written");
    let again = ScheduleFile::parse(&text).expect("just written");
    assert_eq!(again.file, parsed.file);
    assert!(again.ignored.is_empty());
    let screens = parsed.file.devices().iter().take(2);
    let screens: Vec<_> = screens.map(|device| parsed.file.screen(device)).collect();
    let schedule = parsed.file.into_schedule();
    let instants = ["2026-10-25T00:00:00Z", "2011-12-29T12:00:00Z"];
    let instants = instants.map(|at| at.parse().expect("a valid instant"));
    for screen in &screens {
        let _ = schedule.warnings(screen);
        for at in [Timestamp::MIN, instants[0], instants[1], Timestamp::MAX] {
            let decision = schedule.decide(screen, at);
            assert!(decision.valid_to > at || at == Timestamp::MAX);
            assert_eq!(schedule.winner(screen, at), decision.winner);
            let explained = schedule.explain(screen, at);
            assert_eq!(explained.slot_id.as_ref(), decision.winner.slot_id());
        }
        for from in instants {
            let to = from + SignedDuration::from_hours(48);
            let segments = schedule.timeline(screen, from, to);
            assert_eq!(segments.first().map(|s| s.from_utc), Some(from));
            assert_eq!(segments.last().map(|s| s.to_utc), Some(to));
            for pair in segments.windows(2) {
                assert_eq!(pair[0].to_utc, pair[1].from_utc);
                assert_ne!(pair[0].slot_id, pair[1].slot_id);
            }
        }
    }
}
