//! `fleet rollout`: bring a release to the fleet in phases, watch it, stop it, ask why not.

pub(crate) mod picture;

use std::time::Duration;

use clap::{Args, Subcommand};
use fleet_protocol::device::Page;
use fleet_protocol::rollout::{CreateRollout, Phase, RolloutStatus, RolloutView};
use fleet_protocol::why::{Verdict, WhyTrace};
use fleet_protocol::{DeviceId, Percent, RolloutId, Version};

use crate::args::Global;
use crate::client::Client;
use crate::error::{CommandError, Kind, Result};
use crate::output::{Output, Tone, printable};
use crate::text::{parse_duration, parse_phases};
use crate::{clock, context, device};

#[derive(Debug, Subcommand)]
pub enum RolloutCommand {
    /// Begin to bring a published release to devices
    Start(StartArgs),
    /// Show one rollout, or all; exit code 4 with --watch when it ends without completing
    Status {
        /// Default: the list of all; with --watch, the newest
        id: Option<RolloutId>,
        /// Follow it until it ends
        #[arg(long, short)]
        watch: bool,
    },
    /// Begin with no further device until resumed
    Pause { id: RolloutId },
    /// Go on where it was paused
    Resume { id: RolloutId },
    /// End it: devices that were not reached stay as they are
    Abort { id: RolloutId },
    /// What holds a device's update back, step by step
    Why {
        /// Id or name
        device: String,
    },
}

#[derive(Debug, Args)]
pub struct StartArgs {
    pub version: Version,
    /// Shares of the fleet, each with the wait after it; default: 5%:24h,20%:48h,100%
    #[arg(long, value_parser = phases, value_name = "SHARE:WAIT,…")]
    pub phases: Option<Phases>,
    /// More failures than this share of a phase's devices stop the rollout
    #[arg(long, default_value = "5%", value_name = "SHARE")]
    pub failure_threshold: Percent,
    /// When stopped by failures, leave those that were updated as they are
    #[arg(long)]
    pub no_rollback: bool,
    /// Only this device: id or name (may be repeated)
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<String>,
    /// A device that shows no verified boot for this long has failed; default: a day
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub deadline: Option<Duration>,
    /// Follow it until it ends
    #[arg(long, short)]
    pub watch: bool,
}

/// One value, though it is a list: clap would make many arguments of a `Vec`.
#[derive(Debug, Clone)]
pub struct Phases(pub Vec<Phase>);

fn phases(text: &str) -> Result<Phases, crate::text::ParsePhasesError> {
    parse_phases(text).map(Phases)
}

/// # Errors
/// See each command.
pub fn run(command: RolloutCommand, global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    match command {
        RolloutCommand::Start(args) => start(args, &client, output),
        RolloutCommand::Status { id, watch: true } => {
            let id = match id {
                Some(id) => id,
                None => newest(&client)?,
            };
            watch(&client, &id, output)
        }
        RolloutCommand::Status { id: Some(id), .. } => {
            let view: RolloutView = client.get(&format!("/v1/rollouts/{id}"))?;
            output.result(&view, |v| picture::text(v, output));
            Ok(())
        }
        RolloutCommand::Status { id: None, .. } => list(&client, output),
        RolloutCommand::Pause { id } => act(&client, &id, "pause", output),
        RolloutCommand::Resume { id } => act(&client, &id, "resume", output),
        RolloutCommand::Abort { id } => act(&client, &id, "abort", output),
        RolloutCommand::Why { device } => why(&client, &device, output),
    }
}

fn start(args: StartArgs, client: &Client, output: Output) -> Result<()> {
    let devices = args
        .device
        .iter()
        .map(|name| device::resolve(client, name))
        .collect::<Result<Vec<DeviceId>>>()?;
    let request = CreateRollout {
        version: args.version,
        phases: args.phases.map(|phases| phases.0),
        failure_threshold: Some(args.failure_threshold),
        rollback_on_failure: Some(!args.no_rollback),
        devices: (!devices.is_empty()).then_some(devices),
        deadline_seconds: args.deadline.map(|d| d.as_secs()),
    };
    let view: RolloutView = client.post("/v1/rollouts", &request)?;
    if args.watch {
        return watch(client, &view.rollout_id, output);
    }
    output.result(&view, |v| {
        format!(
            "{}\nWatch it with: fleet rollout status {} --watch\n",
            picture::text(v, output),
            v.rollout_id
        )
    });
    Ok(())
}

fn newest(client: &Client) -> Result<RolloutId> {
    let page: Page<RolloutView> = client.get("/v1/rollouts")?;
    page.items
        .into_iter()
        .max_by_key(|r| r.created_at)
        .map(|r| r.rollout_id)
        .ok_or_else(|| {
            CommandError::not_found("there is no rollout")
                .hint("begin one with `fleet rollout start VERSION`")
        })
}

