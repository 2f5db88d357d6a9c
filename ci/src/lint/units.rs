//! Our systemd units: that they parse, and that those which face the network are confined.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Outcome;
use crate::process;
use crate::tools::ToolTree;
use crate::workspace::Workspace;

/// The distribution's units that ours refer to; without a root around them they can't be found.
const FOREIGN: &[&str] = &[
    "is not executable: No such file",
    "Command /usr/bin/fleet-agent is not executable",
    "Failed to create ",
];

/// Programs that take bytes from outside.
const EXPOSED: &[&str] = &["fleet-agent.service", "fleet-safe-mode.service"];
/// Of `systemd-analyze security`, in tenths: 0 is confined, 100 is not.
const MOST_EXPOSED: u32 = 30;

pub(super) fn run(workspace: &Workspace, tools: &ToolTree) -> Result<Outcome> {
    verify(workspace, tools)?;
    for name in EXPOSED {
        confined(workspace, tools, name)?;
    }
    Ok(Outcome::Clean)
}

fn confined(workspace: &Workspace, tools: &ToolTree, name: &str) -> Result<()> {
    let all = super::files(&workspace.layer())?;
    let unit = all
        .iter()
        .find(|path| path.ends_with(name))
        .with_context(|| format!("{name} is not in the layer"))?;
    let mut command = tools.command("systemd-analyze");
    command
        .args(["security", "--offline=true", "--no-pager"])
        .arg(format!("--threshold={MOST_EXPOSED}"))
        .arg(unit);
    process::run_logged(&mut command, &workspace.log_file("lint-security")).with_context(|| {
        format!(
            "{name} is more exposed than {}.{}",
            MOST_EXPOSED / 10,
            MOST_EXPOSED % 10
        )
    })
}

/// Parses our units with systemd's own checker. What refers to programs of the device's root is left out.
fn verify(workspace: &Workspace, tools: &ToolTree) -> Result<()> {
    let all = super::files(&workspace.layer())?;
    let ours: Vec<&PathBuf> = all
        .iter()
        .filter(|path| {
            path.parent()
                .is_some_and(|dir| dir.ends_with("usr/lib/systemd/system"))
        })
        .filter(|path| !path.is_symlink())
        .collect();
    let folders: std::collections::BTreeSet<&Path> =
        ours.iter().filter_map(|path| path.parent()).collect();
    let path: Vec<String> = folders
        .iter()
        .map(|dir| dir.display().to_string())
        .collect();
    let mut command = tools.command("systemd-analyze");
    // A trailing colon keeps the distribution's own folders on the path.
    command
        .env("SYSTEMD_UNIT_PATH", format!("{}:", path.join(":")))
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(&ours);
    let output = command.output().context("starting systemd-analyze")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| ours.iter().any(|unit| mentions(line, unit)))
        .filter(|line| !FOREIGN.iter().any(|foreign| line.contains(foreign)))
        .collect();
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("{}", complaints.join("\n"))
}

fn mentions(line: &str, unit: &Path) -> bool {
    unit.file_name()
        .is_some_and(|name| line.contains(&*name.to_string_lossy()))
}
