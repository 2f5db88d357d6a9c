//! What control planes remember of devices is never older than what somebody was told is done, whoever did it and wherever
//! the device asks next.

use std::sync::mpsc::{Sender, channel};
use std::thread;

use fleet_control::store::Store;
use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use ureq::Agent;

use crate::content::published;
use crate::player::ask;
use crate::world::program::Program;
use crate::world::{Answer, Device, World, agent};

const MANIFEST: &str = "/v1/player/manifest";

fn player_heartbeat(world: &World, device: &Device) -> Answer {
    let body = json!({
        "deviceTime": world.now(), "appVersion": "1.2.0", "state": "PLAYING", "manifestEtag": "e:1",
        "playback": {"playlistId": null, "publishedVersion": null, "currentAssetId": null, "currentItemIndex": null,
            "loopCount": 0},
        "cache": {"totalBytes": 1, "usedBytes": 0, "assetCount": 0, "pendingDownloads": 0},
        "network": {"connected": true, "type": "ETHERNET", "lastSyncAtUtc": world.now()},
        "errors": {"playbackFailures": 0, "downloadFailures": 0, "manifestFetchFailures": 0},
        "frames": {"presented": 1, "late": 0, "blankMs": 0},
    });
    device.send(world, "POST", "/v1/player/heartbeat", &body)
}

/// One control plane, and with PostgreSQL another one.
fn planes(world: World) -> Vec<World> {
    let other = world.replica();
    [world].into_iter().chain(other).collect()
}

