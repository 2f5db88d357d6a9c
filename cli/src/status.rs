//! `fleet status`: the fleet on one screen, what an operator types first.

use fleet_protocol::device::{FleetOverview, Page};
use fleet_protocol::rollout::RolloutView;
use serde::Serialize;

use crate::args::Global;
use crate::context;
use crate::error::Result;
use crate::output::{Output, Tone, printable};
use crate::rollout::picture;

/// Rollouts that have ended are shown only when none is going on, and then so many.
const ENDED_SHOWN: usize = 1;
const VERSIONS_SHOWN: usize = 8;

/// `--json` shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    server: String,
    #[serde(flatten)]
    overview: FleetOverview,
    /// Unfinished ones, or the newest.
    rollouts: Vec<RolloutView>,
}

/// # Errors
/// When the control plane can't be asked.
pub fn run(global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    let overview: FleetOverview = client.get("/v1/overview")?;
    let page: Page<RolloutView> = client.get("/v1/rollouts")?;
    let (mut rollouts, ended): (Vec<_>, Vec<_>) =
        page.items.into_iter().partition(|r| !r.status.is_final());
    if rollouts.is_empty() {
        rollouts.extend(ended.into_iter().take(ENDED_SHOWN));
    }
    let status = Status {
        server: client.server().to_owned(),
        overview,
        rollouts,
    };
    output.result(&status, |s| text(s, output));
    Ok(())
}

fn text(status: &Status, output: Output) -> String {
    let FleetOverview {
        devices,
        online,
        versions,
    } = &status.overview;
    let offline = devices.saturating_sub(*online);
    let away = if offline == 0 { Tone::Dim } else { Tone::Bad };
    let mut text = format!(
        "{}\n{}   {}   {}\n",
        output.paint(Tone::Dim, &status.server),
        output.paint(Tone::Strong, &format!("{devices} devices")),
        output.paint(Tone::Good, &format!("{online} online")),
        output.paint(away, &format!("{offline} offline")),
    );
    if *devices == 0 {
        text += "\nLet a device join: fleet device enrol\n";
    }
    if !versions.is_empty() {
        let rows: Vec<Vec<String>> = versions
            .iter()
            .take(VERSIONS_SHOWN)
            .map(|v| {
                vec![
                    printable(&v.version),
                    v.devices.to_string(),
                    picture::bar(v.devices, *devices),
                ]
            })
            .collect();
        text += &format!("\n{}", output.table(&["version", "devices", ""], &rows));
        if versions.len() > VERSIONS_SHOWN {
            text += &format!("and {} more\n", versions.len() - VERSIONS_SHOWN);
        }
    }
    if status.rollouts.is_empty() {
        text += "\nNo rollout yet. Begin one: fleet rollout start VERSION\n";
    }
    for rollout in &status.rollouts {
        text += &format!(
            "\nRollout {} of {}: {}\n  {}\n",
            rollout.rollout_id,
            output.paint(Tone::Strong, &rollout.version.to_string()),
            picture::status(rollout.status, output),
            printable(&rollout.summary)
        );
    }
    if offline > 0 {
        text += "\nWho is offline: fleet device list --offline\n";
    }
    text
}
