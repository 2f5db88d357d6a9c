//! `fleet alert`: what is wrong in the fleet, who looks after it, and by which rules it is noticed.

mod mail;
mod rules;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use fleet_protocol::alert::{AcknowledgeAlert, AlertKind, AlertState, AlertStatus, AlertView};
use fleet_protocol::device::Page;
use fleet_protocol::{AlertId, VenueId};
use jiff::Timestamp;

use crate::args::Global;
use crate::client::{Client, encode};
use crate::error::Result;
use crate::output::{Output, Tone, printable};
use crate::{clock, context, device, venue};

pub use mail::MailCommand;
pub use rules::RulesCommand;

/// As many as the control plane gives in one page.
const PAGE: u32 = 200;

#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// List what is wrong, last noticed first
    List(ListArgs),
    /// Show one alert
    Show { alert: AlertId },
    /// Say that you look after it
    #[command(visible_alias = "ack")]
    Acknowledge(AcknowledgeArgs),
    /// The rules by which alerts open and end
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Who is told of alerts by mail
    #[command(subcommand)]
    Mail(MailCommand),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Those that are over as well
    #[arg(long, conflicts_with = "status")]
    pub all: bool,
    /// Only those that have got so far
    #[arg(long, value_parser = status(), value_name = "STATUS")]
    pub status: Option<AlertStatus>,
    /// Only those of this kind
    #[arg(long, value_parser = kind(), value_name = "KIND")]
    pub kind: Option<AlertKind>,
    /// Only those about this device (id or name)
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Only those about devices of this venue (id or name)
    #[arg(long, value_name = "VENUE")]
    pub venue: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
}

#[derive(Debug, Args)]
pub struct AcknowledgeArgs {
    #[arg(required = true, value_name = "ALERT")]
    pub alerts: Vec<AlertId>,
    /// For whoever reads it later
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// As whoever manages this venue alone (id or name)
    #[arg(long, value_name = "VENUE")]
    pub venue: Option<String>,
}

/// Takes the names on the wire, which help and completions know too.
pub(crate) fn kind() -> impl TypedValueParser<Value = AlertKind> {
    PossibleValuesParser::new(AlertKind::ALL.map(AlertKind::name))
        .map(|text| text.parse().expect("one of the names"))
}

fn status() -> impl TypedValueParser<Value = AlertStatus> {
    PossibleValuesParser::new(AlertStatus::ALL.map(AlertStatus::name)).map(|text| {
        let mut all = AlertStatus::ALL.into_iter();
        all.find(|status| status.name() == text)
            .expect("one of the names")
    })
}

/// # Errors
/// See each command.
pub fn run(command: AlertCommand, global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    match command {
        AlertCommand::List(args) => list(&args, &client, output),
        AlertCommand::Show { alert } => {
            let view: AlertView = client.get(&format!("/v1/alerts/{alert}"))?;
            output.result(&view, |view| text(view, output));
            Ok(())
        }
        AlertCommand::Acknowledge(args) => acknowledge(&args, &client, output),
        AlertCommand::Rules(command) => rules::run(command, &client, output),
        AlertCommand::Mail(command) => mail::run(command, &client, output),
    }
}

fn path(venue: Option<&VenueId>) -> String {
    venue.map_or_else(
        || "/v1/alerts".to_owned(),
        |venue| format!("/v1/venues/{venue}/alerts"),
    )
}

fn query(args: &ListArgs, client: &Client) -> Result<String> {
    let venue = args.venue.as_ref();
    let venue = venue
        .map(|venue| venue::resolve(venue, client))
        .transpose()?;
    let device = match (&args.device, &venue) {
        (None, _) => None,
        (Some(text), None) => Some(device::resolve(client, text)?),
        (Some(text), Some(venue)) => Some(device::resolve_in_venue(client, venue, text)?),
    };
    let mut query = format!("{}?limit={}", path(venue.as_ref()), PAGE.min(args.limit));
    let status = args.status.unwrap_or(AlertStatus::Unresolved);
    if !args.all {
        query += &format!("&status={}", status.name());
    }
    if let Some(kind) = args.kind {
        query += &format!("&kind={}", kind.name());
    }
    if let Some(device) = device {
        query += &format!("&deviceId={device}");
    }
    Ok(query)
}

fn list(args: &ListArgs, client: &Client, output: Output) -> Result<()> {
    let (query, wanted) = (query(args, client)?, args.limit as usize);
    let (mut items, mut cursor): (Vec<AlertView>, _) = (Vec::new(), String::new());
    while items.len() < wanted {
        let page: Page<AlertView> = client.get(&format!("{query}{cursor}"))?;
        let empty = page.items.is_empty();
        items.extend(page.items);
        match page.next_cursor {
            Some(next) if !empty => cursor = format!("&cursor={}", encode(&next)),
            _ => break,
        }
    }
    items.truncate(wanted);
    let page = Page {
        items,
        next_cursor: None,
    };
    output.result(&page, |page| table(&page.items, clock::now(), output));
    Ok(())
}

