//! Against a real control plane: login, publish, roll out, enrol; and how each refusal ends.

use crate::support::Bench;
use crate::support::network::BadNetwork;
use crate::support::plane::Plane;

fn bundle(plane: &Plane, version: &str, out: &str) {
    if !plane.bench.path("fleet-keys").exists() {
        plane.fleet_with_rauc(&["keys", "init"]).ok();
    }
    for (name, first) in [("root.img", 0u32), ("boot.img", 5000)] {
        let noise: Vec<u8> = (first..)
            .flat_map(|n| *fleet_protocol::Sha256::of(n.to_le_bytes()).as_bytes())
            .take(16 * 4096)
            .collect();
        std::fs::write(plane.bench.path(name), noise).unwrap();
    }
    let inputs = [
        "--rootfs",
        "root.img",
        "--boot",
        "boot.img",
        "--compatible",
        "fleet-test",
    ];
    let rest = ["--version", version, "--out", out];
    plane
        .fleet_with_rauc(&[&["bundle", "build"], &inputs[..], &rest[..]].concat())
        .ok();
}

const ROOT_HASH: &str = "abababababababababababababababababababababababababababababababab";

#[test]
fn a_release_is_published_once_whatever_is_repeated() {
    let plane = Plane::logged_in();
    bundle(&plane, "2.0.0", "f.raucb");
    let publish = [
        "release",
        "publish",
        "f.raucb",
        "--root-hash",
        ROOT_HASH,
        "--json",
    ];
    let first = plane.fleet_with_rauc(&publish).ok().json();
    assert_eq!(
        (&first["created"], &first["bundleUploaded"]),
        (&true.into(), &true.into())
    );
    assert_eq!(first["keySetsPublished"], serde_json::json!([1]));
    let again = plane.fleet_with_rauc(&publish).ok().json();
    assert_eq!(again["created"], false);
    plane
        .fleet_with_rauc(&[&publish[..5], &["--rollback-floor", "1.0.0"]].concat())
        .fails(4, "differs from this one");
    plane
        .fleet_with_rauc(&["release", "status", "2.0.0", "deprecated"])
        .ok();
    let list = plane
        .fleet_with_rauc(&["release", "list", "--json"])
        .ok()
        .json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["status"], "deprecated");
}

#[test]
fn a_release_signed_by_too_few_is_not_published_until_another_signs() {
    let plane = Plane::logged_in();
    bundle(&plane, "2.0.0", "f.raucb");
    let key = |n: u8| format!("fleet-keys/release-{n}.key.pem");
    plane
        .fleet_with_rauc(&[
            "release",
            "publish",
            "f.raucb",
            "--root-hash",
            ROOT_HASH,
            "--key",
            &key(1),
        ])
        .fails(4, "nothing was published");
    plane
        .fleet_with_rauc(&[
            "release",
            "sign",
            "f.raucb",
            "--root-hash",
            ROOT_HASH,
            "--key",
            &key(1),
        ])
        .ok();
    let with_file = [
        "release",
        "publish",
        "f.raucb",
        "--metadata",
        "2.0.0.release.json",
    ];
    plane
        .fleet_with_rauc(&with_file)
        .fails(4, "nothing was published");
    plane
        .fleet_with_rauc(&[
            "release",
            "sign",
            "--metadata",
            "2.0.0.release.json",
            "--key",
            &key(2),
        ])
        .ok();
    plane.fleet_with_rauc(&with_file).ok();
    bundle(&plane, "2.0.1", "other.raucb");
    plane
        .fleet_with_rauc(&[
            "release",
            "publish",
            "other.raucb",
            "--metadata",
            "2.0.0.release.json",
        ])
        .fails(4, "not the bundle that was signed");
}

#[test]
fn an_enrolment_file_is_the_owners_and_is_not_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let plane = Plane::logged_in();
    let enrolled = plane
        .fleet_with_rauc(&["device", "enrol", "--name", "kiosk", "--json"])
        .ok();
    let path = plane.bench.path("provision.json");
    let file: fleet_protocol::enrolment::ProvisionFile =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(!enrolled.stdout.contains(&file.enrolment_token));
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    plane
        .fleet_with_rauc(&["device", "enrol"])
        .fails(4, "exists already");
}

