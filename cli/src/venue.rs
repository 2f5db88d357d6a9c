//! `fleet venue`: places with screens, their time zone, and what plays there when nothing else does.

mod group;

use clap::{Args, Subcommand};
use fleet_protocol::content::{CreateVenue, VenueView};
use fleet_protocol::device::Page;
use fleet_protocol::player::OnWindow;
use fleet_protocol::{PlaylistId, VenueId};
use fleet_schedule::Zone;

use crate::account::tenant;
use crate::args::Global;
use crate::client::Client;
use crate::error::{CommandError, Result};
use crate::name::{self, Named, label};
use crate::output::{Output, Tone, printable};
use crate::text::{OnHours, parse_screen_hours, time_span};
use crate::{context, playlist};

pub use group::GroupCommand;
pub(crate) use group::all as all_groups;

/// Every tenant has it from the start; a device is there until it is moved.
pub(crate) const DEFAULT: &str = "ven_default";

#[derive(Debug, Subcommand)]
pub enum VenueCommand {
    /// List the venues
    List,
    /// Make a venue
    Create {
        name: String,
        /// What the clocks on its walls show, such as Europe/London
        #[arg(long, value_name = "ZONE")]
        timezone: Zone,
        #[command(flatten)]
        hours: ScreenHours,
    },
    /// Show one venue
    Show {
        /// Id, or name that only one has
        #[arg(default_value = DEFAULT)]
        venue: String,
    },
    /// Change a venue
    Set(SetArgs),
    /// Groups of screens in a venue, which schedules speak of
    #[command(subcommand)]
    Group(GroupCommand),
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["name", "timezone", "fallback", "screen_hours"])))]
pub struct SetArgs {
    /// Id, or name that only one has
    #[arg(default_value = DEFAULT)]
    pub venue: String,
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What the clocks on its walls show, such as Europe/London
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<Zone>,
    /// What plays when nothing is scheduled: id, name that only one has, or `none`
    #[arg(long, value_name = "PLAYLIST")]
    pub fallback: Option<String>,
    #[command(flatten)]
    pub hours: ScreenHours,
}

#[derive(Debug, Args)]
pub struct ScreenHours {
    /// When its screens are on, such as "mon-fri 08:00-22:00", again for more; or `always`
    #[arg(long, value_name = "HOURS", value_parser = parse_screen_hours)]
    pub screen_hours: Vec<OnHours>,
}

impl ScreenHours {
    /// `None`: nothing was said of them.
    fn windows(&self) -> Result<Option<Vec<OnWindow>>> {
        let windows = self.screen_hours.iter().filter_map(|hours| match hours {
            OnHours::Always => None,
            OnHours::Within(window) => Some(*window),
        });
        let windows: Vec<_> = windows.collect();
        let said = self.screen_hours.len();
        if windows.len() < said && said > 1 {
            let message = "`--screen-hours always` goes with no other `--screen-hours`";
            return Err(CommandError::usage(message).hint("leave one of them out"));
        }
        Ok((said > 0).then_some(windows))
    }
}
/// The venue that a command is about.
#[derive(Debug, Clone, Args)]
pub struct InVenue {
    /// Id, or name that only one has
    #[arg(long, default_value = DEFAULT, value_name = "VENUE")]
    pub venue: String,
}

/// # Errors
/// See each command.
pub fn run(command: VenueCommand, global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    match command {
        VenueCommand::List => list(&client, output),
        VenueCommand::Create {
            name,
            timezone,
            hours,
        } => {
            let request = CreateVenue {
                name,
                timezone: timezone.name().to_owned(),
                fallback_playlist_id: None,
                screen_hours: hours.windows()?,
            };
            let view: VenueView = client.post(&venues(&client)?, &request)?;
            show(&view, &client, output)
        }
        VenueCommand::Show { venue } => {
            let id = resolve(&venue, &client)?;
            show(&get(&id, &client)?, &client, output)
        }
        VenueCommand::Set(args) => {
            let view = set(args, &client)?;
            show(&view, &client, output)
        }
        VenueCommand::Group(command) => group::run(command, &client, output),
    }
}

fn venues(client: &Client) -> Result<String> {
    Ok(format!("/v1/tenants/{}/venues", tenant(client)?))
}

/// Every venue.
pub(crate) fn all(client: &Client) -> Result<Vec<VenueView>> {
    client.all("/v1/me/venues")
}

impl Named for VenueView {
    const KIND: &'static str = "venue";
    const LIST: &'static str = "fleet venue list";

    fn id(&self) -> &str {
        self.venue_id.as_str()
    }

    fn is_called(&self, text: &str) -> bool {
        self.name == text
    }
}

/// A venue by its id or its name.
///
/// # Errors
/// When none or several are called so.
pub(crate) fn resolve(text: &str, client: &Client) -> Result<VenueId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    Ok(name::find(&all(client)?, text)?.venue_id.clone())
}

pub(crate) fn get(id: &VenueId, client: &Client) -> Result<VenueView> {
    client.get(&format!("{}/{id}", venues(client)?))
}

/// Replaces what a venue is; refused when somebody else's change came after `before`.
pub(crate) fn put(before: &VenueView, is: &CreateVenue, client: &Client) -> Result<VenueView> {
    let path = format!("{}/{}", venues(client)?, before.venue_id);
    client.put_if_match(&path, before.version, is)
}

