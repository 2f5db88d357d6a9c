//! `fleet override`: what goes before the schedule for a while.

use std::time::Duration;

use clap::{Args, Subcommand};
use fleet_protocol::content::{CreateOverride, OverrideMessage, OverrideState, OverrideView};
use fleet_protocol::device::Page;
use fleet_protocol::{OverrideId, VenueId};
use jiff::Timestamp;

use crate::args::Global;
use crate::client::Client;
use crate::error::Result;
use crate::output::{Output, Tone, printable};
use crate::schedule::{Names, Whom, whom};
use crate::text::{human_duration, parse_duration};
use crate::venue::{self, InVenue};
use crate::{clock, context, playlist};

#[derive(Debug, Subcommand)]
pub enum OverrideCommand {
    /// Show a playlist, or a message, from now on, whatever the schedule says; it ends by itself
    Begin(BeginArgs),
    /// List those in force, last begun first
    List {
        /// Those that are over as well
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        venue: InVenue,
    },
    /// End one before its time
    Cancel {
        #[arg(value_name = "OVERRIDE")]
        id: OverrideId,
        #[command(flatten)]
        venue: InVenue,
    },
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["playlist", "message"])))]
pub struct BeginArgs {
    /// Id, or name that only one has; it has to be published
    pub playlist: Option<String>,
    /// Words instead of a playlist, as large as they fit
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
    /// A few words above the message
    #[arg(long, value_name = "TEXT", requires = "message")]
    pub title: Option<String>,
    /// From a minute to 31 days, such as 30m or 2h
    #[arg(long = "within", visible_alias = "duration", value_name = "DURATION", value_parser = parse_duration)]
    pub duration: Duration,
    /// Where: `device:` or `group:`, then an id, or a name that only one has; again for more. Default: the whole venue
    #[arg(long = "for", value_name = "device:D|group:G", value_parser = whom)]
    pub targets: Vec<Whom>,
    /// Before every other override, and on screens that are off by their hours too
    #[arg(long)]
    pub emergency: bool,
    /// For whoever reads the list
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    #[command(flatten)]
    pub venue: InVenue,
}

/// # Errors
/// See each command.
pub fn run(command: OverrideCommand, global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    match command {
        OverrideCommand::Begin(args) => begin(args, &client, output),
        OverrideCommand::List { all, venue } => list(all, &venue, &client, output),
        OverrideCommand::Cancel { id, venue } => {
            let venue = venue::resolve(&venue.venue, &client)?;
            let path = format!("{}/{id}/cancel", path(&venue));
            let view: OverrideView = client.post(&path, &serde_json::json!({}))?;
            show(&view, &venue, &client, output)
        }
    }
}

fn path(venue: &VenueId) -> String {
    format!("/v1/venues/{venue}/overrides")
}

fn begin(args: BeginArgs, client: &Client, output: Output) -> Result<()> {
    let venue = venue::resolve(&args.venue.venue, client)?;
    let targets = args.targets.iter().map(|whom| whom.target(&venue, client));
    let playlist = args.playlist.as_deref();
    let playlist = playlist.map(|text| playlist::resolve(text, client));
    let request = CreateOverride {
        playlist_id: playlist.transpose()?.map(|playlist| playlist.playlist_id),
        message: args.message.map(|text| OverrideMessage {
            title: args.title,
            text,
        }),
        targets: targets.collect::<Result<_>>()?,
        duration_seconds: u32::try_from(args.duration.as_secs()).unwrap_or(u32::MAX),
        emergency: args.emergency,
        note: args.note,
    };
    let view: OverrideView = client.post(&path(&venue), &request)?;
    show(&view, &venue, client, output)
}

fn list(all: bool, venue: &InVenue, client: &Client, output: Output) -> Result<()> {
    let venue = venue::resolve(&venue.venue, client)?;
    let status = if all { "" } else { "?status=active" };
    let page = Page {
        items: client.all(&format!("{}{status}", path(&venue)))?,
        next_cursor: None,
    };
    let names = names(&venue, client, output)?;
    output.result(&page, |page| {
        table(&page.items, &names, clock::now(), output)
    });
    Ok(())
}

