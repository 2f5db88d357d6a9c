//! Bundles as a reader finds them: complete, bounded, and without a secret.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::time::Duration;

use proptest::prelude::*;

use super::{BundleLimits, Contents, Part, Source, file_name, secrets, standard_parts, write};
use crate::platform::paths::Paths;

fn unpack(bundle: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(bundle).unwrap());
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (name, text)
        })
        .collect()
}

fn text(name: &'static str, text: &str) -> Part {
    Part {
        name,
        source: Source::Text(text.to_owned()),
    }
}

fn bundle(parts: Vec<Part>, limits: BundleLimits) -> (Vec<u8>, super::Summary) {
    let mut out = Vec::new();
    let summary = write(
        parts,
        &super::Secrets::default(),
        limits,
        jiff::Timestamp::UNIX_EPOCH,
        &mut out,
    )
    .unwrap();
    assert_eq!(summary.size_bytes, out.len() as u64);
    (out, summary)
}

#[test]
fn a_part_that_fails_is_named_in_the_index_and_the_others_are_there() {
    let parts = vec![
        text("first", "1"),
        Part {
            name: "absent",
            source: Source::File("/no/such/file".into()),
        },
        Part {
            name: "hanging",
            source: Source::Program {
                program: "sleep",
                arguments: vec!["600".to_owned()],
                deadline: Duration::from_millis(20),
            },
        },
        text("last", "2"),
    ];
    let (out, summary) = bundle(parts, BundleLimits::default());
    let files = unpack(&out);
    assert_eq!((summary.parts, summary.missing), (2, 2));
    assert_eq!(
        (files["first"].as_str(), files["last"].as_str()),
        ("1", "2")
    );
    assert!(
        files["INDEX"].contains("absent: missing: /no/such/file"),
        "{}",
        files["INDEX"]
    );
    assert!(files["INDEX"].contains("hanging: missing: sleep did not end"));
}

#[test]
fn a_part_beyond_its_limit_is_cut_at_a_line() {
    let limits = BundleLimits {
        part_bytes: 10,
        ..BundleLimits::default()
    };
    let files = unpack(&bundle(vec![text("log", "one\ntwo\nthree\n")], limits).0);
    assert_eq!(files["log"], "one\ntwo\n");
    assert!(files["INDEX"].contains("cut at its limit"));
}

#[test]
fn a_log_that_is_cut_keeps_its_newest_lines() {
    let root = tempfile::tempdir().unwrap();
    let parts = standard_parts(
        &Paths::under(root.path()),
        Contents::default(),
        String::new(),
    );
    let journals: Vec<_> = parts
        .iter()
        .filter_map(|part| match &part.source {
            Source::Program {
                program: "journalctl",
                arguments,
                ..
            } => Some(arguments),
            _ => None,
        })
        .collect();
    assert_eq!(journals.len(), 4);
    for arguments in journals {
        assert!(arguments.contains(&"-r".to_owned()), "{arguments:?}");
    }
}

#[test]
fn a_bundle_stays_within_its_size_whatever_goes_in() {
    // Text that hardly compresses: digits of a simple generator, going on from part to part.
    let mut state = 1u64;
    let mut noise = || {
        let mut text = String::new();
        while text.len() < 200_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let _ = writeln!(text, "{state:x}");
        }
        text
    };
    let limits = BundleLimits {
        total_bytes: 500_000,
        part_bytes: 200_000,
    };
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let parts = names.iter().map(|name| text(name, &noise())).collect();
    let (out, summary) = bundle(parts, limits);
    assert!(out.len() <= 500_000, "{}", out.len());
    assert!(summary.missing > 0 && summary.parts > 1);
    assert!(unpack(&out)["INDEX"].contains("left out: the bundle is full"));
}

#[test]
fn the_name_says_which_device_and_when() {
    assert_eq!(
        file_name("dev_../a b", jiff::Timestamp::UNIX_EPOCH),
        "support-dev_ab-19700101T000000Z.tar.zst"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The bundle of a whole device: whatever its identity holds, and wherever the agent may have
    /// let it slip, nothing of it is in the bundle.
    #[test]
    fn no_secret_of_the_identity_is_in_the_bundle(
        token in "[A-Za-z0-9]{64}",
        key in proptest::collection::vec("[A-Za-z0-9+/]{64}", 3),
        pin in "[0-9]{8}",
        noise in "\\PC{0,80}",
    ) {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        let put = |path: std::path::PathBuf, text: &str| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", key.join("\n"));
        put(paths.identity().join("device.key.pem"), &pem);
        put(paths.identity().join("token"), &format!("{token}\n"));
        put(paths.identity().join("pin"), &pin);
        put(paths.identity().join("identity.json"), r#"{"deviceId":"dev_1"}"#);
        put(paths.state().join("engine.json"), &format!("{noise}{token}{noise}\n{pem}\n{}", key[1]));
        put(paths.config().join("network/wpa.conf"), &format!("psk=\"{pin}x\"\n"));
        put(paths.config().join("config.toml"), &format!("{noise}\npin = \"{pin}\"\ntoken = '{token}'"));
        let summary = format!("{{\"deviceId\":\"dev_1\",\"detail\":\"{token}\"}}");
        let parts: Vec<Part> = standard_parts(&paths, Contents::default(), summary)
            .into_iter()
            // This machine's own tools are slow and say nothing of the device.
            .filter(|part| !matches!(part.source, Source::Program { .. }))
            .collect();
        let mut out = Vec::new();
        write(parts, &secrets(&paths), BundleLimits::default(), jiff::Timestamp::UNIX_EPOCH, &mut out).unwrap();
        let files = unpack(&out);
        prop_assert!(files["status"].contains("dev_1"));
        prop_assert!(files.contains_key("config") && files.contains_key("state"));
        for (name, content) in files {
            for secret in key.iter().chain([&token, &pin]) {
                prop_assert!(!content.contains(secret.as_str()), "{secret} in {name}");
            }
        }
    }
}
