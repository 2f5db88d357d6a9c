//! Bundles and offline signing, with the real `rauc`.

use fleet_protocol::trust::{Envelope, TrustedKeys, VerifiedRelease};

use crate::support::{Bench, Ran};

/// Bytes that no compression shrinks, always the same ones.
fn noise(length: usize) -> Vec<u8> {
    (0u32..)
        .flat_map(|n| *fleet_protocol::Sha256::of(n.to_le_bytes()).as_bytes())
        .take(length)
        .collect()
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.fleet(&["keys", "init"]).ok();
    std::fs::write(bench.path("root.img"), noise(64 * 4096)).unwrap();
    std::fs::write(bench.path("boot.img"), noise(16 * 4096)).unwrap();
    bench
}

fn build(bench: &Bench, out: &str) -> Ran {
    bench.fleet_with_rauc(&[
        "bundle",
        "build",
        "--rootfs",
        "root.img",
        "--boot",
        "boot.img",
        "--version",
        "2.0.0",
        "--compatible",
        "fleet-test",
        "--out",
        out,
        "--json",
    ])
}

#[test]
fn a_bundle_is_verity_signed_adaptive_and_leaves_nothing_else_behind() {
    let bench = bench();
    let view = build(&bench, "f.raucb").ok().json();
    assert_eq!(view["format"], "verity");
    assert_eq!(view["signatureVerified"], true);
    assert_eq!(view["version"], "2.0.0");
    for image in view["images"].as_array().unwrap() {
        assert_eq!(image["adaptive"][0], "block-hash-index");
    }
    let bytes = std::fs::read(bench.path("f.raucb")).unwrap();
    assert_eq!(
        view["sha256"],
        fleet_protocol::Sha256::of(bytes).to_string()
    );
    let inspected = bench
        .fleet_with_rauc(&["bundle", "inspect", "f.raucb", "--json"])
        .ok()
        .json();
    assert_eq!(inspected["manifestSha256"], view["manifestSha256"]);
    let hidden = std::fs::read_dir(bench.dir.path())
        .unwrap()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0);
    build(&bench, "f.raucb").fails_json(4);
}

#[test]
fn rauc_accepts_the_signature_for_code_signing_too() {
    let bench = bench();
    build(&bench, "f.raucb").ok();
    bench.tool(
        "rauc",
        &[
            "-C",
            "keyring:check-purpose=codesign",
            "--keyring=fleet-keys/keyring.pem",
            "info",
            "f.raucb",
        ],
    );
    bench.tool(
        "rauc",
        &["--keyring=fleet-keys/keyring.pem", "info", "f.raucb"],
    );
}

#[test]
fn a_bundle_of_another_fleet_is_refused_until_it_is_signed_anew() {
    let bench = bench();
    build(&bench, "f.raucb").ok();
    bench.fleet(&["keys", "init", "--dir", "other-keys"]).ok();
    let inspect = ["bundle", "inspect", "--keyring", "other-keys/keyring.pem"];
    bench
        .fleet_with_rauc(&[&inspect[..], &["f.raucb"]].concat())
        .fails(1, "rauc could not read the bundle");
    bench
        .fleet_with_rauc(&[
            "bundle",
            "sign",
            "f.raucb",
            "--out",
            "g.raucb",
            "--keys",
            "other-keys",
            "--old-keyring",
            "fleet-keys/keyring.pem",
        ])
        .ok();
    bench
        .fleet_with_rauc(&[&inspect[..], &["g.raucb"]].concat())
        .ok();
}

#[test]
fn after_the_bundle_certificate_was_replaced_the_same_keyring_takes_old_and_new_bundles() {
    let bench = bench();
    build(&bench, "f.raucb").ok();
    bench.fleet(&["keys", "rotate", "--bundle-signing"]).ok();
    let view = build(&bench, "g.raucb").ok().json();
    assert_eq!(view["signatureVerified"], true);
    for bundle in ["f.raucb", "g.raucb"] {
        for purpose in ["smimesign", "codesign"] {
            let purpose = format!("keyring:check-purpose={purpose}");
            let keyring = "--keyring=fleet-keys/keyring.pem";
            bench.tool("rauc", &["-C", &purpose, keyring, "info", bundle]);
        }
    }
}

