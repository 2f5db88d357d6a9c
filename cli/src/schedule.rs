//! `fleet schedule`: asks the resolver that devices and control plane use, about a file; and works on a venue's
//! schedule on the control plane (`draft`).

mod draft;
mod explain;
mod slot;
mod timeline;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fleet_protocol::TargetId;
use fleet_schedule::{Device, Schedule, ScheduleFile, Screen, Zone};
use jiff::{SignedDuration, Timestamp};

use crate::args::Global;
use crate::error::{CommandError, Result};
use crate::output::{Output, printable};
use crate::text::parse_instant;
use crate::{clock, context, store};

pub use draft::DraftCommand;
pub use slot::{AddArgs, Whom};
pub(crate) use slot::{Names, whom};

const MAX_FILE_BYTES: u64 = 64 << 20;
const DEFAULT_RANGE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// More than anybody reads, and still printed in seconds.
const MAX_RANGE: SignedDuration = SignedDuration::from_hours(10 * 366 * 24);
/// How many devices a hint lists.
const NAMED_DEVICES: usize = 5;

#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// What a device shows at an instant, and of every slot why it does or does not play
    Explain {
        #[command(flatten)]
        source: Source,
        /// Default: now
        #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
        at: Option<Timestamp>,
    },
    /// What a device shows over a range of time; marks where nothing plays, and slots that never win
    Timeline {
        #[command(flatten)]
        source: Source,
        /// Default: now
        #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
        from: Option<Timestamp>,
        /// The first instant that is not asked about; default: a week after --from
        #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
        to: Option<Timestamp>,
    },
    #[command(flatten)]
    Draft(DraftCommand),
}

#[derive(Debug, Args)]
pub struct Source {
    /// The schedule with its devices, as JSON; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Which of the file's devices; may be left out when there is one only
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<TargetId>,
}

/// # Errors
/// When the file is no schedule, or has no such device; see each command.
pub fn run(command: ScheduleCommand, global: &Global, output: Output) -> Result<()> {
    match command {
        ScheduleCommand::Explain { source, at } => {
            let (schedule, screen) = open(&source, output)?;
            let explanation = schedule.explain(&screen, at.unwrap_or_else(clock::now));
            output.result(&explanation, |e| explain::text(e, screen.zone(), output));
        }
        ScheduleCommand::Timeline { source, from, to } => {
            let (from, to) = range(from.unwrap_or_else(clock::now), to)?;
            let (schedule, screen) = open(&source, output)?;
            let warnings = schedule.warnings(&screen);
            let segments = schedule.timeline(&screen, from, to);
            if output.json {
                for warning in &warnings {
                    output.note(&format!("Warning: {warning}"));
                }
            }
            output.result(&segments, |segments| {
                timeline::text(segments, &warnings, &screen, output)
            });
        }
        ScheduleCommand::Draft(command) => {
            draft::run(command, &context::client(global)?, output)?;
        }
    }
    Ok(())
}

fn range(from: Timestamp, to: Option<Timestamp>) -> Result<(Timestamp, Timestamp)> {
    let to = match to {
        Some(to) => to,
        None => from.saturating_add(DEFAULT_RANGE).unwrap_or(Timestamp::MAX),
    };
    if to <= from {
        return Err(
            CommandError::usage(format!("--to {to} is not after --from {from}"))
                .hint("the range goes from --from to just before --to: swap the two?"),
        );
    }
    if to.duration_since(from) > MAX_RANGE {
        return Err(CommandError::usage("the range is longer than ten years")
            .hint("ask about a shorter one"));
    }
    Ok((from, to))
}

fn open(source: &Source, output: Output) -> Result<(Schedule, Screen)> {
    let bytes = read(&source.file)?;
    let parsed = ScheduleFile::parse(&bytes).map_err(|error| {
        let hint = error.hint();
        CommandError::failed(format!("{} is no schedule", source.file.display()))
            .because(error)
            .hint(hint)
    })?;
    for path in &parsed.ignored {
        output.note(&format!(
            "Note: {} is not known, and ignored",
            printable(path)
        ));
    }
    let device = choose(parsed.file.devices(), source)?;
    let screen = parsed.file.screen(device);
    Ok((parsed.file.into_schedule(), screen))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file != Path::new("-") {
        return store::read_small(file, MAX_FILE_BYTES);
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|e| CommandError::io("cannot read standard input", e))?;
    Ok(bytes)
}

fn choose<'a>(devices: &'a [Device], source: &Source) -> Result<&'a Device> {
    let file = source.file.display();
    match (&source.device, devices) {
        (None, [only]) => Ok(only),
        (None, _) => Err(CommandError::usage(format!(
            "{file} has {} devices: which one?",
            devices.len()
        ))
        .hint(known(devices))),
        (Some(id), _) => devices
            .iter()
            .find(|device| device.device_id == *id)
            .ok_or_else(|| {
                CommandError::not_found(format!("{file} has no device {id}")).hint(known(devices))
            }),
    }
}

fn known(devices: &[Device]) -> String {
    let names = devices.iter().map(|d| d.device_id.as_str());
    let names: Vec<&str> = names.take(NAMED_DEVICES).collect();
    match devices.len() {
        0 => "add one to its `devices`: {\"deviceId\": \"lobby\", \"groupIds\": []}".to_owned(),
        count if count > NAMED_DEVICES => {
            let more = count - NAMED_DEVICES;
            format!("--device with one of {} and {more} more", names.join(", "))
        }
        _ => format!("--device with one of {}", names.join(", ")),
    }
}

/// `Sat 2026-10-24 09:00 +01:00`: the minute suffices but where there are seconds.
fn local(zone: &Zone, at: Timestamp) -> String {
    let local = zone.local(at);
    let shape = if local.second() == 0 {
        "%a %Y-%m-%d %H:%M %:z"
    } else {
        "%a %Y-%m-%d %H:%M:%S %:z"
    };
    local.strftime(shape).to_string()
}
