//! Every operator's route with every role. What a role may not do is refused before anything else is looked at; what
//! it may do and only reads works.

use fleet_control::api::{Audience, routes};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::routes::fill;
use crate::world::World;

/// What the role of a caller opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Door {
    Anybody,
    Library,
    EditLibrary,
    Tenant,
    Releases,
    Admin,
    Venue,
    EditVenue,
    ManageVenue,
}

/// Who has to have what, route by route: by hand, and not from the program's own table.
#[rustfmt::skip]
#[expect(clippy::match_same_arms, reason = "one part of the API after the other")]
fn door(method: &str, path: &str) -> Door {
    use Door::{Admin, Anybody, EditLibrary, EditVenue, Library, ManageVenue, Releases, Tenant, Venue};
    match (method, path) {
        ("GET", "/v1/me" | "/v1/me/venues" | "/v1/auth/sessions") => Anybody,
        ("DELETE", "/v1/auth/sessions/{session_id}") => Anybody,
        ("POST", "/v1/auth/logout" | "/v1/auth/password" | "/v1/auth/totp" | "/v1/auth/totp/confirm"
                 | "/v1/auth/totp/remove") => Anybody,

        ("GET", "/v1/library/assets" | "/v1/library/assets/{asset_id}" | "/v1/library/assets/{asset_id}/content"
                | "/v1/library/assets/{asset_id}/thumbnail" | "/v1/library/playlists"
                | "/v1/library/playlists/{playlist_id}" | "/v1/library/playlists/{playlist_id}/publishes") => Library,
        ("POST", "/v1/library/assets/uploads" | "/v1/library/assets/uploads/{upload_id}/complete"
                 | "/v1/library/playlists" | "/v1/library/playlists/{playlist_id}/publish"
                 | "/v1/library/playlists/{playlist_id}/rollback") => EditLibrary,
        ("PUT", "/v1/library/assets/uploads/{upload_id}/content" | "/v1/library/playlists/{playlist_id}/items"
                | "/v1/library/playlists/{playlist_id}/reorder") => EditLibrary,
        ("DELETE", "/v1/library/assets/{asset_id}" | "/v1/library/playlists/{playlist_id}") => EditLibrary,

        ("GET", "/v1/pairing-file") => Tenant,
        ("POST", "/v1/venues/{venue_id}/devices/pairing/claim") => ManageVenue,
        ("DELETE", "/v1/venues/{venue_id}/devices/pairing/claims/{token_id}") => ManageVenue,
        ("GET", "/v1/overview" | "/v1/proof-of-play" | "/v1/devices" | "/v1/devices/{id}" | "/v1/devices/{id}/why"
                | "/v1/devices/{id}/heartbeats" | "/v1/devices/{id}/commands" | "/v1/devices/{id}/events"
                | "/v1/devices/{id}/support-bundles" | "/v1/devices/{id}/support-bundles/{name}"
                | "/v1/bundles" | "/v1/bundles/{sha256}" | "/v1/bundles/{sha256}/upload" | "/v1/releases"
                | "/v1/rollouts" | "/v1/rollouts/{id}" | "/v1/config/{scope}" | "/v1/keysets"
                | "/v1/tenants/{tenant_id}/venues") => Tenant,
        ("POST", "/v1/devices/{id}/commands" | "/v1/devices/{id}/commands/{command_id}/cancel" | "/v1/bundles/prune"
                 | "/v1/releases" | "/v1/releases/{version}/status" | "/v1/rollouts" | "/v1/rollouts/{id}/pause"
                 | "/v1/rollouts/{id}/resume" | "/v1/rollouts/{id}/abort") => Releases,
        ("PUT", "/v1/bundles/{sha256}" | "/v1/config/{scope}") | ("DELETE", "/v1/bundles/{sha256}") => Releases,

        ("GET", "/v1/alerts" | "/v1/alerts/{alert_id}" | "/v1/alert-rules") => Tenant,
        ("POST", "/v1/alerts/{alert_id}/acknowledge") | ("PUT", "/v1/alert-rules") => Releases,
        ("GET", "/v1/venues/{venue_id}/alerts") => Venue,
        ("POST", "/v1/venues/{venue_id}/alerts/{alert_id}/acknowledge") => ManageVenue,

        ("GET", "/v1/tenants/{tenant_id}/venues/{venue_id}" | "/v1/venues/{venue_id}/devices"
                | "/v1/venues/{venue_id}/devices/{device_id}" | "/v1/venues/{venue_id}/devices/{device_id}/commands"
                | "/v1/venues/{venue_id}/groups" | "/v1/venues/{venue_id}/scheduleset"
                | "/v1/venues/{venue_id}/publishes" | "/v1/venues/{venue_id}/overrides") => Venue,
        ("POST" | "PUT", "/v1/venues/{venue_id}/scheduleset/slots") => EditVenue,
        ("PUT" | "DELETE", "/v1/venues/{venue_id}/scheduleset/slots/{slot_id}") => EditVenue,
        ("POST", "/v1/venues/{venue_id}/scheduleset/publish" | "/v1/venues/{venue_id}/scheduleset/rollback"
                 | "/v1/venues/{venue_id}/overrides" | "/v1/venues/{venue_id}/overrides/{override_id}/cancel"
                 | "/v1/venues/{venue_id}/groups" | "/v1/venues/{venue_id}/devices/{device_id}/commands"
                 | "/v1/venues/{venue_id}/devices/{device_id}/commands/{command_id}/cancel") => ManageVenue,
        ("PUT" | "DELETE", "/v1/venues/{venue_id}/groups/{group_id}") => ManageVenue,
        ("PATCH", "/v1/venues/{venue_id}/devices/{device_id}") => ManageVenue,

        (_, path) if path.starts_with("/v1/webhooks") => Admin,
        (_, path) if path.starts_with("/v1/mail-recipients") => Admin,
        (_, path) if path.starts_with("/v1/tenants/{tenant_id}/") => Admin,
        ("GET", "/v1/audit" | "/v1/audit/check" | "/v1/audit/export" | "/v1/enrolment-tokens") => Admin,
        ("POST", "/v1/enrolment-tokens" | "/v1/devices/{id}/restore" | "/v1/devices/{id}/remove" | "/v1/keysets") => Admin,
        ("DELETE", "/v1/enrolment-tokens/{token_id}") => Admin,
        ("PATCH" | "DELETE", "/v1/devices/{id}") => Admin,
        _ => panic!("{method} {path} has no row here: say who may call it"),
    }
}

