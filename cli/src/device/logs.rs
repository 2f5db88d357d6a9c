//! `fleet device logs` and `fleet device bundle`: what happened on a device.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fleet_protocol::EventId;
use fleet_protocol::device::{Page, SupportBundleView};
use fleet_protocol::event::{Event, Severity};

use super::{BundleArgs, resolve};
use crate::client::{Client, encode};
use crate::error::{CommandError, Kind, Result};
use crate::output::{Output, Tone, human_bytes, printable};
use crate::text::wire_name;
use crate::{clock, store};

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Id or name
    pub device: String,
    /// Go on printing new ones
    #[arg(long, short)]
    pub follow: bool,
    /// At most so many of the newest
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=200))]
    pub lines: u8,
}

pub(super) fn run(args: &LogsArgs, client: &Client, output: Output) -> Result<()> {
    let id = resolve(client, &args.device)?;
    // Newest first, 200 at most.
    let path = format!("/v1/devices/{id}/events?limit=200");
    let mut page: Page<Event> = client.get(&path)?;
    page.items.sort_by_key(|e| e.event_time_utc);
    let skip = page.items.len().saturating_sub(usize::from(args.lines));
    let shown = page.items.split_off(skip);
    if !args.follow {
        let page = Page {
            items: shown,
            next_cursor: None,
        };
        output.result(&page, |p| {
            if p.items.is_empty() {
                "No events.\n".to_owned()
            } else {
                p.items.iter().map(|e| line(e, output)).collect()
            }
        });
        return Ok(());
    }
    let mut seen: HashSet<EventId> = page.items.into_iter().map(|e| e.event_id).collect();
    for event in shown {
        output.line(&event, |e| line(e, output));
        seen.insert(event.event_id);
    }
    loop {
        clock::pause(Duration::from_secs(2));
        let mut page: Page<Event> = match client.get(&path) {
            Ok(page) => page,
            Err(error) if error.kind == Kind::Unreachable => continue,
            Err(error) => return Err(error),
        };
        page.items.sort_by_key(|e| e.event_time_utc);
        for event in page.items {
            if seen.insert(event.event_id.clone()) {
                output.line(&event, |e| line(e, output));
            }
        }
    }
}

fn line(event: &Event, output: Output) -> String {
    let (word, tone) = match event.severity {
        Severity::Info => ("info   ", Tone::Dim),
        Severity::Warning => ("warning", Tone::Busy),
        Severity::Error => ("error  ", Tone::Bad),
    };
    let payload = match &event.payload {
        serde_json::Value::Null => String::new(),
        payload => printable(&payload.to_string()),
    };
    format!(
        "{} {} {} {payload}\n",
        event.event_time_utc.strftime("%Y-%m-%d %H:%M:%S"),
        output.paint(tone, word),
        printable(&wire_name(&event.event_type)),
    )
}

pub(super) fn bundle(args: &BundleArgs, client: &Client, output: Output) -> Result<()> {
    let id = resolve(client, &args.device)?;
    let path = format!("/v1/devices/{id}/support-bundles");
    let page: Page<SupportBundleView> = client.get(&path)?;
    let Some(wanted) = &args.name else {
        output.result(&page, |p| list_text(&p.items, output));
        return Ok(());
    };
    let view = page
        .items
        .iter()
        .filter(|b| wanted == "latest" || b.name == *wanted)
        .max_by_key(|b| b.received_at)
        .ok_or_else(|| {
            CommandError::not_found(format!("there is no support bundle `{wanted}`"))
                .hint("ask the device for one: fleet device command DEVICE bundle --wait")
        })?;
    // A name from the network is not a path.
    let plain: String = view
        .name
        .chars()
        .map(|c| if c == '/' || c.is_control() { '_' } else { c })
        .collect();
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("./{plain}")));
    if out.exists() {
        return Err(store::already_there(&out));
    }
    let (size, reader) = client.download(&format!("{path}/{}", encode(&view.name)))?;
    let bar = output.byte_bar(size.unwrap_or(view.size_bytes), "Fetching");
    let mut bytes = Vec::new();
    // Devices are held to far less than this.
    bar.wrap_read(reader)
        .take(1 << 30)
        .read_to_end(&mut bytes)
        .map_err(|e| {
            CommandError::new(Kind::Unreachable, "the download broke off")
                .because(e)
                .hint("try again")
        })?;
    bar.finish_and_clear();
    if fleet_protocol::Sha256::of(&bytes) != view.sha256 {
        return Err(
            CommandError::failed("what came is not what the control plane listed")
                .hint("try again"),
        );
    }
    store::write(
        &out,
        &bytes,
        store::Access::OwnerOnly,
        store::Existing::Keep,
    )?;
    output.result(
        &serde_json::json!({"file": out, "sizeBytes": bytes.len()}),
        |_| {
            format!(
                "{} ({})\nLook inside: tar --zstd -tf {}\n",
                out.display(),
                human_bytes(bytes.len() as u64),
                out.display()
            )
        },
    );
    Ok(())
}

fn list_text(bundles: &[SupportBundleView], output: Output) -> String {
    if bundles.is_empty() {
        return "No support bundles. Ask for one: fleet device command DEVICE bundle --wait\n"
            .to_owned();
    }
    let rows: Vec<Vec<String>> = bundles
        .iter()
        .map(|b| {
            vec![
                printable(&b.name),
                human_bytes(b.size_bytes),
                b.received_at.to_string(),
            ]
        })
        .collect();
    output.table(&["bundle", "size", "received"], &rows)
}
