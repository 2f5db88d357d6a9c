use fleet_control::app::Settings;
use serde_json::json;

use crate::world::World;

fn session(world: &World) -> String {
    let path = format!("/login?token={}", world.running().admin_token);
    let response = world.raw("GET", &path, &[], b"");
    assert_eq!(response.status().as_u16(), 303);
    assert_eq!(response.headers()["location"], "/");
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    for attribute in ["HttpOnly", "Secure", "SameSite=Lax"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

fn page(world: &World, cookie: &str, path: &str) -> String {
    let response = world.raw("GET", path, &[("cookie", cookie)], b"");
    assert_eq!(response.status().as_u16(), 200, "{path}");
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    response.into_body().read_to_string().unwrap()
}

#[test]
fn the_printed_link_logs_in_and_the_pages_show_the_fleet() {
    let world = World::new();
    let cookie = session(&world);
    assert!(page(&world, &cookie, "/").contains("No device to show"));
    let device = world.device("<script>alert(1)</script>");
    let status = json!({"status": {"degradationLevel": 2, "recordingActive": true}});
    device
        .heartbeat_with(&world, "1.0.0", &json!({"state": "idle"}), status)
        .ok();
    world.publish("2.0.0");
    let rollout = world
        .post("/v1/rollouts", &json!({"version": "2.0.0"}))
        .ok();
    let fleet = page(&world, &cookie, "/");
    assert!(!fleet.contains("<script>"), "names are escaped");
    assert!(fleet.contains("alert(1)"));
    let rollout = format!("/rollouts/{}", rollout["rolloutId"].as_str().unwrap());
    assert!(page(&world, &cookie, &rollout).contains("Rollout of 2.0.0"));
    let shown = page(&world, &cookie, &format!("/devices/{}", device.id));
    for text in ["Why is it not updating?", "level 2", "recording active"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
}

#[test]
fn without_a_session_every_page_leads_to_the_login() {
    let world = World::new();
    for cookie in ["", "fleet_session=guess", "other=1"] {
        let response = world.raw("GET", "/", &[("cookie", cookie)], b"");
        assert_eq!(response.status().as_u16(), 303);
        assert_eq!(response.headers()["location"], "/login");
    }
    let wrong = world.raw(
        "POST",
        "/login",
        &[("content-type", "application/x-www-form-urlencoded")],
        b"token=wrong",
    );
    assert_eq!(wrong.status().as_u16(), 401);
}

#[test]
fn logging_out_ends_the_session() {
    let world = World::new();
    let cookie = session(&world);
    page(&world, &cookie, "/");
    world.raw("POST", "/logout", &[("cookie", &cookie)], b"");
    assert_eq!(
        world
            .raw("GET", "/", &[("cookie", &cookie)], b"")
            .status()
            .as_u16(),
        303
    );
}

#[test]
fn the_code_on_a_screen_leads_over_the_login_to_letting_the_device_in() {
    let world = World::new();
    let start = json!({"hardware": "Raspberry Pi 4", "serialNumber": "10000000a1b2c3d4"});
    let (start, path) = (start.to_string(), "/v1/devices/pairing/start");
    let started = world.anyone("POST", path, &[], start.as_bytes()).ok();
    let code = started["pairingCode"].as_str().unwrap();
    let to = |answer: &ureq::http::Response<ureq::Body>| {
        assert_eq!(answer.status().as_u16(), 303);
        answer.headers()["location"].to_str().unwrap().to_owned()
    };
    let scanned = world.raw("GET", &format!("/pair?code={code}"), &[], b"");
    assert_eq!(to(&scanned), format!("/login?pair={code}"));
    let elsewhere = world.raw("GET", "/pair?code=//evil.example", &[], b"");
    assert_eq!(to(&elsewhere), "/login");
    let token = format!("token={}&pair={code}", world.running().admin_token);
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let entered = world.raw("POST", "/login", &[kind], token.as_bytes());
    assert_eq!(to(&entered), format!("/pair?code={code}"));

    let cookie = session(&world);
    let shown = page(&world, &cookie, &format!("/pair?code={code}"));
    // What stands before them is seen before it is let in.
    for text in [code, "ven_default", "Raspberry Pi 4", "10000000a1b2c3d4"] {
        assert!(shown.contains(text), "no {text} in {shown}");
    }
    let asked = page(&world, &cookie, "/pair");
    assert!(asked.contains("The code on its screen"), "{asked}");
    let send = |code: &str| {
        let body = format!("code={code}&name=window&venue=ven_default");
        let headers = [kind, ("cookie", cookie.as_str())];
        let answer = world.raw("POST", "/pair", &headers, body.as_bytes());
        let status = answer.status().as_u16();
        (status, answer.into_body().read_to_string().unwrap())
    };
    let (status, text) = send(code);
    assert!(status == 200 && text.contains("Raspberry Pi 4"), "{text}");
    let (status, text) = send(code);
    assert!(
        status == 404 && text.contains("no device shows the code"),
        "{text}"
    );
    let (status, text) = send("K7QF");
    assert!(
        status == 422 && text.contains("is no pairing code"),
        "{text}"
    );
}

#[test]
fn a_venue_among_many_is_found_for_the_device_that_is_let_in() {
    let world = World::with(Settings {
        rates: false,
        ..Settings::default()
    });
    let venues = "/v1/tenants/ten_default/venues";
    for number in 0..200 {
        let venue = json!({"name": format!("Bar {number}"), "timezone": "UTC"});
        world.post(venues, &venue).ok();
    }
    let last = json!({"name": "Küche <Süd>", "timezone": "UTC"});
    let last = world.post(venues, &last).ok();
    let last = last["venueId"].as_str().unwrap();
    let start = json!({"hardware": "QEMU"}).to_string();
    let path = "/v1/devices/pairing/start";
    let started = world.anyone("POST", path, &[], start.as_bytes()).ok();
    let code = started["pairingCode"].as_str().unwrap();
    let cookie = session(&world);
    let options = |query: &str| {
        let shown = page(&world, &cookie, &format!("/pair?code={code}{query}"));
        (shown.matches("<option").count(), shown)
    };
    let (listed, shown) = options("");
    assert!(listed == 200 && shown.contains("Find the venue"), "{shown}");
    let (listed, shown) = options("&find=+s%C3%BCd");
    assert!(listed == 1 && shown.contains(last), "{shown}");
    assert!(shown.contains("Süd&#62;") && !shown.contains("<Süd>"));
    let (listed, shown) = options("&find=nowhere");
    assert!(listed == 0 && shown.contains("“nowhere”"), "{shown}");

    // Whoever may bring devices to some venues is shown those.
    let roles = json!({"venueRoles": [
        {"venueId": last, "role": "VENUE_MANAGER"}, {"venueId": "ven_default", "role": "VENUE_VIEWER"},
    ]});
    world.person("anna", &roles);
    let fields = [
        ("email", "anna@example.com"),
        ("password", crate::world::PASSWORD),
    ];
    let (_, cookie, _) = form(&world, "/login", &fields);
    let shown = page(&world, &cookie, &format!("/pair?code={code}"));
    assert!(
        shown.matches("<option").count() == 1 && shown.contains(last),
        "{shown}"
    );
    assert!(!shown.contains("Find the venue"), "{shown}");
}

#[test]
fn what_is_not_there_is_said_on_a_page() {
    let world = World::new();
    let cookie = session(&world);
    let response = world.raw("GET", "/devices/dev_nobody", &[("cookie", &cookie)], b"");
    assert_eq!(response.status().as_u16(), 404);
    assert!(
        response
            .into_body()
            .read_to_string()
            .unwrap()
            .contains("dev_nobody")
    );
}

fn form(world: &World, path: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
    let plain = |text: &str| text.replace('@', "%40").replace(' ', "+");
    let body: Vec<_> = fields
        .iter()
        .map(|(k, v)| format!("{k}={}", plain(v)))
        .collect();
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let answer = world.raw("POST", path, &[kind], body.join("&").as_bytes());
    let header = |name: &str| {
        let value = answer
            .headers()
            .get(name)
            .map(|v| v.to_str().unwrap().to_owned());
        value.unwrap_or_default()
    };
    let (status, cookie) = (answer.status().as_u16(), header("set-cookie"));
    let text = answer.into_body().read_to_string().unwrap();
    (status, cookie.split(';').next().unwrap().to_owned(), text)
}

#[test]
fn the_first_administrator_says_who_they_are_and_logs_in() {
    let world = World::new();
    let link = world.running().first_link.clone().unwrap();
    let (_, token) = link.split_once("token=").unwrap();
    let shown = page(&world, "", &format!("/join?token={token}"));
    assert!(shown.contains("You are the first administrator"), "{shown}");
    let password = "correct horse battery";
    let mut fields = vec![
        ("token", token),
        ("password", password),
        ("again", "another one here"),
    ];
    fields.extend([("displayName", "Anna"), ("email", "anna@example.com")]);
    let (status, _, text) = form(&world, "/join", &fields);
    assert_eq!(status, 422);
    assert!(text.contains("the two passwords differ"), "{text}");
    fields[2].1 = password;
    assert_eq!(form(&world, "/join", &fields[..3]).0, 422, "without a name");
    assert_eq!(form(&world, "/join", &fields).0, 303);
    assert_eq!(form(&world, "/join", &fields).0, 401, "a link is good once");

    let wrong = [
        ("email", "anna@example.com"),
        ("password", "not hers at all"),
    ];
    let (status, _, text) = form(&world, "/login", &wrong);
    assert_eq!(status, 401);
    assert!(
        text.contains("value=\"anna@example.com\""),
        "the address need not be typed again"
    );
    let right = [("email", "anna@example.com"), ("password", password)];
    let (status, cookie, _) = form(&world, "/login", &right);
    assert_eq!(status, 303);
    assert!(page(&world, &cookie, "/").contains("No device to show"));

    // Shut out, she is out of the console at once.
    world.person("boss", &json!({"tenantRole": "TENANT_ADMIN"}));
    let users = world.get("/v1/tenants/ten_default/users").ok();
    let user = &users["items"][0];
    let path = format!(
        "/v1/tenants/ten_default/users/{}",
        user["userId"].as_str().unwrap()
    );
    let version = user["version"].as_u64().unwrap();
    world
        .change("PATCH", &path, version, &json!({"disabled": true}))
        .ok();
    let answer = world.raw("GET", "/", &[("cookie", &cookie)], b"");
    assert_eq!(answer.headers()["location"], "/login");
}

#[test]
fn a_browser_without_the_right_to_see_the_fleet_is_told_so() {
    let world = World::new();
    world.person("anna", &json!({}));
    let fields = [
        ("email", "anna@example.com"),
        ("password", crate::world::PASSWORD),
    ];
    let (_, cookie, _) = form(&world, "/login", &fields);
    let answer = world.raw("GET", "/", &[("cookie", &cookie)], b"");
    assert_eq!(answer.status().as_u16(), 403);
    assert!(
        answer
            .into_body()
            .read_to_string()
            .unwrap()
            .contains("TENANT_VIEWER")
    );
}

#[test]
fn a_browser_is_out_as_soon_as_its_key_is_revoked() {
    let world = World::new();
    let keys = "/v1/tenants/ten_default/api-keys";
    let key = world
        .post(keys, &json!({"name": "wall", "scopes": ["READ"]}))
        .ok();
    let secret = key["secret"].as_str().unwrap();
    let (status, cookie, _) = form(&world, "/login", &[("token", secret)]);
    assert_eq!(status, 303);
    assert!(page(&world, &cookie, "/").contains("No device to show"));
    let path = format!("{keys}/{}", key["apiKey"]["apiKeyId"].as_str().unwrap());
    world.operator_raw("DELETE", &path, b"").ok();
    let answer = world.raw("GET", "/", &[("cookie", &cookie)], b"");
    assert_eq!(answer.headers()["location"], "/login");

    world.person("anna", &json!({"tenantRole": "TENANT_VIEWER"}));
    let tokens = world.session("anna");
    let access = tokens["accessToken"].as_str().unwrap();
    let (status, _, text) = form(&world, "/login", &[("token", access)]);
    assert_eq!(status, 401, "it would last longer here");
    assert!(text.contains("for programs"), "{text}");
}

#[test]
fn what_is_done_in_a_browser_is_recorded_too() {
    let world = World::new();
    world.person("anna", &json!({}));
    let email = ("email", "anna@example.com");
    form(&world, "/login", &[email, ("password", "not hers at all")]);
    let (_, cookie, _) = form(
        &world,
        "/login",
        &[email, ("password", crate::world::PASSWORD)],
    );
    world.raw("POST", "/logout", &[("cookie", &cookie)], b"");
    let page = world.get("/v1/audit?limit=3").ok();
    let seen: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap();
            format!("{} {} {}", text("actor"), text("action"), text("outcome"))
        })
        .collect();
    assert_eq!(
        seen,
        [
            "anna@example.com POST /logout DONE",
            "anna@example.com POST /login DONE",
            "anna@example.com POST /login REFUSED",
        ]
    );
    let tokens = world.session("anna");
    let sessions = world.sees(&tokens, "/v1/auth/sessions").ok();
    assert_eq!(
        sessions["items"].as_array().unwrap().len(),
        1,
        "logging out ended the other"
    );
}
