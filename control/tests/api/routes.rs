//! Every route with every kind of caller. A route without a row here fails the test.

use std::collections::BTreeSet;

use fleet_control::api::{Audience, routes};
use fleet_protocol::Sha256;
use serde_json::{Value, json};

use crate::content::Content;
use crate::world::{OTHER_TENANT_TOKEN, World};

/// What a caller gets: nobody, a wrong operator's token, a device, an operator of another tenant.
struct Row(&'static str, &'static str, [u16; 4]);

/// What a browser sends, and not JSON.
const FORMS: [&str; 4] = ["/login", "/join", "/pair", "/forgot"];

/// A device's route is closed to operators, whoever they are.
const DEVICE: [u16; 3] = [401, 401, 401];

fn rows() -> Vec<Row> {
    let rows = [device_rows(), operator_rows(), open_rows()];
    rows.into_iter().flatten().collect()
}

#[rustfmt::skip]
fn device_rows() -> Vec<Row> {
    let device = |ok: u16| [DEVICE[0], DEVICE[1], ok, DEVICE[2]];
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

        Row("GET", "/v1/player/manifest", device(200)),
        Row("POST", "/v1/player/heartbeat", device(422)),
        Row("POST", "/v1/player/events", device(422)),
        Row("POST", "/v1/player/proof-of-play", device(422)),
        Row("GET", "/v1/player/commands", device(200)),
        Row("POST", "/v1/player/commands/{command_id}/result", device(422)),
        Row("GET", "/v1/player/media/{asset_id}", device(200)),
    ]
}

#[rustfmt::skip]
fn operator_rows() -> Vec<Row> {
    let operator = |other: u16| [401, 401, 401, other];
    vec![
        Row("POST", "/v1/enrolment-tokens", operator(201)),
        Row("GET", "/v1/enrolment-tokens", operator(200)),
        Row("GET", "/v1/overview", operator(200)),
        Row("GET", "/v1/devices", operator(200)),
        Row("PATCH", "/v1/devices/{id}", operator(404)),
        Row("GET", "/v1/devices/{id}", operator(404)),
        Row("DELETE", "/v1/devices/{id}", operator(404)),
        Row("POST", "/v1/devices/{id}/restore", operator(404)),
        Row("POST", "/v1/devices/{id}/remove", operator(404)),
        Row("DELETE", "/v1/enrolment-tokens/{token_id}", operator(404)),
        Row("GET", "/v1/devices/{id}/why", operator(404)),
        Row("GET", "/v1/devices/{id}/heartbeats", operator(404)),
        Row("POST", "/v1/devices/{id}/commands", operator(404)),
        Row("GET", "/v1/devices/{id}/commands", operator(404)),
        Row("POST", "/v1/devices/{id}/commands/{command_id}/cancel", operator(404)),
        Row("GET", "/v1/devices/{id}/events", operator(404)),
        Row("GET", "/v1/devices/{id}/support-bundles", operator(404)),
        Row("GET", "/v1/devices/{id}/support-bundles/{name}", operator(404)),
        Row("GET", "/v1/alerts", operator(200)),
        Row("GET", "/v1/alerts/{alert_id}", operator(404)),
        Row("POST", "/v1/alerts/{alert_id}/acknowledge", operator(404)),
        Row("GET", "/v1/venues/{venue_id}/alerts", operator(404)),
        Row("POST", "/v1/venues/{venue_id}/alerts/{alert_id}/acknowledge", operator(404)),
        Row("GET", "/v1/alert-rules", operator(200)),
        // Its rules are not at version 1.
        Row("PUT", "/v1/alert-rules", operator(412)),
        Row("GET", "/v1/mail-recipients", operator(200)),
        Row("POST", "/v1/mail-recipients", operator(422)),
        Row("GET", "/v1/mail-recipients/{recipient_id}", operator(404)),
        Row("DELETE", "/v1/mail-recipients/{recipient_id}", operator(404)),
        Row("POST", "/v1/mail-recipients/{recipient_id}/test", operator(404)),
        Row("GET", "/v1/mail-recipients/{recipient_id}/deliveries", operator(404)),
        Row("GET", "/v1/webhooks", operator(200)),
        Row("POST", "/v1/webhooks", operator(422)),
        Row("GET", "/v1/webhooks/{webhook_id}", operator(404)),
        Row("PUT", "/v1/webhooks/{webhook_id}", operator(404)),
        Row("DELETE", "/v1/webhooks/{webhook_id}", operator(404)),
        Row("POST", "/v1/webhooks/{webhook_id}/test", operator(404)),
        Row("GET", "/v1/webhooks/{webhook_id}/deliveries", operator(404)),
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
    ]
}

