//! The record of who did what.

use serde_json::{Value, json};

use crate::world::World;

fn entries(world: &World, query: &str) -> Vec<Value> {
    let page = world.get(&format!("/v1/audit?{query}")).ok();
    page["items"].as_array().unwrap().clone()
}

#[test]
fn what_is_done_refused_or_tried_is_recorded_with_who_and_what() {
    let world = World::new();
    world.person("anna", &json!({}));
    let tokens = world.session("anna");
    let wrong = json!({"email": "anna@example.com", "password": "not hers at all"});
    world.log_in(&wrong).refused(401, "BAD_CREDENTIALS");
    world
        .asks(&tokens, "POST", "/v1/enrolment-tokens", &json!({}))
        .refused(403, "FORBIDDEN");
    let device = world.device("lobby");
    world.get("/v1/devices").ok();

    let seen: Vec<_> = entries(&world, "")
        .iter()
        .map(|e| {
            let text = |name: &str| e[name].as_str().unwrap().to_owned();
            (
                text("actor"),
                text("action"),
                text("outcome"),
                e["status"].as_u64().unwrap(),
            )
        })
        .collect();
    let row = |actor: &str, action: &str, outcome: &str, status: u64| {
        (
            actor.to_owned(),
            action.to_owned(),
            outcome.to_owned(),
            status,
        )
    };
    let users = "POST /v1/tenants/{tenant_id}/users";
    assert_eq!(
        seen,
        [
            row("enrolment", "POST /v1/enroll", "DONE", 201),
            row("admin", "POST /v1/enrolment-tokens", "DONE", 201),
            row(
                "anna@example.com",
                "POST /v1/enrolment-tokens",
                "REFUSED",
                403
            ),
            row("anna@example.com", "POST /v1/auth/login", "REFUSED", 401),
            row("anna@example.com", "POST /v1/auth/login", "DONE", 200),
            row("anna@example.com", "POST /v1/auth/accept", "DONE", 204),
            row("admin", users, "DONE", 201),
        ],
        "newest first, and what only reads is not there"
    );
    let device = format!("/v1/devices/{}", device.id);
    world.operator_raw("DELETE", &device, b"").ok();
    assert_eq!(entries(&world, "limit=1")[0]["subject"], device);
    assert_eq!(entries(&world, "q=ANNA").len(), 4);
    let page = world.get("/v1/audit?limit=2").ok();
    let cursor = page["nextCursor"].as_str().unwrap();
    let next = entries(&world, &format!("limit=2&cursor={cursor}"));
    assert_eq!(
        next[0]["sequence"].as_u64().unwrap(),
        page["items"][1]["sequence"].as_u64().unwrap() - 1
    );
}

#[test]
fn the_chain_holds_and_its_export_is_checked_anywhere() {
    use fleet_protocol::Sha256;
    use fleet_protocol::access::AuditEntry;

    let world = World::new();
    for _ in 0..3 {
        world.enrolment_token(&json!({}));
    }
    let check = world.get("/v1/audit/check").ok();
    assert_eq!(
        (check["entries"].as_u64(), check.get("brokenAt")),
        (Some(3), None)
    );
    let export = world.get("/v1/audit/export").ok();
    let lines: Vec<AuditEntry> = export
        .as_str()
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (mut sequence, mut hash) = (0, Sha256::from_bytes([0; 32]));
    for entry in &lines {
        assert!(entry.follows(sequence, &hash), "{entry:?}");
        (sequence, hash) = (entry.sequence, entry.hash.unwrap());
    }
    assert_eq!((sequence, json!(hash)), (3, check["head"].clone()));
}