/// Nobody reads names in JSON.
fn names(venue: &VenueId, client: &Client, output: Output) -> Result<Names> {
    if output.json {
        return Ok(Names::default());
    }
    Names::load(venue, client)
}

fn show(view: &OverrideView, venue: &VenueId, client: &Client, output: Output) -> Result<()> {
    let names = names(venue, client, output)?;
    output.result(view, |view| text(view, &names, clock::now(), output));
    Ok(())
}

fn table(views: &[OverrideView], names: &Names, now: Timestamp, output: Output) -> String {
    let rows: Vec<Vec<String>> = views
        .iter()
        .map(|view| {
            vec![
                view.override_id.to_string(),
                output.paint(Tone::Strong, &what(view, names)),
                place(view, names),
                state(view, now, output),
                printable(&view.created_by),
                view.note.as_deref().map(printable).unwrap_or_default(),
            ]
        })
        .collect();
    output.table(&["override", "shows", "for", "state", "by", ""], &rows)
}

fn text(view: &OverrideView, names: &Names, now: Timestamp, output: Output) -> String {
    let mut fields = vec![
        ("override", view.override_id.to_string()),
        ("shows", what(view, names)),
        ("for", place(view, names)),
        ("state", state(view, now, output)),
        (
            "begun",
            format!("{} by {}", view.created_at, printable(&view.created_by)),
        ),
    ];
    if let (Some(at), Some(by)) = (view.cancelled_at, &view.cancelled_by) {
        fields.push(("cancelled", format!("{at} by {}", printable(by))));
    }
    if let Some(note) = &view.note {
        fields.push(("note", printable(note)));
    }
    output.fields(&fields)
}

fn what(view: &OverrideView, names: &Names) -> String {
    match (&view.playlist_id, &view.message) {
        (Some(id), _) => names.playlist(id),
        (None, Some(message)) => format!("“{}”", printable(&message.text)),
        (None, None) => "-".to_owned(),
    }
}

fn place(view: &OverrideView, names: &Names) -> String {
    if view.targets.is_empty() {
        return "all screens".to_owned();
    }
    let targets = view.targets.iter().map(|target| names.target(target));
    targets.collect::<Vec<_>>().join(", ")
}

fn state(view: &OverrideView, now: Timestamp, output: Output) -> String {
    match view.state {
        OverrideState::Active => {
            let left = Duration::try_from(view.ends_at.duration_since(now)).unwrap_or_default();
            let left = format!("{} left", human_duration(left));
            if view.emergency {
                output.paint(Tone::Bad, &format!("EMERGENCY, {left}"))
            } else {
                output.paint(Tone::Busy, &left)
            }
        }
        OverrideState::Ended => output.paint(Tone::Dim, "ended"),
        OverrideState::Cancelled => output.paint(Tone::Dim, "cancelled"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::asset::tests::plain;

    #[test]
    fn an_override_is_shown_with_the_time_that_is_left() {
        let view = |more: serde_json::Value| -> OverrideView {
            let mut view = json!({
                "overrideId": "ovr_1", "state": "ACTIVE", "playlistId": "pl_1", "targets": [],
                "emergency": false, "createdAt": "2026-06-15T09:00:00Z", "createdBy": "anna",
                "endsAt": "2026-06-15T10:00:00Z",
            });
            let more = more.as_object().unwrap().clone();
            view.as_object_mut().unwrap().extend(more);
            serde_json::from_value(view).unwrap()
        };
        let now = "2026-06-15T09:30:00Z".parse().unwrap();
        let check = |more: serde_json::Value, parts: &[&str]| {
            let shown = table(&[view(more)], &Names::default(), now, plain());
            for part in parts {
                assert!(shown.contains(part), "no `{part}` in\n{shown}");
            }
        };
        check(
            json!({}),
            &["ovr_1", "pl_1", "all screens", "30m left", "anna"],
        );
        let target = json!([{"targetType": "GROUP", "targetId": "grp_1"}]);
        let urgent = json!({"emergency": true, "targets": target, "note": "fire drill"});
        check(
            urgent,
            &["group grp_1", "EMERGENCY, 30m left", "fire drill"],
        );
        check(json!({"state": "CANCELLED"}), &["cancelled"]);
    }
}
