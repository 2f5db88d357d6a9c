//! `fleet schedule show` and what changes it: a venue's schedule on the control plane. Work is done on a draft; screens
//! follow what was published.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use fleet_protocol::content::{MAX_SLOTS, Rollback, ScheduleSet, ScheduleSnapshot, SetSlots};
use fleet_protocol::device::Page;
use fleet_protocol::{SlotId, VenueId};
use serde_json::{Value, json};

use super::slot::{self, AddArgs, Names};
use crate::client::{Client, encode};
use crate::error::{CommandError, Result};
use crate::output::{Output, Tone, printable};
use crate::playlist::published;
use crate::venue::{self, InVenue};

#[derive(Debug, Subcommand)]
pub enum DraftCommand {
    /// Show the draft of a venue's schedule
    Show {
        #[command(flatten)]
        venue: InVenue,
    },
    /// Replace the slots of the draft by those of a file
    Set {
        /// A schedule as JSON, of which its `slots` are taken; `-` reads standard input
        file: PathBuf,
        #[command(flatten)]
        venue: InVenue,
        /// Let screens follow it at once
        #[arg(long)]
        publish: bool,
    },
    /// Add a slot to the draft
    Add(AddArgs),
    /// Take a slot out of the draft
    Remove {
        slot: SlotId,
        #[command(flatten)]
        venue: InVenue,
        /// Let screens follow it at once
        #[arg(long)]
        publish: bool,
    },
    /// Let screens follow the draft
    Publish {
        #[command(flatten)]
        venue: InVenue,
    },
    /// What was published when, and by whom
    History {
        #[command(flatten)]
        venue: InVenue,
    },
    /// Publish again what was published as VERSION
    Rollback {
        version: u64,
        #[command(flatten)]
        venue: InVenue,
    },
}

/// One venue's schedule on the control plane.
struct Draft<'a> {
    venue: VenueId,
    client: &'a Client,
    output: Output,
}

pub(super) fn run(command: DraftCommand, client: &Client, output: Output) -> Result<()> {
    let open = |venue: &InVenue| {
        Ok(Draft {
            venue: venue::resolve(&venue.venue, client)?,
            client,
            output,
        })
    };
    match command {
        DraftCommand::Show { venue } => {
            let draft = open(&venue)?;
            draft.show(&draft.get()?)
        }
        DraftCommand::Set {
            file,
            venue,
            publish,
        } => {
            let slots = slots_of(&super::read(&file)?, &file)?;
            let draft = open(&venue)?;
            let (path, version) = (draft.path("/slots"), draft.get()?.draft_version);
            let set = client.put_if_match(&path, version, &SetSlots { slots })?;
            draft.changed(set, publish)
        }
        DraftCommand::Add(args) => {
            let draft = open(&args.venue)?;
            let slot = slot::build(&args, &draft.venue, client)?;
            let (path, version) = (draft.path("/slots"), draft.get()?.draft_version);
            let set = client.post_if_match(&path, version, &slot)?;
            draft.changed(set, args.publish)
        }
        DraftCommand::Remove {
            slot,
            venue,
            publish,
        } => {
            let draft = open(&venue)?;
            let path = draft.path(&format!("/slots/{}", encode(slot.as_str())));
            let set = client.delete_if_match(&path, draft.get()?.draft_version)?;
            draft.changed(set, publish)
        }
        DraftCommand::Publish { venue } => {
            let draft = open(&venue)?;
            draft.show(&draft.publish()?)
        }
        DraftCommand::History { venue } => open(&venue)?.history(),
        DraftCommand::Rollback { version, venue } => {
            let draft = open(&venue)?;
            let request = Rollback {
                published_version: version,
            };
            draft.show(&client.post(&draft.path("/rollback"), &request)?)
        }
    }
}

impl Draft<'_> {
    fn path(&self, rest: &str) -> String {
        format!("/v1/venues/{}/scheduleset{rest}", self.venue)
    }

    fn get(&self) -> Result<ScheduleSet> {
        self.client.get(&self.path(""))
    }

    fn publish(&self) -> Result<ScheduleSet> {
        self.client.post(&self.path("/publish"), &json!({}))
    }

    fn changed(&self, set: ScheduleSet, publish: bool) -> Result<()> {
        self.show(&if publish { self.publish()? } else { set })
    }

    fn show(&self, set: &ScheduleSet) -> Result<()> {
        let names = if self.output.json {
            Names::default()
        } else {
            Names::load(&self.venue, self.client)?
        };
        self.output.result(set, |s| text(s, &names, self.output));
        Ok(())
    }

    fn history(&self) -> Result<()> {
        let path = format!("/v1/venues/{}/publishes", self.venue);
        let page = Page::<ScheduleSnapshot> {
            items: self.client.all(&path)?,
            next_cursor: None,
        };
        self.output.result(&page, |page| {
            if page.items.is_empty() {
                return "Nothing was published yet. Publish the draft: fleet schedule publish\n"
                    .to_owned();
            }
            snapshots(&page.items, self.output)
        });
        Ok(())
    }
}

