//! `fleet webhook`: who is told of alerts, by signed messages over HTTPS.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fleet_protocol::alert::AlertKind;
use fleet_protocol::device::Page;
use fleet_protocol::webhook::{
    DeliveryState, DeliveryView, PutWebhook, WebhookCreated, WebhookState, WebhookView,
};
use serde::Serialize;

use crate::alert::kind;
use crate::args::Global;
use crate::asset::Deleted;
use crate::client::{Client, NoBody};
use crate::error::{CommandError, Result};
use crate::name::{self, Named, label};
use crate::output::{Output, Tone, printable};
use crate::store::{self, Access, Existing};
use crate::{clock, context, device};

const PATH: &str = "/v1/webhooks";

#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// List the webhooks
    List,
    /// Make a webhook; its secret is shown this once
    Create(CreateArgs),
    /// Show a webhook
    Show {
        /// Id, or name that only one has
        webhook: String,
    },
    /// Change a webhook; what is left out stays
    Set(SetArgs),
    /// Send it a message that says nothing; exit code 1 unless it was taken
    Test {
        /// Id, or name that only one has
        webhook: String,
    },
    /// List what was sent to it, the newest first
    Deliveries {
        /// Id, or name that only one has
        webhook: String,
    },
    /// Delete a webhook, with what was to be sent to it
    Delete {
        /// Id, or name that only one has
        webhook: String,
    },
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    pub name: String,
    #[arg(value_name = "https://…")]
    pub url: String,
    /// Only alerts of this kind; may be given several times. Left out: all
    #[arg(long = "kind", value_parser = kind(), value_name = "KIND")]
    pub kinds: Vec<AlertKind>,
    /// Write the secret there instead of showing it
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["name", "url", "kinds", "all_kinds", "enable", "disable"])))]
pub struct SetArgs {
    /// Id, or name that only one has
    pub webhook: String,
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    #[arg(long, value_name = "https://…")]
    pub url: Option<String>,
    /// Only alerts of this kind; may be given several times
    #[arg(long = "kind", value_parser = kind(), value_name = "KIND")]
    pub kinds: Vec<AlertKind>,
    /// Alerts of all kinds
    #[arg(long, conflicts_with = "kinds")]
    pub all_kinds: bool,
    /// Switch it on, and forget that it failed
    #[arg(long)]
    pub enable: bool,
    /// Switch it off: what happens meanwhile is not told
    #[arg(long, conflicts_with = "enable")]
    pub disable: bool,
}

/// # Errors
/// Kind refused when the caller is no administrator.
pub fn run(command: WebhookCommand, global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    match command {
        WebhookCommand::List => {
            let page = Page {
                items: client.all::<WebhookView>(PATH)?,
                next_cursor: None,
            };
            output.result(&page, |page| table(&page.items, output));
            Ok(())
        }
        WebhookCommand::Create(args) => create(args, &client, output),
        WebhookCommand::Show { webhook } => {
            let webhook = find(&webhook, &client)?;
            output.result(&webhook, |webhook| text(webhook, output));
            Ok(())
        }
        WebhookCommand::Set(args) => set(args, &client, output),
        WebhookCommand::Test { webhook } => test(&find(&webhook, &client)?, &client, output),
        WebhookCommand::Deliveries { webhook } => {
            let path = format!("{}/deliveries", path(&find(&webhook, &client)?));
            let page = Page {
                items: client.all::<DeliveryView>(&path)?,
                next_cursor: None,
            };
            output.result(&page, |page| deliveries(&page.items, output));
            Ok(())
        }
        WebhookCommand::Delete { webhook } => {
            let webhook = find(&webhook, &client)?;
            client.delete(&path(&webhook))?;
            let deleted = vec![&webhook.webhook_id];
            output.result(&Deleted { deleted }, |_| {
                format!("{} is deleted\n", label(&webhook.name, webhook.id()))
            });
            Ok(())
        }
    }
}

impl Named for WebhookView {
    const KIND: &'static str = "webhook";
    const LIST: &'static str = "fleet webhook list";

    fn id(&self) -> &str {
        self.webhook_id.as_str()
    }

    fn is_called(&self, text: &str) -> bool {
        self.name == text
    }
}

fn find(text: &str, client: &Client) -> Result<WebhookView> {
    let all: Vec<WebhookView> = client.all(PATH)?;
    Ok(name::find(&all, text)?.clone())
}

fn path(webhook: &WebhookView) -> String {
    format!("{PATH}/{}", webhook.webhook_id)
}

/// `--json` shape when the secret goes to a file.
#[derive(Debug, Serialize)]
struct KeptInFile {
    webhook: WebhookView,
    file: PathBuf,
}

