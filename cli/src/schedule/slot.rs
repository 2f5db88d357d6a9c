//! Slots of a schedule: one from the arguments of `fleet schedule add`, and many in a table.

use std::collections::HashMap;

use clap::Args;
use fleet_protocol::schedule::{DaysOfWeek, MinuteOfDay, ScheduleSlot, Target, ValidDates};
use fleet_protocol::{PlaylistId, TargetId, VenueId};
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::Result;
use crate::output::{Output, Tone, printable};
use crate::text::{parse_days, parse_time_of_day, time_span};
use crate::venue::{self, InVenue};
use crate::{device, name, playlist};

#[derive(Debug, Args)]
pub struct AddArgs {
    /// What plays: id, or name that only one has
    #[arg(long, value_name = "PLAYLIST")]
    pub playlist: String,
    /// Where it plays: `device:` or `group:`, then an id, or a name that only one has
    #[arg(long = "for", value_name = "device:D|group:G", value_parser = whom)]
    pub whom: Whom,
    /// Such as mon,tue or mon-fri: the days on which it begins. Default: every day
    #[arg(long, value_name = "DAYS", value_parser = parse_days)]
    pub days: Option<DaysOfWeek>,
    /// Default: 00:00
    #[arg(long, value_name = "HH:MM", value_parser = parse_time_of_day)]
    pub from: Option<MinuteOfDay>,
    /// At or before --from: on the next day. Default: midnight
    #[arg(long, value_name = "HH:MM", value_parser = parse_time_of_day)]
    pub to: Option<MinuteOfDay>,
    /// A larger number goes before a smaller one
    #[arg(
        long,
        default_value_t = 0,
        value_name = "N",
        allow_negative_numbers = true
    )]
    pub priority: i64,
    #[command(flatten)]
    pub venue: InVenue,
    /// Let screens follow it at once
    #[arg(long)]
    pub publish: bool,
}

/// Whom a slot is for, as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    Device(String),
    Group(String),
}

impl Whom {
    /// # Errors
    /// When none or several in the venue are called so.
    pub(crate) fn target(&self, venue: &VenueId, client: &Client) -> Result<Target> {
        Ok(match self {
            Self::Device(text) => {
                Target::Device(device::resolve_in_venue(client, venue, text)?.into())
            }
            Self::Group(text) => {
                let groups = venue::all_groups(venue, client)?;
                Target::Group(name::find(&groups, text)?.group_id.clone())
            }
        })
    }
}

pub(crate) fn whom(text: &str) -> Result<Whom, String> {
    match text.split_once(':') {
        Some(("device", name)) if !name.is_empty() => Ok(Whom::Device(name.to_owned())),
        Some(("group", name)) if !name.is_empty() => Ok(Whom::Group(name.to_owned())),
        _ => Err("write device:lobby or group:windows".to_owned()),
    }
}

pub(super) fn build(args: &AddArgs, venue: &VenueId, client: &Client) -> Result<Value> {
    let playlist = playlist::resolve(&args.playlist, client)?.playlist_id;
    let target = args.whom.target(venue, client)?;
    Ok(shape(args, &target, &playlist))
}

/// Without an id: the control plane gives it one.
fn shape(args: &AddArgs, target: &Target, playlist: &PlaylistId) -> Value {
    let midnight = MinuteOfDay::try_from(0).expect("midnight is a minute");
    let (target_type, target_id) = match target {
        Target::Device(id) => ("DEVICE", id),
        Target::Group(id) => ("GROUP", id),
    };
    json!({
        "targetType": target_type,
        "targetId": target_id,
        "playlistId": playlist,
        "daysOfWeekMask": args.days.unwrap_or(DaysOfWeek::EVERY_DAY),
        "startMinutes": args.from.unwrap_or(midnight),
        "endMinutes": args.to.unwrap_or(midnight),
        "priority": args.priority,
        "enabled": true,
    })
}

/// What people call the things that slots speak of.
#[derive(Debug, Default)]
pub(crate) struct Names {
    playlists: HashMap<PlaylistId, String>,
    targets: HashMap<TargetId, String>,
}

impl Names {
    pub(crate) fn load(venue: &VenueId, client: &Client) -> Result<Self> {
        let playlists = playlist::all(client)?.into_iter();
        let devices = device::all_of_venue(client, venue)?.into_iter();
        let groups = venue::all_groups(venue, client)?.into_iter();
        Ok(Self {
            playlists: playlists.map(|p| (p.playlist_id, p.name)).collect(),
            targets: devices
                .map(|d| (d.device_id.into(), d.name))
                .chain(groups.map(|g| (g.group_id, g.name)))
                .collect(),
        })
    }

