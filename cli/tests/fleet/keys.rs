//! Key folders: made whole, never overwritten, rotated so that devices follow.

use std::os::unix::fs::PermissionsExt as _;

use fleet_protocol::trust::{Envelope, TrustedKeys};

use crate::support::Bench;

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

fn version(bench: &Bench) -> serde_json::Value {
    let shown = bench.fleet(&["keys", "show", "--json"]).ok().json();
    shown["version"].clone()
}

#[test]
fn a_rotation_that_was_cut_off_before_the_old_key_left_is_completed() {
    let bench = Bench::new();
    bench.fleet(&["keys", "init"]).ok();
    let replace = ["keys", "rotate", "--replace", "release-1"];
    bench.fleet(&replace).ok();
    let key = bench.path("fleet-keys/release-1.key.pem");
    let retired = bench.path("fleet-keys/retired/release-1.key.pem");
    std::fs::rename(&retired, &key).unwrap();
    let ran = bench.fleet(&replace).ok();
    assert!(ran.stderr.contains("had been cut off"), "{ran:?}");
    assert!(retired.exists() && !key.exists());
    assert_eq!(version(&bench), 2);
    let ran = bench
        .fleet(&["keys", "rotate", "--replace", "release-2"])
        .ok();
    assert!(!ran.stderr.contains("cut off"), "{ran:?}");
    assert_eq!(version(&bench), 3);
}

#[test]
fn a_rotation_that_was_cut_off_before_its_key_set_was_the_newest_is_completed() {
    let bench = Bench::new();
    bench.fleet(&["keys", "init"]).ok();
    let replace = ["keys", "rotate", "--replace", "release-1"];
    bench.fleet(&replace).ok();
    let in_folder = |name: &str| bench.path(&format!("fleet-keys/{name}"));
    std::fs::copy(in_folder("keyset-1.json"), in_folder("keyset.json")).unwrap();
    std::fs::rename(
        in_folder("retired/release-1.key.pem"),
        in_folder("release-1.key.pem"),
    )
    .unwrap();
    let written = envelope(&bench, "fleet-keys/keyset-2.json");
    bench.fleet(&replace).ok();
    assert_eq!(envelope(&bench, "fleet-keys/keyset.json"), written);
    assert_eq!(envelope(&bench, "fleet-keys/keyset-2.json"), written);
    assert!(in_folder("retired/release-1.key.pem").exists());
    assert!(!in_folder("release-5.key.pem").exists(), "no further key");
}

const BUNDLE_SIGNING: [&str; 3] = ["keys", "rotate", "--bundle-signing"];
const CERTIFICATE: &str = "fleet-keys/bundle-signing.cert.pem";
const CERTIFICATE_KEY: &str = "fleet-keys/bundle-signing.key.pem";

fn read(bench: &Bench, name: &str) -> Vec<u8> {
    std::fs::read(bench.path(name)).unwrap()
}

/// Under the keyring that devices have, and with the key beside it.
fn signs_bundles(bench: &Bench) {
    for purpose in ["smimesign", "any"] {
        let keyring = ["-CAfile", "fleet-keys/keyring.pem", CERTIFICATE];
        let verify = ["verify", "-x509_strict", "-purpose", purpose];
        bench.tool("openssl", &[&verify[..], &keyring].concat());
    }
    let of_certificate = ["x509", "-in", CERTIFICATE, "-noout", "-pubkey"];
    let of_key = ["pkey", "-in", CERTIFICATE_KEY, "-pubout"];
    assert_eq!(
        bench.tool("openssl", &of_certificate),
        bench.tool("openssl", &of_key)
    );
}

/// The contents of what was retired, with the modes.
fn retired(bench: &Bench) -> Vec<(Vec<u8>, u32)> {
    let entries = std::fs::read_dir(bench.path("fleet-keys/retired")).unwrap();
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        (std::fs::read(path).unwrap(), mode)
    };
    entries.map(read).collect()
}

