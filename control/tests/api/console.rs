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
