//! Every route with every kind of caller. A route without a row here fails the test.

use std::collections::BTreeSet;

use fleet_control::api::{Audience, routes};
use fleet_protocol::Sha256;
use serde_json::json;

use crate::world::{OTHER_TENANT_TOKEN, World};

/// What a caller gets: nobody, a wrong operator's token, a device, an operator of another tenant.
struct Row(&'static str, &'static str, [u16; 4]);

/// A device's route is closed to operators, whoever they are.
const DEVICE: [u16; 3] = [401, 401, 401];

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    let device = |ok: u16| [DEVICE[0], DEVICE[1], ok, DEVICE[2]];
    let operator = |other: u16| [401, 401, 401, other];
    vec![
        Row("POST", "/v1/device/certificate", device(422)),
        Row("POST", "/v1/device/heartbeat", device(422)),
        Row("GET", "/v1/device/target", device(200)),
        Row("GET", "/v1/device/commands", device(200)),
        Row("POST", "/v1/device/commands/{command_id}/result", device(422)),
        Row("POST", "/v1/device/events", device(422)),
        Row("POST", "/v1/device/update-report", device(422)),
        Row("GET", "/v1/device/wakeup", device(200)),
        Row("PUT", "/v1/device/support-bundles/{name}", device(201)),
        Row("GET", "/v1/device/bundles/{sha256}", device(200)),

        Row("POST", "/v1/enrolment-tokens", operator(201)),
        Row("GET", "/v1/enrolment-tokens", operator(200)),
        Row("GET", "/v1/overview", operator(200)),
        Row("GET", "/v1/devices", operator(200)),
        Row("PATCH", "/v1/devices/{id}", operator(404)),
        Row("GET", "/v1/devices/{id}", operator(404)),
        Row("DELETE", "/v1/devices/{id}", operator(404)),
        Row("POST", "/v1/devices/{id}/restore", operator(404)),
        Row("GET", "/v1/devices/{id}/why", operator(404)),
        Row("GET", "/v1/devices/{id}/heartbeats", operator(404)),
        Row("POST", "/v1/devices/{id}/commands", operator(404)),
        Row("GET", "/v1/devices/{id}/commands", operator(404)),
        Row("POST", "/v1/devices/{id}/commands/{command_id}/cancel", operator(404)),
        Row("GET", "/v1/devices/{id}/events", operator(404)),
        Row("GET", "/v1/devices/{id}/support-bundles", operator(404)),
        Row("GET", "/v1/devices/{id}/support-bundles/{name}", operator(404)),
        Row("PUT", "/v1/bundles/{sha256}", operator(422)),
        Row("GET", "/v1/bundles/{sha256}", operator(404)),
        Row("DELETE", "/v1/bundles/{sha256}", operator(404)),
        Row("GET", "/v1/bundles", operator(200)),
        Row("POST", "/v1/bundles/prune", operator(200)),
        // Another tenant's bundle has not begun to arrive here.
        Row("GET", "/v1/bundles/{sha256}/upload", operator(200)),
        Row("POST", "/v1/releases", operator(422)),
        Row("GET", "/v1/releases", operator(200)),
        Row("POST", "/v1/releases/{version}/status", operator(404)),
        Row("POST", "/v1/rollouts", operator(404)),
        Row("GET", "/v1/rollouts", operator(200)),
        Row("GET", "/v1/rollouts/{id}", operator(404)),
        Row("POST", "/v1/rollouts/{id}/pause", operator(404)),
        Row("POST", "/v1/rollouts/{id}/resume", operator(404)),
        Row("POST", "/v1/rollouts/{id}/abort", operator(404)),
        Row("GET", "/v1/config/{scope}", operator(404)),
        Row("PUT", "/v1/config/{scope}", operator(404)),
        Row("GET", "/v1/keysets", operator(200)),
        Row("POST", "/v1/keysets", operator(422)),

        Row("POST", "/v1/enroll", [422; 4]),
        Row("GET", "/healthz", [200; 4]),
        Row("GET", "/readyz", [200; 4]),
        Row("GET", "/login", [200; 4]),
        Row("POST", "/login", [401; 4]),
        Row("POST", "/logout", [303; 4]),
        Row("GET", "/", [303; 4]),
        Row("GET", "/rollouts/{id}", [303; 4]),
        Row("GET", "/devices/{id}", [303; 4]),
    ]
}