#[test]
fn a_new_bundle_certificate_is_one_that_devices_believe_and_the_old_one_is_kept() {
    let bench = Bench::new();
    bench.fleet(&["keys", "init"]).ok();
    let before = [CERTIFICATE, CERTIFICATE_KEY].map(|name| read(&bench, name));
    let shown = bench
        .fleet(&[&BUNDLE_SIGNING[..], &["--json"]].concat())
        .ok()
        .json();
    assert_eq!(
        shown["certificateFile"],
        CERTIFICATE.replace("fleet", "./fleet")
    );
    assert_eq!(shown["version"], 1, "the key set stays");
    assert_ne!(read(&bench, CERTIFICATE), before[0]);
    signs_bundles(&bench);
    let kept = retired(&bench);
    assert_eq!(kept.len(), 2);
    assert!(kept.contains(&(before[0].clone(), 0o644)));
    assert!(kept.contains(&(before[1].clone(), 0o600)));
    bench.fleet(&BUNDLE_SIGNING).ok();
    assert_eq!(retired(&bench).len(), 4, "every pair is kept");
}

#[test]
fn a_bundle_certificate_needs_the_ca_s_key_from_wherever_it_is() {
    let bench = Bench::new();
    bench.fleet(&["keys", "init"]).ok();
    bench.fleet(&["keys", "init", "--dir", "other-keys"]).ok();
    let safe = bench.path("ca.key.pem");
    std::fs::rename(bench.path("fleet-keys/bundle-ca.key.pem"), safe).unwrap();
    let before = read(&bench, CERTIFICATE);
    let with = |key| [&BUNDLE_SIGNING[..], &["--ca-key", key]].concat();
    bench.fleet(&BUNDLE_SIGNING).fails(3, "the bundle CA's key");
    bench
        .fleet(&with("other-keys/bundle-ca.key.pem"))
        .fails(1, "the key is not the CA's");
    assert_eq!(read(&bench, CERTIFICATE), before);
    // The key of the leaf may be on a token.
    std::fs::remove_file(bench.path(CERTIFICATE_KEY)).unwrap();
    bench.fleet(&with("ca.key.pem")).ok();
    signs_bundles(&bench);
    std::fs::copy(
        bench.path("other-keys/keyring.pem"),
        bench.path("fleet-keys/keyring.pem"),
    )
    .unwrap();
    bench
        .fleet(&with("ca.key.pem"))
        .fails(4, "the bundle CA is not in");
    bench
        .fleet(&[&BUNDLE_SIGNING[..], &["--add", "1"]].concat())
        .fails_usage("cannot be used with");
}

#[test]
fn a_change_of_the_bundle_certificate_that_was_cut_off_is_completed() {
    let bench = Bench::new();
    bench.fleet(&["keys", "init"]).ok();
    let [old_certificate, old_key] = [CERTIFICATE, CERTIFICATE_KEY].map(|name| read(&bench, name));
    bench.fleet(&BUNDLE_SIGNING).ok();
    let [certificate, key] = [CERTIFICATE, CERTIFICATE_KEY].map(|name| read(&bench, name));
    let next = |kind: &str| bench.path(&format!("fleet-keys/bundle-signing.next.{kind}.pem"));
    let check = |is_key_in_force: bool| {
        std::fs::remove_dir_all(bench.path("fleet-keys/retired")).unwrap();
        std::fs::write(bench.path(CERTIFICATE), &old_certificate).unwrap();
        std::fs::write(next("cert"), &certificate).unwrap();
        if !is_key_in_force {
            std::fs::write(bench.path(CERTIFICATE_KEY), &old_key).unwrap();
            std::fs::write(next("key"), &key).unwrap();
        }
        let ran = bench.fleet(&BUNDLE_SIGNING).ok();
        assert!(ran.stderr.contains("had been cut off"), "{ran:?}");
        assert_eq!(read(&bench, CERTIFICATE), certificate);
        assert_eq!(read(&bench, CERTIFICATE_KEY), key);
        assert!(!next("key").exists() && !next("cert").exists());
        signs_bundles(&bench);
    };
    check(false);
    assert!(
        retired(&bench)
            .iter()
            .any(|(content, _)| *content == old_key)
    );
    check(true);
}
