//! Messages to webhooks: what arrives, when it is tried again, and where it never goes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_control::app::Settings;
use fleet_control::domain::webhooks::signature::sign;
use fleet_control::domain::webhooks::target::Reach;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::world::{Device, World};

/// What came to a receiver.
struct Message {
    head: Vec<String>,
    body: String,
}

impl Message {
    fn header(&self, name: &str) -> &str {
        let found = self.head.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        });
        found.unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Somebody who is told of alerts: answers with a status that can be changed, and keeps what came.
struct Hook {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    came: Mutex<Receiver<Message>>,
}

impl Hook {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (send, came) = channel();
        let status = Arc::new(AtomicU16::new(204));
        let hook = Self {
            address: listener.local_addr().unwrap(),
            status: Arc::clone(&status),
            came: Mutex::new(came),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if answer(stream, status.load(Ordering::SeqCst), &send).is_none() {
                    return;
                }
            }
        });
        hook
    }

    fn url(&self) -> String {
        format!("http://{}/hook?key=a", self.address)
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn next(&self) -> Message {
        let came = self.came.lock().unwrap();
        came.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    fn is_quiet(&self) -> bool {
        self.came.lock().unwrap().try_recv().is_err()
    }
}

/// `None`: nobody wants to know any more.
fn answer(stream: TcpStream, status: u16, send: &Sender<Message>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let length = name.eq_ignore_ascii_case("content-length");
        length.then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let text = format!(
        "HTTP/1.1 {status} So\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    );
    let _ = reader.get_mut().write_all(text.as_bytes());
    send.send(Message { head, body }).ok()
}

/// One whose webhooks may be on this machine.
fn world() -> World {
    World::with(Settings {
        webhooks: Reach::Everywhere,
        rates: false,
        ..Settings::default()
    })
}

fn webhook(world: &World, hook: &Hook, kinds: &[&str]) -> Value {
    let request = json!({"name": "Ops", "url": hook.url(), "kinds": kinds});
    world.post("/v1/webhooks", &request).ok()
}

fn path(created: &Value) -> String {
    let id = created["webhook"]["webhookId"].as_str().unwrap();
    format!("/v1/webhooks/{id}")
}

/// A look after which the device is weak, or is not.
fn say(world: &World, device: &Device, weak: bool) {
    let more = json!({"metrics": {
        "cpuPercent": 3.0, "memPercent": 20.0, "diskFreeBytes": 1_000_000_000_u64, "underVoltage": weak,
    }});
    let idle = json!({"state": "idle"});
    device.heartbeat_with(world, "1.0.0", &idle, more).ok();
    world.look(world.now() - SignedDuration::from_hours(1));
    world.deliver();
}

fn deliveries(world: &World, created: &Value) -> Vec<Value> {
    let page = world.get(&format!("{}/deliveries", path(created))).ok();
    page["items"].as_array().unwrap().clone()
}

#[test]
fn an_alert_is_told_when_it_opens_is_acknowledged_and_is_over() {
    let (world, hook) = (world(), Hook::new());
    let created = webhook(&world, &hook, &["underVoltage"]);
    let device = world.device("lobby");
    say(&world, &device, true);
    let opened = hook.next();
    assert!(opened.head[0].starts_with("POST /hook?key=a HTTP/1.1"));
    assert_eq!(opened.header("host"), hook.address.to_string());
    assert_eq!(opened.header("content-type"), "application/json");
    let id = opened.header("webhook-id");
    let at = opened.header("webhook-timestamp").parse().unwrap();
    let at = jiff::Timestamp::from_second(at).unwrap();
    assert_eq!(at.as_second(), world.now().as_second());
    let secret = created["secret"].as_str().unwrap();
    let signed = sign(secret, id, at, &opened.body).unwrap();
    assert_eq!(opened.header("webhook-signature"), signed);
    let message = opened.json();
    assert_eq!(message["type"], "alert.opened");
    let alert = &message["data"]["alert"];
    assert_eq!(alert["kind"], "underVoltage");
    assert_eq!(alert["deviceName"], "lobby");

    let alert = alert["alertId"].as_str().unwrap();
    let acknowledge = format!("/v1/alerts/{alert}/acknowledge");
    world.post(&acknowledge, &json!({"note": "dust"})).ok();
    world.deliver();
    let known = hook.next().json();
    assert_eq!(known["type"], "alert.acknowledged");
    assert_eq!(known["data"]["alert"]["acknowledged"]["note"], "dust");

    say(&world, &device, false);
    world.pass(SignedDuration::from_hours(1));
    say(&world, &device, false);
    let over = hook.next().json();
    assert_eq!(over["type"], "alert.resolved");
    assert_eq!(over["data"]["alert"]["state"], "resolved");
    let sent = deliveries(&world, &created);
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|d| d["state"] == "delivered"), "{sent:?}");
    assert_eq!(sent[2]["deliveryId"], id);
    assert!(hook.is_quiet());
}

