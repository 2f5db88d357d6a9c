//! docs/deploy: that its units are confined, and that Prometheus takes its rules and its configuration. Whether the metrics in
//! them exist is a test of the control plane.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Outcome, units};
use crate::process;
use crate::tools::ToolTree;
use crate::workspace::Workspace;

/// Of `systemd-analyze security`, in tenths.
const MOST_EXPOSED: u32 = 20;

pub(super) fn run(workspace: &Workspace, tools: &ToolTree) -> Result<Outcome> {
    let folder = workspace.root().join("docs/deploy");
    let all = super::files(&folder)?;
    let with = |ending: &str| -> Vec<&PathBuf> {
        let has = |path: &&PathBuf| path.extension().is_some_and(|e| e == ending);
        all.iter().filter(has).collect()
    };
    let services = with("service");
    units::verify(tools, &[services.clone(), with("timer")].concat())?;
    for unit in services {
        units::confined(workspace, tools, unit, MOST_EXPOSED)?;
    }
    for (check, file) in [
        (&["check", "rules"][..], "prometheus-rules.yml"),
        (&["check", "config", "--syntax-only"], "prometheus.yml"),
    ] {
        let mut command = tools.command("promtool");
        command.args(check).arg(folder.join(file));
        process::run_logged(&mut command, &workspace.log_file("lint-promtool"))
            .with_context(|| format!("docs/deploy/{file}"))?;
    }
    Ok(Outcome::Clean)
}
