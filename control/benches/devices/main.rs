//! What devices cost their control plane: simulated ones, each with its certificate and token, against `fleet-control serve`
//! with TLS on loopback. `cargo xtask bench control` builds that program, says where it is, and reads what this prints.
//!
//! Environment: `FLEET_CONTROL` (the program), `FLEET_BENCH_DATABASE` (PostgreSQL's address; default: SQLite),
//! `FLEET_BENCH_STEPS` (numbers of devices, with commas), `FLEET_BENCH_STREAMS` (wake-up streams), `FLEET_BENCH_GOOSEBIT` (address
//! and process of one that runs, with a comma).

mod client;
mod fleet;
mod load;
mod operator;
mod polls;
mod report;
mod server;

use std::sync::Arc;

use fleet_control::clock::Clock;
use fleet_control::pki::Authority;
use sqlx::AnyPool;
use sqlx::any::AnyPoolOptions;

use client::Endpoint;
use fleet::Device;
use operator::Operator;
use report::Report;
use server::Server;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A request that takes longer is one too many devices.
const SLOW_MS: f64 = 50.0;
/// Lists are asked for when there are so many, or all of fewer.
const LISTED: usize = 10_000;
/// How often something is published, each time for another screen to see.
const PUBLISHED: usize = 4;

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

async fn measure() -> Outcome<Report> {
    let database = std::env::var("FLEET_BENCH_DATABASE").ok();
    let program = std::env::var("FLEET_CONTROL");
    let program = program.map_err(|_| "FLEET_CONTROL does not name the program to measure")?;
    let steps = setting("FLEET_BENCH_STEPS", "1000");
    let steps: Vec<usize> = steps.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let streams: usize = setting("FLEET_BENCH_STREAMS", "1000").parse()?;

    let data = tempfile::tempdir()?;
    let server = Server::start(&program, data.path(), database.as_deref())?;
    let now = Clock::system().now();
    let authority = Authority::open(&data.path().join("pki"), now)?;
    let endpoint = Endpoint::new(server.address, authority.certificate_der())?;
    let store = connect(data.path(), database.as_deref()).await?;
    let operator = Operator::new(&endpoint, &server)?;
    let playlist = operator.publish_something().await?;

    let mut report = Report::default();
    let mut devices: Vec<Arc<Device>> = Vec::new();
    for step in steps {
        let more = fleet::make(&authority, step.saturating_sub(devices.len()), now)?;
        fleet::enrol(&store, &more, devices.len(), now).await?;
        let begin = devices.len();
        devices.extend(more.into_iter().map(Arc::new));
        load::introduce(&endpoint, &devices[begin..]).await?;
        if step <= LISTED {
            report.listed_devices = devices.len();
            report.list_p99_ms = operator.lists().await?;
        }
        let measured = load::minute(&endpoint, &server, &devices).await?;
        eprintln!("{}", serde_json::to_string(&measured)?);
        let enough = measured.p99_ms > SLOW_MS || measured.errors > 0;
        report.steps.push(measured);
        if enough {
            break;
        }
    }
    (report.heartbeats, report.lost) = fleet::lost(&store, &devices).await?;
    report.publish_ms = operator
        .visible(&endpoint, &devices[..PUBLISHED], &playlist)
        .await?;
    report.streams = streams.min(devices.len());
    let listening = &devices[..report.streams];
    (report.stream_kb, report.woken_ms) = operator.streams(&endpoint, &server, listening).await?;
    if let Ok(goosebit) = std::env::var("FLEET_BENCH_GOOSEBIT") {
        let (address, pid) = goosebit.split_once(',').ok_or("FLEET_BENCH_GOOSEBIT")?;
        report.ours = Some(polls::ours(&endpoint, server.pid(), &devices).await?);
        report.goosebit = Some(polls::of_goosebit(address.parse()?, pid.parse()?).await?);
    }
    Ok(report)
}

async fn connect(data: &std::path::Path, database: Option<&str>) -> Outcome<AnyPool> {
    sqlx::any::install_default_drivers();
    let file = data.join("fleet.db");
    let address = match database {
        Some(address) => address.to_owned(),
        None => format!("sqlite://{}", file.display()),
    };
    Ok(AnyPoolOptions::new()
        .max_connections(1)
        .connect(&address)
        .await?)
}

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(measure())?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
