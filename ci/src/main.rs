//! `cargo xtask`: the only entry point to building, testing and running, the same on a laptop and in CI.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use xtask::progress::Progress;
use xtask::setup::{self, Consent};
use xtask::workspace::Workspace;

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
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
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

fn run(task: Task) -> Result<()> {
    let workspace = Workspace::locate()?;
    let progress = Progress::detect();
    match task {
        Task::Setup { check, yes } => {
            let consent = match (check, yes) {
                (true, _) => Consent::CheckOnly,
                (false, true) => Consent::Given,
                (false, false) => Consent::Ask,
            };
            setup::run(&workspace, consent, progress)
        }
    }
}
