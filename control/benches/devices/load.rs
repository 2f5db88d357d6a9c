//! The load: each device has its turn once a minute, whether or not the server keeps up. In its turn it connects (as its TLS
//! session lets it: resumed), and asks on that connection for its manifest and for commands, and sends its player's and its
//! agent's heartbeat.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::Outcome;
use crate::client::{Endpoint, Line};
use crate::fleet::{Device, State};
use crate::report::{Latencies, Step};
use crate::server::{Server, ticks};

const CADENCE: Duration = Duration::from_mins(1);
/// Before a turn counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Turns at a time: as many connections as file descriptors allow.
const AT_ONCE: usize = 8_000;
/// Devices that come for the first time, at a time.
const FIRST_AT_ONCE: usize = 32;
/// One turn in so many asks for the manifest without saying which one it has.
const FORGETS: u64 = 20;

#[derive(Default)]
struct Tally {
    request: Latencies,
    turn: Latencies,
    handshake: Latencies,
    heartbeat: Latencies,
    unchanged: u64,
    manifests: u64,
    errors: u64,
    first_error: Option<String>,
}

/// Has every one of `devices` come once: what a device's first minute costs is not measured.
pub(crate) async fn introduce(endpoint: &Endpoint, devices: &[Arc<Device>]) -> Outcome<()> {
    let permits = Arc::new(Semaphore::new(FIRST_AT_ONCE));
    let mut turns = tokio::task::JoinSet::new();
    for device in devices {
        let permit = Arc::clone(&permits).acquire_owned().await?;
        let (endpoint, device) = (endpoint.clone(), Arc::clone(device));
        turns.spawn(async move {
            let _permit = permit;
            let tally = Mutex::default();
            turn(&endpoint, &device, &tally)
                .await
                .map_err(|e| e.to_string())
        });
    }
    while let Some(ended) = turns.join_next().await {
        ended??;
    }
    Ok(())
}

/// A minute and a half of all of them, of which the last minute counts.
pub(crate) async fn minute(
    endpoint: &Endpoint,
    server: &Server,
    devices: &[Arc<Device>],
) -> Outcome<Step> {
    let count = u32::try_from(devices.len())?;
    let measured = Arc::new(Mutex::new(Tally::default()));
    let unmeasured = Arc::new(Mutex::new(Tally::default()));
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut turns = tokio::task::JoinSet::new();
    let begin = Instant::now();
    let warm = count / 2;
    let mut before = (Instant::now(), 0, 0);
    for turn_number in 0..(warm + count) {
        let due = begin + CADENCE.mul_f64(f64::from(turn_number) / f64::from(count));
        if turn_number == warm {
            before = (
                Instant::now(),
                server.processor_ticks()?,
                ticks(std::process::id())?,
            );
        }
        tokio::time::sleep_until(due).await;
        while turns.try_join_next().is_some() {}
        let tally = if turn_number < warm {
            &unmeasured
        } else {
            &measured
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            fail(
                tally,
                "more turns wait than the generator has connections for",
            );
            continue;
        };
        let index = usize::try_from(turn_number % count)?;
        let (endpoint, device) = (endpoint.clone(), Arc::clone(&devices[index]));
        let tally = Arc::clone(tally);
        turns.spawn(async move {
            let _permit = permit;
            let taken = tokio::time::timeout(PATIENCE, turn(&endpoint, &device, &tally)).await;
            match taken {
                Ok(Ok(())) => lock(&tally).turn.add(due.elapsed()),
                Ok(Err(error)) => fail(&tally, &error.to_string()),
                Err(_) => fail(&tally, "a turn took longer than ten seconds"),
            }
        });
    }
    let (since, server_ticks, own_ticks) = before;
    let window = since.elapsed();
    let used = |ticks: u64| {
        let hundredths = u32::try_from(ticks).unwrap_or(u32::MAX);
        f64::from(hundredths) / 100.0 / window.as_secs_f64()
    };
    let server_cores = used(server.processor_ticks()? - server_ticks);
    let own_cores = used(ticks(std::process::id())? - own_ticks);
    let memory_kb = server.memory_kb()?;
    while turns.join_next().await.is_some() {}
    let mut tally = std::mem::take(&mut *lock(&measured));
    let share = |part: u64, all: u64| part.saturating_mul(100) / all.max(1);
    Ok(Step {
        devices: devices.len(),
        requests: tally.request.count(),
        p50_ms: tally.request.percentile(50.0),
        p99_ms: tally.request.percentile(99.0),
        heartbeat_p99_ms: tally.heartbeat.percentile(99.0),
        handshake_p99_ms: tally.handshake.percentile(99.0),
        turn_p99_ms: tally.turn.percentile(99.0),
        unchanged_percent: share(tally.unchanged, tally.manifests),
        errors: tally.errors,
        first_error: tally.first_error,
        memory_kb,
        server_cores,
        generator_cores: own_cores,
    })
}

