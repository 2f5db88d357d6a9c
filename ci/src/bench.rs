//! `cargo xtask bench`: measures, and writes what it measured with ratios into `docs/benchmarks.md`.
//!
//! Numbers are never asserted: a busy host is no failure. Targets stand beside them.

mod control;
mod goosebit;
mod guest;
mod player;
mod table;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use fleet_tests::vm::Programs;

use crate::kit::{self, Purpose};
use crate::process;
use crate::progress::Progress;
use crate::tools::ToolTree;
use crate::workspace::Workspace;

use control::ControlArguments;
use guest::Bench;
use table::{Kind, Row, Table};

/// Part of what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Rollouts over 100,000 devices.
    Rollouts,
    /// The schedule's resolver.
    Schedules,
    /// The traffic of many devices, lists, publishing and wake-ups, with both stores.
    Control,
    /// Installations, booting and idling, in a virtual machine.
    Device,
    /// The player beside mpv, VLC and gst-play-1.0, on an X server of its own.
    Player,
    /// The player's memory over thousands of items.
    PlayerMemory,
}

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchArguments {
    /// Only these; what was measured before of the others stays in the table.
    parts: Vec<Part>,
    /// How often installations are repeated; the median counts.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Minutes to watch an idle device.
    #[arg(long, default_value_t = 5)]
    idle_minutes: u64,
    #[command(flatten)]
    control: ControlArguments,
    /// Seconds that each player plays the playlist; the film of 1080p30 is as long as it is.
    #[arg(long, default_value_t = 60)]
    player_seconds: u64,
    /// How many times the picture changes while the player's memory is watched.
    #[arg(long, default_value_t = 10_000)]
    transitions: u64,
}

/// Measures everything and writes the table.
///
/// # Errors
/// When something can't be built or measured.
pub fn run(workspace: &Workspace, arguments: &BenchArguments, progress: Progress) -> Result<()> {
    let wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    let mut table = Table::new(Kind::Promises);
    let mut players = Table::new(Kind::Players);
    if wanted(Part::Rollouts) {
        table.extend(rollouts(workspace, progress)?);
    }
    if wanted(Part::Schedules) {
        table.extend(schedules(workspace, progress)?);
    }
    if wanted(Part::Control) {
        table.extend(control::measure(workspace, &arguments.control, progress)?);
    }
    if wanted(Part::Device) {
        table.extend(device(workspace, arguments, progress)?);
    }
    if wanted(Part::Player) {
        let playing = Duration::from_secs(arguments.player_seconds);
        players.extend(player::beside_others(workspace, playing, progress)?);
    }
    if wanted(Part::PlayerMemory) {
        table.extend(player::memory(workspace, arguments.transitions, progress)?);
    }
    let file = workspace.root().join("docs/benchmarks.md");
    let mut text = fs::read_to_string(&file).unwrap_or_default();
    for table in [table, players]
        .into_iter()
        .filter(|table| !table.is_empty())
    {
        text = table.document(&text);
        progress.note(&table.to_markdown());
    }
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    progress.note(&format!("Written to {}", file.display()));
    Ok(())
}

fn device(
    workspace: &Workspace,
    arguments: &BenchArguments,
    progress: Progress,
) -> Result<Vec<Row>> {
    let kit = Arc::new(kit::build(workspace, Purpose::Stories, progress)?);
    let tools: Arc<dyn Programs> = Arc::new(ToolTree::ensure(workspace, progress)?);
    let dir = workspace.fleet_dir().join("bench");
    let bench = Bench::new(kit, tools, &dir, progress)?;
    let mut rows = vec![agent_size(workspace)?];
    rows.extend(bench.installations(arguments.repeat)?);
    rows.extend(bench.adaptive()?);
    rows.extend(bench.boot_and_idle(arguments.idle_minutes)?);
    rows.extend(soak_row(workspace));
    Ok(rows)
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn agent_size(workspace: &Workspace) -> Result<Row> {
    let file = workspace.target().join("release/fleet-agent");
    let bytes = fs::metadata(&file)
        .with_context(|| format!("looking at {}", file.display()))?
        .len();
    Ok(Row::against(
        "Agent, stripped",
        bytes as f64 / 1e6,
        "MB",
        8.0,
    ))
}

/// What a crate's own benchmarks print: a name that ends in `_ms`, and a figure.
fn figures(workspace: &Workspace, package: &str, benches: &[&str]) -> Result<Vec<(String, f64)>> {
    let mut command = process::cargo();
    command
        .args(["bench", "--locked", "--package", package])
        .args(benches.iter().flat_map(|bench| ["--bench", *bench]))
        .current_dir(workspace.root());
    let said = process::capture(&mut command)?;
    let figures = said.lines().filter_map(figure);
    Ok(figures.map(|(name, ms)| (name.to_owned(), ms)).collect())
}

fn rollouts(workspace: &Workspace, progress: Progress) -> Result<Vec<Row>> {
    let step = progress.step("Rollouts over 100,000 devices");
    let figures = figures(workspace, "fleet-control", &["planner", "rollout"])?;
    let slowest = |prefix: &str| {
        let of_kind = figures.iter().filter(|(name, _)| name.starts_with(prefix));
        let slowest = of_kind.map(|(_, millis)| millis / 1e3).reduce(f64::max);
        slowest.with_context(|| format!("no figure of {prefix}… was printed"))
    };
    let rows = vec![
        Row::against(
            "Rollout plan for 100,000 devices, the slowest kind",
            slowest("planner_")?,
            "s",
            1.0,
        ),
        Row::plain(
            "The same with facts read from SQLite and changes written, the slowest",
            slowest("rollout_pass_")?,
            "s",
        ),
        Row::plain(
            "Starting a rollout over 100,000 devices, the slowest of three in a row",
            slowest("rollout_start_")?,
            "s",
        ),
    ];
    step.done("");
    Ok(rows)
}

fn schedules(workspace: &Workspace, progress: Progress) -> Result<Vec<Row>> {
    let step = progress.step("Schedules of 1,000 slots");
    let figures = figures(workspace, "fleet-schedule", &["resolve"])?;
    let of = |name: &str| {
        let found = figures.iter().find(|(known, _)| known == name);
        let found = found.map(|(_, millis)| *millis);
        found.with_context(|| format!("no figure of {name} was printed"))
    };
    let rows = vec![
        Row::against(
            "Resolve, 1,000 slots all of one screen, median",
            of("schedule_resolve_one_screen_ms")? * 1e3,
            "µs",
            50.0,
        ),
        Row::against(
            "Six hours of look-ahead in the same, median",
            of("schedule_whole_six_hours_one_screen_ms")?,
            "ms",
            1.0,
        ),
        Row::plain(
            "Resolve with 100,000 slots more that are over, median",
            of("schedule_resolve_venue_with_history_ms")? * 1e3,
            "µs",
        ),
    ];
    step.done("");
    Ok(rows)
}

fn figure(line: &str) -> Option<(&str, f64)> {
    let (name, figure) = line.split_once(' ')?;
    let figure = figure.trim().parse().ok()?;
    name.ends_with("_ms").then_some((name, figure))
}

/// The power-cut sweep is long; the table takes what `cargo xtask soak` left.
fn soak_row(workspace: &Workspace) -> Option<Row> {
    let line = crate::soak::tally(&workspace.fleet_dir().join("soak/cuts.jsonl"))?;
    Some(Row::text(
        "Power-cut sweep",
        &line,
        "0 bricks, 0 wrong slots",
    ))
}
