//! `fleet publish`: pictures and films to screens in one step.
//!
//! What is there already is not made again, so the same command goes on where an earlier one stopped: a file is
//! uploaded once, a playlist of this name gets the items, and it is published if that changes anything.

use std::path::PathBuf;

use clap::Args;
use fleet_protocol::VenueId;
use fleet_protocol::content::{AssetView, PlaylistView, VenueView};
use serde::Serialize;

use crate::args::Global;
use crate::asset::{self, upload};
use crate::client::Client;
use crate::error::Result;
use crate::name::{self, Named as _, label};
use crate::output::{Output, printable};
use crate::playlist::{self, items, seconds};
use crate::{context, venue};

#[derive(Debug, Args)]
pub struct PublishArgs {
    /// Pictures and films, in the order in which they play
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The playlist: made, or its items replaced
    #[arg(long, default_value = "Default", value_name = "NAME")]
    pub name: String,
    /// How long each picture stays; a video plays to its end. Default: 10
    #[arg(long, value_name = "N", value_parser = seconds())]
    pub seconds: Option<u32>,
}

/// Why screens show the playlist, or don't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Fallback {
    /// Made the venue's fallback just now.
    Set,
    /// It was the venue's fallback before.
    Kept,
    /// The venue's fallback is another playlist.
    Other,
}

/// `--json` shape.
#[derive(Debug, Serialize)]
struct Published {
    assets: Vec<AssetView>,
    playlist: PlaylistView,
    venue: VenueView,
    fallback: Fallback,
}

/// # Errors
/// When a file can't be played; nothing is published then, and what was uploaded stays.
pub fn run(args: &PublishArgs, global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    let here = asset::all(&client)?;
    let uploads = upload::all(&args.files, &here, &client, output)?;
    let assets = upload::ready(uploads)
        .map_err(|e| e.hint("nothing was published; what was uploaded is not sent again"))?;
    let playlist = fill(args, &assets, &client)?;
    let (venue, fallback) = fall_back(&playlist, &client)?;
    let published = Published {
        assets,
        playlist,
        venue,
        fallback,
    };
    output.result(&published, text);
    Ok(())
}

/// Makes the playlist, or replaces its items, and publishes it if it is not as published.
fn fill(args: &PublishArgs, assets: &[AssetView], client: &Client) -> Result<PlaylistView> {
    let all = playlist::all(client)?;
    let draft = if all.iter().any(|p| p.is_called(&args.name)) {
        let before = name::find(&all, &args.name)?;
        let items = playlist::arrange(&before.items, assets, args.seconds);
        if items == before.items {
            before.clone()
        } else {
            playlist::put(before, items, client)?
        }
    } else {
        let items = playlist::arrange(&[], assets, args.seconds);
        playlist::create(args.name.clone(), items, client)?
    };
    if draft.changed || draft.published_version.is_none() {
        return playlist::publish(&draft, client);
    }
    Ok(draft)
}

/// Makes the playlist what the default venue falls back to, if nothing else is.
fn fall_back(playlist: &PlaylistView, client: &Client) -> Result<(VenueView, Fallback)> {
    let id: VenueId = venue::DEFAULT.parse().expect("the id is fixed");
    let before = venue::get(&id, client)?;
    match &before.fallback_playlist_id {
        Some(now) if *now == playlist.playlist_id => Ok((before, Fallback::Kept)),
        Some(_) => Ok((before, Fallback::Other)),
        None => {
            let mut is = venue::described(&before);
            is.fallback_playlist_id = Some(playlist.playlist_id.clone());
            Ok((venue::put(&before, &is, client)?, Fallback::Set))
        }
    }
}

/// What is published, and what now happens on how many screens.
fn text(published: &Published) -> String {
    let Published {
        playlist, venue, ..
    } = published;
    let version = playlist
        .published_version
        .map_or(String::new(), |version| format!(" as version {version}"));
    let mut text = format!(
        "{} is published{version}: {}\n",
        label(&playlist.name, playlist.id()),
        items(playlist.items.len()),
    );
    let place = format!("the venue {}", printable(&venue.name));
    if published.fallback == Fallback::Other {
        let id = &playlist.playlist_id;
        text += &format!(
            "Only screens whose schedule has it play it: {place} falls back to another playlist.\n\
            Next: fleet venue set --fallback {id}, or fleet schedule add --playlist {id} --for group:G\n"
        );
        return text;
    }
    text += &match venue.device_count {
        0 => {
            format!("It plays in {place} as soon as there is a screen. Next: fleet device enrol\n")
        }
        1 => format!("It plays on the 1 screen of {place}, whenever nothing else is scheduled\n"),
        count => format!(
            "It plays on the {count} screens of {place}, whenever nothing else is scheduled\n"
        ),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::tests::playlist;
    use crate::venue::tests::venue;

    #[test]
    fn the_end_says_what_now_happens_on_how_many_screens() {
        let check = |devices, fallback, expected: &str| {
            let text = text(&Published {
                assets: Vec::new(),
                playlist: playlist("menu", Some(2), false),
                venue: venue(devices, Some("pl_other")),
                fallback,
            });
            let first = "menu (pl_menu) is published as version 2: 1 item\n";
            assert!(text.starts_with(first), "{text}");
            assert!(text.contains(expected), "{text}");
        };
        check(3, Fallback::Set, "plays on the 3 screens of the venue Bar");
        check(1, Fallback::Kept, "plays on the 1 screen of the venue Bar");
        check(0, Fallback::Set, "fleet device enrol");
        check(3, Fallback::Other, "fleet venue set --fallback pl_menu");
    }
}