/// The `slots` of a file, as they are: the control plane says what is wrong in them.
fn slots_of(bytes: &[u8], file: &Path) -> Result<Vec<Value>> {
    let hint = "a schedule is {\"slots\": [{\"targetType\": \"GROUP\", …}]}; see docs/cli.md";
    let file = file.display();
    let mut document: Value = serde_json::from_slice(bytes).map_err(|source| {
        CommandError::failed(format!("{file} is no JSON"))
            .because(source)
            .hint(hint)
    })?;
    let slots = document.get_mut("slots").map(Value::take);
    let Some(Value::Array(slots)) = slots else {
        return Err(CommandError::failed(format!("{file} has no list `slots`")).hint(hint));
    };
    if slots.len() > MAX_SLOTS {
        let count = slots.len();
        return Err(CommandError::failed(format!(
            "{file} has {count} slots, more than {MAX_SLOTS}"
        ))
        .hint("groups of screens need one slot instead of many: fleet venue group create"));
    }
    Ok(slots)
}

fn text(set: &ScheduleSet, names: &Names, output: Output) -> String {
    let mut text = output.fields(&[
        ("venue", set.venue_id.to_string()),
        (
            "published",
            published(set.published_version, set.changed, output),
        ),
    ]);
    text += "\n";
    if set.slots.is_empty() {
        text += "Nothing is scheduled: the venue's fallback plays. Add a slot with \
            `fleet schedule add --playlist P --for group:G`.\n";
    } else {
        text += &slot::table(&set.slots, names, output);
    }
    for warning in &set.warnings {
        text += &format!("{} {}\n", output.paint(Tone::Busy, "!"), printable(warning));
    }
    if set.changed {
        let venue = match set.venue_id.as_str() {
            venue::DEFAULT => String::new(),
            other => format!(" --venue {other}"),
        };
        text += &format!("\nNext: fleet schedule publish{venue}\n");
    }
    text
}

fn snapshots(snapshots: &[ScheduleSnapshot], output: Output) -> String {
    let rows: Vec<Vec<String>> = snapshots
        .iter()
        .map(|s| {
            vec![
                s.published_version.to_string(),
                s.published_at.strftime("%Y-%m-%d %H:%M").to_string(),
                printable(&s.published_by),
                s.slots.len().to_string(),
            ]
        })
        .collect();
    output.table(&["version", "published (UTC)", "by", "slots"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::tests::plain;

    fn set(venue: &str, slots: &Value) -> ScheduleSet {
        serde_json::from_value(json!({
            "venueId": venue, "draftVersion": 2, "slots": slots, "changed": true,
            "publishedVersion": 1, "warnings": ["slot s_1 can never win"],
        }))
        .unwrap()
    }

    #[test]
    fn a_draft_is_shown_with_its_warnings_and_what_comes_next() {
        let slots = json!([{
            "slotId": "s_1", "targetType": "GROUP", "targetId": "g_1", "playlistId": "pl_1",
            "daysOfWeekMask": 31, "startMinutes": 360, "endMinutes": 660, "priority": 5,
        }]);
        let shown = text(&set("ven_bar", &slots), &Names::default(), plain());
        for part in [
            "version 1, draft changed",
            "06:00–11:00",
            "! slot s_1 can never win",
            "Next: fleet schedule publish --venue ven_bar\n",
        ] {
            assert!(shown.contains(part), "no `{part}` in\n{shown}");
        }
        let empty = text(&set(venue::DEFAULT, &json!([])), &Names::default(), plain());
        assert!(empty.contains("Nothing is scheduled"), "{empty}");
        assert!(empty.ends_with("Next: fleet schedule publish\n"), "{empty}");
    }

    #[test]
    fn of_a_file_its_slots_are_taken_as_they_are() {
        let file = Path::new("schedule.json");
        let whole = json!({"timezone": "Europe/London", "slots": [{"playlistId": "pl_1"}]});
        let slots = slots_of(whole.to_string().as_bytes(), file).unwrap();
        assert_eq!(slots, [json!({"playlistId": "pl_1"})]);
        for bad in ["", "[]", "{}", "{\"slots\": {}}"] {
            let error = slots_of(bad.as_bytes(), file).unwrap_err();
            assert!(error.message.contains("schedule.json"), "{error}");
            assert!(!error.hints.is_empty());
        }
        let many = json!({"slots": vec![json!({}); MAX_SLOTS + 1]});
        let error = slots_of(many.to_string().as_bytes(), file).unwrap_err();
        assert!(error.message.contains("5001 slots"), "{error}");
    }
}