fn create(args: CreateArgs, client: &Client, output: Output) -> Result<()> {
    // Before there is a secret that nobody could read.
    if let Some(out) = args.out.as_ref().filter(|out| out.exists()) {
        return Err(store::already_there(out));
    }
    let request = PutWebhook {
        name: args.name,
        url: args.url,
        kinds: args.kinds,
        enabled: true,
    };
    let created: WebhookCreated = client.post(PATH, &request)?;
    let Some(out) = args.out else {
        output.result(&created, |created| {
            let about = text(&created.webhook, output);
            let secret = output.paint(Tone::Strong, &printable(&created.secret));
            format!(
                "{about}The secret that messages are signed with, which is not shown again:\n{secret}\n"
            )
        });
        return Ok(());
    };
    let line = format!("{}\n", created.secret);
    store::write(&out, line.as_bytes(), Access::OwnerOnly, Existing::Keep).map_err(|error| {
        let id = &created.webhook.webhook_id;
        error.hint(format!("the secret is lost: fleet webhook delete {id}"))
    })?;
    let kept = KeptInFile {
        webhook: created.webhook,
        file: out,
    };
    output.result(&kept, |kept| {
        let about = text(&kept.webhook, output);
        format!("{about}The secret is in {}\n", kept.file.display())
    });
    Ok(())
}

fn set(args: SetArgs, client: &Client, output: Output) -> Result<()> {
    let before = find(&args.webhook, client)?;
    let kinds = if args.all_kinds || !args.kinds.is_empty() {
        args.kinds
    } else {
        before.kinds.clone()
    };
    let was_on = before.state != WebhookState::Disabled;
    let request = PutWebhook {
        name: args.name.unwrap_or_else(|| before.name.clone()),
        url: args.url.unwrap_or_else(|| before.url.clone()),
        kinds,
        enabled: args.enable || was_on && !args.disable,
    };
    let after: WebhookView = client.put_if_match(&path(&before), before.version, &request)?;
    output.result(&after, |webhook| text(webhook, output));
    Ok(())
}

/// What came of it, and exit code 1 unless the message was taken.
fn test(webhook: &WebhookView, client: &Client, output: Output) -> Result<()> {
    let path = format!("{}/test", path(webhook));
    let delivery: DeliveryView = client.post(&path, &NoBody {})?;
    let name = label(&webhook.name, webhook.id());
    if delivery.state == DeliveryState::Delivered {
        output.result(&delivery, |_| format!("{name} took the message\n"));
        return Ok(());
    }
    output.result(&delivery, |_| String::new());
    let why = delivery.last_failure.unwrap_or_default();
    Err(
        CommandError::failed(format!("{name} did not take the message"))
            .because(printable(&why))
            .hint("does it answer POST with 2xx? change its address by `fleet webhook set --url`"),
    )
}

fn state(webhook: &WebhookView, output: Output) -> String {
    match webhook.state {
        WebhookState::Active => output.paint(Tone::Good, "active"),
        WebhookState::Failing => output.paint(Tone::Bad, "failing"),
        WebhookState::Disabled => output.paint(Tone::Dim, "disabled"),
    }
}

fn kinds(webhook: &WebhookView) -> String {
    let names: Vec<_> = webhook.kinds.iter().map(|kind| kind.name()).collect();
    if names.is_empty() {
        return "all".to_owned();
    }
    names.join(", ")
}

fn table(webhooks: &[WebhookView], output: Output) -> String {
    if webhooks.is_empty() {
        return "No webhooks. Make one: fleet webhook create NAME https://…\n".to_owned();
    }
    let row = |webhook: &WebhookView| {
        vec![
            webhook.webhook_id.to_string(),
            output.paint(Tone::Strong, &printable(&webhook.name)),
            state(webhook, output),
            kinds(webhook),
            printable(&webhook.url),
        ]
    };
    let rows: Vec<_> = webhooks.iter().map(row).collect();
    output.table(&["webhook", "name", "state", "kinds", "address"], &rows)
}

fn text(webhook: &WebhookView, output: Output) -> String {
    let mut fields = vec![
        ("webhook", webhook.webhook_id.to_string()),
        (
            "name",
            output.paint(Tone::Strong, &printable(&webhook.name)),
        ),
        ("address", printable(&webhook.url)),
        ("state", state(webhook, output)),
        ("kinds", kinds(webhook)),
    ];
    if let Some(since) = webhook.failing_since {
        let since = since.strftime("%Y-%m-%d %H:%M:%S").to_string();
        fields.push(("failing since (UTC)", since));
    }
    if let Some(failure) = &webhook.last_failure {
        fields.push(("last failure", printable(failure)));
    }
    output.fields(&fields)
}

fn deliveries(deliveries: &[DeliveryView], output: Output) -> String {
    if deliveries.is_empty() {
        return "Nothing was sent yet. Try it out: fleet webhook test WEBHOOK\n".to_owned();
    }
    let now = clock::now();
    let row = |delivery: &DeliveryView| {
        let tone = match delivery.state {
            DeliveryState::Pending => Tone::Busy,
            DeliveryState::Delivered => Tone::Good,
            DeliveryState::Failed => Tone::Bad,
        };
        vec![
            delivery.delivery_id.to_string(),
            delivery.event.name().to_owned(),
            output.paint(tone, delivery.state.name()),
            delivery.attempts.to_string(),
            device::ago(delivery.created_at, now),
            printable(delivery.last_failure.as_deref().unwrap_or("-")),
        ]
    };
    let rows: Vec<_> = deliveries.iter().map(row).collect();
    let header = ["message", "event", "state", "tries", "from", "last failure"];
    output.table(&header, &rows)
}
