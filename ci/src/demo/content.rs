//! What the demo's screen plays: slides and a film, made here and published by the operator's command.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fleet_tests::fleet::Fleet;

use crate::process;
use crate::workspace::Workspace;

/// How long a slide stays.
const SECONDS: &str = "5";

/// Makes slides and a film in `dir`, in the order in which they are to play.
pub(super) fn make(workspace: &Workspace, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut command = process::cargo();
    command
        .args(["build", "--locked", "--package", "fleet-tests"])
        .args(["--features", "media", "--bin", "showreel"])
        .current_dir(workspace.root());
    process::run_logged(&mut command, &workspace.log_file("build-showreel"))?;
    let program = workspace.target().join("debug/showreel");
    let said = process::capture(process::command(program).arg(dir))?;
    let names: Vec<String> =
        serde_json::from_str(&said).context("reading what the showreel has")?;
    Ok(names.iter().map(|name| dir.join(name)).collect())
}

/// Publishes the files for every screen.
pub(super) fn publish(fleet: &Fleet, files: &[PathBuf]) -> Result<()> {
    let files: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let mut arguments = vec!["publish"];
    arguments.extend(files.iter().map(String::as_str));
    arguments.extend(["--seconds", SECONDS]);
    fleet.cli(&arguments)?;
    Ok(())
}