#[test]
fn a_webhook_takes_the_kinds_that_it_is_for() {
    let (world, hook, other) = (world(), Hook::new(), Hook::new());
    webhook(&world, &hook, &["hot", "underVoltage"]);
    let off = webhook(&world, &other, &["hot"]);
    let device = world.device("lobby");
    say(&world, &device, true);
    hook.next();
    assert!(other.is_quiet());
    assert!(deliveries(&world, &off).is_empty());
}

#[test]
fn what_is_not_taken_is_tried_again_later_and_later_under_the_same_id() {
    let (world, hook) = (world(), Hook::new());
    let created = webhook(&world, &hook, &[]);
    let device = world.device("lobby");
    hook.answers(500);
    say(&world, &device, true);
    let first = hook.next().header("webhook-id").to_owned();
    let delivery = &deliveries(&world, &created)[0];
    assert_eq!(delivery["state"], "pending");
    assert_eq!(delivery["lastStatus"], 500);
    assert_eq!(delivery["lastFailure"], "answered 500");
    world.deliver();
    assert!(hook.is_quiet(), "not yet");
    let view = world.get(&path(&created)).ok();
    assert_eq!(view["state"], "failing");
    assert_eq!(view["lastFailure"], "answered 500");
    // A redirect is not followed.
    hook.answers(302);
    world.pass(SignedDuration::from_mins(1));
    world.deliver();
    assert_eq!(hook.next().header("webhook-id"), first);
    let redirected = &deliveries(&world, &created)[0];
    assert_eq!(redirected["lastStatus"], 302);
    hook.answers(200);
    world.pass(SignedDuration::from_mins(2));
    world.deliver();
    assert_eq!(hook.next().header("webhook-id"), first);
    let delivery = &deliveries(&world, &created)[0];
    assert_eq!(
        (&delivery["state"], &delivery["attempts"]),
        (&json!("delivered"), &json!(3))
    );
    assert_eq!(world.get(&path(&created)).ok()["state"], "active");
}

#[test]
fn a_webhook_that_is_gone_or_fails_for_days_is_switched_off_and_on_again() {
    let (world, hook) = (world(), Hook::new());
    let created = webhook(&world, &hook, &[]);
    let device = world.device("lobby");
    hook.answers(410);
    say(&world, &device, true);
    hook.next();
    let off = world.get(&path(&created)).ok();
    assert_eq!(off["state"], "disabled");
    hook.answers(500);
    let on = json!({"name": "Ops", "url": hook.url()});
    let version = off["version"].as_u64().unwrap();
    let on = world.change("PUT", &path(&created), version, &on).ok();
    assert_eq!(on["state"], "active");
    for _ in 0..8 {
        world.pass(SignedDuration::from_hours(24));
        world.deliver();
        if world.get(&path(&created)).ok()["state"] == "disabled" {
            return;
        }
    }
    panic!("it is on after eight days of failures");
}

#[test]
fn a_webhook_is_tried_out_and_says_what_came_of_it() {
    let (world, hook) = (world(), Hook::new());
    let created = webhook(&world, &hook, &[]);
    let test = format!("{}/test", path(&created));
    let taken = world.post(&test, &json!({})).ok();
    assert_eq!(taken["state"], "delivered");
    let message = hook.next().json();
    assert_eq!(message["type"], "webhook.test");
    assert_eq!(message["data"], json!({}));
    hook.answers(404);
    let refused = world.post(&test, &json!({})).ok();
    assert_eq!(refused["state"], "failed");
    assert_eq!(refused["lastFailure"], "answered 404");
    assert_eq!(refused["nextAttemptAt"], Value::Null);
    // Nobody listens there.
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", nowhere.local_addr().unwrap());
    drop(nowhere);
    let version = world.get(&path(&created)).ok()["version"].as_u64().unwrap();
    let moved = json!({"name": "Ops", "url": url});
    world.change("PUT", &path(&created), version, &moved).ok();
    let failed = world.post(&test, &json!({})).ok();
    let why = failed["lastFailure"].as_str().unwrap();
    assert!(why.starts_with("no connection to 127.0.0.1:"), "{why}");
}