#[test]
fn a_damaged_or_truncated_bundle_is_refused() {
    let bench = bench();
    build(&bench, "f.raucb").ok();
    let bytes = std::fs::read(bench.path("f.raucb")).unwrap();
    std::fs::write(bench.path("short.raucb"), &bytes[..bytes.len() / 2]).unwrap();
    bench
        .fleet_with_rauc(&["bundle", "inspect", "short.raucb"])
        .fails(1, "rauc could not");
    bench
        .fleet_with_rauc(&["bundle", "inspect", "none.raucb"])
        .fails(3, "none.raucb");
}

#[test]
fn an_image_of_odd_size_is_refused_before_rauc_runs() {
    let bench = bench();
    std::fs::write(bench.path("root.img"), noise(5000)).unwrap();
    assert_eq!(build(&bench, "f.raucb").code, 1);
    assert!(!bench.path("f.raucb").exists());
}

#[test]
fn without_rauc_or_with_an_old_one_the_hint_says_where_to_get_it() {
    let bench = bench();
    bench
        .fleet(&[
            "bundle",
            "inspect",
            "f.raucb",
            "--rauc",
            "/nonexistent/rauc",
        ])
        .fails(1, "cannot start");
    let old = bench.path("old-rauc");
    std::fs::write(&old, "#!/bin/sh\necho rauc 1.8\n").unwrap();
    std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bench
        .fleet(&["bundle", "inspect", "f.raucb", "--rauc", "./old-rauc"])
        .fails(1, "at least 1.9");
}

#[test]
fn key_holders_sign_in_turn_until_devices_believe_the_release() {
    let bench = bench();
    build(&bench, "f.raucb").ok();
    let hash = "ab".repeat(32);
    let first = bench
        .fleet_with_rauc(&[
            "release",
            "sign",
            "f.raucb",
            "--root-hash",
            &hash,
            "--key",
            "fleet-keys/release-1.key.pem",
            "--json",
        ])
        .ok()
        .json();
    assert_eq!(first["complete"], false);
    let trusted = |bench: &Bench| {
        let keys: Envelope =
            serde_json::from_slice(&std::fs::read(bench.path("fleet-keys/keyset.json")).unwrap())
                .unwrap();
        let release: Envelope =
            serde_json::from_slice(&std::fs::read(bench.path("2.0.0.release.json")).unwrap())
                .unwrap();
        VerifiedRelease::verify(&release, &TrustedKeys::from_image(&keys).unwrap())
    };
    assert!(trusted(&bench).is_err());
    // The second holder has a key, and nothing else.
    bench
        .fleet(&[
            "release",
            "sign",
            "--metadata",
            "2.0.0.release.json",
            "--keys",
            "nowhere",
            "--key",
            "fleet-keys/release-3.key.pem",
        ])
        .ok();
    let release = trusted(&bench).unwrap();
    assert_eq!(release.metadata().root_hash.to_string(), hash);
    assert_eq!(release.metadata().version.to_string(), "2.0.0");
}

#[test]
fn a_release_is_not_signed_by_strangers_nor_over_another_file() {
    let bench = bench();
    build(&bench, "f.raucb").ok();
    bench.fleet(&["keys", "init", "--dir", "other-keys"]).ok();
    let hash = "ab".repeat(32);
    bench
        .fleet_with_rauc(&[
            "release",
            "sign",
            "f.raucb",
            "--root-hash",
            &hash,
            "--key",
            "other-keys/release-1.key.pem",
        ])
        .fails(3, "no release key here");
    bench
        .fleet(&["release", "sign", "--metadata", "fleet-keys/keyset.json"])
        .fails(1, "no release file");
    bench
        .fleet_with_rauc(&["release", "sign", "f.raucb"])
        .fails(2, "root hash is missing");
}
