//! `fleet whoami`, `session`, `password`, `totp`: what people do with their own login.

mod password;
mod totp;

use clap::Subcommand;
use fleet_protocol::access::{Me, SessionView};
use fleet_protocol::device::Page;
use fleet_protocol::{SessionId, TenantId};
use serde::Deserialize;

use crate::args::Global;
use crate::asset::Deleted;
use crate::client::Client;
use crate::context;
use crate::error::Result;
use crate::output::{Output, Tone, printable};
use crate::user;

pub use password::PasswordArgs;
pub(crate) use password::run as password;
pub use totp::TotpCommand;
pub(crate) use totp::run as totp;

const SESSIONS: &str = "/v1/auth/sessions";

#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// List your sessions, one a login
    List,
    /// End a session: what logged in there has to log in again
    Revoke {
        #[arg(required = true, value_name = "SESSION")]
        sessions: Vec<SessionId>,
    },
}

/// Of `GET /v1/me`, what every control plane says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InTenant {
    tenant_id: TenantId,
}

/// The tenant that paths begin with.
pub(crate) fn tenant(client: &Client) -> Result<TenantId> {
    client
        .get::<InTenant>("/v1/me")
        .map(|within| within.tenant_id)
}

/// # Errors
/// Kind unauthorized when the control plane does not know them.
pub(crate) fn whoami(global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    let me: Me = client.get("/v1/me")?;
    output.result(&me, |me| text(me, client.server(), output));
    Ok(())
}

fn text(me: &Me, server: &str, output: Output) -> String {
    let mut fields = vec![
        ("name", output.paint(Tone::Strong, &printable(&me.name))),
        ("server", server.to_owned()),
        ("tenant", me.tenant_id.to_string()),
    ];
    match &me.user {
        Some(user) => fields.extend(user::rights(user)),
        None if me.administrator => fields.push(("key", "may do everything".to_owned())),
        None => fields.push(("key", "a program's: fleet api-key list".to_owned())),
    }
    output.fields(&fields)
}

/// # Errors
/// See each command.
pub(crate) fn session(command: SessionCommand, global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    match command {
        SessionCommand::List => {
            let page = Page {
                items: client.all::<SessionView>(SESSIONS)?,
                next_cursor: None,
            };
            output.result(&page, |page| table(&page.items, output));
        }
        SessionCommand::Revoke { sessions } => {
            for session in &sessions {
                client.delete(&format!("{SESSIONS}/{session}"))?;
            }
            let deleted = Deleted { deleted: sessions };
            output.result(&deleted, |d| match d.deleted.len() {
                1 => "1 session has ended\n".to_owned(),
                count => format!("{count} sessions have ended\n"),
            });
        }
    }
    Ok(())
}

fn table(sessions: &[SessionView], output: Output) -> String {
    let row = |s: &SessionView| {
        vec![
            s.session_id.to_string(),
            s.created_at.strftime("%Y-%m-%d %H:%M").to_string(),
            s.last_refreshed_at.strftime("%Y-%m-%d %H:%M").to_string(),
            printable(&s.address),
            printable(&s.user_agent),
            if s.current {
                output.paint(Tone::Good, "this one")
            } else {
                String::new()
            },
        ]
    };
    let rows: Vec<_> = sessions.iter().map(row).collect();
    let header = ["session", "since (UTC)", "last (UTC)", "from", "with", ""];
    output.table(&header, &rows)
}
