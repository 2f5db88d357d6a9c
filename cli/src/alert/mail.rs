//! `fleet alert mail`: who is told of alerts by mail.

use clap::{Args, Subcommand};
use fleet_protocol::alert::AlertKind;
use fleet_protocol::device::Page;
use fleet_protocol::mail::{AddMailRecipient, MailRecipientView, MailView};
use fleet_protocol::webhook::DeliveryState;

use super::kind;
use crate::asset::Deleted;
use crate::client::{Client, NoBody};
use crate::error::{CommandError, Result};
use crate::name::{self, Named};
use crate::output::{Output, Tone, printable};
use crate::{clock, device};

const PATH: &str = "/v1/mail-recipients";

#[derive(Debug, Subcommand)]
pub enum MailCommand {
    /// List who is told
    List,
    /// Have somebody told: what happens within a minute comes in one mail
    Add(AddArgs),
    /// Send a mail that says nothing; exit code 1 unless it was taken
    Test {
        /// Address or id
        recipient: String,
    },
    /// List what was mailed there, the newest first
    Deliveries {
        /// Address or id
        recipient: String,
    },
    /// Tell somebody of no more alerts
    Remove {
        /// Address or id
        recipient: String,
    },
}

#[derive(Debug, Args)]
pub struct AddArgs {
    #[arg(value_name = "ADDRESS")]
    pub email: String,
    /// Only alerts of this kind; may be given several times. Left out: all
    #[arg(long = "kind", value_parser = kind(), value_name = "KIND")]
    pub kinds: Vec<AlertKind>,
}

/// # Errors
/// Kind refused when the caller is no administrator.
pub(super) fn run(command: MailCommand, client: &Client, output: Output) -> Result<()> {
    match command {
        MailCommand::List => {
            let page = Page {
                items: client.all::<MailRecipientView>(PATH)?,
                next_cursor: None,
            };
            output.result(&page, |page| table(&page.items, output));
            Ok(())
        }
        MailCommand::Add(AddArgs { email, kinds }) => {
            let request = AddMailRecipient { email, kinds };
            let added: MailRecipientView = client.post(PATH, &request)?;
            output.result(&added, |added| {
                let email = printable(&added.email);
                format!("{email} is told of alerts. Try it out: fleet alert mail test {email}\n")
            });
            Ok(())
        }
        MailCommand::Test { recipient } => test(&find(&recipient, client)?, client, output),
        MailCommand::Deliveries { recipient } => {
            let path = format!("{}/deliveries", path(&find(&recipient, client)?));
            let page = Page {
                items: client.all::<MailView>(&path)?,
                next_cursor: None,
            };
            output.result(&page, |page| deliveries(&page.items, output));
            Ok(())
        }
        MailCommand::Remove { recipient } => {
            let recipient = find(&recipient, client)?;
            client.delete(&path(&recipient))?;
            let deleted = vec![&recipient.recipient_id];
            output.result(&Deleted { deleted }, |_| {
                format!(
                    "{} is told of no more alerts\n",
                    printable(&recipient.email)
                )
            });
            Ok(())
        }
    }
}

impl Named for MailRecipientView {
    const KIND: &'static str = "mail recipient";
    const LIST: &'static str = "fleet alert mail list";

    fn id(&self) -> &str {
        self.recipient_id.as_str()
    }

    fn is_called(&self, text: &str) -> bool {
        self.email.eq_ignore_ascii_case(text)
    }
}

fn find(text: &str, client: &Client) -> Result<MailRecipientView> {
    let all: Vec<MailRecipientView> = client.all(PATH)?;
    Ok(name::find(&all, text)?.clone())
}

fn path(recipient: &MailRecipientView) -> String {
    format!("{PATH}/{}", recipient.recipient_id)
}

/// What came of it, and exit code 1 unless the message was taken.
fn test(recipient: &MailRecipientView, client: &Client, output: Output) -> Result<()> {
    let path = format!("{}/test", path(recipient));
    let mail: MailView = client.post(&path, &NoBody {})?;
    let email = printable(&recipient.email);
    if mail.state == DeliveryState::Delivered {
        output.result(&mail, |_| {
            format!("The mail server took a message to {email}\n")
        });
        return Ok(());
    }
    output.result(&mail, |_| String::new());
    let why = mail.last_failure.unwrap_or_default();
    Err(
        CommandError::failed(format!("no message to {email} was taken"))
            .because(printable(&why))
            .hint("whoever runs the control plane can look closer: fleet-control check"),
    )
}

fn kinds(recipient: &MailRecipientView) -> String {
    let names: Vec<_> = recipient.kinds.iter().map(|kind| kind.name()).collect();
    if names.is_empty() {
        return "all".to_owned();
    }
    names.join(", ")
}

fn table(recipients: &[MailRecipientView], output: Output) -> String {
    if recipients.is_empty() {
        return "Nobody is told of alerts by mail. Add somebody: fleet alert mail add ADDRESS\n"
            .to_owned();
    }
    let row = |recipient: &MailRecipientView| {
        let failure = recipient.last_failure.as_deref().map(printable);
        vec![
            output.paint(Tone::Strong, &printable(&recipient.email)),
            kinds(recipient),
            failure.map_or_else(|| "-".to_owned(), |why| output.paint(Tone::Bad, &why)),
            recipient.recipient_id.to_string(),
        ]
    };
    let rows: Vec<_> = recipients.iter().map(row).collect();
    output.table(&["address", "kinds", "last failure", "recipient"], &rows)
}

fn deliveries(mails: &[MailView], output: Output) -> String {
    if mails.is_empty() {
        return "Nothing was mailed yet. Try it out: fleet alert mail test ADDRESS\n".to_owned();
    }
    let now = clock::now();
    let row = |mail: &MailView| {
        let tone = match mail.state {
            DeliveryState::Pending => Tone::Busy,
            DeliveryState::Delivered => Tone::Good,
            DeliveryState::Failed => Tone::Bad,
        };
        vec![
            mail.delivery_id.to_string(),
            mail.events.to_string(),
            output.paint(tone, mail.state.name()),
            mail.attempts.to_string(),
            device::ago(mail.created_at, now),
            printable(mail.last_failure.as_deref().unwrap_or("-")),
        ]
    };
    let rows: Vec<_> = mails.iter().map(row).collect();
    let header = [
        "message",
        "events",
        "state",
        "tries",
        "from",
        "last failure",
    ];
    output.table(&header, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::tests::plain;

    #[test]
    fn a_recipient_is_found_by_the_address_and_shown_with_what_went_wrong() {
        let all: Vec<MailRecipientView> = serde_json::from_value(serde_json::json!([{
            "recipientId": "mrc_1", "email": "ops@example.org", "kinds": ["hot", "offline"],
            "failingSince": "2026-06-15T14:02:00Z", "lastFailure": "550 no\u{1b}such user",
            "createdAt": "2026-06-15T14:02:00Z",
        }]))
        .unwrap();
        assert_eq!(name::find(&all, "Ops@example.org").unwrap().id(), "mrc_1");
        let shown = table(&all, plain());
        assert!(shown.contains("hot, offline"), "{shown}");
        assert!(shown.contains("550 no\u{fffd}such user"), "{shown}");
        assert!(table(&[], plain()).contains("fleet alert mail add"));
    }
}
