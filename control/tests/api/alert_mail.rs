//! Mail about alerts: what arrives, when it is tried again, and how much comes at once.

use fleet_control::app::Settings;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::world::smtp::PostOffice;
use crate::world::{Device, World};

const RECIPIENTS: &str = "/v1/mail-recipients";
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fn world(post: &PostOffice) -> World {
    let world = World::with(Settings {
        mail: Some(post.server()),
        rates: false,
        ..Settings::default()
    });
    let store = &world.running().app.store;
    let tenant = "ten_default".parse().unwrap();
    world.wait(store.rename_tenant(&tenant, "Pub")).unwrap();
    world
}

fn add(world: &World, name: &str, kinds: &[&str]) -> Value {
    let request = json!({"email": format!("{name}@example.com"), "kinds": kinds});
    world.post(RECIPIENTS, &request).ok()
}

fn path(recipient: &Value) -> String {
    format!(
        "{RECIPIENTS}/{}",
        recipient["recipientId"].as_str().unwrap()
    )
}

fn deliveries(world: &World, recipient: &Value) -> Vec<Value> {
    let page = world.get(&format!("{}/deliveries", path(recipient))).ok();
    page["items"].as_array().unwrap().clone()
}

/// A heartbeat of a device that is weak, or is not.
fn beat(world: &World, device: &Device, weak: bool) {
    let more = json!({"metrics": {
        "cpuPercent": 3.0, "memPercent": 20.0, "diskFreeBytes": 1_000_000_000_u64, "underVoltage": weak,
    }});
    device
        .heartbeat_with(world, "1.0.0", &json!({"state": "idle"}), more)
        .ok();
}

fn look(world: &World) {
    world.look(world.now() - SignedDuration::from_hours(1));
}

/// And the minute that a message gathers for.
fn say(world: &World, device: &Device, weak: bool) {
    beat(world, device, weak);
    look(world);
    world.pass(MINUTE);
    world.send_mail();
}

#[test]
fn an_alert_is_told_when_it_opens_is_acknowledged_and_is_over() {
    let post = PostOffice::new();
    let world = world(&post);
    let ops = add(&world, "ops", &["underVoltage"]);
    let device = world.device("lobby");
    beat(&world, &device, true);
    look(&world);
    world.send_mail();
    assert!(post.is_quiet(), "more may come within a minute");
    world.pass(MINUTE);
    world.send_mail();
    let opened = post.next();
    assert_eq!(opened.to, ["ops@example.com"]);
    assert_eq!(opened.header("Subject"), "[Pub] lobby: weak power supply");
    let link = world.url(&format!("/devices/{}", device.id));
    assert!(opened.text().contains(&link), "{}", opened.text());
    assert!(opened.html().contains(&link), "{}", opened.html());
    let alerts = world.get("/v1/alerts?status=unresolved").ok();
    let alert = alerts["items"][0]["alertId"].as_str().unwrap();
    world
        .post(
            &format!("/v1/alerts/{alert}/acknowledge"),
            &json!({"note": "dust"}),
        )
        .ok();
    world.pass(MINUTE);
    world.send_mail();
    let known = post.next();
    assert!(known.header("Subject").ends_with("is looked after"));
    assert!(
        known.text().contains("looked after by") && known.text().contains("dust"),
        "{}",
        known.text()
    );
    beat(&world, &device, false);
    look(&world);
    world.pass(SignedDuration::from_hours(1));
    say(&world, &device, false);
    let over = post.next();
    assert!(
        over.header("Subject").ends_with("is over"),
        "{}",
        over.header("Subject")
    );
    let sent = deliveries(&world, &ops);
    assert_eq!(sent.len(), 3);
    assert!(
        sent.iter()
            .all(|d| d["state"] == "delivered" && d["events"] == 1),
        "{sent:?}"
    );
    let id = sent[2]["deliveryId"].as_str().unwrap();
    assert_eq!(opened.header("Message-ID"), format!("<{id}@example.org>"));
    assert!(post.is_quiet());
}

