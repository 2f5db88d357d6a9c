//! Logging in, staying so, and what roles let one do.

use fleet_control::app::Settings;
use jiff::SignedDuration;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

use crate::world::{PASSWORD, World};

const USERS: &str = "/v1/tenants/ten_default/users";

#[test]
fn an_invited_user_chooses_a_password_once_and_logs_in() {
    let world = World::new();
    let request =
        json!({"email": "Anna@Example.com", "displayName": "Anna", "tenantRole": "TENANT_ADMIN"});
    let created = world.post(USERS, &request).ok();
    assert_eq!(created["user"]["status"], "INVITED");
    assert_eq!(created["user"]["email"], "anna@example.com");
    let early = json!({"email": "anna@example.com", "password": PASSWORD});
    world.log_in(&early).refused(401, "BAD_CREDENTIALS");

    let weak = json!({"token": "x", "password": "short"}).to_string();
    world
        .anyone("POST", "/v1/auth/accept", &[], weak.as_bytes())
        .refused(401, "UNAUTHENTICATED");
    world.accept(&created["invitation"]).ok();
    world
        .accept(&created["invitation"])
        .refused(401, "UNAUTHENTICATED");

    let tokens = world
        .log_in(&json!({"email": "ANNA@example.com", "password": PASSWORD}))
        .ok();
    assert_eq!(tokens["user"]["displayName"], "Anna");
    let me = world.sees(&tokens, "/v1/me").ok();
    assert_eq!(
        (me["administrator"].as_bool(), &me["user"]["status"]),
        (Some(true), &json!("ACTIVE"))
    );
    for bad in [
        json!({"email": "anna@example.com", "password": "correct horse batterx"}),
        json!({"email": "nobody@example.com", "password": PASSWORD}),
    ] {
        world.log_in(&bad).refused(401, "BAD_CREDENTIALS");
    }
    world.post(USERS, &request).refused(409, "EMAIL_TAKEN");
    let late = world
        .post(
            USERS,
            &json!({"email": "b@example.com", "displayName": "B"}),
        )
        .ok();
    world.pass(SignedDuration::from_hours(7 * 24 + 1));
    world
        .accept(&late["invitation"])
        .refused(401, "UNAUTHENTICATED");
}

#[test]
fn a_refresh_token_is_good_once_and_one_that_comes_back_ends_the_session() {
    let world = World::new();
    world.person("anna", &json!({"tenantRole": "TENANT_VIEWER"}));
    let first = world.session("anna");
    world.pass(SignedDuration::from_mins(16));
    world
        .sees(&first, "/v1/devices")
        .refused(401, "UNAUTHENTICATED");
    let second = world.refresh(&first).ok();
    world.sees(&second, "/v1/devices").ok();
    let elsewhere = world.session("anna");

    world.refresh(&first).refused(401, "UNAUTHENTICATED");
    world
        .sees(&second, "/v1/devices")
        .refused(401, "UNAUTHENTICATED");
    world.refresh(&second).refused(401, "UNAUTHENTICATED");
    world.sees(&elsewhere, "/v1/devices").ok();

    world.pass(SignedDuration::from_hours(30 * 24));
    world.refresh(&elsewhere).refused(401, "UNAUTHENTICATED");
}

