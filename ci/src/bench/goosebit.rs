//! gooseBit, an update server that answers polls of as many devices, to be measured beside ours: from the Python package index,
//! with its database and settings as they come.

use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::progress::Progress;
use crate::python::Python;
use crate::workspace::Workspace;

const PACKAGES: &[&str] = &["goosebit==0.2.12"];
/// What its manual has two commands for: make the tables, then serve. It says at which port.
const SERVE: &str = r#"
import asyncio
import goosebit, uvicorn
from goosebit.db.config import TORTOISE_CONF
from tortoise import Tortoise

async def tables():
    await Tortoise.init(config=TORTOISE_CONF)
    await Tortoise.generate_schemas()
    await Tortoise.close_connections()

asyncio.run(tables())
uvicorn.run(goosebit.app, host="127.0.0.1", port=0, access_log=False)
"#;
const READY_WITHIN: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct GooseBit {
    server: Child,
    address: String,
    _folder: TempDir,
}

impl GooseBit {
    pub(super) fn start(workspace: &Workspace, progress: Progress) -> Result<Self> {
        let step = progress.step("Starting gooseBit");
        let python = Python::ensure(workspace, PACKAGES)?;
        let folder = tempfile::tempdir().context("making a folder for gooseBit")?;
        let log = workspace.log_file("goosebit");
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let errors = output.try_clone().context("sharing the log file")?;
        let database = format!("sqlite://{}", folder.path().join("db.sqlite3").display());
        let mut server = python
            .command()
            .args(["-c", SERVE])
            .current_dir(folder.path())
            .env("GOOSEBIT_DB_URI", database)
            .env("GOOSEBIT_ARTIFACTS_DIR", folder.path().join("artifacts"))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .context("starting gooseBit")?;
        let until = Instant::now() + READY_WITHIN;
        let address = loop {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let rest = said.split_once("running on http://").map(|(_, rest)| rest);
            if let Some(address) = rest.and_then(|rest| rest.split_whitespace().next()) {
                break address.to_owned();
            }
            let ended = server.try_wait().context("looking at gooseBit")?;
            if ended.is_some() || Instant::now() > until {
                let _ = server.kill();
                let _ = server.wait();
                bail!("gooseBit does not start; see {}", log.display());
            }
            std::thread::sleep(LOOK_AGAIN);
        };
        step.done("");
        Ok(Self {
            server,
            address,
            _folder: folder,
        })
    }

    /// Its address and its process.
    pub(super) fn place(&self) -> String {
        format!("{},{}", self.address, self.server.id())
    }
}

impl Drop for GooseBit {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
