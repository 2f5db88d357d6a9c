//! As many polls as are answered, one after the other on each of some connections: ours, and those of an update server that is
//! made for as much. A poll says that the device is there, which both keep, and asks whether there is something for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Outcome;
use crate::client::{Endpoint, Line};
use crate::fleet::Device;
use crate::load::agent_heartbeat;
use crate::report::Latencies;
use crate::server::memory_kb;

const CONNECTIONS: usize = 32;
const WARM: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(15);

#[derive(Debug, Serialize)]
pub(crate) struct Polls {
    requests_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    memory_kb: u64,
}

/// Agents' heartbeats.
pub(crate) async fn ours(endpoint: &Endpoint, pid: u32, devices: &[Arc<Device>]) -> Outcome<Polls> {
    let mut pollers = Vec::new();
    for device in devices.iter().take(CONNECTIONS) {
        let mut number = device.state.lock().await.number;
        let headers = format!("{}content-type: application/json\r\n", device.headers());
        pollers.push(Poller {
            line: device.client(endpoint)?.connect().await?,
            path: "/v1/device/heartbeat".to_owned(),
            method: "POST",
            headers,
            body: Box::new(move || {
                number += 1;
                agent_heartbeat(number)
            }),
        });
    }
    measure(pollers, pid).await
}

/// gooseBit's, by hawkBit's DDI, of devices that have said what they are.
pub(crate) async fn of_goosebit(address: SocketAddr, pid: u32) -> Outcome<Polls> {
    const ABOUT: &str = r#"{"id":"","status":{"result":{"finished":"success"},"execution":"closed","details":[]},
        "data":{"hw_boardname":"bench","hw_revision":"1","sw_version":"1.0.0"}}"#;
    let mut pollers = Vec::new();
    for number in 0..CONNECTIONS {
        let mut line = Line::plain(address).await?;
        let path = format!("/DEFAULT/controller/v1/bench-{number}");
        line.ask("GET", &path, "", b"").await?;
        let headers = "content-type: application/json\r\n";
        let about = format!("{path}/configData");
        line.ask("PUT", &about, headers, ABOUT.as_bytes()).await?;
        pollers.push(Poller {
            line,
            path,
            method: "GET",
            headers: String::new(),
            body: Box::new(String::new),
        });
    }
    measure(pollers, pid).await
}

struct Poller {
    line: Line,
    path: String,
    method: &'static str,
    headers: String,
    body: Box<dyn FnMut() -> String + Send>,
}

impl Poller {
    async fn poll(mut self, from: Instant, until: Instant) -> Outcome<Vec<Duration>> {
        let mut took = Vec::new();
        while Instant::now() < until {
            let body = (self.body)();
            let begun = Instant::now();
            let answer = self
                .line
                .ask(self.method, &self.path, &self.headers, body.as_bytes())
                .await?;
            if answer.status != 200 {
                return Err(format!("{} {}: {}", self.method, self.path, answer.status).into());
            }
            if begun >= from {
                took.push(begun.elapsed());
            }
        }
        Ok(took)
    }
}

async fn measure(pollers: Vec<Poller>, pid: u32) -> Outcome<Polls> {
    let from = Instant::now() + WARM;
    let until = from + MEASURED;
    let mut polling = tokio::task::JoinSet::new();
    for poller in pollers {
        polling.spawn(async move { poller.poll(from, until).await.map_err(|e| e.to_string()) });
    }
    let mut latencies = Latencies::default();
    while let Some(polled) = polling.join_next().await {
        polled??.into_iter().for_each(|took| latencies.add(took));
    }
    let count = u32::try_from(latencies.count())?;
    Ok(Polls {
        requests_per_second: f64::from(count) / MEASURED.as_secs_f64(),
        p50_ms: latencies.percentile(50.0),
        p99_ms: latencies.percentile(99.0),
        memory_kb: memory_kb(pid)?,
    })
}
