use fleet_protocol::Sha256;
use fleet_protocol::trust::Envelope;
use serde_json::json;

use crate::world::{World, key_set, key_set_of, release, signed, signing_key};

#[test]
fn a_release_needs_its_bundle_and_never_changes() {
    let world = World::new();
    let metadata = release("2.0.0", b"bundle");
    let envelope = signed(metadata.to_envelope());
    let request = json!({"metadata": envelope, "status": "draft"});
    world
        .post("/v1/releases", &request)
        .refused(409, "BUNDLE_MISSING");
    let path = format!("/v1/bundles/{}", Sha256::of("bundle"));
    world.operator_raw("PUT", &path, b"bundle").ok();
    assert_eq!(
        world.post("/v1/releases", &request).ok()["version"],
        "2.0.0"
    );
    world.post("/v1/releases", &request).ok();
    let mut other = metadata;
    other.notes = "changed".to_owned();
    let changed = json!({"metadata": signed(other.to_envelope()), "status": "draft"});
    world
        .post("/v1/releases", &changed)
        .refused(409, "RELEASE_EXISTS");
}

#[test]
fn what_is_no_release_is_refused() {
    let world = World::new();
    let nonsense = Envelope::unsigned("text/plain", b"hello".to_vec());
    let problem = world.post(
        "/v1/releases",
        &json!({"metadata": nonsense, "status": "stable"}),
    );
    let problem = problem.refused(422, "VALIDATION_FAILED");
    assert_eq!(problem["errors"][0]["field"], "metadata.payloadType");
}

#[test]
fn a_release_that_the_newest_key_set_does_not_verify_is_refused() {
    let world = World::new();
    world
        .operator_raw(
            "PUT",
            &format!("/v1/bundles/{}", Sha256::of("bundle")),
            b"bundle",
        )
        .ok();
    let publish = |version: &str, signers: &[u8]| {
        let mut envelope = release(version, b"bundle").to_envelope();
        for signer in signers {
            envelope.sign(&signing_key(*signer));
        }
        world.post(
            "/v1/releases",
            &json!({"metadata": envelope, "status": "stable"}),
        )
    };
    let refused = |answer: crate::world::Answer, hint: &str| {
        let problem = answer.refused(422, "VALIDATION_FAILED");
        assert_eq!(problem["errors"][0]["field"], "metadata.signatures");
        assert!(
            problem["hint"].as_str().unwrap().contains(hint),
            "{problem}"
        );
    };
    refused(publish("2.0.0", &[]), "fleet release sign");
    publish("2.0.0", &[7]).ok();
    let add = |set| world.post("/v1/keysets", &json!(set)).ok();
    add(key_set(1, &[1]));
    refused(publish("2.0.1", &[7]), "fleet keys publish");
    publish("2.0.1", &[1]).ok();
    add(key_set_of(2, 3, &[1, 3]));
    refused(publish("2.0.2", &[1]), "fleet keys publish");
    publish("2.0.2", &[3]).ok();
    // What is here already stays, whoever signed it.
    publish("2.0.1", &[1]).ok();
}

#[test]
fn a_release_that_has_expired_or_takes_anothers_version_is_refused() {
    let world = World::new();
    world.publish("2.0.0");
    let post = |metadata: &fleet_protocol::trust::ReleaseMetadata| {
        let envelope = signed(metadata.to_envelope());
        world.post(
            "/v1/releases",
            &json!({"metadata": envelope, "status": "stable"}),
        )
    };
    let mut expired = release("2.0.1", b"bundle");
    expired.not_after = world.now();
    let problem = post(&expired).refused(422, "VALIDATION_FAILED");
    assert_eq!(problem["errors"][0]["field"], "metadata.notAfter");
    let mut elsewhere = release("2.0.0", b"bundle");
    elsewhere.compatible = "another-board".parse().unwrap();
    let problem = post(&elsewhere).refused(409, "RELEASE_EXISTS");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("fleet-qemux86-64")
    );
}

#[test]
fn a_draft_can_not_be_rolled_out_and_a_running_release_not_withdrawn() {
    let world = World::new();
    world.device("lobby");
    world.publish("2.0.0");
    let status = "/v1/releases/2.0.0/status";
    world.post(status, &json!({"status": "draft"})).ok();
    let start = json!({"version": "2.0.0"});
    world
        .post("/v1/rollouts", &start)
        .refused(409, "RELEASE_NOT_READY");
    world.post(status, &json!({"status": "beta"})).ok();
    world.post("/v1/rollouts", &start).ok();
    world
        .post(status, &json!({"status": "draft"}))
        .refused(409, "ROLLOUT_GOING_ON");
    world.post(status, &json!({"status": "deprecated"})).ok();
    world
        .post("/v1/releases/9.9.9/status", &json!({"status": "beta"}))
        .refused(404, "NOT_FOUND");
}

#[test]
fn key_sets_form_a_chain_that_devices_get_beyond_the_first() {
    let world = World::new();
    let device = world.device("lobby");
    let post = |envelope: &Envelope| world.post("/v1/keysets", &json!(envelope));
    let (first, second) = (key_set(1, &[1]), key_set(2, &[1]));
    post(&key_set(1, &[2])).refused(422, "VALIDATION_FAILED");
    post(&first).ok();
    post(&first).ok();
    post(&key_set(3, &[1])).refused(422, "VALIDATION_FAILED");
    post(&second).ok();
    assert_eq!(
        world.get("/v1/keysets").ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let target = device.get(&world, "/v1/device/target").ok();
    assert_eq!(target["keySets"], json!([second]));
}