    pub(crate) fn playlist(&self, id: &PlaylistId) -> String {
        let name = self.playlists.get(id);
        name.map_or_else(|| id.to_string(), |name| printable(name))
    }

    pub(crate) fn target(&self, target: &Target) -> String {
        let (kind, id) = match target {
            Target::Device(id) => ("device", id),
            Target::Group(id) => ("group", id),
        };
        let name = self.targets.get(id);
        let name = name.map_or_else(|| id.to_string(), |name| printable(name));
        format!("{kind} {name}")
    }
}

pub(super) fn table(slots: &[ScheduleSlot], names: &Names, output: Output) -> String {
    let rows: Vec<Vec<String>> = slots.iter().map(|slot| row(slot, names, output)).collect();
    output.table(
        &["slot", "plays", "for", "days", "time", "priority", ""],
        &rows,
    )
}

fn row(slot: &ScheduleSlot, names: &Names, output: Output) -> Vec<String> {
    let mut remarks = Vec::new();
    if slot.valid != ValidDates::ALWAYS {
        remarks.push(slot.valid.to_string());
    }
    if !slot.enabled {
        remarks.push(output.paint(Tone::Dim, "off"));
    }
    vec![
        slot.slot_id.to_string(),
        output.paint(Tone::Strong, &names.playlist(&slot.playlist_id)),
        names.target(&slot.target),
        slot.days_of_week.to_string(),
        time_span(slot.start, slot.end),
        slot.priority.to_string(),
        remarks.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::tests::plain;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        add: AddArgs,
    }

    fn parse(args: &[&str]) -> Result<AddArgs, clap::Error> {
        let required = ["add", "--playlist", "Menu", "--for", "group:windows"];
        Line::try_parse_from(required.iter().chain(args)).map(|line| line.add)
    }

    fn slot(args: &[&str]) -> Value {
        let target = Target::Group("g_1".parse().unwrap());
        shape(&parse(args).unwrap(), &target, &"pl_1".parse().unwrap())
    }

    #[test]
    fn without_days_and_times_a_slot_is_for_all_of_every_day() {
        let expected = json!({
            "targetType": "GROUP", "targetId": "g_1", "playlistId": "pl_1", "daysOfWeekMask": 127,
            "startMinutes": 0, "endMinutes": 0, "priority": 0, "enabled": true,
        });
        assert_eq!(slot(&[]), expected);
    }

    #[test]
    fn days_times_and_priority_are_what_was_typed() {
        let args = [
            "--days",
            "sat,sun",
            "--from",
            "20:00",
            "--to",
            "1:30",
            "--priority",
            "-5",
        ];
        let slot = slot(&args);
        assert_eq!(slot["daysOfWeekMask"], 96);
        assert_eq!(slot["startMinutes"], 1200);
        assert_eq!(slot["endMinutes"], 90);
        assert_eq!(slot["priority"], -5);
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
        for bad in [
            ["--days", "someday"],
            ["--from", "25:00"],
            ["--for", "lobby"],
            ["--for", "device:"],
            ["--for", "screen:lobby"],
            ["--priority", "high"],
        ] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            whom("device:bar:left"),
            Ok(Whom::Device("bar:left".to_owned()))
        );
    }

    #[test]
    fn a_slot_is_shown_in_words() {
        let read = |more: &Value| -> ScheduleSlot {
            let mut slot = json!({
                "slotId": "s_1", "targetType": "DEVICE", "targetId": "dev_1", "playlistId": "pl_1",
                "daysOfWeekMask": 31, "startMinutes": 1200, "endMinutes": 90, "enabled": false,
                "validToDate": "2026-12-31",
            });
            let more = more.as_object().unwrap().clone();
            slot.as_object_mut().unwrap().extend(more);
            serde_json::from_value(slot).unwrap()
        };
        let names = Names {
            playlists: HashMap::from([("pl_1".parse().unwrap(), "Menu".to_owned())]),
            targets: HashMap::from([("dev_1".parse().unwrap(), "lobby".to_owned())]),
        };
        let shown = table(&[read(&json!({}))], &names, plain());
        for part in [
            "Menu",
            "device lobby",
            "Mon, Tue, Wed, Thu, Fri",
            "20:00–01:30 next day",
            "until 2026-12-31, off",
        ] {
            assert!(shown.contains(part), "no `{part}` in\n{shown}");
        }
        let evening = read(&json!({"endMinutes": 0}));
        assert_eq!(time_span(evening.start, evening.end), "20:00–24:00");
        let whole = json!({"startMinutes": 0, "endMinutes": 0});
        let whole = read(&whole);
        assert_eq!(time_span(whole.start, whole.end), "all day");
    }
}
