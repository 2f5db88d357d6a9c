//! Users and keys: what an administrator gives and takes away.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::world::{OTHER_TENANT_TOKEN, PASSWORD, World};

const USERS: &str = "/v1/tenants/ten_default/users";

#[test]
fn what_an_administrator_changes_of_a_user_holds_at_once() {
    let world = World::new();
    let user = world.person("anna", &json!({"tenantRole": "TENANT_VIEWER"}));
    let path = format!("{USERS}/{}", user["userId"].as_str().unwrap());
    let tokens = world.session("anna");
    world.sees(&tokens, "/v1/devices").ok();
    let version = |world: &World| world.get(&path).ok()["version"].as_u64().unwrap();

    let stale = world.change("PATCH", &path, 99, &json!({"tenantRole": null}));
    stale.refused(412, "PRECONDITION_FAILED");
    let bare = world.operator_raw("PATCH", &path, b"{}");
    bare.refused(428, "PRECONDITION_REQUIRED");
    world
        .change(
            "PATCH",
            &path,
            version(&world),
            &json!({"tenantRole": null}),
        )
        .ok();
    world.sees(&tokens, "/v1/devices").refused(403, "FORBIDDEN");
    let grant = json!({"venueRoles": [{"venueId": "ven_default", "role": "VENUE_VIEWER"}]});
    let roles = format!("{path}/venue-roles");
    world.change("PUT", &roles, version(&world), &grant).ok();
    world.sees(&tokens, "/v1/venues/ven_default/devices").ok();
    for (grant, field) in [
        (
            json!([{"venueId": "ven_none", "role": "VENUE_VIEWER"}]),
            "venueRoles[0].venueId",
        ),
        (
            json!([{"venueId": "ven_default", "role": "KING"}]),
            "venueRoles[0].role",
        ),
    ] {
        let refused = world.change(
            "PUT",
            &roles,
            version(&world),
            &json!({"venueRoles": grant}),
        );
        assert_eq!(
            refused.refused(422, "VALIDATION_FAILED")["errors"][0]["field"],
            field
        );
    }

    world
        .change("PATCH", &path, version(&world), &json!({"disabled": true}))
        .ok();
    world
        .sees(&tokens, "/v1/me")
        .refused(401, "UNAUTHENTICATED");
    world.refresh(&tokens).refused(401, "UNAUTHENTICATED");
    let login = json!({"email": "anna@example.com", "password": PASSWORD});
    world.log_in(&login).refused(401, "BAD_CREDENTIALS");
    world
        .post(&format!("{path}/invitation"), &Value::Null)
        .refused(409, "USER_DISABLED");
    world
        .change("PATCH", &path, version(&world), &json!({"disabled": false}))
        .ok();
    world.log_in(&login).ok();
}

#[test]
fn nobody_takes_their_own_role_away() {
    let world = World::new();
    let user = world.person("anna", &json!({"tenantRole": "TENANT_ADMIN"}));
    let path = format!("{USERS}/{}", user["userId"].as_str().unwrap());
    let tokens = world.session("anna");
    for change in [
        json!({"disabled": true}),
        json!({"tenantRole": "TENANT_VIEWER"}),
    ] {
        world
            .asks(&tokens, "PATCH", &path, &change)
            .refused(409, "NOT_ONESELF");
    }
}

#[test]
fn a_key_does_what_its_scopes_say_until_it_ends() {
    let world = World::new();
    let keys = "/v1/tenants/ten_default/api-keys";
    let make = |request: &Value| world.post(keys, request);
    for (bad, field) in [
        (json!({"name": "x", "scopes": []}), "scopes"),
        (json!({"name": "x", "scopes": ["FLY"]}), "scopes[0]"),
        (
            json!({"name": "x", "scopes": ["READ"], "venueIds": ["ven_default"]}),
            "venueIds",
        ),
        (
            json!({"name": "x", "scopes": ["READ"], "validDays": 0}),
            "validDays",
        ),
        (
            json!({"name": "x", "scopes": ["MANAGE_VENUES"], "venueIds": ["ven_x"]}),
            "venueIds[0]",
        ),
    ] {
        assert_eq!(
            make(&bad).refused(422, "VALIDATION_FAILED")["errors"][0]["field"],
            field
        );
    }
    let reader = make(&json!({"name": "grafana", "scopes": ["READ"], "validDays": 1})).ok();
    world.sees(&reader, "/v1/devices").ok();
    world
        .asks(&reader, "POST", "/v1/enrolment-tokens", &json!({}))
        .refused(403, "FORBIDDEN");
    world.sees(&reader, keys).refused(403, "FORBIDDEN");
    world
        .sees(&reader, "/v1/auth/sessions")
        .refused(409, "NO_USER");
    let list = world.get(keys).ok();
    assert!(list["items"][0]["lastUsedAt"].is_string(), "{list}");
    assert!(list["items"][0].get("secret").is_none());
    world.pass(SignedDuration::from_hours(24));
    world
        .sees(&reader, "/v1/devices")
        .refused(401, "UNAUTHENTICATED");

    let key =
        make(&json!({"name": "pos", "scopes": ["MANAGE_VENUES"], "venueIds": ["ven_default"]}))
            .ok();
    world.sees(&key, "/v1/venues/ven_default/devices").ok();
    world.sees(&key, "/v1/devices").refused(403, "FORBIDDEN");
    let path = format!("{keys}/{}", key["apiKey"]["apiKeyId"].as_str().unwrap());
    world.operator_raw("DELETE", &path, b"").ok();
    world
        .sees(&key, "/v1/venues/ven_default/devices")
        .refused(401, "UNAUTHENTICATED");
}

