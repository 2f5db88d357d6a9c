//! `fleet venue group`: the screens of a venue that a schedule speaks of together.

use std::collections::HashMap;

use clap::{Args, Subcommand};
use fleet_protocol::content::{CreateGroup, GroupView};
use fleet_protocol::device::Page;
use fleet_protocol::{DeviceId, VenueId};

use super::{InVenue, resolve};
use crate::asset::Deleted;
use crate::client::{Client, encode};
use crate::device;
use crate::error::Result;
use crate::name::{self, Named};
use crate::output::{Output, Tone, printable};

#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List the groups of a venue
    List {
        #[command(flatten)]
        venue: InVenue,
    },
    /// Make a group
    Create {
        name: String,
        /// Ids or names
        #[arg(value_name = "DEVICE")]
        devices: Vec<String>,
        #[command(flatten)]
        venue: InVenue,
    },
    /// Say anew which screens are in a group, or what it is called
    Set(SetArgs),
    /// Delete a group
    Delete {
        /// Id, or name that only one has
        group: String,
        #[command(flatten)]
        venue: InVenue,
    },
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["devices", "empty", "name"])))]
pub struct SetArgs {
    /// Id, or name that only one has
    pub group: String,
    /// All of its screens from now on: ids or names. Left out: they stay
    #[arg(value_name = "DEVICE")]
    pub devices: Vec<String>,
    /// No screen from now on
    #[arg(long, conflicts_with = "devices")]
    pub empty: bool,
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    #[command(flatten)]
    pub venue: InVenue,
}

pub(super) fn run(command: GroupCommand, client: &Client, output: Output) -> Result<()> {
    match command {
        GroupCommand::List { venue } => list(&venue, client, output),
        GroupCommand::Create {
            name,
            devices,
            venue,
        } => {
            let venue = resolve(&venue.venue, client)?;
            let request = CreateGroup {
                name,
                device_ids: members(&devices, &venue, client)?,
            };
            let view: GroupView = client.post(&groups(&venue), &request)?;
            output.result(&view, said);
            Ok(())
        }
        GroupCommand::Set(args) => set(args, client, output),
        GroupCommand::Delete { group, venue } => {
            let venue = resolve(&venue.venue, client)?;
            let group = one(&venue, &group, client)?;
            client.delete(&path(&venue, &group))?;
            let deleted = vec![group.group_id];
            output.result(&Deleted { deleted }, |_| {
                format!("{} is deleted\n", printable(&group.name))
            });
            Ok(())
        }
    }
}

fn groups(venue: &VenueId) -> String {
    format!("/v1/venues/{venue}/groups")
}

fn path(venue: &VenueId, group: &GroupView) -> String {
    format!("{}/{}", groups(venue), encode(group.id()))
}

/// Every group of a venue.
pub(crate) fn all(venue: &VenueId, client: &Client) -> Result<Vec<GroupView>> {
    client.all(&groups(venue))
}

impl Named for GroupView {
    const KIND: &'static str = "group";
    const LIST: &'static str = "fleet venue group list";

    fn id(&self) -> &str {
        self.group_id.as_str()
    }

    fn is_called(&self, text: &str) -> bool {
        self.name == text
    }
}

fn one(venue: &VenueId, text: &str, client: &Client) -> Result<GroupView> {
    Ok(name::find(&all(venue, client)?, text)?.clone())
}

fn members(devices: &[String], venue: &VenueId, client: &Client) -> Result<Vec<DeviceId>> {
    devices
        .iter()
        .map(|text| device::resolve_in_venue(client, venue, text))
        .collect()
}

fn set(args: SetArgs, client: &Client, output: Output) -> Result<()> {
    let venue = resolve(&args.venue.venue, client)?;
    let before = one(&venue, &args.group, client)?;
    let path = path(&venue, &before);
    let device_ids = if args.devices.is_empty() && !args.empty {
        before.device_ids
    } else {
        members(&args.devices, &venue, client)?
    };
    let request = CreateGroup {
        name: args.name.unwrap_or(before.name),
        device_ids,
    };
    let view: GroupView = client.put(&path, &request)?;
    output.result(&view, said);
    Ok(())
}

fn said(group: &GroupView) -> String {
    let called = name::label(&group.name, group.id());
    match group.device_ids.len() {
        0 => format!("{called} has no screen yet\n"),
        1 => format!("{called} has 1 screen\n"),
        count => format!("{called} has {count} screens\n"),
    }
}

fn list(venue: &InVenue, client: &Client, output: Output) -> Result<()> {
    let venue = resolve(&venue.venue, client)?;
    let page = Page {
        items: all(&venue, client)?,
        next_cursor: None,
    };
    let mut names = HashMap::new();
    if !output.json && !page.items.is_empty() {
        names.extend(
            device::all_of_venue(client, &venue)?
                .into_iter()
                .map(|d| (d.device_id, d.name)),
        );
    }
    output.result(&page, |page| {
        if page.items.is_empty() {
            return "No groups. Make one with `fleet venue group create NAME DEVICE…`.\n"
                .to_owned();
        }
        table(&page.items, &names, output)
    });
    Ok(())
}

fn table(groups: &[GroupView], names: &HashMap<DeviceId, String>, output: Output) -> String {
    let called = |id: &DeviceId| {
        names
            .get(id)
            .map_or_else(|| id.to_string(), |n| printable(n))
    };
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| {
            let devices: Vec<String> = group.device_ids.iter().map(called).collect();
            vec![
                group.group_id.to_string(),
                output.paint(Tone::Strong, &printable(&group.name)),
                devices.join(", "),
            ]
        })
        .collect();
    output.table(&["group", "name", "screens"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::tests::plain;

    #[test]
    fn a_group_names_its_screens_as_people_call_them() {
        let id = |text: &str| text.parse::<DeviceId>().unwrap();
        let group = GroupView {
            group_id: "grp_1".parse().unwrap(),
            name: "Windows".to_owned(),
            device_ids: vec![id("dev_1"), id("dev_2")],
        };
        let names = HashMap::from([(id("dev_1"), "lobby".to_owned())]);
        let shown = table(std::slice::from_ref(&group), &names, plain());
        assert!(shown.contains("Windows  lobby, dev_2"), "{shown}");
        assert_eq!(said(&group), "Windows (grp_1) has 2 screens\n");
    }
}
