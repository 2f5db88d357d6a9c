//! `fleet device command`: one command to one device's agent or player, and, if asked, its result.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use fleet_protocol::command::{
    CommandKind, CommandOutcome, CommandStatus, CommandView, CreateCommand, Kind, LogLevel,
};
use fleet_protocol::device::{DeviceDetail, Page};
use fleet_protocol::player::PlayerCommandKind;
use fleet_protocol::{CommandId, DeviceId, UnitName, Version};

use super::resolve;
use crate::client::Client;
use crate::error::{CommandError, Result};
use crate::output::{Output, Tone, printable};
use crate::store::{Access, Existing};
use crate::text::parse_duration;
use crate::{clock, store};

#[derive(Debug, Args)]
pub struct CommandArgs {
    /// Id or name
    pub device: String,
    #[command(subcommand)]
    pub what: Option<What>,
    /// Wait for the result; exit code 1 unless it succeeded
    #[arg(long, short, global = true)]
    pub wait: bool,
    /// With --wait: give up after this long (the command itself goes on)
    #[arg(long, global = true, default_value = "10m", value_parser = parse_duration, value_name = "DURATION")]
    pub timeout: Duration,
    /// Not begun later than this from now
    #[arg(long, global = true, default_value = "1h", value_parser = parse_duration, value_name = "DURATION")]
    pub expires: Duration,
}

#[derive(Debug, Subcommand)]
pub enum What {
    /// Install what it is to run, now
    Update {
        /// Only if this is the version it is to run
        #[arg(long, value_name = "VERSION")]
        version: Option<Version>,
        /// Ignore the maintenance window and an earlier failure of this version
        #[arg(long)]
        force: bool,
    },
    Reboot {
        #[arg(long, default_value = "0", value_parser = parse_duration, value_name = "DURATION")]
        delay: Duration,
    },
    /// Restart a unit that the device's role allows
    RestartService { service: UnitName },
    /// Collect a support bundle and upload it
    Bundle {
        #[arg(long)]
        no_logs: bool,
        #[arg(long)]
        no_config: bool,
    },
    /// Change the device's own configuration
    Config {
        /// `section.key=value`; the value is JSON, or else text
        #[arg(required_unless_present = "file")]
        set: Vec<String>,
        /// A JSON object of changes
        #[arg(long, value_name = "FILE", conflicts_with = "set")]
        file: Option<PathBuf>,
    },
    /// Poll everything now
    Refresh,
    LogLevel {
        #[arg(value_parser = log_level)]
        level: LogLevel,
    },
    /// Take a command back that the device has not fetched yet
    Cancel { command: CommandId },
    /// To the player: one of its own commands
    Player {
        #[command(subcommand)]
        what: PlayerWhat,
    },
    /// Show a card on the screen that says which device this is
    Identify {
        #[arg(long, default_value = "30s", value_parser = parse_duration, value_name = "DURATION")]
        duration: Duration,
    },
}

#[derive(Debug, Subcommand)]
pub enum PlayerWhat {
    /// Ask for what is to be shown, now
    Refresh,
    /// Begin the playlist anew
    Replay,
    /// Remove files that nothing names; with --all, every file
    ClearCache {
        #[arg(long)]
        all: bool,
    },
    /// Start the player anew; the picture stays
    Restart,
    LogLevel {
        #[arg(value_parser = log_level)]
        level: LogLevel,
    },
    /// Write what is on the glass to a JPEG file; waits for it
    Screenshot {
        #[arg(default_value = "screen.jpg")]
        file: PathBuf,
    },
    /// What was sent to the player
    List,
}

fn log_level(text: &str) -> Result<LogLevel, String> {
    serde_json::from_value(serde_json::Value::String(text.to_lowercase()))
        .map_err(|_| "expected error, warn, info, debug or trace".to_owned())
}

