//! `cargo xtask`: the only entry point to building, testing and running, the same on a laptop and in CI.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use xtask::bench::{self, BenchArguments};
use xtask::contract::{self, ContractArguments};
use xtask::demo::{self, DemoArguments};
use xtask::fuzz::{self, FuzzArguments};
use xtask::image::{self, ImageArguments};
use xtask::lint;
use xtask::progress::Progress;
use xtask::setup::{self, Consent};
use xtask::soak::{self, SoakArguments};
use xtask::test::{self, TestArguments};
use xtask::workspace::Workspace;
use xtask::yocto::{self, YoctoTask};

/// Build, test and run Fleet.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what this machine lacks: a few system packages and the tools tree.
    Setup {
        /// Only say what is missing.
        #[arg(long)]
        check: bool,
        /// Don't ask.
        #[arg(long)]
        yes: bool,
    },
    /// Build the reference image: a disk, its parts and a manifest under target/fleet/images.
    Image(ImageArguments),
    /// Show the main job end to end: a device in QEMU is enrolled, updated, and saves itself from a bad release.
    Demo(DemoArguments),
    /// Measure, and write the table in docs/benchmarks.md.
    Bench(BenchArguments),
    /// Cut the power at random instants of the update cycle, many times, and count what came of it.
    Soak(SoakArguments),
    /// Feed every parser that reads from outside with hostile bytes.
    Fuzz(FuzzArguments),
    /// Have schemathesis make up requests to a control plane, and hold its answers against its own OpenAPI document.
    Contract(ContractArguments),
    /// Formatting, clippy, licences, shell scripts, units, and our own rules.
    Lint,
    /// Check the product image's layer, and plan its builds.
    #[command(subcommand)]
    Yocto(YoctoTask),
    /// Run all tests, those in virtual machines too.
    Test(TestArguments),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let workspace = Workspace::locate()?;
    let progress = Progress::detect();
    if let Task::Demo(arguments) = task {
        arguments.check()?;
    }
    let consent = match *task {
        Task::Setup { check: true, .. } => Consent::CheckOnly,
        Task::Setup { yes: true, .. } => Consent::Given,
        Task::Demo(ref arguments) => arguments.consent(),
        _ => Consent::Ask,
    };
    // Whatever it is, it may be the first thing that this machine is asked to do.
    setup::run(&workspace, consent, progress)?;
    match *task {
        Task::Setup { .. } => Ok(()),
        Task::Image(ref arguments) => image::run(&workspace, arguments, progress),
        Task::Demo(ref arguments) => demo::run(&workspace, arguments, progress),
        Task::Fuzz(ref arguments) => fuzz::run(&workspace, arguments, progress),
        Task::Contract(ref arguments) => contract::run(&workspace, arguments, progress),
        Task::Lint => lint::run(&workspace, progress),
        Task::Bench(ref arguments) => bench::run(&workspace, arguments, progress),
        Task::Soak(ref arguments) => soak::run(&workspace, arguments, progress),
        Task::Yocto(ref task) => yocto::run(&workspace, task, progress),
        Task::Test(ref arguments) => test::run(&workspace, arguments, progress),
    }
}
