//! `cargo xtask test`: sets up, builds what the stories start from, and runs every test by plain `cargo test`.

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::kit::{self, Purpose};
use crate::process;
use crate::progress::Progress;
use crate::setup::{self, Consent};
use crate::workspace::Workspace;

/// Which tests.
#[derive(Debug, Clone, clap::Args)]
pub struct TestArguments {
    /// Leave the stories in virtual machines out.
    #[arg(long)]
    fast: bool,
    /// Only build what the stories start from.
    #[arg(long, conflicts_with = "fast")]
    prepare: bool,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// Runs the tests; cargo's own output goes to the terminal, its `test result:` lines last.
///
/// # Errors
/// When a test fails, or what the tests need can't be built.
pub fn run(workspace: &Workspace, arguments: &TestArguments, progress: Progress) -> Result<()> {
    setup::run(workspace, Consent::Ask, progress)?;
    if !arguments.fast {
        kit::build(workspace, Purpose::Stories, progress)?;
    }
    if arguments.prepare {
        return Ok(());
    }
    let filter = arguments.filter.as_deref();
    let threads = format!("--test-threads={}", side_by_side());
    let mut passed = cargo_test(workspace, &["--workspace"], &[&threads], filter)?;
    if !arguments.fast {
        let of_stories = [
            "--package",
            "fleet-tests",
            "--features",
            "stories",
            "--test",
            "stories",
        ];
        let threads = format!("--test-threads={}", fleet_tests::vm::seats());
        passed &= cargo_test(workspace, &of_stories, &[&threads], filter)?;
    }
    if !passed {
        let stories = workspace.fleet_dir().join("stories");
        bail!(
            "some tests failed\nhint: a story that failed left its serial log and a photograph of the screen in {}",
            stories.display()
        );
    }
    Ok(())
}

/// Twice as many tests as there are cores: those that take long wait for other programs most of the time.
fn side_by_side() -> usize {
    std::thread::available_parallelism().map_or(4, |cores| 2 * cores.get())
}

/// Did they all pass? Cargo's own output goes to the terminal.
fn cargo_test(
    workspace: &Workspace,
    which: &[&str],
    options: &[&str],
    filter: Option<&str>,
) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = process::command(cargo);
    command
        .args(["test", "--locked", "--no-fail-fast"])
        .args(which)
        .arg("--")
        .args(options)
        .args(filter)
        .current_dir(workspace.root())
        .stdin(Stdio::null());
    let status = command.status().context("starting cargo")?;
    Ok(status.success())
}