pub(super) fn run(args: CommandArgs, client: &Client, output: Output) -> Result<()> {
    let id = resolve(client, &args.device)?;
    let path = format!("/v1/devices/{id}/commands");
    let after = After::of(&args);
    match args.what {
        None => list::<CommandKind>(client, &path, output),
        Some(What::Cancel { command }) => {
            let path = format!("{path}/{command}/cancel");
            let view: CommandView = client.post(&path, &serde_json::json!({}))?;
            output.result(&view, |v| show(v, output));
            Ok(())
        }
        Some(What::Player { what }) => to_player(client, &id, what, after, output),
        Some(what) => {
            let view = send(client, &path, kind(what)?, after)?;
            output.result(&view, |v| show(v, output));
            ended(&view, after.wait)
        }
    }
}

/// What is to become of a command once it is sent.
#[derive(Debug, Clone, Copy)]
struct After {
    wait: bool,
    timeout: Duration,
    expires: Duration,
}

impl After {
    fn of(args: &CommandArgs) -> Self {
        Self {
            wait: args.wait,
            timeout: args.timeout,
            expires: args.expires,
        }
    }
}

fn list<K: Kind>(client: &Client, path: &str, output: Output) -> Result<()> {
    let page: Page<CommandView<K>> = client.get(path)?;
    output.result(&page, |p| list_text(&p.items, output));
    Ok(())
}

fn send<K: Kind>(client: &Client, path: &str, kind: K, after: After) -> Result<CommandView<K>> {
    let request = CreateCommand {
        kind,
        expires_in_seconds: Some(after.expires.as_secs()),
    };
    let view = client.post(path, &request)?;
    if after.wait {
        wait(client, path, view, after.timeout)
    } else {
        Ok(view)
    }
}

fn to_player(
    client: &Client,
    id: &DeviceId,
    what: PlayerWhat,
    after: After,
    output: Output,
) -> Result<()> {
    let device: DeviceDetail = client.get(&format!("/v1/devices/{id}"))?;
    let path = format!(
        "/v1/venues/{}/devices/{id}/commands",
        device.device.venue_id
    );
    let kind = match what {
        PlayerWhat::List => return list::<PlayerCommandKind>(client, &path, output),
        PlayerWhat::Screenshot { file } => {
            let after = After {
                wait: true,
                ..after
            };
            let view = send(client, &path, PlayerCommandKind::TakeScreenshot, after)?;
            ended(&view, true)?;
            let (access, existing) = (Access::Everyone, Existing::Replace);
            store::write(&file, &picture(&view)?, access, existing)?;
            output.result(&view, |_| format!("The screen is in {}\n", file.display()));
            return Ok(());
        }
        PlayerWhat::Refresh => PlayerCommandKind::RequestManifestRefresh,
        PlayerWhat::Replay => PlayerCommandKind::RestartPlaybackLoop,
        PlayerWhat::ClearCache { all: false } => PlayerCommandKind::ClearCacheUnused,
        PlayerWhat::ClearCache { all: true } => PlayerCommandKind::ClearCacheAll,
        PlayerWhat::Restart => PlayerCommandKind::RebootApp,
        PlayerWhat::LogLevel { level } => PlayerCommandKind::SetLogLevel { level },
    };
    let view = send(client, &path, kind, after)?;
    output.result(&view, |v| show(v, output));
    ended(&view, after.wait)
}

/// The JPEG that a player answered with.
fn picture(view: &CommandView<PlayerCommandKind>) -> Result<Vec<u8>> {
    let output = view
        .result
        .as_ref()
        .and_then(|result| result.output.as_ref());
    let text = output.and_then(|output| output.get("base64")?.as_str());
    let jpeg = text.and_then(|text| STANDARD.decode(text).ok());
    jpeg.ok_or_else(|| {
        CommandError::failed("the player's answer holds no picture")
            .hint("is its release as new as this command? fleet device show DEVICE")
    })
}

