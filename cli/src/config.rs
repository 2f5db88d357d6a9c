//! `fleet config`: what devices are told to do differently from their image, for all or for one.
//!
//! A change is sent with the version that it was made on, so two operators can't overwrite one
//! another unseen. Devices check the whole once more, and go back by themselves when it harms them.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use fleet_protocol::device::ConfigView;
use serde_json::{Map, Value};

use crate::args::Global;
use crate::client::Client;
use crate::error::{CommandError, Result};
use crate::output::{Output, Tone};
use crate::{context, device, store};

const DEFAULT: &str = "default";
const HINT: &str =
    "a document is an object of sections, such as [control] heartbeat_interval_s = 30";
const MAX_FILE_BYTES: u64 = 1 << 20;

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show the document of a scope
    Show {
        /// `default` for every device, or a device's id or name
        #[arg(default_value = DEFAULT)]
        scope: String,
    },
    /// Replace the document of a scope by a TOML or JSON file
    Set {
        /// `default` for every device, or a device's id or name
        scope: String,
        /// `-` reads JSON from standard input; else the name ends in .toml or .json
        file: PathBuf,
        /// Only if this version is in force; default: the one seen just before
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u64>,
    },
    /// Empty the document of a scope: what the image and the role say is in force again
    Rm {
        /// `default` for every device, or a device's id or name
        scope: String,
    },
}

/// # Errors
/// Kind refused when a field is wrong, or somebody else changed the document meanwhile.
pub fn run(command: ConfigCommand, global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    let view = match command {
        ConfigCommand::Show { scope } => client.get(&path(&client, &scope)?)?,
        ConfigCommand::Set {
            scope,
            file,
            if_version,
        } => {
            let document = read(&file, "configuration", HINT)?;
            replace(&client, &scope, &document, if_version)?
        }
        ConfigCommand::Rm { scope } => replace(&client, &scope, &Map::new(), None)?,
    };
    output.result(&view, |v| text(v, output));
    Ok(())
}

fn path(client: &Client, scope: &str) -> Result<String> {
    let scope = match scope {
        DEFAULT => DEFAULT.to_owned(),
        name => device::resolve(client, name)?.to_string(),
    };
    Ok(format!("/v1/config/{scope}"))
}

fn replace(
    client: &Client,
    scope: &str,
    document: &Map<String, Value>,
    if_version: Option<u64>,
) -> Result<ConfigView> {
    let path = path(client, scope)?;
    let version = match if_version {
        Some(version) => version,
        None => client.get::<ConfigView>(&path)?.version,
    };
    client.put_if_match(&path, version, document)
}

/// An object in a TOML or JSON file.
///
/// # Errors
/// When it is none: it is no `what` then.
pub(crate) fn read(file: &Path, what: &str, hint: &str) -> Result<Map<String, Value>> {
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
        CommandError::failed(format!("{} is no {what}", file.display()))
            .because(error)
            .hint(hint)
    };
    if file == Path::new("-") {
        return serde_json::from_reader(std::io::stdin()).map_err(|e| wrong(e.into()));
    }
    let bytes = store::read_small(file, MAX_FILE_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|e| wrong(e.into()))?;
    match file.extension().and_then(|e| e.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(|e| wrong(e.into())),
        Some("toml") => toml::from_str(&text).map_err(|e| wrong(e.into())),
        _ => Err(
            CommandError::usage(format!("is {} TOML or JSON?", file.display()))
                .hint("give the file a name that ends in .toml or .json"),
        ),
    }
}

fn text(view: &ConfigView, output: Output) -> String {
    let head = match view.version {
        0 => format!(
            "{}: never set; what the image and the role say is in force",
            view.scope
        ),
        version => format!(
            "{}: version {version}, {}",
            view.scope,
            view.created_at.strftime("%Y-%m-%d %H:%M:%S UTC")
        ),
    };
    let body = if view.document.is_empty() {
        "# empty".to_owned()
    } else {
        // TOML has no null; such a document can't have been taken, but is shown all the same.
        toml::to_string_pretty(&view.document)
            .or_else(|_| serde_json::to_string_pretty(&view.document))
            .unwrap_or_default()
    };
    format!(
        "{}\n{}\n",
        output.paint(Tone::Dim, &format!("# {head}")),
        body.trim_end()
    )
}
