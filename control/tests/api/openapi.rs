//! The document at `/v1/openapi.json`: complete, sound within itself, and true. That answers fit it is checked with every
//! request of every other test (`world/contract.rs`).

use std::collections::BTreeSet;

use fleet_control::api::{document, routes};
use serde_json::{Value, json};

use crate::content::Content;
use crate::world::{World, assert_fits};

fn operations() -> Vec<(String, String, &'static Value)> {
    let paths = document()["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap();
        methods
            .iter()
            .map(|(method, operation)| (method.to_uppercase(), path.clone(), operation))
    });
    operations.collect()
}

/// Calls `look` with every object within.
fn walk(value: &'static Value, look: &mut impl FnMut(&'static serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            look(fields);
            fields.values().for_each(|value| walk(value, look));
        }
        Value::Array(several) => several.iter().for_each(|value| walk(value, look)),
        _ => {}
    }
}

#[test]
fn the_document_lists_exactly_the_routes_of_the_table() {
    let listed: BTreeSet<_> = operations()
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    let table: BTreeSet<_> = routes()
        .iter()
        .filter(|route| route.path.starts_with("/v1/"))
        .map(|route| (route.method.to_string(), route.path.to_owned()))
        .collect();
    assert_eq!(listed, table);
}

#[test]
fn what_is_served_is_the_document() {
    let world = World::new();
    let served = world.anyone("GET", "/v1/openapi.json", &[], b"").ok();
    assert_eq!(served, *document());
    assert_eq!(served["openapi"], "3.1.0");
}

#[test]
fn every_reference_leads_somewhere() {
    let mut count = 0;
    walk(document(), &mut |fields| {
        if let Some(Value::String(reference)) = fields.get("$ref") {
            let place = reference.strip_prefix('#').unwrap();
            assert!(document().pointer(place).is_some(), "{reference}");
            count += 1;
        }
    });
    assert!(count > 500, "{count}");
}

#[test]
fn every_operation_says_what_it_does_what_comes_of_it_and_what_may_go_wrong() {
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations() {
        let what = format!("{method} {path}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{what}");
        assert!(operation["tags"][0].is_string(), "{what}");
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap()),
            "{what}"
        );
        let responses = operation["responses"].as_object().unwrap();
        let statuses: Vec<u16> = responses.keys().map(|s| s.parse().unwrap()).collect();
        let success = |status: &&u16| (200..400).contains(*status);
        assert!(
            statuses.iter().any(|s| success(&s)),
            "{what}: the row has to say what comes of it (`returns`, `media`, …)"
        );
        assert!(statuses.contains(&500), "{what}");
        if !operation["security"].as_array().unwrap().is_empty() {
            assert!(statuses.contains(&401), "{what}");
        }
        for name in path.split('/').filter(|part| part.starts_with('{')) {
            let name = name.trim_matches(['{', '}']);
            let parameters = operation["parameters"].as_array().unwrap();
            let found = parameters
                .iter()
                .find(|p| p["name"] == name && p["in"] == "path");
            let schema = &found.unwrap_or_else(|| panic!("{what}: {name}"))["schema"];
            assert!(schema.is_object(), "{what}: {name}");
        }
    }
}

#[test]
fn whoever_has_to_send_if_match_is_told_so() {
    for (method, path, operation) in operations() {
        let responses = operation["responses"].as_object().unwrap();
        let parameters = operation["parameters"].as_array();
        let told = parameters.is_some_and(|all| {
            all.iter()
                .any(|p| p["name"] == "If-Match" && p["required"] == true)
        });
        assert_eq!(told, responses.contains_key("428"), "{method} {path}");
    }
}

