//! `fleet device`: what devices there are, how they are, commands to them, and how new ones join.

mod command;
mod enrol;
mod lifecycle;
mod logs;
mod show;
mod token;

use clap::{Args, Subcommand};
use fleet_protocol::device::{DeviceView, Page};
use fleet_protocol::player::Orientation;
use fleet_protocol::{DeviceId, VenueId};
use jiff::Timestamp;

use crate::args::Global;
use crate::client::Client;
use crate::error::Result;
use crate::name::{self, Named};
use crate::output::{Output, Tone, printable};
use crate::text::human_duration;
use crate::{clock, context, venue};

pub use command::CommandArgs;
pub use enrol::{EnrolArgs, PairArgs};
pub use lifecycle::LeavingArgs;
pub use logs::LogsArgs;
pub use token::TokenCommand;

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
    Revoke(LeavingArgs),
    /// Forget it with all that it said and showed, its proof of play too; revokes it first
    Remove(LeavingArgs),
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
    /// Take its screen to another venue, and out of the groups of the former one
    Move {
        /// Id or name
        device: String,
        /// Id or name
        venue: String,
    },
    /// Say how its screen hangs
    Orient {
        /// Id or name
        device: String,
        #[arg(value_parser = lifecycle::orientation())]
        orientation: Orientation,
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
    /// Let the device in whose screen shows this code
    Pair(PairArgs),
    /// What lets devices join: list it, or take it back
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those that are not online
    #[arg(long)]
    pub offline: bool,
    /// Only those of this venue (id or name)
    #[arg(long, value_name = "VENUE")]
    pub venue: Option<String>,
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
        DeviceCommand::Show { device } => show::run(&device, &client, output),
        DeviceCommand::Why { device } => crate::rollout::why(&client, &device, output),
        DeviceCommand::Revoke(args) => lifecycle::revoke(&args, &client, output),
        DeviceCommand::Remove(args) => lifecycle::remove(&args, &client, output),
        DeviceCommand::Restore { device } => lifecycle::restore(&device, &client, output),
        DeviceCommand::Rename { device, name } => {
            lifecycle::rename(&device, &name, &client, output)
        }
        DeviceCommand::Move { device, venue } => {
            lifecycle::relocate(&device, &venue, &client, output)
        }
        DeviceCommand::Orient {
            device,
            orientation,
        } => lifecycle::orient(&device, orientation, &client, output),
        DeviceCommand::Command(args) => command::run(args, &client, output),
        DeviceCommand::Logs(args) => logs::run(&args, &client, output),
        DeviceCommand::Bundle(args) => logs::bundle(&args, &client, output),
        DeviceCommand::Enrol(args) => enrol::run(&args, &client, output),
        DeviceCommand::Pair(args) => enrol::pair(args, &client, output),
        DeviceCommand::Token(command) => token::run(command, &client, output),
    }
}

/// Every device.
///
/// # Errors
/// When the control plane can't be asked.
pub(crate) fn all(client: &Client) -> Result<Vec<DeviceView>> {
    client.all("/v1/devices")
}

/// Every device of a venue: for who has a role there and nowhere else, too.
///
/// # Errors
/// When the control plane can't be asked.
pub(crate) fn all_of_venue(client: &Client, venue: &VenueId) -> Result<Vec<DeviceView>> {
    client.all(&format!("/v1/venues/{venue}/devices"))
}

/// A device of a venue by its id or its name.
///
/// # Errors
/// When none or several are called so.
pub(crate) fn resolve_in_venue(client: &Client, venue: &VenueId, text: &str) -> Result<DeviceId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    Ok(name::find(&all_of_venue(client, venue)?, text)?
        .device_id
        .clone())
}

/// A device by its id or its name.
///
/// # Errors
/// When none or several are called so.
pub(crate) fn resolve(client: &Client, text: &str) -> Result<DeviceId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    Ok(name::find(&all(client)?, text)?.device_id.clone())
}

impl Named for DeviceView {
    const KIND: &'static str = "device";
    const LIST: &'static str = "fleet device list";

    fn id(&self) -> &str {
        self.device_id.as_str()
    }

    fn is_called(&self, text: &str) -> bool {
        self.name == text
    }
}

fn list(args: &ListArgs, client: &Client, output: Output) -> Result<()> {
    let mut items = match &args.venue {
        Some(venue) => all_of_venue(client, &venue::resolve(venue, client)?)?,
        None => all(client)?,
    };
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

pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.as_second() - at.as_second()).unwrap_or(0);
    format!(
        "{} ago",
        human_duration(std::time::Duration::from_secs(seconds))
    )
}
