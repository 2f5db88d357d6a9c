//! `fleet device`: what devices there are, how they are, commands to them, and how new ones join.

mod command;
mod enrol;
mod lifecycle;
mod logs;

use clap::{Args, Subcommand};
use fleet_protocol::DeviceId;
use fleet_protocol::device::{DeviceDetail, DeviceView, Page};
use jiff::Timestamp;

use crate::args::Global;
use crate::client::Client;
use crate::error::{CommandError, Result};
use crate::output::{Output, Tone, human_bytes, printable};
use crate::rollout::picture::progress;
use crate::text::human_duration;
use crate::{clock, context};

pub use command::CommandArgs;
pub use enrol::EnrolArgs;
pub use lifecycle::RevokeArgs;
pub use logs::LogsArgs;

#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// List the devices
    List(ListArgs),
    /// Show one device: what it runs, how it is, what it does
    Show {
        /// Id or name
        device: String,
    },
    /// What holds its update back, step by step (as `fleet rollout why`)
    Why {
        /// Id or name
        device: String,
    },
    /// Take its credentials away: it is not let in any more
    Revoke(RevokeArgs),
    /// Let a revoked device in again
    Restore {
        /// Id or name
        device: String,
    },
    /// Give it another name for people
    Rename {
        /// Id or name
        device: String,
        name: String,
    },
    /// Ask a device to do something
    Command(CommandArgs),
    /// Show a device's events
    Logs(LogsArgs),
    /// List a device's support bundles, or fetch one
    Bundle(BundleArgs),
    /// Make an enrolment token, and the file for `fleet flash --provision`
    #[command(visible_alias = "enroll")]
    Enrol(EnrolArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those that are not online
    #[arg(long)]
    pub offline: bool,
    /// Only those that run this version
    #[arg(long, value_name = "VERSION")]
    pub version: Option<fleet_protocol::Version>,
}

#[derive(Debug, Args)]
pub struct BundleArgs {
    /// Id or name
    pub device: String,
    /// Which one; `latest` for the newest. Default: list them
    pub name: Option<String>,
    /// Where to write; default: its name, here
    #[arg(long, short, value_name = "FILE", requires = "name")]
    pub out: Option<std::path::PathBuf>,
}

/// # Errors
/// See each command.
pub fn run(command: DeviceCommand, global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    match command {
        DeviceCommand::List(args) => list(&args, &client, output),
        DeviceCommand::Show { device } => show(&device, &client, output),
        DeviceCommand::Why { device } => crate::rollout::why(&client, &device, output),
        DeviceCommand::Revoke(args) => lifecycle::revoke(&args, &client, output),
        DeviceCommand::Restore { device } => lifecycle::restore(&device, &client, output),
        DeviceCommand::Rename { device, name } => {
            lifecycle::rename(&device, &name, &client, output)
        }
        DeviceCommand::Command(args) => command::run(args, &client, output),
        DeviceCommand::Logs(args) => logs::run(&args, &client, output),
        DeviceCommand::Bundle(args) => logs::bundle(&args, &client, output),
        DeviceCommand::Enrol(args) => enrol::run(&args, &client, output),
    }
}

/// Every device, over all pages.
fn all(client: &Client) -> Result<Vec<DeviceView>> {
    let mut devices = Vec::new();
    let mut path = "/v1/devices?limit=200".to_owned();
    loop {
        let page: Page<DeviceView> = client.get(&path)?;
        let empty = page.items.is_empty();
        devices.extend(page.items);
        match page.next_cursor {
            Some(cursor) if !empty => {
                path = format!("/v1/devices?limit=200&cursor={}", encode(&cursor));
            }
            _ => return Ok(devices),
        }
    }
}

/// Percent-encodes what is not unreserved (RFC 3986, section 2.3).
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}

/// A device by its id or its name.
///
/// # Errors
/// When none or several are called so.
pub(crate) fn resolve(client: &Client, text: &str) -> Result<DeviceId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let named: Vec<DeviceView> = all(client)?
        .into_iter()
        .filter(|d| d.name == text)
        .collect();
    match named.as_slice() {
        [one] => Ok(one.device_id.clone()),
        [] => Err(
            CommandError::not_found(format!("no device is called `{text}`"))
                .hint("list them with `fleet device list`"),
        ),
        several => {
            let ids: Vec<String> = several.iter().map(|d| d.device_id.to_string()).collect();
            Err(
                CommandError::usage(format!("{} devices are called `{text}`", several.len()))
                    .hint(format!("say which by its id: {}", ids.join(", "))),
            )
        }
    }
}

