//! Devices' traffic against the control plane as it is shipped, with each of its stores. The load is made by
//! `control/benches/devices`, which says what it does; here its figures become rows.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::goosebit::GooseBit;
use super::table::Row;
use crate::postgres::{Cluster, Purpose};
use crate::process;
use crate::progress::Progress;
use crate::tools::ToolTree;
use crate::workspace::Workspace;

/// A request may take so long, in milliseconds.
const TARGET_P99_MS: f64 = 50.0;
const TARGET_DEVICES: usize = 100_000;
const TARGET_MEMORY_MB: f64 = 300.0;

/// How many devices.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ControlArguments {
    /// Simulated devices, step by step, until the control plane does not keep up.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "5000,10000,25000,50000,75000,100000"
    )]
    devices: Vec<usize>,
    /// Wake-up streams that are held open: each takes a file descriptor.
    #[arg(long, default_value_t = 18_000)]
    streams: usize,
}

#[derive(Debug, Deserialize)]
struct Step {
    devices: usize,
    requests: usize,
    p50_ms: f64,
    p99_ms: f64,
    errors: u64,
    memory_kb: u64,
    server_cores: f64,
    generator_cores: f64,
}

impl Step {
    fn keeps_up(&self) -> bool {
        self.errors == 0 && self.p99_ms <= TARGET_P99_MS
    }
}

#[derive(Debug, Deserialize)]
struct Report {
    steps: Vec<Step>,
    heartbeats: u64,
    lost: u64,
    listed_devices: usize,
    list_p99_ms: f64,
    publish_ms: f64,
    streams: usize,
    stream_kb: f64,
    woken_ms: f64,
    ours: Option<Polls>,
    goosebit: Option<Polls>,
}

#[derive(Debug, Deserialize)]
struct Polls {
    requests_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    memory_kb: u64,
}

pub(super) fn measure(
    workspace: &Workspace,
    arguments: &ControlArguments,
    progress: Progress,
) -> Result<Vec<Row>> {
    let step = progress.step("Building the control plane as it is shipped, and the load");
    let mut build = process::cargo();
    build
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "fleet-control",
        ])
        .current_dir(workspace.root());
    process::run_logged(&mut build, &workspace.log_file("bench-control-build"))?;
    let mut build = load();
    build.arg("--no-run").current_dir(workspace.root());
    process::run_logged(&mut build, &workspace.log_file("bench-load-build"))?;
    step.done("");
    let goosebit = GooseBit::start(workspace, progress)?;
    let with_sqlite = report(workspace, arguments, None, Some(&goosebit), progress)?;
    drop(goosebit);
    let mut rows = with_sqlite.rows("SQLite");
    rows.extend(with_sqlite.polls());
    let tools = ToolTree::ensure(workspace, progress)?;
    let cluster = Cluster::start(workspace, &tools, Purpose::Measuring)?;
    let with_postgres = report(workspace, arguments, Some(&cluster), None, progress)?;
    rows.extend(with_postgres.rows("PostgreSQL"));
    Ok(rows)
}

fn load() -> std::process::Command {
    let mut command = process::cargo();
    command.args([
        "bench",
        "--locked",
        "--package",
        "fleet-control",
        "--bench",
        "devices",
    ]);
    command
}

fn report(
    workspace: &Workspace,
    arguments: &ControlArguments,
    database: Option<&Cluster>,
    goosebit: Option<&GooseBit>,
    progress: Progress,
) -> Result<Report> {
    let name = database.map_or("SQLite", |_| "PostgreSQL");
    let step = progress.step(format!("Devices' traffic, with {name}"));
    let devices: Vec<_> = arguments.devices.iter().map(ToString::to_string).collect();
    let mut command = load();
    command
        .current_dir(workspace.root())
        .env(
            "FLEET_CONTROL",
            workspace.target().join("release/fleet-control"),
        )
        .env("FLEET_BENCH_STEPS", devices.join(","))
        .env("FLEET_BENCH_STREAMS", arguments.streams.to_string());
    match database {
        Some(cluster) => command.env("FLEET_BENCH_DATABASE", cluster.url()),
        None => command.env_remove("FLEET_BENCH_DATABASE"),
    };
    match goosebit {
        Some(goosebit) => command.env("FLEET_BENCH_GOOSEBIT", goosebit.place()),
        None => command.env_remove("FLEET_BENCH_GOOSEBIT"),
    };
    let said = process::capture(&mut command)?;
    let line = said.lines().last().unwrap_or_default();
    let report: Report =
        serde_json::from_str(line).with_context(|| format!("the load printed `{line}`"))?;
    step.done(&report.knee());
    Ok(report)
}