#[test]
fn a_venue_that_goes_dark_is_one_mail_for_each_who_is_told() {
    let post = PostOffice::new();
    let world = world(&post);
    let (ops, hot) = (add(&world, "ops", &[]), add(&world, "hot", &["hot"]));
    add(&world, "owner", &["underVoltage", "hot"]);
    let devices: Vec<_> = (0..30)
        .map(|n| world.device(&format!("screen {n}")))
        .collect();
    let (early, late) = devices.split_at(20);
    for device in early {
        beat(&world, device, true);
    }
    look(&world);
    world.pass(SignedDuration::from_secs(30));
    for device in late {
        beat(&world, device, true);
    }
    look(&world);
    world.pass(SignedDuration::from_secs(30));
    world.send_mail();
    let mut mails = [post.next(), post.next()];
    mails.sort_by(|a, b| a.to.cmp(&b.to));
    assert_eq!(
        [&mails[0].to[0], &mails[1].to[0]],
        ["ops@example.com", "owner@example.com"]
    );
    for mail in &mails {
        assert_eq!(
            mail.header("Subject"),
            "[Pub] alerts: 30 new (weak power supply)"
        );
        assert_eq!(mail.text().matches("/devices/").count(), 30);
    }
    assert!(post.is_quiet());
    assert_eq!(deliveries(&world, &ops)[0]["events"], 30);
    assert!(deliveries(&world, &hot).is_empty());
}

#[test]
fn while_the_server_is_away_mail_waits_and_then_comes_once() {
    let post = PostOffice::new();
    let mut world = world(&post);
    let ops = add(&world, "ops", &["underVoltage"]);
    let (lobby, bar) = (world.device("lobby"), world.device("bar"));
    post.goes_away();
    say(&world, &lobby, true);
    let waiting = &deliveries(&world, &ops)[0];
    assert_eq!(
        (&waiting["state"], &waiting["attempts"]),
        (&json!("pending"), &json!(1))
    );
    let why = waiting["lastFailure"].as_str().unwrap();
    assert!(why.starts_with("no connection to 127.0.0.1:"), "{why}");
    let view = world.get(&path(&ops)).ok();
    assert_eq!(view["lastFailure"], why);
    assert!(view["failingSince"].is_string());
    // What happens meanwhile waits for it, and is no second message before its time.
    say(&world, &bar, true);
    assert_eq!(deliveries(&world, &ops).len(), 2);
    world.restart();
    post.comes_back();
    world.pass(SignedDuration::from_mins(15));
    world.send_mail();
    assert!(post.next().header("Subject").contains("lobby"));
    world.send_mail();
    assert!(post.next().header("Subject").contains("bar"));
    world.pass(SignedDuration::from_hours(1));
    world.send_mail();
    assert!(post.is_quiet(), "once");
    assert!(
        deliveries(&world, &ops)
            .iter()
            .all(|d| d["state"] == "delivered")
    );
    assert_eq!(world.get(&path(&ops)).ok().get("lastFailure"), None);
}

#[test]
fn a_mail_whose_answer_was_lost_comes_again_under_the_same_id() {
    let post = PostOffice::new();
    let world = world(&post);
    let ops = add(&world, "ops", &[]);
    let device = world.device("lobby");
    post.is_forgetful();
    say(&world, &device, true);
    let first = post.next();
    post.comes_back();
    world.pass(MINUTE);
    world.send_mail();
    let second = post.next();
    assert_eq!(first.header("Message-ID"), second.header("Message-ID"));
    assert_eq!(first.header("Date"), second.header("Date"));
    assert_eq!(deliveries(&world, &ops)[0]["attempts"], 2);
}