fn list(args: &ListArgs, client: &Client, output: Output) -> Result<()> {
    let mut items = all(client)?;
    items.retain(|d| {
        (!args.offline || !d.online) && args.version.as_ref().is_none_or(|v| *v == d.version)
    });
    let page = Page {
        items,
        next_cursor: None,
    };
    output.result(&page, |page| {
        if page.items.is_empty() {
            return "No devices. Let one join with `fleet device enrol`.\n".to_owned();
        }
        let now = clock::now();
        let rows: Vec<Vec<String>> = page
            .items
            .iter()
            .map(|d| {
                vec![
                    d.device_id.to_string(),
                    output.paint(Tone::Strong, &printable(&d.name)),
                    presence(d, output),
                    d.version.to_string(),
                    printable(d.update_state.as_deref().unwrap_or("-")),
                    d.last_seen_at.map_or("never".to_owned(), |at| ago(at, now)),
                    printable(&d.hardware),
                ]
            })
            .collect();
        output.table(
            &[
                "device", "name", "state", "version", "update", "seen", "hardware",
            ],
            &rows,
        )
    });
    Ok(())
}

fn presence(device: &DeviceView, output: Output) -> String {
    if device.revoked {
        output.paint(Tone::Bad, "revoked")
    } else if device.online {
        output.paint(Tone::Good, "online")
    } else {
        output.paint(Tone::Bad, "offline")
    }
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.as_second() - at.as_second()).unwrap_or(0);
    format!(
        "{} ago",
        human_duration(std::time::Duration::from_secs(seconds))
    )
}

fn show(device: &str, client: &Client, output: Output) -> Result<()> {
    let id = resolve(client, device)?;
    let detail: DeviceDetail = client.get(&format!("/v1/devices/{id}"))?;
    output.result(&detail, |d| detail_text(d, output));
    Ok(())
}

fn detail_text(detail: &DeviceDetail, output: Output) -> String {
    let d = &detail.device;
    let now = clock::now();
    let mut fields = vec![
        ("device", d.device_id.to_string()),
        ("name", printable(&d.name)),
        ("state", presence(d, output)),
        (
            "seen",
            d.last_seen_at.map_or("never".to_owned(), |at| ago(at, now)),
        ),
        ("enrolled", d.enrolled_at.to_string()),
        ("version", d.version.to_string()),
        (
            "wanted",
            detail
                .target_version
                .as_ref()
                .map_or("nothing".to_owned(), ToString::to_string),
        ),
        ("compatible", d.compatible.to_string()),
        ("hardware", printable(&d.hardware)),
    ];
    if let Some(rollout) = &detail.rollout_id {
        fields.push(("rollout", rollout.to_string()));
    }
    let mut health = String::new();
    if let Some(beat) = &detail.heartbeat {
        fields.push(("slot", beat.booted.slot.to_string()));
        fields.push(("role", beat.role.to_string()));
        fields.push(("mode", format!("{:?}", beat.mode).to_lowercase()));
        fields.push(("update", printable(&progress(&beat.update))));
        let up = std::time::Duration::from_secs(beat.uptime_seconds);
        fields.push((
            "up",
            format!(
                "{} (last reset: {:?})",
                human_duration(up),
                beat.reset_reason
            ),
        ));
        let m = &beat.metrics;
        fields.push((
            "load",
            format!(
                "cpu {:.0} %, memory {:.0} %, {} free{}",
                m.cpu_percent,
                m.mem_percent,
                human_bytes(m.disk_free_bytes),
                m.temperature_c
                    .map_or(String::new(), |t| format!(", {t:.0} °C"))
            ),
        ));
        if let Some(status) = &beat.status {
            let facts = serde_json::Value::Object(status.facts.clone());
            let level = status.degradation_level;
            let text = printable(&format!("degradation level {level} {facts}"));
            fields.push(("status", text));
        }
        fields.push(("addresses", printable(&beat.network.addresses.join(", "))));
        for check in &beat.health {
            let (sign, tone) = if check.ok {
                ("✓", Tone::Good)
            } else {
                ("✗", Tone::Bad)
            };
            health += &format!(
                "  {} {}: {}\n",
                output.paint(tone, sign),
                printable(&check.name),
                printable(&check.detail)
            );
        }
    }
    let mut text = output.fields(&fields);
    if !health.is_empty() {
        text += "\nHealth\n";
        text += &health;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_cannot_break_out_of_its_parameter() {
        assert_eq!(encode("a&b=ü"), "a%26b%3D%C3%BC");
    }
}