/// What a venue is, to be changed.
pub(crate) fn described(view: &VenueView) -> CreateVenue {
    CreateVenue {
        name: view.name.clone(),
        timezone: view.timezone.clone(),
        fallback_playlist_id: view.fallback_playlist_id.clone(),
        // An older control plane takes those away that are left out.
        screen_hours: Some(view.screen_hours.clone()).filter(|hours| !hours.is_empty()),
    }
}

fn set(args: SetArgs, client: &Client) -> Result<VenueView> {
    let hours = args.hours.windows()?;
    let fallback: Option<Option<PlaylistId>> = match args.fallback.as_deref() {
        None => None,
        Some("none") => Some(None),
        Some(text) => Some(Some(playlist::resolve(text, client)?.playlist_id)),
    };
    let before = get(&resolve(&args.venue, client)?, client)?;
    let mut is = described(&before);
    if let Some(name) = args.name {
        is.name = name;
    }
    if let Some(zone) = args.timezone {
        zone.name().clone_into(&mut is.timezone);
    }
    if let Some(fallback) = fallback {
        is.fallback_playlist_id = fallback;
    }
    if hours.is_some() {
        is.screen_hours = hours;
    }
    put(&before, &is, client)
}

fn list(client: &Client, output: Output) -> Result<()> {
    let page = Page {
        items: all(client)?,
        next_cursor: None,
    };
    output.result(&page, |page| {
        let rows: Vec<Vec<String>> = page.items.iter().map(|v| row(v, output)).collect();
        output.table(
            &["venue", "name", "time zone", "screens", "fallback"],
            &rows,
        )
    });
    Ok(())
}

fn row(venue: &VenueView, output: Output) -> Vec<String> {
    let fallback = venue.fallback_playlist_id.as_ref();
    vec![
        venue.venue_id.to_string(),
        output.paint(Tone::Strong, &printable(&venue.name)),
        printable(&venue.timezone),
        venue.device_count.to_string(),
        fallback.map_or_else(|| "-".to_owned(), ToString::to_string),
    ]
}

fn show(view: &VenueView, client: &Client, output: Output) -> Result<()> {
    let fallback = match &view.fallback_playlist_id {
        None => output.paint(Tone::Busy, "nothing"),
        Some(id) if output.json => id.to_string(),
        Some(id) => {
            let all = playlist::all(client)?;
            let found = all.iter().find(|p| p.playlist_id == *id);
            found.map_or_else(|| id.to_string(), |p| label(&p.name, id.as_str()))
        }
    };
    output.result(view, |v| text(v, fallback, output));
    Ok(())
}

fn text(venue: &VenueView, fallback: String, output: Output) -> String {
    output.fields(&[
        ("venue", venue.venue_id.to_string()),
        ("name", printable(&venue.name)),
        ("time zone", printable(&venue.timezone)),
        ("screens", venue.device_count.to_string()),
        ("fallback", fallback),
        ("screens are on", screens_on(&venue.screen_hours)),
        ("changed", venue.updated_at.to_string()),
    ])
}

fn screens_on(hours: &[OnWindow]) -> String {
    if hours.is_empty() {
        return "always".to_owned();
    }
    let windows = hours.iter().map(|window| {
        let time = time_span(window.start_minutes, window.end_minutes);
        format!("{} {time}", window.days_of_week_mask)
    });
    windows.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::asset::tests::plain;
    use serde_json::json;

    pub(crate) fn venue(devices: u64, fallback: Option<&str>) -> VenueView {
        serde_json::from_value(json!({
            "venueId": DEFAULT, "name": "Bar", "timezone": "Europe/London",
            "fallbackPlaylistId": fallback, "version": 3, "deviceCount": devices, "manifestEpoch": 1,
            "createdAt": "2026-06-15T14:02:00Z", "updatedAt": "2026-06-15T14:02:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn a_venue_is_shown_with_its_screens_and_its_fallback() {
        let view = venue(4, Some("pl_1"));
        let shown = text(&view, label("Menu", "pl_1"), plain());
        for part in ["ven_default", "Europe/London", "4", "Menu (pl_1)"] {
            assert!(shown.contains(part), "no `{part}` in\n{shown}");
        }
        assert_eq!(row(&venue(0, None), plain())[4], "-");
    }

    #[test]
    fn hours_are_shown_as_they_are_typed() {
        let check = |typed: &[&str], shown: &str| {
            let hours = typed.iter().map(|t| parse_screen_hours(t).unwrap());
            let screen_hours = hours.collect();
            let windows = ScreenHours { screen_hours }.windows().unwrap().unwrap();
            assert_eq!(screens_on(&windows), shown);
        };
        check(&["always"], "always");
        check(
            &["mon-fri 08:00-22:00", "sat,sun 10:00-02:00"],
            "Mon, Tue, Wed, Thu, Fri 08:00–22:00; Sat, Sun 10:00–02:00 next day",
        );
    }

    #[test]
    fn the_venue_of_everything_has_an_id() {
        assert!(DEFAULT.parse::<VenueId>().is_ok());
    }
}