#[test]
fn an_address_that_is_refused_is_given_up_and_says_why_and_one_that_is_busy_is_not() {
    let post = PostOffice::new();
    let world = world(&post);
    let ops = add(&world, "ops", &["underVoltage"]);
    let device = world.device("lobby");
    post.says("RCPT", "450 4.2.1 come back later");
    say(&world, &device, true);
    let busy = &deliveries(&world, &ops)[0];
    assert_eq!(
        (&busy["state"], &busy["lastStatus"]),
        (&json!("pending"), &json!(450))
    );
    post.says("RCPT", "550 5.1.1 no such user");
    world.pass(MINUTE);
    world.send_mail();
    let refused = &deliveries(&world, &ops)[0];
    assert_eq!(
        (&refused["state"], &refused["lastStatus"]),
        (&json!("failed"), &json!(550))
    );
    let why = refused["lastFailure"].as_str().unwrap();
    assert!(why.contains("no such user"), "{why}");
    assert_eq!(world.get(&path(&ops)).ok()["lastFailure"], why);
    post.comes_back();
    world.pass(SignedDuration::from_hours(24));
    world.send_mail();
    assert!(post.is_quiet());
}

#[test]
fn a_server_that_does_not_let_us_in_is_asked_again() {
    let post = PostOffice::new();
    let world = world(&post);
    let ops = add(&world, "ops", &[]);
    let device = world.device("lobby");
    post.says("EHLO", "550 5.7.1 who are you");
    say(&world, &device, true);
    assert_eq!(deliveries(&world, &ops)[0]["state"], "pending");
    post.comes_back();
    world.pass(MINUTE);
    world.send_mail();
    post.next();
}

#[test]
fn mail_is_tried_out_and_says_what_came_of_it() {
    let post = PostOffice::new();
    let world = world(&post);
    let ops = add(&world, "ops", &["hot"]);
    let test = format!("{}/test", path(&ops));
    let taken = world.post(&test, &json!({})).ok();
    assert_eq!(
        (&taken["state"], &taken["events"]),
        (&json!("delivered"), &json!(0))
    );
    assert!(post.next().text().contains("nothing is wrong"));
    post.says("DATA", "451 4.3.0 no room");
    let failed = world.post(&test, &json!({})).ok();
    assert_eq!(
        (&failed["state"], &failed["lastStatus"]),
        (&json!("failed"), &json!(451))
    );
    assert_eq!(failed.get("nextAttemptAt"), None);
}

#[test]
fn recipients_are_added_once_removed_and_not_too_many() {
    let post = PostOffice::new();
    let world = world(&post);
    let ops = add(&world, "ops", &[]);
    let again = json!({"email": " Ops@Example.com "});
    world.post(RECIPIENTS, &again).refused(409, "ALREADY_TOLD");
    for bad in ["ops", "ops@example.com\r\nBcc: eve@example.com", "a@b, c@d"] {
        let refused = world.post(RECIPIENTS, &json!({"email": bad}));
        assert_eq!(
            refused.refused(422, "VALIDATION_FAILED")["errors"][0]["field"],
            "email"
        );
    }
    for n in 1..20 {
        add(&world, &format!("n{n}"), &[]);
    }
    let more = json!({"email": "more@example.com"});
    world
        .post(RECIPIENTS, &more)
        .refused(409, "TOO_MANY_RECIPIENTS");
    let device = world.device("lobby");
    beat(&world, &device, true);
    look(&world);
    world.operator_raw("DELETE", &path(&ops), b"").ok();
    world.get(&path(&ops)).refused(404, "NOT_FOUND");
    world
        .operator_raw("DELETE", &path(&ops), b"")
        .refused(404, "NOT_FOUND");
    world.pass(MINUTE);
    world.send_mail();
    for _ in 1..20 {
        assert_ne!(post.next().to, ["ops@example.com"]);
    }
    assert!(post.is_quiet());
}

#[test]
fn nobody_is_added_to_a_control_plane_that_sends_no_mail() {
    let world = World::new();
    let request = json!({"email": "ops@example.com"});
    world.post(RECIPIENTS, &request).refused(409, "NO_MAIL");
}

#[test]
fn mail_is_forgotten_after_a_month() {
    let post = PostOffice::new();
    let world = world(&post);
    let ops = add(&world, "ops", &["underVoltage"]);
    let device = world.device("lobby");
    say(&world, &device, true);
    post.next();
    world.pass(SignedDuration::from_hours(31 * 24));
    world.keep_house();
    assert!(deliveries(&world, &ops).is_empty());
}