/// Whether the command came to a good end, as far as was waited for it.
fn ended<K>(view: &CommandView<K>, waited: bool) -> Result<()> {
    match &view.result {
        Some(result) if result.outcome != CommandOutcome::Succeeded => Err(CommandError::failed(
            format!("the command did not succeed: {}", printable(&result.detail)),
        )
        .hint("see what happened around it: fleet device logs DEVICE")),
        None if view.status == CommandStatus::Cancelled => Err(CommandError::failed(
            "the command was taken back before the device began it",
        )
        .hint("another operator did that, or you elsewhere; send it again if it is still wanted")),
        None if waited => Err(CommandError::failed(
            "the command expired before the device began it",
        )
        .hint("is the device online? fleet device show DEVICE")),
        _ => Ok(()),
    }
}

fn seconds(duration: Duration) -> Result<u32> {
    u32::try_from(duration.as_secs())
        .map_err(|_| CommandError::usage("that is too long").hint("give at most 100 years"))
}

fn kind(what: What) -> Result<CommandKind> {
    Ok(match what {
        What::Update { version, force } => CommandKind::Update { version, force },
        What::Reboot { delay } => CommandKind::Reboot {
            delay_seconds: seconds(delay)?,
        },
        What::RestartService { service } => CommandKind::RestartService { service },
        What::Bundle { no_logs, no_config } => CommandKind::Bundle {
            include_logs: !no_logs,
            include_config: !no_config,
        },
        What::Config { set, file } => CommandKind::Config {
            changes: match file {
                Some(file) => store::read_json(&file, "JSON object of changes")?,
                None => changes(&set)?,
            },
        },
        What::Cancel { .. } | What::Player { .. } => {
            return Err(CommandError::usage("a device is not told to take back")
                .hint("take a command back with `fleet device command DEVICE cancel COMMAND`"));
        }
        What::Refresh => CommandKind::Refresh {},
        What::LogLevel { level } => CommandKind::LogLevel { level },
        What::Identify { duration } => CommandKind::Identify {
            seconds: seconds(duration)?,
        },
    })
}

/// `a.b=1` becomes `{"a": {"b": 1}}`.
fn changes(set: &[String]) -> Result<serde_json::Map<String, serde_json::Value>> {
    let mut root = serde_json::Map::new();
    for item in set {
        let wrong = |why: &str| {
            CommandError::usage(format!("`{item}` is no change: {why}"))
                .hint("write it like updates.bandwidth_limit_bytes_per_s=500000")
        };
        let (path, value) = item.split_once('=').ok_or_else(|| wrong("it has no `=`"))?;
        let value = serde_json::from_str(value)
            .unwrap_or_else(|_| serde_json::Value::String(value.to_owned()));
        let mut keys: Vec<&str> = path.split('.').collect();
        if keys.iter().any(|k| k.is_empty()) || keys.len() > 16 {
            return Err(wrong("a part of its name is empty"));
        }
        let last = keys.pop().expect("split gives at least one part");
        let mut at = &mut root;
        for key in keys {
            at = at
                .entry(key)
                .or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()))
                .as_object_mut()
                .ok_or_else(|| {
                    wrong("another change sets a value where this one needs a section")
                })?;
        }
        at.insert(last.to_owned(), value);
    }
    Ok(root)
}

fn wait<K: Kind>(
    client: &Client,
    path: &str,
    mut view: CommandView<K>,
    limit: Duration,
) -> Result<CommandView<K>> {
    let mut waited = Duration::ZERO;
    let step = Duration::from_secs(1);
    loop {
        let over = matches!(
            view.status,
            CommandStatus::Finished | CommandStatus::Expired | CommandStatus::Cancelled
        );
        if over {
            return Ok(view);
        }
        if waited >= limit {
            return Err(
                CommandError::failed("no result yet; the command goes on").hint(format!(
                    "look later with `fleet device command DEVICE` ({})",
                    view.command.command_id
                )),
            );
        }
        clock::pause(step);
        waited += step;
        let page: Page<CommandView<K>> = client.get(&format!("{path}?limit=200"))?;
        view = page
            .items
            .into_iter()
            .find(|v| v.command.command_id == view.command.command_id)
            .ok_or_else(|| {
                CommandError::not_found("the control plane does not list the command any more")
                    .hint("send it again")
            })?;
    }
}