/// Callers, and the doors that are open to them.
fn callers() -> Vec<(&'static str, Value, Vec<Door>)> {
    use Door::{Anybody, EditLibrary, EditVenue, Library, ManageVenue, Releases, Tenant, Venue};
    let at = |venue: &str, role: &str| json!({"venueRoles": [{"venueId": venue, "role": role}]});
    let here = "ven_default";
    vec![
        ("nothing", json!({}), vec![Anybody]),
        (
            "viewer",
            json!({"tenantRole": "TENANT_VIEWER"}),
            vec![Anybody, Library, Tenant, Venue],
        ),
        (
            "guest",
            at(here, "VENUE_VIEWER"),
            vec![Anybody, Library, Venue],
        ),
        (
            "editor",
            at(here, "VENUE_EDITOR"),
            vec![Anybody, Library, Venue, EditVenue],
        ),
        (
            "manager",
            at(here, "VENUE_MANAGER"),
            vec![Anybody, Library, Venue, EditVenue, ManageVenue],
        ),
        (
            "elsewhere",
            at("ELSEWHERE", "VENUE_MANAGER"),
            vec![Anybody, Library],
        ),
        (
            "library",
            json!({"capabilities": ["EDIT_SHARED_LIBRARY"]}),
            vec![Anybody, Library, EditLibrary],
        ),
        (
            "releases",
            json!({"capabilities": ["MANAGE_RELEASES"]}),
            vec![Anybody, Library, Tenant, Releases, Venue],
        ),
    ]
}

fn filled(pattern: &str, device: &str) -> String {
    let id = if pattern.contains("rollouts") {
        "rol_a"
    } else {
        device
    };
    let names = [("id", id), ("device_id", device), ("scope", "fleet")];
    let mut names: Vec<_> = names.map(|(name, value)| (name, value.to_owned())).into();
    names.push(("sha256", "0".repeat(64)));
    fill(pattern, &names)
}

#[test]
fn each_role_opens_its_doors_and_no_others() {
    let world = World::new();
    let device = world.device("lobby");
    let venue = json!({"name": "Elsewhere", "timezone": "UTC"});
    let elsewhere = world.post("/v1/tenants/ten_default/venues", &venue).ok();
    let elsewhere = elsewhere["venueId"].as_str().unwrap();
    let all: Vec<_> = routes()
        .into_iter()
        .filter(|route| route.audience == Audience::Operator)
        .map(|route| (route.method.to_string(), route.path))
        .collect();
    assert!(all.len() > 90, "{}", all.len());
    for (name, given, open) in callers() {
        let given: Value =
            serde_json::from_str(&given.to_string().replace("ELSEWHERE", elsewhere)).unwrap();
        world.person(name, &given);
        let tokens = world.session(name);
        for (method, pattern) in &all {
            let path = filled(pattern, &device.id);
            assert!(!path.contains('{'), "{path}");
            let is_open = open.contains(&door(method, pattern));
            if !is_open {
                let answer = world.asks(&tokens, method, &path, &json!({}));
                let refused = answer.refused(403, "FORBIDDEN");
                assert!(
                    refused["hint"]
                        .as_str()
                        .unwrap()
                        .contains("ask an administrator for")
                );
            } else if method == "GET" || method == "POST" && *pattern != "/v1/auth/logout" {
                let status = world.asks(&tokens, method, &path, &json!({"x": 1})).status;
                assert!(
                    method != "GET" && status != 403 || [200, 404].contains(&status),
                    "{name}: {method} {path}: {status}"
                );
            }
        }
    }
}

#[test]
fn tokens_that_have_expired_or_were_tampered_with_open_nothing() {
    let world = World::new();
    let device = world.device("lobby");
    world.person("anna", &json!({"tenantRole": "TENANT_ADMIN"}));
    let good = world.session("anna");
    let token = good["accessToken"].as_str().unwrap();
    let (head, rest) = token.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let other = world.session("anna");
    let (_, foreign) = other["accessToken"]
        .as_str()
        .unwrap()
        .rsplit_once('.')
        .unwrap();
    let tampered = [
        json!({"accessToken": format!("{head}.{body}.{foreign}")}),
        json!({"accessToken": format!("{head}.{}.{signature}", body.replace('A', "B"))}),
        json!({"accessToken": format!("eyJhbGciOiJub25lIn0.{body}.")}),
    ];
    let routes: Vec<_> = routes()
        .into_iter()
        .filter(|r| r.audience == Audience::Operator)
        .collect();
    let closed = |tokens: &Value| {
        for route in &routes {
            let path = filled(route.path, &device.id);
            let answer = world.asks(tokens, route.method.as_str(), &path, &json!({}));
            answer.refused(401, "UNAUTHENTICATED");
        }
    };
    tampered.iter().for_each(closed);
    world.sees(&good, "/v1/devices").ok();
    world.pass(SignedDuration::from_mins(15));
    closed(&good);
}