fn acknowledge(args: &AcknowledgeArgs, client: &Client, output: Output) -> Result<()> {
    let venue = args.venue.as_ref();
    let venue = venue
        .map(|venue| venue::resolve(venue, client))
        .transpose()?;
    let request = AcknowledgeAlert {
        note: args.note.clone(),
    };
    let mut items: Vec<AlertView> = Vec::new();
    for alert in &args.alerts {
        let path = format!("{}/{alert}/acknowledge", path(venue.as_ref()));
        items.push(client.post(&path, &request)?);
    }
    let page = Page {
        items,
        next_cursor: None,
    };
    output.result(&page, |page| {
        let lines = page.items.iter().map(|alert| {
            let by = alert
                .acknowledged
                .as_ref()
                .map(|known| printable(&known.by));
            let by = by.unwrap_or_default();
            format!("{} is looked after by {by}\n", alert.alert_id)
        });
        lines.collect()
    });
    Ok(())
}

fn shown(state: AlertState, output: Output) -> String {
    let tone = match state {
        AlertState::Open => Tone::Bad,
        AlertState::Acknowledged => Tone::Busy,
        AlertState::Resolved => Tone::Good,
    };
    output.paint(tone, state.name())
}

/// A device by its name, a rollout by its id.
fn subject(alert: &AlertView) -> String {
    let rollout = || alert.rollout_id.as_ref().map(ToString::to_string);
    let device = alert.device_name.as_deref().map(printable);
    device.or_else(rollout).unwrap_or_else(|| "-".to_owned())
}

fn table(alerts: &[AlertView], now: Timestamp, output: Output) -> String {
    if alerts.is_empty() {
        return "No alerts.\n".to_owned();
    }
    let row = |alert: &AlertView| {
        vec![
            alert.alert_id.to_string(),
            shown(alert.state, output),
            alert.kind.name().to_owned(),
            output.paint(Tone::Strong, &subject(alert)),
            device::ago(alert.since, now),
            printable(&alert.detail),
        ]
    };
    let rows: Vec<_> = alerts.iter().map(row).collect();
    output.table(&["alert", "state", "kind", "about", "since", "what"], &rows)
}

fn text(alert: &AlertView, output: Output) -> String {
    let at = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mut fields = vec![
        ("alert", alert.alert_id.to_string()),
        ("state", shown(alert.state, output)),
        ("kind", alert.kind.name().to_owned()),
        ("about", output.paint(Tone::Strong, &subject(alert))),
        ("what", printable(&alert.detail)),
        ("since (UTC)", at(alert.since)),
        ("opened (UTC)", at(alert.opened_at)),
    ];
    if let Some(device) = &alert.device_id {
        fields.push(("device", device.to_string()));
    }
    if let Some(venue) = &alert.venue_id {
        fields.push(("venue", venue.to_string()));
    }
    if let Some(known) = &alert.acknowledged {
        let by = format!("{}, {}", printable(&known.by), at(known.at));
        fields.push(("looked after by", by));
        if let Some(note) = &known.note {
            fields.push(("note", printable(note)));
        }
    }
    if let Some(resolved) = alert.resolved_at {
        fields.push(("over (UTC)", at(resolved)));
    }
    let mut text = output.fields(&fields);
    if alert.state == AlertState::Open {
        text += &format!("Look after it: fleet alert ack {}\n", alert.alert_id);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::tests::plain;

    fn alert() -> AlertView {
        AlertView {
            alert_id: "alt_1".parse().unwrap(),
            kind: AlertKind::Hot,
            state: AlertState::Open,
            detail: "83 °C".to_owned(),
            device_id: Some("dev_1".parse().unwrap()),
            device_name: Some("lobby\u{1b}".to_owned()),
            venue_id: None,
            rollout_id: None,
            since: Timestamp::UNIX_EPOCH,
            opened_at: Timestamp::UNIX_EPOCH,
            acknowledged: None,
            resolved_at: None,
        }
    }

    #[test]
    fn an_alert_names_its_device_and_what_to_do() {
        let now = Timestamp::from_second(90).unwrap();
        let listed = table(&[alert()], now, plain());
        assert!(listed.contains("lobby\u{fffd}"), "{listed}");
        assert!(listed.contains("1m 30s ago"), "{listed}");
        let shown = text(&alert(), plain());
        assert!(shown.ends_with("fleet alert ack alt_1\n"), "{shown}");
        assert_eq!(table(&[], now, plain()), "No alerts.\n");
    }
}