impl Report {
    /// The most devices that were kept up with, and how it went.
    fn knee(&self) -> String {
        let told = |step: &Step| {
            format!(
                "{} devices, {:.0} requests/s: p50 {:.1} ms, p99 {:.1} ms, {} errors, {:.2} cores (and {:.2} for the load)",
                step.devices,
                rate(step.requests),
                step.p50_ms,
                step.p99_ms,
                step.errors,
                step.server_cores,
                step.generator_cores,
            )
        };
        let kept = self.steps.iter().rfind(|step| step.keeps_up());
        let not = self.steps.iter().find(|step| !step.keeps_up());
        let kept = kept.map_or_else(|| "not even the fewest".to_owned(), told);
        not.map_or_else(
            || format!("{kept}; no more were tried"),
            |not| format!("{kept}; not kept up with: {}", told(not)),
        )
    }

    fn rows(&self, store: &str) -> Vec<Row> {
        let kept = self.steps.iter().rfind(|step| step.keeps_up());
        let memory = kept.map_or(f64::NAN, |step| megabytes(step.memory_kb));
        let target = format!("{TARGET_DEVICES} devices, p99 at most {TARGET_P99_MS:.0} ms");
        let counted = format!(
            "{} acknowledged, {} of them missing",
            self.heartbeats, self.lost
        );
        vec![
            Row::text(
                &format!("Devices asking once a minute, {store}"),
                &self.knee(),
                &target,
            ),
            Row::against(
                &format!("The control plane's memory at the most that was kept up with, {store}"),
                memory,
                "MB",
                TARGET_MEMORY_MB,
            ),
            Row::text(
                &format!("Heartbeats counted at the end, {store}"),
                &counted,
                "0 missing",
            ),
            Row::against(
                &format!("Lists over {} devices, p99, {store}", self.listed_devices),
                self.list_p99_ms,
                "ms",
                TARGET_P99_MS,
            ),
            Row::against(
                &format!("Publish to the manifest on a woken screen, the longest of four, {store}"),
                self.publish_ms,
                "ms",
                1_000.0,
            ),
            Row::against(
                &format!(
                    "Memory of an idle wake-up stream, of {}, {store}",
                    self.streams
                ),
                self.stream_kb,
                "KB",
                15.0,
            ),
            Row::against(
                &format!("A wake-up of all {} streams, {store}", self.streams),
                self.woken_ms / 1e3,
                "s",
                5.0,
            ),
        ]
    }
}

impl Report {
    /// Side by side.
    fn polls(&self) -> Vec<Row> {
        let (Some(ours), Some(theirs)) = (&self.ours, &self.goosebit) else {
            return Vec::new();
        };
        let row = |what: &str, figure: fn(&Polls) -> f64, unit: &str| {
            let what =
                format!("Polls over 32 connections, ours with TLS to gooseBit's without: {what}");
            Row::compared(&what, (figure(ours), figure(theirs)), unit, "")
        };
        vec![
            row("answered", |polls| polls.requests_per_second, "a second"),
            row("p50", |polls| polls.p50_ms, "ms"),
            row("p99", |polls| polls.p99_ms, "ms"),
            row("memory", |polls| megabytes(polls.memory_kb), "MB"),
        ]
    }
}

/// A second, of a minute's.
#[expect(clippy::cast_precision_loss, reason = "shown without decimals")]
fn rate(requests: usize) -> f64 {
    requests as f64 / 60.0
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knee_is_the_last_step_that_was_kept_up_with() {
        let step = |devices, p99_ms, errors| Step {
            devices,
            requests: 60,
            p50_ms: 1.0,
            p99_ms,
            errors,
            memory_kb: 1,
            server_cores: 0.5,
            generator_cores: 0.5,
        };
        let report = |steps| Report {
            steps,
            heartbeats: 0,
            lost: 0,
            listed_devices: 0,
            list_p99_ms: 0.0,
            publish_ms: 0.0,
            streams: 0,
            stream_kb: 0.0,
            woken_ms: 0.0,
            ours: None,
            goosebit: None,
        };
        let knee = report(vec![step(5, 1.0, 0), step(10, 9.0, 0), step(25, 51.0, 0)]).knee();
        assert!(knee.starts_with("10 devices"), "{knee}");
        assert!(knee.contains("not kept up with: 25 devices"), "{knee}");
        let knee = report(vec![step(5, 1.0, 1)]).knee();
        assert!(knee.starts_with("not even the fewest"), "{knee}");
    }
}
