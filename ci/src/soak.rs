//! `cargo xtask soak --cuts N`: cuts the power at random instants of the update cycle, and counts what came of it.
//!
//! Two devices side by side go from one release to the other and back, for ever. Instants come from a seed; every
//! cut is a line in `target/fleet/soak/cuts.jsonl`, so an interrupted soak goes on where it was. A brick is a device
//! that is not back in time, a wrong slot one that settles on another release than was asked for.

mod device;
mod record;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use anyhow::{Context, Result, bail};
use fleet_tests::fleet::template::Template;
use fleet_tests::vm::Programs;

use crate::kit::{self, Purpose};
use crate::progress::Progress;
use crate::tools::ToolTree;
use crate::workspace::Workspace;

use device::Worker;
use record::{Outcome, Record, Tally};

/// How long, and which random instants.
#[derive(Debug, Clone, clap::Args)]
pub struct SoakArguments {
    /// How many power cuts in all, those of an interrupted soak included.
    #[arg(long, default_value_t = 200)]
    cuts: usize,
    /// Another seed gives other instants.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Devices side by side.
    #[arg(long, default_value_t = 2)]
    devices: usize,
    /// Forget an interrupted soak.
    #[arg(long)]
    restart: bool,
}

/// Runs the soak and prints the tally.
///
/// # Errors
/// When a device bricked or settled on a wrong slot, or the soak itself could not go on.
pub fn run(workspace: &Workspace, arguments: &SoakArguments, progress: Progress) -> Result<()> {
    let kit = Arc::new(kit::build(workspace, Purpose::Soak, progress)?);
    let tools: Arc<dyn Programs> = Arc::new(ToolTree::ensure(workspace, progress)?);
    let dir = workspace.fleet_dir().join("soak");
    if arguments.restart && dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    let log = record::Log::open(&dir.join("cuts.jsonl"))?;
    let mut tally = Tally::of(log.records());
    let step = progress.step("Enrolling the device that all begin as");
    let template = Template::ensure(&kit, &tools)?;
    step.done("");
    let step = progress.step(format!("Cutting the power {} times", arguments.cuts));
    let (report, reports) = mpsc::channel();
    let over = Arc::new(AtomicBool::new(false));
    let done = tally.cuts as u64;
    let workers: Vec<_> = (0..arguments.devices.max(1))
        .map(|number| {
            let worker = Worker {
                kit: Arc::clone(&kit),
                tools: Arc::clone(&tools),
                template: template.clone(),
                dir: dir.join(format!("device-{number}")),
                seed: arguments.seed ^ (done << 8) ^ number as u64,
                stop: Arc::clone(&over),
            };
            let report = report.clone();
            std::thread::spawn(move || worker.run(&report))
        })
        .collect();
    drop(report);
    let mut failure = None;
    // To the end of what each worker has begun: a device that bricks by the last cut is counted too.
    for record in reports {
        let record: Record = match record {
            Ok(record) => record,
            Err(error) => {
                over.store(true, Ordering::Relaxed);
                failure.get_or_insert(error);
                continue;
            }
        };
        log.append(&record)?;
        tally.add(&record);
        step.update(&tally.line());
        if progress == Progress::Lines {
            progress.note(&tally.line());
        }
        if tally.cuts >= arguments.cuts || record.outcome == Outcome::Brick {
            over.store(true, Ordering::Relaxed);
        }
    }
    for worker in workers {
        let _ = worker.join();
    }
    step.done(&tally.line());
    progress.note(&tally.by_state());
    if let Some(error) = failure {
        return Err(error);
    }
    if tally.bricks + tally.wrong_slots > 0 {
        bail!(
            "{}\nhint: logs of the devices are in {}",
            tally.line(),
            dir.display()
        );
    }
    Ok(())
}

/// The sums of an earlier soak in one line, if there was one.
pub(crate) fn tally(records: &Path) -> Option<String> {
    let log = record::Log::open(records).ok()?;
    let tally = Tally::of(log.records());
    (tally.cuts > 0).then(|| tally.line())
}