#[rustfmt::skip]
fn open_rows() -> Vec<Row> {
    vec![
        Row("GET", "/v1/openapi.json", [200; 4]),
        Row("GET", "/v1/docs", [200; 4]),

        Row("POST", "/v1/enroll", [422; 4]),
        Row("POST", "/v1/devices/pairing/start", [422; 4]),
        Row("GET", "/v1/devices/pairing/status", [401; 4]),
        Row("GET", "/healthz", [200; 4]),
        Row("GET", "/readyz", [200; 4]),
        // They ask on this machine; who shows a token is judged by it.
        Row("GET", "/metrics", [200, 401, 200, 403]),
        Row("GET", "/login", [200; 4]),
        Row("POST", "/login", [401; 4]),
        Row("POST", "/logout", [303; 4]),
        Row("GET", "/pair", [303; 4]),
        Row("POST", "/pair", [303; 4]),
        // Nobody who has no mail server sends links.
        Row("GET", "/forgot", [303; 4]),
        Row("POST", "/forgot", [409; 4]),
        Row("GET", "/join", [401; 4]),
        Row("POST", "/join", [401; 4]),
        Row("GET", "/", [303; 4]),
        Row("GET", "/rollouts/{id}", [303; 4]),
        Row("GET", "/devices/{id}", [303; 4]),
    ]
}

#[rustfmt::skip]
fn content_rows() -> Vec<Row> {
    let operator = |other: u16| [401, 401, 401, other];
    vec![
        Row("GET", "/v1/library/assets", operator(200)),
        Row("POST", "/v1/library/assets/uploads", operator(422)),
        Row("PUT", "/v1/library/assets/uploads/{upload_id}/content", operator(404)),
        Row("POST", "/v1/library/assets/uploads/{upload_id}/complete", operator(404)),
        Row("GET", "/v1/library/assets/{asset_id}", operator(404)),
        Row("DELETE", "/v1/library/assets/{asset_id}", operator(404)),
        Row("GET", "/v1/library/assets/{asset_id}/content", operator(404)),
        Row("GET", "/v1/library/assets/{asset_id}/thumbnail", operator(404)),
        Row("GET", "/v1/library/playlists", operator(200)),
        Row("POST", "/v1/library/playlists", operator(422)),
        Row("GET", "/v1/library/playlists/{playlist_id}", operator(404)),
        Row("DELETE", "/v1/library/playlists/{playlist_id}", operator(404)),
        Row("PUT", "/v1/library/playlists/{playlist_id}/items", operator(404)),
        Row("PUT", "/v1/library/playlists/{playlist_id}/reorder", operator(404)),
        Row("POST", "/v1/library/playlists/{playlist_id}/publish", operator(404)),
        Row("POST", "/v1/library/playlists/{playlist_id}/rollback", operator(404)),
        Row("GET", "/v1/library/playlists/{playlist_id}/publishes", operator(404)),

        Row("GET", "/v1/me/venues", operator(200)),
        Row("GET", "/v1/tenants/{tenant_id}/venues", operator(404)),
        Row("POST", "/v1/tenants/{tenant_id}/venues", operator(404)),
        Row("GET", "/v1/tenants/{tenant_id}/venues/{venue_id}", operator(404)),
        Row("PUT", "/v1/tenants/{tenant_id}/venues/{venue_id}", operator(404)),
        Row("GET", "/v1/venues/{venue_id}/devices", operator(404)),
        Row("GET", "/v1/venues/{venue_id}/devices/{device_id}", operator(404)),
        Row("PATCH", "/v1/venues/{venue_id}/devices/{device_id}", operator(404)),
        Row("GET", "/v1/venues/{venue_id}/devices/{device_id}/commands", operator(404)),
        Row("POST", "/v1/venues/{venue_id}/devices/{device_id}/commands", operator(404)),
        Row("POST", "/v1/venues/{venue_id}/devices/{device_id}/commands/{command_id}/cancel", operator(404)),
        Row("POST", "/v1/venues/{venue_id}/devices/pairing/claim", operator(404)),
        Row("DELETE", "/v1/venues/{venue_id}/devices/pairing/claims/{token_id}", operator(404)),
        Row("GET", "/v1/venues/{venue_id}/groups", operator(404)),
        Row("POST", "/v1/venues/{venue_id}/groups", operator(404)),
        Row("PUT", "/v1/venues/{venue_id}/groups/{group_id}", operator(404)),
        Row("DELETE", "/v1/venues/{venue_id}/groups/{group_id}", operator(404)),
        Row("GET", "/v1/venues/{venue_id}/scheduleset", operator(404)),
        Row("POST", "/v1/venues/{venue_id}/scheduleset/slots", operator(404)),
        Row("PUT", "/v1/venues/{venue_id}/scheduleset/slots", operator(404)),
        Row("PUT", "/v1/venues/{venue_id}/scheduleset/slots/{slot_id}", operator(404)),
        Row("DELETE", "/v1/venues/{venue_id}/scheduleset/slots/{slot_id}", operator(404)),
        Row("POST", "/v1/venues/{venue_id}/scheduleset/publish", operator(404)),
        Row("POST", "/v1/venues/{venue_id}/scheduleset/rollback", operator(404)),
        Row("GET", "/v1/venues/{venue_id}/publishes", operator(404)),
        Row("GET", "/v1/venues/{venue_id}/overrides", operator(404)),
        Row("POST", "/v1/venues/{venue_id}/overrides", operator(404)),
        Row("POST", "/v1/venues/{venue_id}/overrides/{override_id}/cancel", operator(404)),
        Row("GET", "/v1/proof-of-play", operator(200)),
        Row("GET", "/v1/pairing-file", operator(200)),
    ]
}