#[test]
fn key_sets_follow_a_rotation_and_another_fleets_are_refused() {
    let plane = Plane::logged_in();
    plane.fleet_with_rauc(&["keys", "init"]).ok();
    plane.fleet_with_rauc(&["keys", "publish"]).ok();
    plane
        .fleet_with_rauc(&["keys", "rotate", "--replace", "release-2"])
        .ok();
    let sent = plane
        .fleet_with_rauc(&["keys", "publish", "--json"])
        .ok()
        .json();
    assert_eq!(sent["published"], serde_json::json!([2]));
    plane
        .fleet_with_rauc(&["keys", "init", "--dir", "other"])
        .ok();
    plane
        .fleet_with_rauc(&["keys", "publish", "--dir", "other"])
        .fails(4, "another key set 1");
}

#[test]
fn what_does_not_exist_is_not_found() {
    let plane = Plane::logged_in();
    plane
        .fleet_with_rauc(&["device", "show", "nobody"])
        .fails(3, "nobody");
    plane
        .fleet_with_rauc(&["rollout", "start", "9.0.0"])
        .fails(3, "9.0.0");
    plane
        .fleet_with_rauc(&["rollout", "status", "rol_none"])
        .fails(3, "rol_none");
    plane
        .fleet_with_rauc(&["rollout", "why", "dev_none"])
        .fails(3, "dev_none");
    plane
        .fleet_with_rauc(&["rollout", "status", "--watch"])
        .fails(3, "no rollout");
}

#[test]
fn a_wrong_token_a_foreign_ca_and_a_stopped_server_each_have_their_exit_code() {
    let mut plane = Plane::logged_in();
    std::fs::write(plane.bench.path("token"), "x".repeat(64)).unwrap();
    plane
        .fleet_with_rauc(&["device", "list", "--token-file", "token"])
        .fails(6, "");
    plane.fleet_with_rauc(&["keys", "init"]).ok();
    plane
        .fleet_with_rauc(&["device", "list", "--ca", "fleet-keys/keyring.pem"])
        .fails(5, "pinned CA");
    plane.stop();
    plane
        .fleet_with_rauc(&["device", "list"])
        .fails(5, "cannot reach");
    plane
        .fleet_with_rauc(&["device", "list", "--json"])
        .fails_json(5);
}

#[test]
fn without_a_login_the_hint_says_how() {
    let bench = Bench::new();
    bench.fleet(&["device", "list"]).fails(2, "fleet login");
    bench
        .fleet(&["login", "--data", "nowhere"])
        .fails(3, "nowhere");
}

#[test]
fn an_upload_whose_connection_is_cut_goes_on_where_it_was() {
    let plane = Plane::logged_in();
    bundle(&plane, "2.0.0", "f.raucb");
    let size = std::fs::metadata(plane.bench.path("f.raucb"))
        .unwrap()
        .len();
    // Cut three times, each after a quarter.
    let network = BadNetwork::before(plane.address(), 3, size / 4);
    let server = format!("https://{}", network.address);
    let publish = ["release", "publish", "f.raucb", "--root-hash", ROOT_HASH];
    let ran = plane
        .fleet_with_rauc(&[&publish[..], &["--server", &server]].concat())
        .ok();
    assert_eq!(network.cuts(), 3);
    assert!(ran.stderr.contains("going on with it"), "{ran:?}");
    let carried = network.carried();
    assert!(carried < size * 2, "{carried} bytes for {size}");
    let list = plane
        .fleet_with_rauc(&["release", "list", "--json"])
        .ok()
        .json();
    assert_eq!(list["items"][0]["version"], "2.0.0");
}

#[test]
fn arguments_that_make_no_sense_are_told_as_json_too() {
    let bench = Bench::new();
    let ran = bench.fleet(&["release", "lsit", "--json"]).fails_json(2);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "usage");
    let plain = bench.fleet(&["release", "lsit"]);
    assert_eq!(plain.code, 2);
    assert!(plain.stderr.contains("Usage: fleet release"), "{plain:?}");
    let help = bench.fleet(&["--json", "--help"]).ok();
    assert!(help.stdout.contains("Exit codes:"), "{help:?}");
}