#[test]
fn one_sees_the_venues_that_one_has_a_role_at() {
    let world = World::new();
    let venues = "/v1/tenants/ten_default/venues";
    let made = world
        .post(venues, &json!({"name": "Pub", "timezone": "UTC"}))
        .ok();
    let grant = json!([{"venueId": made["venueId"], "role": "VENUE_MANAGER"}]);
    world.person("anna", &json!({"venueRoles": grant}));
    let tokens = world.session("anna");
    let mine = world.sees(&tokens, "/v1/me/venues").ok();
    assert_eq!(mine["items"].as_array().unwrap().len(), 1);
    assert_eq!(mine["items"][0]["venueId"], made["venueId"]);
    assert_eq!(
        world.get("/v1/me/venues").ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let device = world.device("lobby");
    let at = |venue: &str| format!("/v1/venues/{venue}/devices/{}", device.id);
    world
        .sees(&tokens, &at("ven_default"))
        .refused(403, "FORBIDDEN");
    let venue = made["venueId"].as_str().unwrap();
    world.sees(&tokens, &at(venue)).refused(404, "NOT_FOUND");
    let moved = json!({"venueId": venue}).to_string();
    world
        .operator_raw(
            "PATCH",
            &format!("/v1/devices/{}", device.id),
            moved.as_bytes(),
        )
        .ok();
    world
        .asks(&tokens, "PATCH", &at(venue), &json!({"name": "Bar"}))
        .ok();
    let away = world.asks(
        &tokens,
        "PATCH",
        &at(venue),
        &json!({"venueId": "ven_default"}),
    );
    assert_eq!(
        away.refused(422, "VALIDATION_FAILED")["errors"][0]["field"],
        "venueId"
    );
}

#[test]
fn one_administrator_with_a_password_is_always_left() {
    let world = World::new();
    let only = world.person("anna", &json!({"tenantRole": "TENANT_ADMIN"}));
    let invited =
        json!({"email": "b@example.com", "displayName": "B", "tenantRole": "TENANT_ADMIN"});
    world.post(USERS, &invited).ok();
    let path = format!("{USERS}/{}", only["userId"].as_str().unwrap());
    let change = |change: Value| {
        let version = world.get(&path).ok()["version"].as_u64().unwrap();
        world.change("PATCH", &path, version, &change)
    };
    for less in [json!({"tenantRole": null}), json!({"disabled": true})] {
        change(less).refused(409, "LAST_ADMINISTRATOR");
    }
    world.person("carl", &json!({"tenantRole": "TENANT_ADMIN"}));
    change(json!({"tenantRole": null})).ok();
}

#[test]
fn people_are_found_by_part_of_their_name_and_wildcards_are_none() {
    let world = World::new();
    world.person("anna", &json!({}));
    world.person("carl", &json!({}));
    let found = |text: &str| {
        let page = world.get(&format!("{USERS}?q={text}")).ok();
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(
        (found("ANN"), found("example.com"), found("%25"), found("_")),
        (1, 2, 0, 1)
    );
}

#[test]
fn a_user_of_another_tenant_is_not_there() {
    let world = World::new();
    let user = world.person("anna", &json!({}));
    let id = user["userId"].as_str().unwrap();
    let other = json!({"secret": OTHER_TENANT_TOKEN});
    let path = format!("/v1/tenants/ten_other/users/{id}");
    world.sees(&other, &path).refused(404, "NOT_FOUND");
    world
        .asks(&other, "PATCH", &path, &json!({"disabled": true}))
        .refused(404, "NOT_FOUND");
    let roles = json!({"venueRoles": []});
    world
        .asks(&other, "PUT", &format!("{path}/venue-roles"), &roles)
        .refused(404, "NOT_FOUND");
    for more in ["invitation", "totp/remove"] {
        world
            .asks(&other, "POST", &format!("{path}/{more}"), &Value::Null)
            .refused(404, "NOT_FOUND");
    }
    let key = json!({"name": "k", "scopes": ["READ"]});
    let key = world.post("/v1/tenants/ten_default/api-keys", &key).ok();
    let key = key["apiKey"]["apiKeyId"].as_str().unwrap();
    let path = format!("/v1/tenants/ten_other/api-keys/{key}");
    world
        .asks(&other, "DELETE", &path, &Value::Null)
        .refused(404, "NOT_FOUND");
    for list in ["users", "api-keys"] {
        let page = world
            .sees(&other, &format!("/v1/tenants/ten_other/{list}"))
            .ok();
        assert_eq!(page["items"].as_array().unwrap().len(), 0);
    }
    assert_eq!(
        world.sees(&other, "/v1/audit").ok()["items"][0]["tenantId"],
        "ten_other"
    );
}