#[rustfmt::skip]
fn access_rows() -> Vec<Row> {
    let operator = |other: u16| [401, 401, 401, other];
    vec![
        Row("POST", "/v1/auth/login", [422; 4]),
        Row("POST", "/v1/auth/refresh", [422; 4]),
        Row("POST", "/v1/auth/accept", [422; 4]),
        Row("POST", "/v1/auth/forgot", [422; 4]),
        // The other tenant's operator is no person.
        Row("POST", "/v1/auth/logout", operator(409)),
        Row("GET", "/v1/auth/sessions", operator(409)),
        Row("DELETE", "/v1/auth/sessions/{session_id}", operator(409)),
        Row("POST", "/v1/auth/password", operator(422)),
        Row("POST", "/v1/auth/totp", operator(409)),
        Row("POST", "/v1/auth/totp/confirm", operator(422)),
        Row("POST", "/v1/auth/totp/remove", operator(422)),
        Row("GET", "/v1/me", operator(200)),
        Row("GET", "/v1/audit", operator(200)),
        Row("GET", "/v1/audit/check", operator(200)),
        Row("GET", "/v1/audit/export", operator(200)),
        Row("POST", "/v1/tenants/{tenant_id}/users", operator(404)),
        Row("GET", "/v1/tenants/{tenant_id}/users", operator(404)),
        Row("GET", "/v1/tenants/{tenant_id}/users/{user_id}", operator(404)),
        Row("PATCH", "/v1/tenants/{tenant_id}/users/{user_id}", operator(404)),
        Row("PUT", "/v1/tenants/{tenant_id}/users/{user_id}/venue-roles", operator(404)),
        Row("POST", "/v1/tenants/{tenant_id}/users/{user_id}/invitation", operator(404)),
        Row("POST", "/v1/tenants/{tenant_id}/users/{user_id}/totp/remove", operator(404)),
        Row("POST", "/v1/tenants/{tenant_id}/api-keys", operator(404)),
        Row("GET", "/v1/tenants/{tenant_id}/api-keys", operator(404)),
        Row("DELETE", "/v1/tenants/{tenant_id}/api-keys/{api_key_id}", operator(404)),
    ]
}

/// A body that is well-formed where the route would otherwise not get to the question of whose it is.
fn body(method: &str, path: &str) -> String {
    match (method, path) {
        ("POST", "/v1/venues/{venue_id}/devices/{device_id}/commands") => {
            json!({"type": "REBOOT_APP"}).to_string()
        }
        ("POST", "/v1/devices/{id}/commands") => {
            json!({"type": "refresh", "payload": {}}).to_string()
        }
        ("POST", "/v1/releases/{version}/status") => json!({"status": "draft"}).to_string(),
        ("PATCH", _) => json!({"name": "x"}).to_string(),
        ("PUT", path) if path.ends_with("/items") => json!({"items": []}).to_string(),
        ("PUT", path) if path.ends_with("/reorder") => json!({"playlistItemIds": []}).to_string(),
        ("PUT", path) if path.ends_with("/slots") => json!({"slots": []}).to_string(),
        ("PUT" | "POST", path) if path.contains("/slots") => "{}".to_owned(),
        ("POST", path) if path.ends_with("/rollback") => json!({"publishedVersion": 1}).to_string(),
        ("POST" | "PUT", path) if path.starts_with("/v1/tenants/") => {
            json!({"name": "x", "timezone": "UTC"}).to_string()
        }
        ("POST", path) if path.ends_with("/pairing/claim") => {
            json!({"pairingCode": "K7QF-2MXA"}).to_string()
        }
        ("POST", path) if path.ends_with("/overrides") => {
            json!({"playlistId": "pl_a", "durationSeconds": 60}).to_string()
        }
        ("POST" | "PUT", path) if path.contains("/groups") => json!({"name": "x"}).to_string(),
        ("POST" | "PUT", path) if path.ends_with("/acknowledge") || path == "/v1/alert-rules" => {
            "{}".to_owned()
        }
        ("PUT", "/v1/webhooks/{webhook_id}") => {
            json!({"name": "x", "url": "https://example.org/"}).to_string()
        }
        ("POST", "/v1/rollouts") => json!({"version": "2.0.0"}).to_string(),
        ("POST", "/forgot") => "email=anna%40example.com".to_owned(),
        ("POST", "/login" | "/join" | "/pair") => "token=wrong".to_owned(),
        ("POST" | "PUT", "/v1/enrolment-tokens" | "/v1/config/{scope}" | "/v1/bundles/prune") => {
            "{}".to_owned()
        }
        ("POST", _) => json!({"x": 1}).to_string(),
        _ => "x".to_owned(),
    }
}