fn lock<T>(tally: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    tally
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn fail(tally: &Mutex<Tally>, error: &str) {
    let mut tally = lock(tally);
    tally.errors += 1;
    tally.first_error.get_or_insert_with(|| error.to_owned());
}

async fn turn(endpoint: &Endpoint, device: &Device, tally: &Mutex<Tally>) -> Outcome<()> {
    let mut state = device.state.lock().await;
    let state = &mut *state;
    if state.client.is_none() {
        state.client = Some(device.client(endpoint)?);
    }
    let begun = Instant::now();
    let client = state.client.as_ref().ok_or("no client")?;
    let mut line = client.connect().await?;
    lock(tally).handshake.add(begun.elapsed());
    state.number += 1;
    let headers = device.headers();
    manifest(&mut line, &headers, state, tally).await?;
    let begun = Instant::now();
    let commands = line
        .ask("GET", "/v1/player/commands", &headers, b"")
        .await?;
    expect(commands.status, &[200], "commands")?;
    lock(tally).request.add(begun.elapsed());

    let headers = format!("{headers}content-type: application/json\r\n");
    let begun = Instant::now();
    let body = player_heartbeat(state.number);
    let said = line
        .ask("POST", "/v1/player/heartbeat", &headers, body.as_bytes())
        .await?;
    expect(said.status, &[204], "player's heartbeat")?;
    heard(tally, begun);
    state.player = state.number;
    state.acknowledged += 1;

    let begun = Instant::now();
    let body = agent_heartbeat(state.number);
    let said = line
        .ask("POST", "/v1/device/heartbeat", &headers, body.as_bytes())
        .await?;
    expect(said.status, &[200], "agent's heartbeat")?;
    heard(tally, begun);
    state.agent = state.number;
    state.acknowledged += 1;
    line.close().await;
    Ok(())
}

fn heard(tally: &Mutex<Tally>, begun: Instant) {
    let mut tally = lock(tally);
    tally.request.add(begun.elapsed());
    tally.heartbeat.add(begun.elapsed());
}

async fn manifest(
    line: &mut Line,
    headers: &str,
    state: &mut State,
    tally: &Mutex<Tally>,
) -> Outcome<()> {
    let begun = Instant::now();
    let known = state
        .etag
        .take()
        .filter(|_| !state.number.is_multiple_of(FORGETS));
    let known = known.map_or(String::new(), |etag| format!("if-none-match: {etag}\r\n"));
    let answer = line
        .ask(
            "GET",
            "/v1/player/manifest",
            &format!("{headers}{known}"),
            b"",
        )
        .await?;
    expect(answer.status, &[200, 304], "manifest")?;
    state.etag = answer.etag;
    let mut tally = lock(tally);
    tally.request.add(begun.elapsed());
    tally.manifests += 1;
    tally.unchanged += u64::from(answer.status == 304);
    Ok(())
}

fn expect(status: u16, expected: &[u16], what: &str) -> Outcome<()> {
    if expected.contains(&status) {
        return Ok(());
    }
    Err(format!("{what}: {status}").into())
}

fn player_heartbeat(number: u64) -> String {
    format!(
        r#"{{"deviceTime":"2026-01-01T00:00:00Z","appVersion":"1.2.0","state":"PLAYING",
        "manifestEtag":"e:ven_bench1:1:1767225600:1767250800",
        "playback":{{"playlistId":"pl_042","publishedVersion":3,"currentAssetId":"ast_101","currentItemIndex":0,
        "loopCount":{number}}},
        "cache":{{"totalBytes":2147483648,"usedBytes":5000000,"assetCount":12,"pendingDownloads":0}},
        "network":{{"connected":true,"type":"ETHERNET","lastSyncAtUtc":"2026-01-01T00:00:00Z"}},
        "errors":{{"playbackFailures":0,"downloadFailures":0,"manifestFetchFailures":0}},
        "frames":{{"presented":100,"late":1,"blankMs":0}}}}"#
    )
}

pub(crate) fn agent_heartbeat(number: u64) -> String {
    let root_hash = "ab".repeat(32);
    format!(
        r#"{{"deviceTime":"2026-01-01T00:00:00Z","agentVersion":"0.1.0","compatible":"fleet-bench","hardware":"QEMU",
        "role":"signage","mode":"normal",
        "booted":{{"slot":"B","version":"1.0.0","rootHash":"{root_hash}","bootId":"3f6cbe53-1df4-4ad2-9a2e-6d2a60f0c1aa"}},
        "uptimeSeconds":{number},"resetReason":"orderly","update":{{"state":"idle"}},
        "health":[{{"name":"units","ok":true,"detail":"all active"}},{{"name":"disk","ok":true,"detail":"12 GB free"}},
        {{"name":"clock","ok":true,"detail":"synchronised"}}],
        "metrics":{{"cpuPercent":3.0,"memPercent":20.0,"diskFreeBytes":1000000000,"temperatureC":51.5}},
        "network":{{"connected":true,"type":"ETHERNET","addresses":["10.0.2.15"]}},
        "errors":{{"controlPlane":0,"install":0,"command":0,"droppedEvents":0}},
        "configVersion":0,"keySetVersion":1,"nextWithinSeconds":66}}"#
    )
}
