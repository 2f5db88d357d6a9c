use fleet_control::app::Settings;
use fleet_protocol::enrolment::{CertificateRenewed, EnrollResponse};
use jiff::SignedDuration;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use crate::world::World;

#[test]
fn a_device_enrols_once_with_a_token_and_is_then_known() {
    let world = World::new();
    let device = world.device("lobby");
    assert!(device.id.starts_with("dev_") && device.id.len() == 24);
    assert_eq!(device.token.len(), 64);
    assert_eq!(
        device.get(&world, "/v1/device/target").ok()["generation"],
        1
    );
    let listed = world.get("/v1/devices").ok();
    assert_eq!(listed["items"][0]["name"], "lobby");
    assert_eq!(listed["items"][0]["online"], false);
}

#[test]
fn a_one_time_token_is_good_once() {
    let world = World::new();
    let token = world.enrolment_token(&json!({}));
    world.enrol_with(&token, &KeyPair::generate().unwrap()).ok();
    let again = world.enrol_with(&token, &KeyPair::generate().unwrap());
    again.refused(403, "ENROLMENT_REFUSED");
}

#[test]
fn an_expired_token_is_refused() {
    let world = World::new();
    let token = world.enrolment_token(&json!({"validHours": 1}));
    world.pass(SignedDuration::from_hours(1));
    let late = world.enrol_with(&token, &KeyPair::generate().unwrap());
    late.refused(403, "ENROLMENT_REFUSED");
}

#[test]
fn the_same_key_enrols_as_the_same_device_with_new_credentials() {
    let world = World::new();
    let token = world.enrolment_token(&json!({"maxUses": 2, "deviceName": "hall"}));
    let key = KeyPair::generate().unwrap();
    let first = world.enrol_with(&token, &key).ok();
    let second = world.enrol_with(&token, &key).ok();
    assert_eq!(first["deviceId"], second["deviceId"]);
    assert_ne!(first["deviceToken"], second["deviceToken"]);
    let devices = world.get("/v1/devices").ok();
    assert_eq!(devices["items"].as_array().unwrap().len(), 1);
    let old = world.device_of(key, serde_json::from_value(first).unwrap());
    old.get(&world, "/v1/device/target")
        .refused(401, "UNAUTHENTICATED");
}

#[test]
fn the_requested_subject_is_ignored() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["fleet-control".to_owned()]).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "dev_somebodyelse");
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    let mut request = World::enrol_request(&world.enrolment_token(&json!({})), &key);
    request["csrPem"] = csr.into();
    let enrolled = world
        .anyone("POST", "/v1/enroll", &[], request.to_string().as_bytes())
        .ok();
    let device = world.device_of(key, serde_json::from_value(enrolled).unwrap());
    device.get(&world, "/v1/device/target").ok();
}

#[test]
fn a_request_signed_by_another_key_is_refused() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    let mut der = csr.der().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    let mut request = World::enrol_request(&world.enrolment_token(&json!({})), &key);
    request["csrPem"] = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", der)).into();
    let answer = world.anyone("POST", "/v1/enroll", &[], request.to_string().as_bytes());
    let problem = answer.refused(422, "VALIDATION_FAILED");
    assert_eq!(problem["errors"][0]["field"], "csrPem");
}

#[test]
fn certificate_and_token_have_to_be_of_one_device() {
    let world = World::new();
    let (one, other) = (world.device("one"), world.device("other"));
    for token in [None, Some(other.token.as_str()), Some("nonsense")] {
        one.without_token(&world, "/v1/device/target", token)
            .refused(401, "UNAUTHENTICATED");
    }
    let stolen = [("x-device-token", one.token.as_str())];
    world
        .anyone("GET", "/v1/device/target", &stolen, b"")
        .refused(401, "UNAUTHENTICATED");
}

#[test]
fn a_revoked_device_is_out_until_it_is_restored() {
    let world = World::new();
    let device = world.device("lobby");
    let path = format!("/v1/devices/{}", device.id);
    world.operator_raw("DELETE", &path, b"").ok();
    device
        .get(&world, "/v1/device/target")
        .refused(401, "UNAUTHENTICATED");
    let token = world.enrolment_token(&json!({}));
    world
        .enrol_with(&token, &device.key)
        .refused(403, "ENROLMENT_REFUSED");
    world.post(&format!("{path}/restore"), &json!({})).ok();
    device.get(&world, "/v1/device/target").ok();
}

