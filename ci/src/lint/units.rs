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
    "Command /usr/bin/fleet-control is not executable",
    "Command /usr/bin/fleet-player is not executable",
    "Failed to create ",
];

/// Programs that take bytes from outside.
const EXPOSED: &[&str] = &[
    "fleet-agent.service",
    "fleet-player.service",
    "fleet-safe-mode.service",
];
/// Of `systemd-analyze security`, in tenths: 0 is confined, 100 is not.
const MOST_EXPOSED: u32 = 30;

pub(super) fn run(workspace: &Workspace, tools: &ToolTree) -> Result<Outcome> {
    let all = super::files(&workspace.layer())?;
    if let Some(path) = all.iter().find(|path| is_lost_link(path)) {
        let path = path.display();
        bail!("{path} holds nothing but a path: make it a symbolic link again");
    }
    let ours: Vec<&PathBuf> = all
        .iter()
        .filter(|path| {
            path.parent()
                .is_some_and(|dir| dir.ends_with("usr/lib/systemd/system"))
        })
        .filter(|path| !path.is_symlink())
        .collect();
    verify(tools, &ours)?;
    for name in EXPOSED {
        let unit = all.iter().find(|path| path.ends_with(name));
        let unit = unit.with_context(|| format!("{name} is not in the layer"))?;
        confined(workspace, tools, unit, MOST_EXPOSED)?;
    }
    Ok(Outcome::Clean)
}

/// Some ways to copy a tree turn a link into a file of where it led to. systemd passes such a file over, and what it was
/// to enable stays off.
fn is_lost_link(path: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(path) else {
        return false;
    };
    let is_path = text.starts_with('/') || text.starts_with("../");
    !path.is_symlink() && is_path && !text.contains(['\n', ' '])
}

/// That the unit's exposure is at most this, in tenths.
pub(super) fn confined(
    workspace: &Workspace,
    tools: &ToolTree,
    unit: &Path,
    most: u32,
) -> Result<()> {
    let mut command = tools.command("systemd-analyze");
    command
        .args(["security", "--offline=true", "--no-pager"])
        .arg(format!("--threshold={most}"))
        .arg(unit);
    process::run_logged(&mut command, &workspace.log_file("lint-security")).with_context(|| {
        let (name, whole, tenths) = (unit.display(), most / 10, most % 10);
        format!("{name} is more exposed than {whole}.{tenths}")
    })
}

/// Parses units with systemd's own checker. What refers to programs of the machine that they are for is left out.
pub(super) fn verify(tools: &ToolTree, ours: &[&PathBuf]) -> Result<()> {
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
        .args(ours);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_a_path_alone_is_a_lost_link() {
        let folder = tempfile::tempdir().unwrap();
        let check = |text: &str, expected: bool| {
            let path = folder.path().join("a.service");
            std::fs::write(&path, text).unwrap();
            assert_eq!(is_lost_link(&path), expected, "{text}");
        };
        check("../a.service", true);
        check("/dev/null", true);
        check("/usr/bin/sh -c true", false);
        check("/var/volatile\n", false);
        check("[Unit]\nDescription=a\n", false);
        let link = folder.path().join("b.service");
        std::os::unix::fs::symlink("a.service", &link).unwrap();
        std::fs::write(folder.path().join("a.service"), "/dev/null").unwrap();
        assert!(!is_lost_link(&link));
    }
}