#[test]
fn sessions_are_listed_and_end_at_once() {
    let mut world = World::new();
    world.person("anna", &json!({}));
    let (here, there) = (world.session("anna"), world.session("anna"));
    let sessions = world.sees(&here, "/v1/auth/sessions").ok();
    let sessions = sessions["items"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    let other = sessions.iter().find(|s| s["current"] == false).unwrap();
    let path = format!("/v1/auth/sessions/{}", other["sessionId"].as_str().unwrap());
    world.asks(&here, "DELETE", &path, &Value::Null).ok();
    world
        .asks(&here, "DELETE", &path, &Value::Null)
        .refused(404, "NOT_FOUND");
    world.sees(&there, "/v1/me").refused(401, "UNAUTHENTICATED");
    world.refresh(&there).refused(401, "UNAUTHENTICATED");

    // The server's address, and so the tokens' issuer, may change with a restart; the session stays.
    world.restart();
    let again = world.refresh(&here).ok();
    world
        .asks(&again, "POST", "/v1/auth/logout", &Value::Null)
        .ok();
    world.sees(&again, "/v1/me").refused(401, "UNAUTHENTICATED");
}

#[test]
fn a_new_password_ends_all_other_sessions() {
    let world = World::new();
    world.person("anna", &json!({}));
    let (here, there) = (world.session("anna"), world.session("anna"));
    let change = |from: &str, to: &str| json!({"currentPassword": from, "newPassword": to});
    let path = "/v1/auth/password";
    let wrong = world.asks(
        &here,
        "POST",
        path,
        &change("not mine at all", "another good one"),
    );
    assert_eq!(
        wrong.refused(422, "VALIDATION_FAILED")["errors"][0]["field"],
        "currentPassword"
    );
    let weak = world.asks(&here, "POST", path, &change(PASSWORD, "short"));
    assert_eq!(
        weak.refused(422, "VALIDATION_FAILED")["errors"][0]["field"],
        "newPassword"
    );
    world
        .asks(&here, "POST", path, &change(PASSWORD, "another good one"))
        .ok();
    world.sees(&here, "/v1/me").ok();
    world.sees(&there, "/v1/me").refused(401, "UNAUTHENTICATED");
    let email = "anna@example.com";
    world
        .log_in(&json!({"email": email, "password": PASSWORD}))
        .refused(401, "BAD_CREDENTIALS");
    world
        .log_in(&json!({"email": email, "password": "another good one"}))
        .ok();
}

/// What the authenticator shows now.
fn code(world: &World, secret: &str) -> String {
    let secret = Secret::try_from_base32(secret).unwrap();
    let totp = Builder::new().with_secret(secret).build().unwrap();
    totp.generate(u64::try_from(world.now().as_second()).unwrap())
        .to_string()
}

#[test]
fn a_second_factor_is_asked_for_and_each_code_is_good_once() {
    let world = World::new();
    let user = world.person("anna", &json!({}));
    let tokens = world.session("anna");
    let begun = world
        .asks(&tokens, "POST", "/v1/auth/totp", &Value::Null)
        .ok();
    let secret = begun["secret"].as_str().unwrap();
    assert!(
        begun["uri"]
            .as_str()
            .unwrap()
            .starts_with("otpauth://totp/Fleet:anna"),
        "{begun}"
    );
    world.session("anna");
    let confirm = |code: &str| {
        world.asks(
            &tokens,
            "POST",
            "/v1/auth/totp/confirm",
            &json!({"code": code}),
        )
    };
    confirm("000000").refused(422, "VALIDATION_FAILED");
    let confirmed = confirm(&code(&world, secret)).ok();
    let recovery = confirmed["recoveryCodes"].as_array().unwrap();
    assert_eq!(recovery.len(), 10);

    let login = |code: Option<&str>| {
        let mut request = json!({"email": "anna@example.com", "password": PASSWORD});
        if let Some(code) = code {
            request["code"] = code.into();
        }
        world.log_in(&request)
    };
    login(None).refused(401, "TOTP_REQUIRED");
    login(Some("123")).refused(401, "BAD_CODE");
    login(Some(&code(&world, secret))).refused(401, "BAD_CODE");
    world.pass(SignedDuration::from_secs(60));
    login(Some(&code(&world, secret))).ok();
    login(Some(&code(&world, secret))).refused(401, "BAD_CODE");
    let spare = recovery[0].as_str().unwrap().to_uppercase();
    login(Some(&spare)).ok();
    login(Some(&spare)).refused(401, "BAD_CODE");

    let off = format!("{USERS}/{}/totp/remove", user["userId"].as_str().unwrap());
    world.post(&off, &Value::Null).ok();
    login(None).ok();
}

#[test]
fn logins_are_slowed_down_by_account_and_by_address() {
    let world = World::with(Settings {
        max_failures: 1_000,
        ..Settings::default()
    });
    let wrong =
        |email: &str| world.log_in(&json!({"email": email, "password": "nothing of the kind"}));
    for _ in 0..5 {
        wrong("a@example.com").refused(401, "BAD_CREDENTIALS");
    }
    let refused = wrong("a@example.com").refused(429, "RATE_LIMITED");
    assert!(
        (1..=12).contains(&refused["retryAfterSeconds"].as_u64().unwrap()),
        "{refused}"
    );
    for _ in 0..4 {
        wrong("b@example.com").refused(401, "BAD_CREDENTIALS");
    }
    wrong("c@example.com").refused(429, "RATE_LIMITED");
    world.pass(SignedDuration::from_mins(1));
    wrong("c@example.com").refused(401, "BAD_CREDENTIALS");
}

#[test]
fn answers_say_what_is_left_of_the_rate() {
    let world = World::with(Settings::default());
    let device = world.device("lobby");
    let left = |expected: &str| {
        let answer = device.raw(&world, "GET", "/v1/player/manifest", &[], b"");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-ratelimit-limit"), "2");
        assert_eq!(header("x-ratelimit-remaining"), expected);
        let resets: i64 = header("x-ratelimit-reset").parse().unwrap();
        assert!(resets > world.now().as_second());
        answer
    };
    for expected in ["5", "4", "3", "2", "1", "0"] {
        left(expected);
    }
    let refused = left("0");
    assert_eq!(refused.status().as_u16(), 429);
    assert_eq!(refused.headers()["retry-after"], "30");
}

#[test]
fn whoever_refreshes_too_often_still_has_the_token_afterwards() {
    let world = World::with(Settings::default());
    world.person("anna", &json!({}));
    let mut tokens = world.session("anna");
    for _ in 0..30 {
        tokens = world.refresh(&tokens).ok();
    }
    world.refresh(&tokens).refused(429, "RATE_LIMITED");
    world.pass(SignedDuration::from_mins(2));
    world.refresh(&tokens).ok();
}

#[test]
fn a_link_that_was_replaced_is_no_longer_good() {
    let world = World::new();
    let user = world.person("anna", &json!({}));
    let path = format!("{USERS}/{}/invitation", user["userId"].as_str().unwrap());
    let first = world.post(&path, &Value::Null).ok();
    let second = world.post(&path, &Value::Null).ok();
    world.accept(&first).refused(401, "UNAUTHENTICATED");
    let tokens = world.session("anna");
    world.accept(&second).ok();
    world
        .sees(&tokens, "/v1/me")
        .refused(401, "UNAUTHENTICATED");
}