/// The tag that the device gets from each of them, all the same.
#[track_caller]
fn tag_everywhere(planes: &[World], device: &Device) -> String {
    let tags = planes
        .iter()
        .map(|plane| ask(plane, device, MANIFEST, None).etag.unwrap());
    let tags: Vec<String> = tags.collect();
    assert!(tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
    tags[0].clone()
}

#[track_caller]
fn assert_everywhere(planes: &[World], device: &Device, known: &str, status: u16) {
    for plane in planes {
        let answer = ask(plane, device, MANIFEST, Some(known));
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[test]
fn what_was_published_a_moment_ago_is_in_every_answer() {
    let planes = planes(World::new());
    let device = planes[0].device("lobby");
    for round in 0..8 {
        let known = tag_everywhere(&planes, &device);
        assert_everywhere(&planes, &device, &known, 304);
        let here = &planes[round % planes.len()];
        published(here, "Day", u8::try_from(round).unwrap());
        assert_everywhere(&planes, &device, &known, 200);
    }
}

#[test]
fn a_device_that_was_revoked_a_moment_ago_is_let_in_nowhere() {
    let planes = planes(World::new());
    let device = planes[0].device("lobby");
    let path = format!("/v1/devices/{}", device.id);
    for round in 0..4 {
        let known = tag_everywhere(&planes, &device);
        assert_everywhere(&planes, &device, &known, 304);
        let here = &planes[round % planes.len()];
        here.operator_raw("DELETE", &path, b"").ok();
        assert_everywhere(&planes, &device, &known, 401);
        for plane in &planes {
            player_heartbeat(plane, &device).refused(401, "UNAUTHENTICATED");
        }
        here.post(&format!("{path}/restore"), &json!({})).ok();
        assert_everywhere(&planes, &device, &known, 304);
    }
}

#[test]
fn a_tenant_that_another_program_shut_out_is_let_in_nowhere() {
    let planes = planes(World::new());
    let world = &planes[0];
    let device = world.device("lobby");
    let known = tag_everywhere(&planes, &device);
    let shut_out = |since: Option<Timestamp>| {
        let work = async {
            // As `fleet-control tenant disable` does.
            let store = match world.database_url() {
                Some(address) => Store::connect(&address.parse().unwrap()).await,
                None => Store::open(&world.data.path().join("fleet.db")).await,
            };
            let store = store.unwrap();
            let tenant = "ten_default".parse().unwrap();
            assert!(store.disable_tenant(&tenant, since).await.unwrap());
            store.close().await;
        };
        world.wait(work);
    };
    shut_out(Some(world.now()));
    assert_everywhere(&planes, &device, &known, 401);
    shut_out(None);
    assert_everywhere(&planes, &device, &known, 304);
}

#[test]
fn a_device_that_went_to_another_venue_gets_that_ones_manifest() {
    let planes = planes(World::new());
    let world = &planes[0];
    let device = world.device("lobby");
    let known = tag_everywhere(&planes, &device);
    let settings = json!({"name": "Station", "timezone": "UTC"});
    let venue = world.post("/v1/tenants/ten_default/venues", &settings).ok();
    let path = format!("/v1/devices/{}", device.id);
    let change = json!({"venueId": venue["venueId"]}).to_string();
    world.operator_raw("PATCH", &path, change.as_bytes()).ok();
    assert_everywhere(&planes, &device, &known, 200);
    let known = tag_everywhere(&planes, &device);
    assert!(
        known.contains(venue["venueId"].as_str().unwrap()),
        "{known}"
    );
}

#[test]
fn a_command_that_was_queued_a_moment_ago_is_fetched_at_every_control_plane() {
    let planes = planes(World::new());
    let device = planes[0].device("lobby");
    let waiting = |plane: &World| {
        let commands = device.get(plane, "/v1/device/commands").ok();
        commands["items"].as_array().unwrap().len()
    };
    let path = format!("/v1/devices/{}/commands", device.id);
    for queued in 0..4 {
        for plane in &planes {
            assert_eq!(waiting(plane), queued);
        }
        let here = &planes[queued % planes.len()];
        let command = json!({"type": "reboot", "payload": {"delaySeconds": 5}});
        here.post(&path, &command).ok();
        for plane in &planes {
            assert_eq!(waiting(plane), queued + 1);
        }
    }
}

#[test]
fn while_the_database_is_gone_screens_keep_their_manifest_and_heartbeats_come_again() {
    let Some((world, line)) = World::on_a_line() else {
        return;
    };
    let (device, stranger) = (world.device("lobby"), world.device("window"));
    let known = ask(&world, &device, MANIFEST, None).etag.unwrap();
    line.cut();
    for _ in 0..3 {
        assert_eq!(ask(&world, &device, MANIFEST, Some(&known)).status, 304);
        let refused = player_heartbeat(&world, &device).refused(503, "STORE_UNAVAILABLE");
        assert_eq!(refused["retryAfterSeconds"], 5);
    }
    ask(&world, &stranger, MANIFEST, Some(&known)).refused(503, "STORE_UNAVAILABLE");
    line.mend();
    assert_eq!(player_heartbeat(&world, &device).status, 204);
    published(&world, "Day", 1);
    assert_eq!(ask(&world, &device, MANIFEST, Some(&known)).status, 200);
}

/// Heartbeats of a device, one after the other, until the control plane is gone: the last number that was answered.
fn say(url: &str, agent: &Agent, token: &str, first: u64, tell: &Sender<()>) -> u64 {
    let mut last = 0;
    for number in first.. {
        let request = agent.post(url).header("x-device-token", token);
        match request.send(heartbeat(number).to_string()) {
            Ok(answer) if answer.status() == 200 => last = number,
            _ => break,
        }
        // Whoever listened may have heard enough.
        let _ = tell.send(());
    }
    last
}

#[test]
fn a_heartbeat_that_was_answered_is_there_after_a_kill_under_load() {
    let data = tempfile::tempdir().unwrap();
    let mut program = Program::serve(data.path());
    let devices = [0, 1, 2, 3].map(|number| program.enrol(number));
    let ca = std::fs::read_to_string(data.path().join("ca.pem")).unwrap();
    for round in 1..=3_u64 {
        let url = program.url("/v1/device/heartbeat");
        let (tell, told) = channel();
        let answered: Vec<u64> = thread::scope(|scope| {
            let speaking = devices.iter().map(|device| {
                let (url, tell) = (&url, tell.clone());
                let agent = agent(&ca, Some(&device.identity));
                scope.spawn(move || say(url, &agent, &device.token, round * 1_000_000, &tell))
            });
            let speaking: Vec<_> = speaking.collect();
            drop(tell);
            let enough = 20 * usize::try_from(round).unwrap();
            let heard = told.iter().take(enough).count();
            assert_eq!(heard, enough, "the server ended by itself");
            program.signal(Signal::SIGKILL);
            let ended = speaking.into_iter().map(|thread| thread.join().unwrap());
            ended.collect()
        });
        program.wait();
        program = Program::serve(data.path());
        for (device, answered) in devices.iter().zip(answered) {
            let path = format!("/v1/devices/{}", device.id);
            let (_, shown) = program.ask("GET", &path, b"").unwrap();
            let kept = shown["heartbeat"]["uptimeSeconds"].as_u64().unwrap_or(0);
            assert!(kept >= answered, "{kept} < {answered}");
        }
    }
}

fn heartbeat(number: u64) -> Value {
    json!({
        "deviceTime": "2026-01-01T00:00:00Z", "agentVersion": "0.1.0", "compatible": "fleet-qemux86-64",
        "hardware": "QEMU", "role": "signage", "mode": "normal",
        "booted": {"slot": "B", "version": "1.0.0", "rootHash": "0".repeat(64), "bootId": "x"},
        "uptimeSeconds": number, "resetReason": "orderly", "update": {"state": "idle"}, "health": [],
        "metrics": {"cpuPercent": 3.0, "memPercent": 20.0, "diskFreeBytes": 1_000_000_000_u64},
        "network": {"connected": true, "type": "ETHERNET", "addresses": ["10.0.2.15"]},
        "errors": {"controlPlane": 0, "install": 0, "command": 0, "droppedEvents": 0},
        "configVersion": 0, "keySetVersion": 1,
    })
}
