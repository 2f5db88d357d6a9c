//! `cargo xtask test`: sets up, builds what the stories start from, and runs every test by plain `cargo test`; those of the
//! control plane twice, with SQLite and with a private PostgreSQL.
//!
//! Of the stories it tells those of each promise's usual case, which take a quarter of an hour; `--all-stories` tells the
//! others too, which libtest calls ignored.

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use crate::kit::{self, Purpose};
use crate::postgres::{self, Cluster};
use crate::process;
use crate::progress::Progress;
use crate::tools::ToolTree;
use crate::workspace::Workspace;

/// Which tests.
#[derive(Debug, Clone, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags of the command line, of which one is given"
)]
pub struct TestArguments {
    /// Leave the stories in virtual machines out.
    #[arg(long)]
    fast: bool,
    /// Tell every story in a virtual machine, the rarer mishaps too: about an hour.
    #[arg(long, conflicts_with_all = ["fast", "prepare", "postgres"])]
    all_stories: bool,
    /// Only build what the stories start from.
    #[arg(long, conflicts_with = "fast")]
    prepare: bool,
    /// Only the control plane's tests with PostgreSQL.
    #[arg(long, conflicts_with_all = ["fast", "prepare"])]
    postgres: bool,
    /// Only tests whose name contains this, rarer stories among them.
    filter: Option<String>,
}

/// All but what only a fuzzer runs. Every build for tests names all of them, and chooses by target: with another choice
/// of packages cargo chooses other features, and compiles a hundred dependencies once more.
pub(crate) const PACKAGES: [&str; 3] = ["--workspace", "--exclude", "fleet-fuzz"];
/// All but examples in documentation, of which there are none: rustdoc would read every crate once more to find that out.
pub(crate) const TESTS: [&str; 1] = ["--tests"];
/// The stories in virtual machines.
const STORIES: [&str; 4] = ["--features", "fleet-tests/media", "--test", "stories"];
/// The control plane's own.
const CONTROL: [&str; 2] = ["--test", "api"];

/// Runs the tests; cargo's own output goes to the terminal, its `test result:` lines last.
///
/// # Errors
/// When a test fails, or what the tests need can't be built.
pub fn run(workspace: &Workspace, arguments: &TestArguments, progress: Progress) -> Result<()> {
    let filter = arguments.filter.as_deref();
    let threads = format!("--test-threads={}", side_by_side());
    if arguments.postgres {
        let passed = on_postgres(workspace, &threads, filter, progress)?;
        ensure!(passed, "some tests failed");
        return Ok(());
    }
    if !arguments.fast {
        kit::build(workspace, Purpose::Stories, progress)?;
    }
    if arguments.prepare {
        return Ok(());
    }
    let mut passed = cargo_test(workspace, &TESTS, &[&threads], filter, None)?;
    passed &= on_postgres(workspace, &threads, filter, progress)?;
    if !arguments.fast {
        let threads = format!("--test-threads={}", fleet_tests::vm::seats());
        let mut options = vec![threads.as_str()];
        // Whoever names a story wants to hear it.
        if arguments.all_stories || filter.is_some() {
            options.push("--include-ignored");
        }
        passed &= cargo_test(workspace, &STORIES, &options, filter, None)?;
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

/// The control plane's tests once more, with PostgreSQL instead of SQLite. Its server is gone afterwards.
fn on_postgres(
    workspace: &Workspace,
    threads: &str,
    filter: Option<&str>,
    progress: Progress,
) -> Result<bool> {
    let tools = ToolTree::ensure(workspace, progress)?;
    let cluster = Cluster::start(workspace, &tools, postgres::Purpose::Testing)?;
    cargo_test(workspace, &CONTROL, &[threads], filter, Some(&cluster))
}

/// Twice as many tests as there are cores: those that take long wait for other programs most of the time.
fn side_by_side() -> usize {
    std::thread::available_parallelism().map_or(4, |cores| 2 * cores.get())
}

/// Did they all pass? Cargo's own output goes to the terminal.
fn cargo_test(
    workspace: &Workspace,
    targets: &[&str],
    options: &[&str],
    filter: Option<&str>,
    database: Option<&Cluster>,
) -> Result<bool> {
    let mut command = process::cargo();
    command
        .args(["test", "--locked", "--no-fail-fast"])
        .args(PACKAGES)
        .args(targets)
        .arg("--")
        .args(options)
        .args(filter)
        .current_dir(workspace.root())
        .stdin(Stdio::null());
    match database {
        Some(cluster) => command.env("FLEET_TEST_DATABASE", cluster.url()),
        None => command.env_remove("FLEET_TEST_DATABASE"),
    };
    let status = command.status().context("starting cargo")?;
    Ok(status.success())
}
