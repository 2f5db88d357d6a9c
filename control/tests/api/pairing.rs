//! A screen that nobody knows, and whoever claims it.

use jiff::SignedDuration;
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::world::{Answer, World};

const START: &str = "/v1/devices/pairing/start";
const CLAIM: &str = "/v1/venues/ven_default/devices/pairing/claim";

fn start(world: &World) -> Value {
    let request = json!({"hardware": "Raspberry Pi 4", "serialNumber": "10000000a1b2c3d4"});
    world
        .anyone("POST", START, &[], request.to_string().as_bytes())
        .ok()
}

fn status(world: &World, started: &Value) -> Answer {
    let token = format!("Bearer {}", started["pairingToken"].as_str().unwrap());
    let headers = [("authorization", token.as_str())];
    world.anyone("GET", "/v1/devices/pairing/status", &headers, b"")
}

fn claim(world: &World, path: &str, code: &str) -> Answer {
    let request = json!({"pairingCode": code, "deviceName": "window", "role": "kiosk"});
    world.post(path, &request)
}

#[test]
fn a_device_joins_the_venue_of_whoever_claims_its_code() {
    let world = World::new();
    let venue = json!({"name": "Bar", "timezone": "UTC"});
    let venue = world.post("/v1/tenants/ten_default/venues", &venue).ok();
    let venue = venue["venueId"].as_str().unwrap();
    let started = start(&world);
    assert_eq!(status(&world, &started).ok()["status"], "PENDING");
    let token = started["pairingToken"].as_str().unwrap();
    let key = KeyPair::generate().unwrap();
    world
        .enrol_with(token, &key)
        .refused(401, "ENROLMENT_TOKEN_UNKNOWN");

    let path = format!("/v1/venues/{venue}/devices/pairing/claim");
    let typed = started["pairingCode"].as_str().unwrap().to_lowercase();
    let claimed = claim(&world, &path, &typed.replace('-', " ")).ok();
    assert_eq!(claimed["hardware"], "Raspberry Pi 4");
    assert_eq!(claimed["serialNumber"], "10000000a1b2c3d4");
    let state = status(&world, &started).ok();
    assert_eq!(
        (&state["status"], &state["role"]),
        (&json!("CLAIMED"), &json!("kiosk"))
    );
    // A code counts once.
    claim(&world, &path, &typed).refused(404, "NOT_FOUND");

    let enrolled = world.enrol_with(token, &key).ok();
    assert_eq!(status(&world, &started).ok()["status"], "COMPLETED");
    let device = world.get(&format!(
        "/v1/devices/{}",
        enrolled["deviceId"].as_str().unwrap()
    ));
    let device = device.ok();
    assert_eq!(
        (&device["name"], &device["venueId"]),
        (&json!("window"), &json!(venue))
    );
    let other = KeyPair::generate().unwrap();
    world
        .enrol_with(token, &other)
        .refused(403, "ENROLMENT_REFUSED");
}

#[test]
fn a_device_that_is_known_comes_to_the_venue_that_claims_it_and_leaves_its_groups() {
    let world = World::new();
    let token = world.enrolment_token(&json!({"deviceName": "lobby"}));
    let key = KeyPair::generate().unwrap();
    let device = world.enrol_with(&token, &key).ok();
    let id = device["deviceId"].as_str().unwrap();
    let group = json!({"name": "all", "deviceIds": [id]});
    world.post("/v1/venues/ven_default/groups", &group).ok();
    let venue = json!({"name": "Bar", "timezone": "UTC"});
    let venue = world.post("/v1/tenants/ten_default/venues", &venue).ok();
    let venue = venue["venueId"].as_str().unwrap();
    let started = start(&world);
    let path = format!("/v1/venues/{venue}/devices/pairing/claim");
    claim(&world, &path, started["pairingCode"].as_str().unwrap()).ok();
    let pairing = started["pairingToken"].as_str().unwrap();
    world.enrol_with(pairing, &key).ok();
    let device = world.get(&format!("/v1/devices/{id}")).ok();
    assert_eq!(
        (&device["name"], &device["venueId"]),
        (&json!("lobby"), &json!(venue))
    );
    let groups = world.get("/v1/venues/ven_default/groups").ok();
    assert_eq!(groups["items"][0]["deviceIds"], json!([]));
}

