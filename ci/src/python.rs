//! Programs from the Python package index, in environments of their own below `target/fleet`, installed when they are first asked for.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::Workspace;

/// An environment with the packages in it.
#[derive(Debug, Clone)]
pub struct Python {
    folder: PathBuf,
}

impl Python {
    /// Takes the environment when it is there, makes it otherwise (half a minute, from the Python package index).
    ///
    /// `packages` are pinned (`kas==5.5`), so that a check finds tomorrow what it finds today.
    ///
    /// # Errors
    /// When it can't be made: without Python's venv module, or without the index.
    pub fn ensure(workspace: &Workspace, packages: &[&str]) -> Result<Self> {
        let name = packages.join("-").replace("==", "-");
        let folder = workspace.fleet_dir().join(format!("python-{name}"));
        if folder.is_dir() {
            return Ok(Self { folder });
        }
        let aside = workspace.fleet_dir().join(".new-python");
        if aside.exists() {
            fs::remove_dir_all(&aside).context("removing an unfinished environment")?;
        }
        let log = workspace.log_file("python");
        let mut command = process::command("python3");
        command.args(["-m", "venv"]).arg(&aside);
        process::run_logged(&mut command, &log)
            .context("hint: apt-get install python3-venv, or what your system calls it")?;
        let mut command = process::command(aside.join("bin/python"));
        command
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(packages);
        process::run_logged(&mut command, &log)
            .context("hint: the Python package index must be reachable once")?;
        fs::rename(&aside, &folder).context("moving the environment into place")?;
        Ok(Self { folder })
    }

    /// A program that came with the packages.
    pub fn program(&self, name: &str) -> Command {
        process::command(self.folder.join("bin").join(name))
    }

    /// A Python that sees the packages.
    pub fn command(&self) -> Command {
        self.program("python")
    }
}