#[test]
fn every_schema_has_a_name_of_its_own_that_a_person_can_read() {
    let schemas = document()["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        // Two types of one name would be told apart by a number.
        assert!(
            !name.ends_with(|c: char| c.is_ascii_digit()) || name == "Sha256",
            "{name}"
        );
        jsonschema::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn security_schemes_are_those_that_operations_name() {
    let mut named = BTreeSet::from(["browser"]);
    for (.., operation) in operations() {
        for way in operation["security"].as_array().unwrap() {
            named.extend(way.as_object().unwrap().keys().map(String::as_str));
        }
    }
    let schemes = document()["components"]["securitySchemes"]
        .as_object()
        .unwrap();
    assert_eq!(named, schemes.keys().map(String::as_str).collect());
}

#[test]
fn lists_and_details_of_a_fleet_that_lives_fit_their_schemas() {
    let world = World::new();
    let mut device = world.device("lobby");
    world.publish("2.0.0");
    device
        .heartbeat(&world, "1.0.0", &json!({"state": "idle"}))
        .ok();
    device.report(&world, "1.0.0", &json!({"state": "idle"}));
    let rollout = world
        .post("/v1/rollouts", &json!({"version": "2.0.0"}))
        .ok();
    let content = Content::of(&world);
    let command = json!({"type": "SET_LOG_LEVEL", "payload": {"level": "debug"}});
    let path = format!("/v1/venues/ven_default/devices/{}/commands", device.id);
    world.post(&path, &command).ok();
    let command = json!({"type": "reboot", "payload": {"delaySeconds": 5}});
    world
        .post(&format!("/v1/devices/{}/commands", device.id), &command)
        .ok();
    let venue = content.venue["venueId"].as_str().unwrap();
    let (id, rollout) = (&device.id, rollout["rolloutId"].as_str().unwrap());
    for get in [
        "/v1/me".to_owned(),
        "/v1/me/venues".to_owned(),
        "/v1/overview".to_owned(),
        "/v1/devices".to_owned(),
        format!("/v1/devices/{id}"),
        format!("/v1/devices/{id}/why"),
        format!("/v1/devices/{id}/heartbeats"),
        format!("/v1/devices/{id}/commands"),
        format!("/v1/venues/ven_default/devices/{id}/commands"),
        "/v1/config/default".to_owned(),
        "/v1/keysets".to_owned(),
        "/v1/releases".to_owned(),
        "/v1/rollouts".to_owned(),
        format!("/v1/rollouts/{rollout}"),
        "/v1/bundles".to_owned(),
        "/v1/library/assets".to_owned(),
        "/v1/library/playlists".to_owned(),
        format!("/v1/venues/{venue}/groups"),
        format!("/v1/venues/{venue}/scheduleset"),
    ] {
        // The answer is held against the document on its way here.
        assert!(world.get(&get).ok().is_object(), "{get}");
    }
    for get in [
        "/v1/device/target",
        "/v1/device/commands",
        "/v1/player/manifest",
        "/v1/player/commands",
    ] {
        assert!(device.get(&world, get).ok().is_object(), "{get}");
    }
}

#[test]
fn a_body_that_does_not_fit_is_noticed() {
    let schema = "/components/schemas/VenueView";
    let unfit = std::panic::catch_unwind(|| assert_fits(schema, &json!({"name": 1}), "a venue"));
    assert!(unfit.is_err());
}

#[test]
fn the_page_shows_every_operation_and_every_type_and_loads_nothing() {
    let world = World::new();
    let response = world.raw("GET", "/v1/docs", &[], b"");
    assert_eq!(
        response.headers()["content-type"],
        "text/html; charset=utf-8"
    );
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = response.into_body().read_to_string().unwrap();
    for (.., operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(page.contains(&format!("<article id=\"{id}\">")), "{id}");
        assert!(page.contains(&format!("href=\"#{id}\"")), "{id}");
    }
    for name in document()["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
    {
        assert!(
            page.contains(&format!("<article id=\"type-{name}\">")),
            "{name}"
        );
    }
    assert!(!page.contains("<script") && !page.contains("src="));
}
