//! `fleet device token`: what lets devices join, a claimed code too, until they have.

use clap::Subcommand;
use fleet_protocol::TokenId;
use fleet_protocol::device::Page;
use fleet_protocol::enrolment::EnrolmentTokenView;

use crate::asset::Deleted;
use crate::client::Client;
use crate::error::Result;
use crate::output::{Output, Tone, printable};
use crate::{clock, venue};

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List the enrolment tokens, without their secrets
    List,
    /// Let no more devices join with a token; takes a claim back, too
    Revoke {
        /// Its id, which `fleet device pair` and `fleet device token list` show
        token: TokenId,
        /// The venue that it was claimed for (id or name): enough for who manages that venue and nothing else
        #[arg(long, value_name = "VENUE")]
        venue: Option<String>,
    },
}

const PATH: &str = "/v1/enrolment-tokens";

pub(super) fn run(command: TokenCommand, client: &Client, output: Output) -> Result<()> {
    match command {
        TokenCommand::List => {
            let page = Page {
                items: client.all::<EnrolmentTokenView>(PATH)?,
                next_cursor: None,
            };
            output.result(&page, |page| table(&page.items, output));
        }
        TokenCommand::Revoke { token, venue } => {
            let path = match venue {
                None => format!("{PATH}/{token}"),
                Some(text) => {
                    let venue = venue::resolve(&text, client)?;
                    format!("/v1/venues/{venue}/devices/pairing/claims/{token}")
                }
            };
            client.delete(&path)?;
            let deleted = vec![&token];
            output.result(&Deleted { deleted }, |_| {
                format!("{token} lets no more devices join\n")
            });
        }
    }
    Ok(())
}

fn table(tokens: &[EnrolmentTokenView], output: Output) -> String {
    if tokens.is_empty() {
        return "No enrolment tokens. Make one: fleet device enrol\n".to_owned();
    }
    let now = clock::now();
    let row = |token: &EnrolmentTokenView| {
        let state = if token.used >= token.max_uses {
            output.paint(Tone::Good, "used up")
        } else if token.expires_at <= now {
            output.paint(Tone::Bad, "over")
        } else {
            output.paint(Tone::Busy, "open")
        };
        let venue = token.venue_id.as_ref();
        vec![
            token.token_id.to_string(),
            printable(token.device_name.as_deref().unwrap_or("-")),
            venue.map_or_else(|| "-".to_owned(), ToString::to_string),
            format!("{} of {}", token.used, token.max_uses),
            state,
            token.expires_at.strftime("%Y-%m-%d %H:%M").to_string(),
        ]
    };
    let rows: Vec<_> = tokens.iter().map(row).collect();
    let header = ["token", "name", "venue", "used", "state", "ends (UTC)"];
    output.table(&header, &rows)
}