/// The path with `names` in it, and with ones that nothing has.
pub(crate) fn fill(pattern: &str, names: &[(&str, String)]) -> String {
    let others = [
        ("tenant_id", "ten_default"),
        ("venue_id", "ven_default"),
        ("version", "2.0.0"),
        ("name", "a.tar.zst"),
        ("asset_id", "ast_a"),
        ("upload_id", "upl_a"),
        ("playlist_id", "pl_a"),
        ("group_id", "grp_a"),
        ("slot_id", "slot_a"),
        ("command_id", "cmd_a"),
        ("user_id", "usr_a"),
        ("token_id", "tok_a"),
        ("session_id", "ses_a"),
        ("api_key_id", "key_a"),
        ("override_id", "ovr_a"),
        ("alert_id", "alt_a"),
        ("webhook_id", "whk_a"),
        ("recipient_id", "mrc_a"),
    ];
    let known = names.iter().map(|(name, value)| (*name, value.as_str()));
    known
        .chain(others)
        .fold(pattern.to_owned(), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), value)
        })
}

/// The routes that the served document lists.
fn documented(world: &World) -> BTreeSet<(String, String)> {
    let document = world.anyone("GET", "/v1/openapi.json", &[], b"").ok();
    let paths = document["paths"].as_object().unwrap().clone();
    let routes = paths.into_iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().clone();
        let route = move |(method, _): (String, _)| (method.to_uppercase(), path.clone());
        methods.into_iter().map(route)
    });
    routes.collect()
}

/// Every route has a row, and every row a route.
fn check_table(world: &World, rows: &[Row]) {
    let known: BTreeSet<_> = rows
        .iter()
        .map(|r| (r.0.to_owned(), r.1.to_owned()))
        .collect();
    let mut real = documented(world);
    let pages = routes();
    let pages = pages.iter().filter(|r| !r.path.starts_with("/v1/"));
    real.extend(pages.map(|r| (r.method.to_string(), r.path.to_owned())));
    assert_eq!(real, known, "every route has a row, and every row a route");
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
    let content = Content::of(&world);
    let sha256 = release.bundle.sha256.to_string();
    let text = |value: &'static str, of: &Value| of[value].as_str().unwrap().to_owned();
    let there = [
        ("scope", device.id.clone()),
        ("device_id", device.id.clone()),
        ("command_id", text("commandId", &queued)),
        ("asset_id", text("assetId", &content.asset)),
        ("upload_id", content.upload.clone()),
        ("playlist_id", text("playlistId", &content.playlist)),
        ("venue_id", text("venueId", &content.venue)),
        ("group_id", text("groupId", &content.group)),
        ("slot_id", text("slotId", &content.slot)),
        ("sha256", sha256),
    ];
    let mut rows = rows();
    rows.extend(content_rows());
    rows.extend(access_rows());
    check_table(&world, &rows);
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
        let path = fill(pattern, &there).replace("{id}", owner);
        assert!(!path.contains('{'), "{path}");
        let body = body(method, pattern);
        let form = ("content-type", "application/x-www-form-urlencoded");
        let other = format!("Bearer {OTHER_TENANT_TOKEN}");
        let status = |headers: &[(&str, &str)]| {
            let mut headers = headers.to_vec();
            headers.push(("if-match", "\"1\""));
            if FORMS.contains(&pattern) {
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
        let headers: &[_] = if FORMS.contains(&pattern) {
            &[form]
        } else {
            &[]
        };
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