/// A body that is well-formed where the route would otherwise not get to the question of whose it is.
fn body(method: &str, path: &str) -> String {
    match (method, path) {
        ("POST", "/v1/devices/{id}/commands") => {
            json!({"type": "refresh", "payload": {}}).to_string()
        }
        ("POST", "/v1/releases/{version}/status") => json!({"status": "draft"}).to_string(),
        ("PATCH", _) => json!({"name": "x"}).to_string(),
        ("POST", "/v1/rollouts") => json!({"version": "2.0.0"}).to_string(),
        ("POST", "/login") => "token=wrong".to_owned(),
        ("POST" | "PUT", "/v1/enrolment-tokens" | "/v1/config/{scope}" | "/v1/bundles/prune") => {
            "{}".to_owned()
        }
        ("POST", _) => json!({"x": 1}).to_string(),
        _ => "x".to_owned(),
    }
}

#[test]
fn every_route_lets_in_whom_it_should_and_nobody_else() {
    let world = World::new();
    let device = world.device("lobby");
    let release = world.publish("2.0.0");
    let rollout = world
        .post("/v1/rollouts", &json!({"version": "2.0.0"}))
        .ok();
    let queued = world.post(
        &format!("/v1/devices/{}/commands", device.id),
        &json!({"type": "refresh", "payload": {}}),
    );
    let queued = queued.ok();
    let rows = rows();
    let known: BTreeSet<_> = rows.iter().map(|r| (r.0.to_owned(), r.1)).collect();
    let real: BTreeSet<_> = routes()
        .iter()
        .map(|r| (r.method.to_string(), r.path))
        .collect();
    assert_eq!(real, known, "every route has a row, and every row a route");
    let audience = |method: &str, path: &str| {
        let all = routes();
        all.iter()
            .find(|r| r.method == method && r.path == path)
            .unwrap()
            .audience
    };

    for Row(method, pattern, expected) in rows {
        let owner = if pattern.contains("rollouts/") {
            rollout["rolloutId"].as_str().unwrap()
        } else {
            &device.id
        };
        let path = pattern
            .replace("{id}", owner)
            .replace("{scope}", &device.id)
            .replace("{command_id}", queued["commandId"].as_str().unwrap())
            .replace("{version}", "2.0.0")
            .replace("{name}", "a.tar.zst")
            .replace("{sha256}", &release.bundle.sha256.to_string());
        assert!(!path.contains('{'), "{path}");
        let body = body(method, pattern);
        let form = ("content-type", "application/x-www-form-urlencoded");
        let other = format!("Bearer {OTHER_TENANT_TOKEN}");
        let status = |headers: &[(&str, &str)]| {
            let mut headers = headers.to_vec();
            if pattern == "/login" {
                headers.push(form);
            }
            world
                .raw(method, &path, &headers, body.as_bytes())
                .status()
                .as_u16()
        };
        let nobody = status(&[]);
        let wrong = status(&[
            ("authorization", "Bearer wrong"),
            ("x-device-token", "wrong"),
            ("cookie", "fleet_session=wrong"),
        ]);
        let headers: &[_] = if pattern == "/login" { &[form] } else { &[] };
        let by_device = device
            .raw(&world, method, &path, headers, body.as_bytes())
            .status()
            .as_u16();
        let foreign = status(&[("authorization", &other)]);
        let found = [nobody, wrong, by_device, foreign];
        assert_eq!(
            found, expected,
            "{method} {pattern}: nobody, wrong token, device, other tenant"
        );
        if audience(method, pattern) == Audience::Operator {
            assert_eq!([nobody, wrong, by_device], [401; 3], "{method} {pattern}");
        }
    }
}

#[test]
fn a_bundle_of_another_tenant_is_not_there() {
    let world = World::new();
    let release = world.publish("2.0.0");
    let path = format!("/v1/bundles/{}", Sha256::of("bundle of 2.0.0"));
    assert_eq!(release.bundle.sha256, Sha256::of("bundle of 2.0.0"));
    let other = format!("Bearer {OTHER_TENANT_TOKEN}");
    world
        .anyone("GET", &path, &[("authorization", &other)], b"")
        .refused(404, "NOT_FOUND");
}

#[test]
fn paths_and_methods_that_are_not_there_are_problems_too() {
    let world = World::new();
    world.get("/v1/nothing").refused(404, "NOT_FOUND");
    let response = world.raw("DELETE", "/v1/releases", &[("x-request-id", "mine-1")], b"");
    assert_eq!(response.status().as_u16(), 405);
    assert_eq!(response.headers()["x-request-id"], "mine-1");
    assert!(response.headers().contains_key("allow"));
}