fn list(client: &Client, output: Output) -> Result<()> {
    let page: Page<RolloutView> = client.get("/v1/rollouts")?;
    output.result(&page, |page| {
        if page.items.is_empty() {
            return "No rollouts yet. Begin one with `fleet rollout start VERSION`.\n".to_owned();
        }
        let rows: Vec<Vec<String>> = page
            .items
            .iter()
            .map(|r| {
                vec![
                    r.rollout_id.to_string(),
                    output.paint(Tone::Strong, &r.version.to_string()),
                    picture::status(r.status, output),
                    picture::phase(r),
                    format!("{}/{}", r.counts.verified, r.counts.total),
                    r.counts.failed.to_string(),
                    r.created_at.strftime("%Y-%m-%d %H:%M").to_string(),
                ]
            })
            .collect();
        output.table(
            &[
                "rollout",
                "version",
                "status",
                "phase",
                "verified",
                "failed",
                "begun (UTC)",
            ],
            &rows,
        )
    });
    Ok(())
}

fn act(client: &Client, id: &RolloutId, verb: &str, output: Output) -> Result<()> {
    let path = format!("/v1/rollouts/{id}/{verb}");
    let _: serde_json::Value = client.post(&path, &serde_json::json!({}))?;
    let view: RolloutView = client.get(&format!("/v1/rollouts/{id}"))?;
    output.result(&view, |v| picture::text(v, output));
    Ok(())
}

/// Follows a rollout to its end; a control plane that restarts meanwhile is waited for.
fn watch(client: &Client, id: &RolloutId, output: Output) -> Result<()> {
    let mut screen = picture::Screen::new(output);
    let mut last = None;
    loop {
        match client.get::<RolloutView>(&format!("/v1/rollouts/{id}")) {
            Ok(view) => {
                if output.json && last.as_ref() != Some(&view) {
                    output.line(&view, |_| String::new());
                }
                screen.draw(&view);
                if view.status.is_final() {
                    screen.finish(&view);
                    return ended(&view);
                }
                last = Some(view);
            }
            Err(error) if error.kind == Kind::Unreachable && last.is_some() => {
                screen.message(&format!("{error}; trying again"));
            }
            Err(error) => return Err(error),
        }
        clock::pause(Duration::from_secs(1));
    }
}

fn ended(view: &RolloutView) -> Result<()> {
    if view.status == RolloutStatus::Completed {
        return Ok(());
    }
    Err(CommandError::refused(format!(
        "rollout {} ended without completing: {}",
        view.rollout_id,
        printable(&view.summary)
    ))
    .hint("ask a device with `fleet rollout why DEVICE`; a fixed release needs a new version"))
}

pub(crate) fn why(client: &Client, device: &str, output: Output) -> Result<()> {
    let id = device::resolve(client, device)?;
    let trace: WhyTrace = client.get(&format!("/v1/devices/{id}/why"))?;
    output.result(&trace, |t| trace_text(t, output));
    Ok(())
}

fn trace_text(trace: &WhyTrace, output: Output) -> String {
    let width = trace
        .steps
        .iter()
        .map(|s| s.step.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = output.paint(Tone::Strong, &printable(&trace.summary)) + "\n";
    for step in &trace.steps {
        let (sign, tone) = match step.verdict {
            Verdict::Pass => ("✓", Tone::Good),
            Verdict::Wait => ("…", Tone::Busy),
            Verdict::Hold => ("✗", Tone::Bad),
            Verdict::NotReached => ("·", Tone::Dim),
        };
        let until = step.until.map_or(String::new(), |at| {
            format!(" (until {} UTC)", at.strftime("%Y-%m-%d %H:%M:%S"))
        });
        let line = format!(
            "{sign} {:<width$}  {}{until}",
            printable(&step.step),
            printable(&step.detail)
        );
        text += &format!("  {}\n", output.paint(tone, &line));
        if let Some(hint) = &step.hint {
            text += &format!("    {:<width$}  Hint: {}\n", "", printable(hint));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_protocol::why::WhyStep;

    #[test]
    fn a_trace_shows_what_passed_what_waits_and_what_holds() {
        let step = |name: &str, verdict, hint: Option<&str>| WhyStep {
            step: name.to_owned(),
            verdict,
            detail: "so".to_owned(),
            until: None,
            hint: hint.map(str::to_owned),
        };
        let trace = WhyTrace {
            summary: "Waits for its phase".to_owned(),
            steps: vec![
                step("target", Verdict::Pass, None),
                step("phase", Verdict::Wait, None),
                step("disk", Verdict::Hold, Some("make room")),
                step("trial", Verdict::NotReached, None),
            ],
        };
        let output = Output::new(&Global {
            color: crate::output::Color::Never,
            ..Global::default()
        });
        assert_eq!(
            trace_text(&trace, output),
            "Waits for its phase\n  ✓ target  so\n  … phase   so\n  ✗ disk    so\n            Hint: make room\n  · trial   so\n"
        );
    }
}
