//! `fleet audit`: the record of what was done, and whether it is still as it was written.

mod chain;
mod export;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fleet_protocol::Sha256;
use fleet_protocol::access::{AuditCheck, AuditEntry, AuditOutcome};
use fleet_protocol::device::Page;

pub use chain::Chain;

use crate::args::Global;
use crate::client::{Client, encode};
use crate::context;
use crate::error::{CommandError, Result};
use crate::output::{Output, Tone, printable};
use crate::user::role_name;

const AUDIT: &str = "/v1/audit";
/// As many as the control plane gives in one page.
const PAGE: u32 = 200;

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List what was done, the newest first
    List(ListArgs),
    /// Write the whole record to a file, a JSON document a line, the oldest first
    Export {
        /// `-` is standard output
        file: PathBuf,
    },
    /// Find out whether an entry is missing or was altered; exit code 1 if so
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only entries with this in them
    #[arg(value_name = "TEXT")]
    pub query: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// An exported record, checked without the control plane; left out: the control plane checks its own
    pub file: Option<PathBuf>,
    /// A head that was noted before has to be in the file: a cut-off end shows by it
    #[arg(long, value_name = "SHA256", requires = "file")]
    pub head: Option<Sha256>,
}

/// # Errors
/// See each command.
pub fn run(command: AuditCommand, global: &Global, output: Output) -> Result<()> {
    match command {
        AuditCommand::List(args) => list(&args, &context::client(global)?, output),
        AuditCommand::Export { file } => export::run(&file, &context::client(global)?, output),
        AuditCommand::Check(args) => {
            let check = match &args.file {
                Some(file) => chain::check_file(file, args.head)?,
                None => context::client(global)?.get(&format!("{AUDIT}/check"))?,
            };
            report(&check, output)
        }
    }
}

fn list(args: &ListArgs, client: &Client, output: Output) -> Result<()> {
    let wanted = args.limit as usize;
    let filter = args.query.as_deref().map(encode);
    let filter = filter.map_or_else(String::new, |text| format!("&q={text}"));
    let (mut items, mut cursor): (Vec<AuditEntry>, _) = (Vec::new(), String::new());
    while items.len() < wanted {
        let path = format!("{AUDIT}?limit={}{filter}{cursor}", PAGE.min(args.limit));
        let page: Page<AuditEntry> = client.get(&path)?;
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
    output.result(&page, |page| table(&page.items, output));
    Ok(())
}

fn table(entries: &[AuditEntry], output: Output) -> String {
    let row = |entry: &AuditEntry| {
        let tone = match entry.outcome {
            AuditOutcome::Done => Tone::Good,
            AuditOutcome::Refused => Tone::Busy,
            AuditOutcome::Failed => Tone::Bad,
        };
        let outcome = format!("{} {}", role_name(&entry.outcome), entry.status);
        vec![
            entry.sequence.to_string(),
            entry.at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            output.paint(Tone::Strong, &printable(&entry.actor)),
            what(entry),
            output.paint(tone, &outcome),
            printable(&entry.address),
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    let header = ["#", "at (UTC)", "who", "what", "outcome", "from"];
    output.table(&header, &rows)
}

/// The method, and the path with its ids.
fn what(entry: &AuditEntry) -> String {
    let method = entry.action.split(' ').next().unwrap_or_default();
    format!("{} {}", printable(method), printable(&entry.subject))
}

/// What was found, and exit code 1 if the chain does not hold.
fn report(check: &AuditCheck, output: Output) -> Result<()> {
    output.result(check, |check| match check.broken_at {
        None => whole(check),
        Some(_) => String::new(),
    });
    check.broken_at.map_or(Ok(()), |at| Err(broken(at)))
}

fn whole(check: &AuditCheck) -> String {
    format!(
        "{} entries, none missing or altered\nhead: {}\nKeep the head elsewhere: a cut-off end shows by it\n",
        check.entries, check.head
    )
}

fn broken(sequence: u64) -> CommandError {
    CommandError::failed(format!("the record does not hold at entry {sequence}"))
        .because("an entry there is missing, or is not as it was written")
        .hint("compare with an export of before; who can write to the database, or to the file?")
}