#[test]
fn a_code_is_worthless_after_a_quarter_of_an_hour() {
    let world = World::new();
    let started = start(&world);
    world.pass(SignedDuration::from_mins(15));
    assert_eq!(status(&world, &started).ok()["status"], "EXPIRED");
    let code = started["pairingCode"].as_str().unwrap();
    claim(&world, CLAIM, code).refused(404, "NOT_FOUND");
    // It is forgotten when the next one begins.
    start(&world);
    status(&world, &started).refused(401, "PAIRING_UNKNOWN");
}

#[test]
fn nobody_fills_the_control_plane_with_codes_or_guesses_their_secrets() {
    let world = World::new();
    for _ in 0..200 {
        start(&world);
    }
    let request = json!({"hardware": "QEMU"}).to_string();
    world
        .anyone("POST", START, &[], request.as_bytes())
        .refused(429, "TOO_MANY_PAIRINGS");
    let nameless = json!({"hardware": ""}).to_string();
    let refused = world.anyone("POST", START, &[], nameless.as_bytes());
    let refused = refused.refused(422, "VALIDATION_FAILED");
    assert_eq!(refused["errors"][0]["field"], "hardware");
    let typo = world.post(CLAIM, &json!({"pairingCode": "K7QF-2MX0"}));
    let typo = typo.refused(422, "VALIDATION_FAILED");
    assert_eq!(typo["errors"][0]["field"], "pairingCode");
    // Whoever asks about a code that is over has guessed nothing.
    let guess = json!({"pairingToken": "guess"});
    for _ in 0..30 {
        status(&world, &guess).refused(401, "PAIRING_UNKNOWN");
    }
}

#[test]
fn a_code_is_for_the_organisation_alone_whose_file_the_device_has() {
    let world = World::new();
    let request = json!({"hardware": "QEMU", "tenantId": "ten_other"}).to_string();
    let started = world.anyone("POST", START, &[], request.as_bytes()).ok();
    let code = started["pairingCode"].as_str().unwrap();
    claim(&world, CLAIM, code).refused(404, "NOT_FOUND");
    assert_eq!(status(&world, &started).ok()["status"], "PENDING");
}

#[test]
fn the_file_for_devices_that_are_to_be_paired_holds_no_secret() {
    let world = World::new();
    let file = world.get("/v1/pairing-file").ok();
    assert_eq!(
        (&file["pairing"], &file["enrolmentToken"]),
        (&json!(true), &json!(""))
    );
    assert_eq!(file["tenantId"], "ten_default");
    assert!(file["serverUrl"].as_str().unwrap().starts_with("https://"));
}

#[test]
fn a_claim_is_taken_back_until_its_device_has_joined() {
    let world = World::new();
    let started = start(&world);
    let code = started["pairingCode"].as_str().unwrap();
    let claimed = claim(&world, CLAIM, code).ok();
    let token = claimed["tokenId"].as_str().unwrap();
    let back = |venue: &str, token: &str| {
        let path = format!("/v1/venues/{venue}/devices/pairing/claims/{token}");
        world.operator_raw("DELETE", &path, b"")
    };
    let bar = json!({"name": "Bar", "timezone": "UTC"});
    let bar = world.post("/v1/tenants/ten_default/venues", &bar).ok();
    back(bar["venueId"].as_str().unwrap(), token).refused(404, "NOT_FOUND");
    assert_eq!(status(&world, &started).ok()["status"], "CLAIMED");
    back("ven_default", token).ok();
    // The device asks for another code.
    assert_eq!(status(&world, &started).ok()["status"], "EXPIRED");
    let secret = started["pairingToken"].as_str().unwrap();
    let key = KeyPair::generate().unwrap();
    let late = world.enrol_with(secret, &key);
    late.refused(403, "ENROLMENT_REFUSED");
    back("ven_default", token).ok();

    let started = start(&world);
    let code = started["pairingCode"].as_str().unwrap();
    let claimed = claim(&world, CLAIM, code).ok();
    let secret = started["pairingToken"].as_str().unwrap();
    world.enrol_with(secret, &key).ok();
    let late = back("ven_default", claimed["tokenId"].as_str().unwrap());
    let problem = late.refused(409, "TOKEN_USED_UP");
    assert!(
        problem["hint"]
            .as_str()
            .unwrap()
            .contains("fleet device remove")
    );
}
