//! Key folders: made whole, never overwritten, rotated so that devices follow.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::os::unix::fs::PermissionsExt as _;

use fleet_protocol::trust::{Envelope, TrustedKeys};
use support::Bench;

fn envelope(bench: &Bench, name: &str) -> Envelope {
    serde_json::from_slice(&std::fs::read(bench.path(name)).unwrap()).unwrap()
}

#[test]
fn fresh_keys_form_a_key_set_that_devices_believe_and_secrets_are_the_owners() {
    let bench = Bench::new();
    let shown = bench
        .fleet(&["keys", "init", "--keys", "3", "--threshold", "2", "--json"])
        .ok()
        .json();
    assert_eq!(shown["keys"].as_array().unwrap().len(), 3);
    let trusted = TrustedKeys::from_image(&envelope(&bench, "fleet-keys/keyset.json")).unwrap();
    assert_eq!(
        (trusted.key_set().version, trusted.key_set().threshold),
        (1, 2)
    );
    for entry in std::fs::read_dir(bench.path("fleet-keys")).unwrap() {
        let entry = entry.unwrap();
        let secret = entry.file_name().to_string_lossy().ends_with(".key.pem");
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(
            mode,
            if secret { 0o600 } else { 0o644 },
            "{:?}",
            entry.file_name()
        );
    }
}

#[test]
fn openssl_reads_the_keys_and_finds_the_leaf_good_for_signing() {
    let bench = Bench::new();
    bench.fleet(&["keys", "init"]).ok();
    bench.tool(
        "openssl",
        &["pkey", "-in", "fleet-keys/release-1.key.pem", "-noout"],
    );
    for purpose in ["smimesign", "any"] {
        bench.tool(
            "openssl",
            &[
                "verify",
                "-x509_strict",
                "-purpose",
                purpose,
                "-CAfile",
                "fleet-keys/keyring.pem",
                "fleet-keys/bundle-signing.cert.pem",
            ],
        );
    }
}

#[test]
fn keys_that_exist_are_never_overwritten() {
    let bench = Bench::new();
    bench.fleet(&["keys", "init"]).ok();
    let before = std::fs::read(bench.path("fleet-keys/release-1.key.pem")).unwrap();
    bench.fleet(&["keys", "init"]).fails(4, "exists already");
    assert_eq!(
        std::fs::read(bench.path("fleet-keys/release-1.key.pem")).unwrap(),
        before
    );
}

#[test]
fn a_threshold_that_no_keys_can_meet_is_refused_and_nothing_is_left() {
    let bench = Bench::new();
    bench
        .fleet(&["keys", "init", "--keys", "1", "--threshold", "2"])
        .fails(2, "threshold");
    assert!(!bench.path("fleet-keys").exists());
    assert_eq!(std::fs::read_dir(bench.dir.path()).unwrap().count(), 0);
}

#[test]
fn a_device_follows_rotations_from_its_first_key_set() {
    let bench = Bench::new();
    bench.fleet(&["keys", "init"]).ok();
    bench
        .fleet(&["keys", "rotate", "--replace", "release-1"])
        .ok();
    bench
        .fleet(&["keys", "rotate", "--add", "1", "--threshold", "3"])
        .ok();
    bench
        .fleet(&["keys", "rotate", "--remove", "release-2"])
        .ok();
    let mut trusted =
        TrustedKeys::from_image(&envelope(&bench, "fleet-keys/keyset-1.json")).unwrap();
    for version in 2..=4 {
        trusted = trusted
            .rotate(&envelope(
                &bench,
                &format!("fleet-keys/keyset-{version}.json"),
            ))
            .unwrap();
    }
    let names: Vec<&str> = trusted
        .key_set()
        .keys
        .iter()
        .map(|k| k.name.as_str())
        .collect();
    assert_eq!(names, ["release-3", "release-4", "release-5"]);
    assert_eq!(trusted.key_set().threshold, 3);
    assert!(bench.path("fleet-keys/retired/release-1.key.pem").exists());
    let newest = envelope(&bench, "fleet-keys/keyset.json");
    assert_eq!(newest, envelope(&bench, "fleet-keys/keyset-4.json"));
}

#[test]
fn a_rotation_without_enough_old_keys_changes_nothing_until_one_is_brought() {
    let bench = Bench::new();
    bench.fleet(&["keys", "init"]).ok();
    for name in ["release-2", "release-3"] {
        let from = bench.path(&format!("fleet-keys/{name}.key.pem"));
        std::fs::rename(from, bench.path(&format!("{name}.pem"))).unwrap();
    }
    let before = envelope(&bench, "fleet-keys/keyset.json");
    bench
        .fleet(&["keys", "rotate", "--replace", "release-3"])
        .fails(4, "nothing was changed");
    assert_eq!(envelope(&bench, "fleet-keys/keyset.json"), before);
    assert!(!bench.path("fleet-keys/keyset-2.json").exists());
    bench
        .fleet(&[
            "keys",
            "rotate",
            "--replace",
            "release-3",
            "--key",
            "release-2.pem",
        ])
        .ok();
}

#[test]
fn an_unknown_key_is_not_found_and_no_change_is_no_rotation() {
    let bench = Bench::new();
    bench.fleet(&["keys", "init"]).ok();
    bench
        .fleet(&["keys", "rotate", "--remove", "release-9"])
        .fails(3, "release-9");
    bench
        .fleet(&["keys", "rotate"])
        .fails(2, "nothing to rotate");
    bench
        .fleet(&["keys", "show", "--dir", "nowhere"])
        .fails(3, "no key folder");
}