#[test]
fn nothing_goes_inside_unless_the_installation_allows_it() {
    let world = World::new();
    let hook = Hook::new();
    for (url, message) in [
        (hook.url(), "has to begin with https://"),
        (format!("https://{}/", hook.address), "leads to 127.0.0.1"),
        (
            "https://169.254.169.254/latest".to_owned(),
            "leads to 169.254.169.254",
        ),
        (
            "https://[::ffff:192.168.0.1]/".to_owned(),
            "leads to ::ffff:192.168.0.1",
        ),
        ("https://u:p@example.org/".to_owned(), "login"),
        ("example.org".to_owned(), "has to begin with https://"),
        ("https://".to_owned(), "no address"),
    ] {
        let request = json!({"name": "Ops", "url": url});
        let refused = world.post("/v1/webhooks", &request);
        let refused = refused.refused(422, "VALIDATION_FAILED");
        assert_eq!(refused["errors"][0]["field"], "url");
        let said = refused["errors"][0]["message"].as_str().unwrap();
        assert!(said.contains(message), "{url}: {said}");
    }
    // A name is judged by where it leads.
    let port = hook.address.port();
    let request = json!({"name": "Ops", "url": format!("https://localhost:{port}/")});
    let created = world.post("/v1/webhooks", &request).ok();
    let test = format!("{}/test", path(&created));
    let refused = world.post(&test, &json!({})).ok();
    let why = refused["lastFailure"].as_str().unwrap();
    assert!(why.contains("not on the public internet"), "{why}");
    assert!(hook.is_quiet());
}

#[test]
fn a_receiver_without_a_certificate_is_told_nothing() {
    let (world, hook) = (world(), Hook::new());
    let url = format!("https://{}/", world.running().address);
    let request = json!({"name": "Ops", "url": url});
    let created = world.post("/v1/webhooks", &request).ok();
    let failed = world.post(&format!("{}/test", path(&created)), &json!({}));
    let failed = failed.ok();
    let why = failed["lastFailure"].as_str().unwrap();
    assert!(why.starts_with("no TLS with 127.0.0.1"), "{why}");
    assert!(hook.is_quiet());
}

#[test]
fn webhooks_are_changed_under_their_version_deleted_and_not_too_many() {
    let (world, hook) = (world(), Hook::new());
    let created = webhook(&world, &hook, &["hot"]);
    assert!(created["secret"].as_str().unwrap().starts_with("whsec_"));
    let path = path(&created);
    let shown = world.get(&path);
    assert_eq!(shown.etag.as_deref(), Some("\"1\""));
    assert_eq!(shown.ok().get("secret"), None);
    let change = json!({"name": "On call", "url": hook.url(), "enabled": false});
    world
        .put(&path, &change)
        .refused(428, "PRECONDITION_REQUIRED");
    let stale = world.change("PUT", &path, 7, &change);
    stale.refused(412, "PRECONDITION_FAILED");
    let changed = world.change("PUT", &path, 1, &change).ok();
    assert_eq!(changed["state"], "disabled");
    assert_eq!(changed["kinds"], json!([]));
    for n in 1..20 {
        let request = json!({"name": format!("{n}"), "url": hook.url()});
        world.post("/v1/webhooks", &request).ok();
    }
    let request = json!({"name": "more", "url": hook.url()});
    let refused = world.post("/v1/webhooks", &request);
    refused.refused(409, "TOO_MANY_WEBHOOKS");
    world.operator_raw("DELETE", &path, b"").ok();
    world.get(&path).refused(404, "NOT_FOUND");
    world
        .operator_raw("DELETE", &path, b"")
        .refused(404, "NOT_FOUND");
    let left = world.get("/v1/webhooks").ok();
    assert_eq!(left["items"].as_array().unwrap().len(), 19);
}

#[test]
fn a_restart_loses_no_message() {
    let (mut world, hook) = (world(), Hook::new());
    webhook(&world, &hook, &[]);
    let device = world.device("lobby");
    hook.answers(503);
    say(&world, &device, true);
    let first = hook.next().header("webhook-id").to_owned();
    hook.answers(200);
    world.restart();
    world.pass(SignedDuration::from_mins(1));
    world.deliver();
    assert_eq!(hook.next().header("webhook-id"), first);
}
