//! Several control planes on one PostgreSQL database. With SQLite there is one, and nothing to see here.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use fleet_protocol::Sha256;
use serde_json::{Value, json};
use ureq::Agent;

use crate::world::{World, agent};

/// A control plane as a program of its own, killed when it is dropped.
struct Program {
    child: Child,
    caller: Caller,
}

/// Whoever talks to it.
struct Caller {
    address: SocketAddr,
    agent: Agent,
    token: String,
}

impl Program {
    #[expect(clippy::disallowed_methods, reason = "a test starts programs")]
    fn start(world: &World, database: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fleet-control"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(world.data.path())
            .env("FLEET_DATABASE_URL", database)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let address = output.lines().map_while(Result::ok).find_map(|line| {
            let rest = line.strip_prefix("Console: https://")?;
            rest.split('/').next()?.parse().ok()
        });
        let caller = Caller {
            address: address.unwrap(),
            agent: agent(&world.ca(), None),
            token: format!("Bearer {}", world.running().admin_token),
        };
        Self { child, caller }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Caller {
    /// The number of a command that the control plane says it has queued.
    fn queue(&self, device: &str) -> Option<u64> {
        let url = format!("https://{}/v1/devices/{device}/commands", self.address);
        let command = json!({"type": "reboot", "payload": {"delaySeconds": 5}}).to_string();
        let request = self.agent.post(url).header("authorization", &self.token);
        let mut answer = request.send(command).ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        let answer: Value = serde_json::from_str(&text).ok()?;
        answer["sequence"].as_u64()
    }
}

/// The numbers of all commands of a device.
fn queued(world: &World, device: &str) -> BTreeSet<u64> {
    let mut numbers = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/devices/{device}/commands?limit=200{cursor}");
        let page = world.get(&path).ok();
        let items = page["items"].as_array().unwrap();
        numbers.extend(items.iter().map(|c| c["sequence"].as_u64().unwrap()));
        let Some(next) = page["nextCursor"].as_str() else {
            return numbers;
        };
        cursor = format!("&cursor={next}");
    }
}

#[test]
fn a_command_queued_at_one_control_plane_wakes_a_stream_at_another() {
    let world = World::new();
    let Some(other) = world.replica() else { return };
    let device = world.device("a");
    let mut wakeups = device.wakeups(&world);
    assert!(wakeups.next().unwrap().contains("connected"));
    let command = json!({"type": "reboot", "payload": {"delaySeconds": 5}});
    let path = format!("/v1/devices/{}/commands", device.id);
    other.post(&path, &command).ok();
    assert!(wakeups.next().unwrap().contains("command"));
    let fetched = device.get(&world, "/v1/device/commands").ok();
    assert_eq!(fetched["items"].as_array().unwrap().len(), 1);
    let document = json!({"control": {"heartbeat_interval_s": 30}});
    other.put("/v1/config/default", &document).ok();
    assert!(wakeups.next().unwrap().contains("target"));
}

#[test]
fn a_control_plane_killed_under_load_loses_nothing_that_it_said_was_done() {
    let world = World::new();
    let Some(database) = world.database_url() else {
        return;
    };
    let mut victim = Program::start(&world, &database);
    let device = world.device("a");
    let (tell, told) = channel();
    let acknowledged: Vec<u64> = thread::scope(|scope| {
        let (caller, device) = (&victim.caller, &device);
        for _ in 0..4 {
            let tell = tell.clone();
            scope.spawn(move || {
                while let Some(number) = caller.queue(&device.id) {
                    tell.send(number).unwrap();
                }
            });
        }
        drop(tell);
        let mut acknowledged: Vec<u64> = told.iter().take(40).collect();
        // As the kernel does it when memory is short.
        victim.child.kill().unwrap();
        acknowledged.extend(told.iter());
        acknowledged
    });
    let kept = queued(&world, &device.id);
    assert!(acknowledged.len() >= 40);
    assert!(acknowledged.iter().all(|number| kept.contains(number)));
    // Whatever the dead one was about to do, this one may do now.
    world.plan();
    world.keep_house();
}

#[test]
fn a_job_is_done_by_one_control_plane_and_by_another_when_that_one_is_gone() {
    const HOUR: Duration = Duration::from_hours(1);
    let world = World::new();
    let Some(other) = world.replica() else { return };
    let (one, another) = (&world.running().app.store, &other.running().app.store);
    let now = world.now();

    let turns = async {
        let turn = one.try_turn("look").await.unwrap().unwrap();
        assert!(another.try_turn("look").await.unwrap().is_none());
        drop(turn);
        let _waited_for = another.turn("look").await.unwrap();
    };
    world.wait(turns);

    let jobs = async {
        let due = one.due("tidy", HOUR, now).await.unwrap().unwrap();
        assert!(another.due("tidy", HOUR, now).await.unwrap().is_none());
        due.done(now).await.unwrap();
        assert!(another.due("tidy", HOUR, now).await.unwrap().is_none());
        assert!(
            another
                .due("tidy", HOUR, now + HOUR)
                .await
                .unwrap()
                .is_some()
        );
    };
    world.wait(jobs);
}

#[test]
fn while_the_database_is_gone_everybody_is_told_when_to_ask_again() {
    let Some((world, line)) = World::on_a_line() else {
        return;
    };
    let device = world.device("a");
    let mut wakeups = device.wakeups(&world);
    assert!(wakeups.next().unwrap().contains("connected"));
    line.cut();
    for answer in [
        world.get("/v1/devices"),
        device.get(&world, "/v1/device/target"),
        device.get(&world, "/v1/player/manifest"),
        world.anyone("GET", "/readyz", &[], b""),
    ] {
        let problem = answer.refused(503, "STORE_UNAVAILABLE");
        assert_eq!(problem["retryAfterSeconds"], 5);
    }
    assert_eq!(world.anyone("GET", "/healthz", &[], b"").status, 200);
    line.mend();
    world.get("/v1/devices").ok();
    let command = json!({"type": "reboot", "payload": {"delaySeconds": 5}});
    let path = format!("/v1/devices/{}/commands", device.id);
    world.post(&path, &command).ok();
    assert!(wakeups.next().unwrap().contains("command"));
    world.plan();
}

#[test]
fn one_upload_is_received_by_one_control_plane() {
    let world = World::new();
    let Some(other) = world.replica() else { return };
    let bundle = vec![7; 300_000];
    let path = format!("/v1/bundles/{}", Sha256::of(&bundle));
    let token = format!("Bearer {}", world.running().admin_token);
    let length = format!("content-length: {}", bundle.len());
    let hanging = world.begin(&path, &token, &length, &bundle[..100_000]);
    let upload = format!("{path}/upload");
    while other.get(&upload).ok()["receivedBytes"] != 100_000 {}
    let refused = other.operator_raw("PUT", &path, &bundle);
    refused.refused(409, "UPLOAD_ELSEWHERE");
    drop(hanging);
    let stored = other.operator_raw("PUT", &path, &bundle);
    assert_eq!(stored.status, 201, "{stored:?}");
    assert_eq!(world.get(&upload).ok()["complete"], true);
}
