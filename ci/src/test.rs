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
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = process::command(cargo);
    command
        .args(["test", "--locked", "--workspace", "--no-fail-fast"])
        .current_dir(workspace.root())
        .stdin(Stdio::null());
    if !arguments.fast {
        command.args(["--features", "fleet-tests/stories"]);
    }
    if let Some(filter) = &arguments.filter {
        command.arg(filter);
    }
    let status = command.status().context("starting cargo")?;
    if !status.success() {
        let stories = workspace.fleet_dir().join("stories");
        bail!(
            "some tests failed\nhint: a story that failed left its serial log and a photograph of the screen in {}",
            stories.display()
        );
    }
    Ok(())
}