fn status<K>(view: &CommandView<K>, output: Output) -> String {
    match &view.result {
        Some(result) => {
            let tone = if result.outcome == CommandOutcome::Succeeded {
                Tone::Good
            } else {
                Tone::Bad
            };
            output.paint(tone, &format!("{:?}", result.outcome).to_lowercase())
        }
        None => output.paint(Tone::Busy, &format!("{:?}", view.status).to_lowercase()),
    }
}

fn show<K: Kind>(view: &CommandView<K>, output: Output) -> String {
    let detail = view
        .result
        .as_ref()
        .map_or(String::new(), |r| format!(": {}", printable(&r.detail)));
    format!(
        "{} {} {}{detail}\n",
        view.command.command_id,
        view.command.kind.name(),
        status(view, output)
    )
}

fn list_text<K: Kind>(commands: &[CommandView<K>], output: Output) -> String {
    if commands.is_empty() {
        return "No commands were sent to this device.\n".to_owned();
    }
    let rows: Vec<Vec<String>> = commands
        .iter()
        .map(|v| {
            vec![
                v.command.command_id.to_string(),
                v.command.kind.name().to_owned(),
                status(v, output),
                v.command
                    .created_at
                    .strftime("%Y-%m-%d %H:%M:%S")
                    .to_string(),
                v.result
                    .as_ref()
                    .map_or(String::new(), |r| printable(&r.detail)),
            ]
        })
        .collect();
    output.table(
        &["command", "type", "status", "sent (UTC)", "detail"],
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_protocol::config::{IMAGE_DEFAULTS, Layer, merge};

    #[test]
    fn changes_nest_by_their_dots() {
        let set = ["a.b=1", "a.c=text", "d=true"].map(str::to_owned);
        assert_eq!(
            serde_json::Value::Object(changes(&set).unwrap()),
            serde_json::json!({"a": {"b": 1, "c": "text"}, "d": true})
        );
    }

    fn view(status: &str, outcome: Option<&str>) -> CommandView {
        let mut json = serde_json::json!({
            "commandId": "cmd_1", "sequence": 1, "createdAt": "2026-01-01T00:00:00Z",
            "expiresAt": "2026-01-01T01:00:00Z", "type": "refresh", "payload": {}, "status": status,
        });
        if let Some(outcome) = outcome {
            json["result"] = serde_json::json!({
                "outcome": outcome, "finishedAt": "2026-01-01T00:00:01Z", "detail": "x",
            });
        }
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn how_a_command_ended_is_told_as_it_was() {
        let check = |status, outcome, expected: &str| {
            let error = ended(&view(status, outcome), true).unwrap_err();
            assert!(error.message.contains(expected), "{error}");
            assert!(!error.hints.is_empty());
        };
        check("CANCELLED", None, "taken back");
        check("EXPIRED", None, "expired");
        check("FINISHED", Some("FAILED"), "did not succeed");
        ended(&view("FINISHED", Some("SUCCEEDED")), true).unwrap();
        ended(&view("PENDING", None), false).unwrap();
    }

    #[test]
    fn the_hint_of_a_wrong_change_names_a_field_that_there_is() {
        let error = changes(&["oops".to_owned()]).unwrap_err();
        let example = error.hints[0].strip_prefix("write it like ").unwrap();
        let document = changes(&[example.to_owned()]).unwrap();
        let layers = [
            Layer::parse("defaults", IMAGE_DEFAULTS).unwrap(),
            Layer::from_json("the hint", &document).unwrap(),
        ];
        merge(&layers).unwrap();
    }

    #[test]
    fn changes_that_contradict_or_lack_a_name_are_refused() {
        for bad in [vec!["a=1", "a.b=2"], vec!["=1"], vec!["a..b=1"], vec!["a"]] {
            let bad: Vec<String> = bad.into_iter().map(str::to_owned).collect();
            assert!(changes(&bad).is_err(), "{bad:?}");
        }
    }
}
