//! `fleet api-key`: what programs show instead of a login.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use fleet_protocol::access::{ApiKeyCreated, ApiKeyView, CreateApiKey, Scope};
use fleet_protocol::device::Page;
use serde::Serialize;

use crate::account::tenant;
use crate::args::Global;
use crate::asset::Deleted;
use crate::client::Client;
use crate::error::{CommandError, Result};
use crate::name::{self, Named, label};
use crate::output::{Output, Tone, printable};
use crate::store::{self, Access, Existing};
use crate::text::parse_duration;
use crate::user::role_name;
use crate::{context, venue};

#[derive(Debug, Subcommand)]
pub enum ApiKeyCommand {
    /// Make a key; its secret is shown this once
    Create(CreateArgs),
    /// List the keys, without their secrets
    List,
    /// Have a key not let in any more
    Revoke {
        /// Id, or name that only one has
        key: String,
    },
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What it is for
    pub name: String,
    /// What it may be used for; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = scope())]
    pub scopes: Vec<Scope>,
    /// For manage-venues: at this venue only (id or name); may be given several times
    #[arg(long = "venue", value_name = "VENUE")]
    pub venues: Vec<String>,
    /// Worthless after so many days, such as 90d; left out: good until it is revoked
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub valid: Option<Duration>,
    /// Write the secret to this new file (0600), as --token-file takes it, and don't show it
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

const SCOPES: [(&str, Scope); 5] = [
    ("read", Scope::Read),
    ("edit-library", Scope::EditLibrary),
    ("manage-venues", Scope::ManageVenues),
    ("manage-releases", Scope::ManageReleases),
    ("administer", Scope::Administer),
];

/// Takes the names, which help and completions know too.
fn scope() -> impl TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(SCOPES.map(|(name, _)| name)).map(|text| {
        let mut all = SCOPES.iter();
        all.find(|(name, _)| *name == text)
            .map(|(_, scope)| *scope)
            .expect("one of the names")
    })
}

/// # Errors
/// Kind refused when the caller is no administrator.
pub fn run(command: ApiKeyCommand, global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    let path = format!("/v1/tenants/{}/api-keys", tenant(&client)?);
    match command {
        ApiKeyCommand::Create(args) => create(args, &path, &client, output),
        ApiKeyCommand::List => {
            let page = Page {
                items: client.all::<ApiKeyView>(&path)?,
                next_cursor: None,
            };
            output.result(&page, |page| table(&page.items, output));
            Ok(())
        }
        ApiKeyCommand::Revoke { key } => {
            let all: Vec<ApiKeyView> = client.all(&path)?;
            let key = name::find(&all, &key)?;
            client.delete(&format!("{path}/{}", key.api_key_id))?;
            let deleted = vec![&key.api_key_id];
            output.result(&Deleted { deleted }, |_| {
                format!("{} is not let in any more\n", label(&key.name, key.id()))
            });
            Ok(())
        }
    }
}

impl Named for ApiKeyView {
    const KIND: &'static str = "API key";
    const LIST: &'static str = "fleet api-key list";

    fn id(&self) -> &str {
        self.api_key_id.as_str()
    }

    fn is_called(&self, text: &str) -> bool {
        self.name == text
    }
}

/// `--json` shape when the secret goes to a file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KeptInFile {
    api_key: ApiKeyView,
    file: PathBuf,
}

fn create(args: CreateArgs, path: &str, client: &Client, output: Output) -> Result<()> {
    // Before a key exists that nobody could read.
    if let Some(out) = args.out.as_ref().filter(|out| out.exists()) {
        return Err(store::already_there(out));
    }
    let request = CreateApiKey {
        name: args.name,
        scopes: args.scopes,
        venue_ids: args
            .venues
            .iter()
            .map(|text| venue::resolve(text, client))
            .collect::<Result<_>>()?,
        valid_days: args.valid.map(whole_days).transpose()?,
    };
    let created: ApiKeyCreated = client.post(path, &request)?;
    let Some(out) = args.out else {
        output.result(&created, |created| {
            let about = text(&created.api_key, output);
            let secret = output.paint(Tone::Strong, &printable(&created.secret));
            format!("{about}The secret, which is not shown again:\n{secret}\n")
        });
        return Ok(());
    };
    let line = format!("{}\n", created.secret);
    store::write(&out, line.as_bytes(), Access::OwnerOnly, Existing::Keep).map_err(|error| {
        let id = &created.api_key.api_key_id;
        error.hint(format!("the secret is lost: fleet api-key revoke {id}"))
    })?;
    let kept = KeptInFile {
        api_key: created.api_key,
        file: out,
    };
    output.result(&kept, |kept| {
        let about = text(&kept.api_key, output);
        format!("{about}The secret is in {}\n", kept.file.display())
    });
    Ok(())
}

/// The control plane counts in days: rounded up.
fn whole_days(duration: Duration) -> Result<u32> {
    let days = duration.as_secs().div_ceil(86_400);
    u32::try_from(days)
        .ok()
        .filter(|days| *days > 0)
        .ok_or_else(|| {
            CommandError::usage("--valid must be longer than nothing").hint("such as 90d")
        })
}

fn scopes(key: &ApiKeyView) -> String {
    let names: Vec<String> = key.scopes.iter().map(role_name).collect();
    names.join(", ")
}

fn venues(key: &ApiKeyView) -> String {
    let ids: Vec<String> = key.venue_ids.iter().map(ToString::to_string).collect();
    if ids.is_empty() {
        return "all".to_owned();
    }
    ids.join(", ")
}

fn day(at: Option<jiff::Timestamp>) -> String {
    at.map_or_else(
        || "never".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

fn text(key: &ApiKeyView, output: Output) -> String {
    output.fields(&[
        ("key", key.api_key_id.to_string()),
        ("name", output.paint(Tone::Strong, &printable(&key.name))),
        ("scopes", scopes(key)),
        ("venues", venues(key)),
        ("ends (UTC)", day(key.expires_at)),
    ])
}

fn table(keys: &[ApiKeyView], output: Output) -> String {
    if keys.is_empty() {
        return "No keys. Make one: fleet api-key create NAME --scope read\n".to_owned();
    }
    let row = |key: &ApiKeyView| {
        vec![
            key.api_key_id.to_string(),
            output.paint(Tone::Strong, &printable(&key.name)),
            scopes(key),
            venues(key),
            day(key.expires_at),
            day(key.last_used_at),
        ]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    let header = [
        "key",
        "name",
        "scopes",
        "venues",
        "ends (UTC)",
        "last used (UTC)",
    ];
    output.table(&header, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_called_on_the_command_line_as_it_is_shown() {
        for (text, scope) in SCOPES {
            assert_eq!(role_name(&scope), text);
        }
    }

    #[test]
    fn a_key_is_good_for_whole_days() {
        let days = |text| whole_days(parse_duration(text).unwrap());
        assert_eq!(days("90d").unwrap(), 90);
        assert_eq!(days("1h").unwrap(), 1);
        assert!(days("0").is_err());
    }
}
