//! A private PostgreSQL for tests and benchmarks: from the tools tree, on a Unix socket in a temporary folder, and gone afterwards.
//!
//! It is killed when it is no longer needed, and a test's does not wait for its disk either. Whatever becomes of
//! the program that started it, the kernel ends it too.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::process;
use crate::tools::ToolTree;
use crate::workspace::Workspace;

/// The programs' folder in the tree.
const PROGRAMS: &str = "/usr/lib/postgresql/17/bin";
const READY_WITHIN: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// For a room that tests alone use: fast, and with connections for all of them at once.
const TESTING: [&str; 7] = [
    "listen_addresses=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=500",
    "shared_buffers=64MB",
    "autovacuum=off",
];
/// As it comes, but for the network: what is committed is on the disk.
const MEASURING: [&str; 1] = ["listen_addresses="];

/// What a cluster is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Testing,
    Measuring,
}

/// A running cluster; dropping it ends it.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    server: Child,
}

impl Cluster {
    /// Makes a cluster and waits until it answers (a few seconds). Must be called by a thread that outlives it: see
    /// [`ToolTree::command`].
    ///
    /// # Errors
    /// When it can't be made or started; then with the end of its log.
    pub fn start(workspace: &Workspace, tools: &ToolTree, purpose: Purpose) -> Result<Self> {
        // The tree shares `/tmp`, and the path of a socket has to be short.
        let folder = tempfile::Builder::new()
            .prefix("fleet-pg-")
            .tempdir_in("/tmp");
        let folder = folder.context("making a folder for PostgreSQL")?;
        let data = folder.path().join("data");
        let mut initdb = tools.command_of_nobody(&format!("{PROGRAMS}/initdb"));
        initdb.args(["--username=fleet", "--auth=trust", "--encoding=UTF8"]);
        initdb
            .args(["--locale=C.UTF-8", "--no-sync", "--pgdata"])
            .arg(&data);
        process::run_logged(&mut initdb, &workspace.log_file("postgres-initdb"))?;
        let log = workspace.log_file("postgres");
        let output =
            std::fs::File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = tools.command_of_nobody(&format!("{PROGRAMS}/postgres"));
        command.arg("-D").arg(&data).arg("-c");
        command.arg(format!(
            "unix_socket_directories={}",
            folder.path().display()
        ));
        let settings = match purpose {
            Purpose::Testing => &TESTING[..],
            Purpose::Measuring => &MEASURING[..],
        };
        for setting in settings {
            command.args(["-c", setting]);
        }
        let errors = output.try_clone().context("sharing the log file")?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let server = command.spawn().context("starting PostgreSQL")?;
        let mut cluster = Self { folder, server };
        cluster.wait(&data, &log)?;
        Ok(cluster)
    }

    /// Where a superuser reaches it.
    pub fn url(&self) -> String {
        let folder = self.folder.path().display().to_string();
        format!("postgres://fleet@{}/postgres", folder.replace('/', "%2F"))
    }

    /// It says in a file of its own when it is ready: `pg_ctl` waits for that too.
    fn wait(&mut self, data: &Path, log: &Path) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            let state = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            if state
                .lines()
                .nth(7)
                .is_some_and(|line| line.trim() == "ready")
            {
                return Ok(());
            }
            let ended = self.server.try_wait().context("looking at PostgreSQL")?;
            if ended.is_some() || Instant::now() > until {
                bail!("PostgreSQL does not start; see {}", log.display());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