#[test]
fn a_revoked_token_lets_no_more_devices_in() {
    let world = World::new();
    let request = json!({"maxUses": 2, "deviceName": "hall"});
    let token = world.enrolment_token(&request);
    world.enrol_with(&token, &KeyPair::generate().unwrap()).ok();
    let listed = world.get("/v1/enrolment-tokens").ok();
    let id = listed["items"][0]["tokenId"].as_str().unwrap();
    let path = format!("/v1/enrolment-tokens/{id}");
    world.operator_raw("DELETE", &path, b"").ok();
    world.operator_raw("DELETE", &path, b"").ok();
    world
        .enrol_with(&token, &KeyPair::generate().unwrap())
        .refused(403, "ENROLMENT_REFUSED");
    world
        .operator_raw("DELETE", "/v1/enrolment-tokens/tok_none", b"")
        .refused(404, "NOT_FOUND");
    let listed = world.get("/v1/enrolment-tokens").ok();
    assert_eq!(listed["items"][0]["used"], 1);
    assert_eq!(listed["items"][0]["expiresAt"], json!(world.now()));
}

#[test]
fn a_certificate_is_renewed_for_the_same_key_alone() {
    let world = World::new();
    let device = world.device("lobby");
    let csr = |key: &KeyPair| {
        let csr = CertificateParams::default().serialize_request(key).unwrap();
        json!({"csrPem": csr.pem().unwrap()})
    };
    let path = "/v1/device/certificate";
    let renewed = device.send(&world, "POST", path, &csr(&device.key)).ok();
    assert!(
        renewed["certificatePem"]
            .as_str()
            .unwrap()
            .contains("BEGIN CERTIFICATE")
    );
    let foreign = csr(&KeyPair::generate().unwrap());
    device
        .send(&world, "POST", path, &foreign)
        .refused(422, "VALIDATION_FAILED");
}

#[test]
fn the_old_certificate_and_the_renewed_one_both_work_until_they_end() {
    let world = World::new();
    let device = world.device("lobby");
    let params = CertificateParams::default();
    let csr = params.serialize_request(&device.key).unwrap();
    let request = json!({"csrPem": csr.pem().unwrap()});
    let path = "/v1/device/certificate";
    // Asked twice, as by a device that lost the first answer.
    device.send(&world, "POST", path, &request).ok();
    let renewed = device.send(&world, "POST", path, &request).ok();
    let renewed: CertificateRenewed = serde_json::from_value(renewed).unwrap();
    let left = renewed.not_after.duration_since(renewed.server_time);
    assert_eq!(left.as_hours(), 90 * 24);
    let (id, token) = (device.id.clone(), device.token.clone());
    device.get(&world, "/v1/device/target").ok();
    let key = KeyPair::from_pem(&device.key.serialize_pem()).unwrap();
    let again = EnrollResponse {
        device_id: id.parse().unwrap(),
        tenant_id: "ten_default".parse().unwrap(),
        certificate_pem: renewed.certificate_pem,
        device_token: token,
        server_time: renewed.server_time,
    };
    let with_new = world.device_of(key, again);
    with_new.get(&world, "/v1/device/target").ok();
    with_new.send(&world, "POST", path, &request).ok();
    device.get(&world, "/v1/device/target").ok();
}

#[test]
fn whoever_guesses_tokens_has_to_wait() {
    let world = World::with(Settings {
        max_failures: 3,
        ..Settings::default()
    });
    let key = KeyPair::generate().unwrap();
    for _ in 0..3 {
        world
            .enrol_with("guess", &key)
            .refused(401, "ENROLMENT_TOKEN_UNKNOWN");
    }
    let waits = world
        .enrol_with("guess", &key)
        .refused(429, "TOO_MANY_FAILURES");
    assert!(waits["retryAfterSeconds"].as_u64().unwrap() > 0);
    world.pass(SignedDuration::from_mins(11));
    world
        .enrol_with("guess", &key)
        .refused(401, "ENROLMENT_TOKEN_UNKNOWN");
}
