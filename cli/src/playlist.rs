//! `fleet playlist`: what plays in which order. Work is done on a draft; screens get what was published.

mod show;

use clap::{Args, Subcommand};
use fleet_protocol::PlaylistId;
use fleet_protocol::content::{
    AssetView, CreatePlaylist, Entry, PlaylistSnapshot, PlaylistView, PutEntries, Rollback,
};
use fleet_protocol::device::Page;
use fleet_protocol::player::ItemKind;
use serde_json::json;

use crate::args::Global;
use crate::asset::{self, Deleted};
use crate::client::{Client, encode};
use crate::context;
use crate::error::Result;
use crate::name::{self, Named};
use crate::output::{Output, printable};
use show::{row, said, text};

pub(crate) use show::{items, published};

const PLAYLISTS: &str = "/v1/library/playlists";

#[derive(Debug, Subcommand)]
pub enum PlaylistCommand {
    /// Make a playlist
    Create {
        name: String,
        /// What plays, in this order: ids, or names that only one has
        #[arg(value_name = "ASSET")]
        assets: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// List the playlists
    List,
    /// Show the draft of a playlist, item by item
    Show {
        /// Id, or name that only one has
        playlist: String,
    },
    /// Replace the items of a playlist; one that stays keeps how it is shown
    Set {
        /// Id, or name that only one has
        playlist: String,
        /// What plays, in this order: ids, or names that only one has
        #[arg(required = true, value_name = "ASSET")]
        assets: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Give the draft to the screens
    Publish {
        /// Id, or name that only one has
        playlist: String,
    },
    /// What was published when, and by whom
    History {
        /// Id, or name that only one has
        playlist: String,
    },
    /// Publish again what was published as VERSION
    Rollback {
        /// Id, or name that only one has
        playlist: String,
        version: u64,
    },
    /// Delete a playlist that no venue and no schedule names
    Delete {
        /// Id, or name that only one has
        playlist: String,
    },
}

#[derive(Debug, Args)]
pub struct How {
    /// How long each picture stays; a video plays to its end. Default: 10
    #[arg(long, value_name = "N", value_parser = seconds())]
    pub seconds: Option<u32>,
    /// Give it to the screens at once
    #[arg(long)]
    pub publish: bool,
}

/// A day at most.
pub(crate) fn seconds() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=86_400)
}

/// # Errors
/// See each command.
pub fn run(command: PlaylistCommand, global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    match command {
        PlaylistCommand::Create { name, assets, how } => {
            let items = arrange(&[], &chosen(&assets, &client)?, how.seconds);
            let view = create(name, items, &client)?;
            changed(view, how.publish, &client, output)
        }
        PlaylistCommand::Set {
            playlist,
            assets,
            how,
        } => {
            let assets = chosen(&assets, &client)?;
            let before = resolve(&playlist, &client)?;
            let items = arrange(&before.items, &assets, how.seconds);
            let view = put(&before, items, &client)?;
            changed(view, how.publish, &client, output)
        }
        PlaylistCommand::List => list(&client, output),
        PlaylistCommand::Show { playlist } => {
            let id = resolve(&playlist, &client)?.playlist_id;
            let view: PlaylistView = client.get(&path(&id))?;
            show(&view, &client, output)
        }
        PlaylistCommand::Publish { playlist } => {
            let view = resolve(&playlist, &client)?;
            changed(view, true, &client, output)
        }
        PlaylistCommand::History { playlist } => history(&playlist, &client, output),
        PlaylistCommand::Rollback { playlist, version } => {
            let id = resolve(&playlist, &client)?.playlist_id;
            let request = Rollback {
                published_version: version,
            };
            let view: PlaylistView = client.post(&format!("{}/rollback", path(&id)), &request)?;
            output.result(&view, said);
            Ok(())
        }
        PlaylistCommand::Delete { playlist } => {
            let view = resolve(&playlist, &client)?;
            client.delete(&path(&view.playlist_id))?;
            let deleted = vec![view.playlist_id];
            output.result(&Deleted { deleted }, |_| {
                format!("{} is deleted\n", printable(&view.name))
            });
            Ok(())
        }
    }
}

fn path(id: &PlaylistId) -> String {
    format!("{PLAYLISTS}/{}", encode(id.as_str()))
}

/// Every playlist.
pub(crate) fn all(client: &Client) -> Result<Vec<PlaylistView>> {
    client.all(PLAYLISTS)
}

impl Named for PlaylistView {
    const KIND: &'static str = "playlist";
    const LIST: &'static str = "fleet playlist list";

    fn id(&self) -> &str {
        self.playlist_id.as_str()
    }

    fn is_called(&self, text: &str) -> bool {
        self.name == text
    }
}

/// A playlist by its id or its name.
///
/// # Errors
/// When none or several are called so.
pub(crate) fn resolve(text: &str, client: &Client) -> Result<PlaylistView> {
    Ok(name::find(&all(client)?, text)?.clone())
}

pub(crate) fn create(name: String, items: Vec<Entry>, client: &Client) -> Result<PlaylistView> {
    client.post(PLAYLISTS, &CreatePlaylist { name, items })
}

/// Refused when somebody else's change came after `before`.
pub(crate) fn put(
    before: &PlaylistView,
    items: Vec<Entry>,
    client: &Client,
) -> Result<PlaylistView> {
    let path = format!("{}/items", path(&before.playlist_id));
    client.put_if_match(&path, before.draft_version, &PutEntries { items })
}

pub(crate) fn publish(view: &PlaylistView, client: &Client) -> Result<PlaylistView> {
    client.post(&format!("{}/publish", path(&view.playlist_id)), &json!({}))
}

fn chosen(names: &[String], client: &Client) -> Result<Vec<AssetView>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let all = asset::all(client)?;
    names
        .iter()
        .map(|name| asset::resolve(&all, name).cloned())
        .collect()
}

/// The items for these assets, in this order. What was there before stays the same item, shown as it was.
pub(crate) fn arrange(before: &[Entry], assets: &[AssetView], seconds: Option<u32>) -> Vec<Entry> {
    let mut left: Vec<&Entry> = before.iter().collect();
    let entry = |asset: &AssetView| {
        let known = left.iter().position(|e| e.asset_id == asset.asset_id);
        let mut entry = match known {
            Some(place) => left.remove(place).clone(),
            None => Entry::new(asset.asset_id.clone()),
        };
        entry.enabled = true;
        if seconds.is_some() && asset.kind != Some(ItemKind::Video) {
            entry.duration_seconds = seconds;
        }
        entry
    };
    assets.iter().map(entry).collect()
}

fn changed(
    mut view: PlaylistView,
    publish_too: bool,
    client: &Client,
    output: Output,
) -> Result<()> {
    if publish_too {
        view = publish(&view, client)?;
    }
    output.result(&view, said);
    Ok(())
}

fn list(client: &Client, output: Output) -> Result<()> {
    let page = Page {
        items: all(client)?,
        next_cursor: None,
    };
    output.result(&page, |page| {
        if page.items.is_empty() {
            return "No playlists. Make one with `fleet playlist create NAME ASSET…`.\n".to_owned();
        }
        let rows: Vec<Vec<String>> = page.items.iter().map(|p| row(p, output)).collect();
        output.table(
            &["playlist", "name", "items", "published", "changed (UTC)"],
            &rows,
        )
    });
    Ok(())
}

fn show(view: &PlaylistView, client: &Client, output: Output) -> Result<()> {
    let assets = if output.json {
        Vec::new()
    } else {
        asset::all(client)?
    };
    output.result(view, |v| text(v, &assets, output));
    Ok(())
}

fn history(playlist: &str, client: &Client, output: Output) -> Result<()> {
    let view = resolve(playlist, client)?;
    let page = Page::<PlaylistSnapshot> {
        items: client.all(&format!("{}/publishes", path(&view.playlist_id)))?,
        next_cursor: None,
    };
    output.result(&page, |page| {
        if page.items.is_empty() {
            return said(&view);
        }
        let rows: Vec<Vec<String>> = page
            .items
            .iter()
            .map(|s| {
                vec![
                    s.published_version.to_string(),
                    s.published_at.strftime("%Y-%m-%d %H:%M").to_string(),
                    printable(&s.published_by),
                    items(s.items.len()),
                ]
            })
            .collect();
        output.table(&["version", "published (UTC)", "by", ""], &rows)
    });
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::asset::tests::asset;
    use fleet_protocol::content::AssetStatus;
    use fleet_protocol::player::Fit;

    pub(crate) fn playlist(name: &str, published: Option<u64>, changed: bool) -> PlaylistView {
        serde_json::from_value(json!({
            "playlistId": format!("pl_{name}"), "name": name, "draftVersion": 1,
            "items": [Entry::new("ast_1".parse().unwrap())], "changed": changed,
            "publishedVersion": published,
            "createdAt": "2026-06-15T14:02:00Z", "updatedAt": "2026-06-15T14:02:00Z",
        }))
        .unwrap()
    }

    fn ready(id: &str) -> AssetView {
        asset(id, id, AssetStatus::Ready)
    }

    #[test]
    fn an_item_that_stays_keeps_its_id_and_how_it_is_shown() {
        let mut first = Entry::new("ast_1".parse().unwrap());
        first.playlist_item_id = Some("pli_1".parse().unwrap());
        first.fit = Fit::Cover;
        first.enabled = false;
        let items = arrange(
            &[first],
            &[ready("ast_2"), ready("ast_1"), ready("ast_1")],
            None,
        );
        let ids: Vec<&str> = items.iter().map(|e| e.asset_id.as_str()).collect();
        assert_eq!(ids, ["ast_2", "ast_1", "ast_1"]);
        assert_eq!(items[0], Entry::new("ast_2".parse().unwrap()));
        assert_eq!((items[1].fit, items[1].enabled), (Fit::Cover, true));
        assert!(items[1].playlist_item_id.is_some());
        assert_eq!(items[2].playlist_item_id, None);
    }

    #[test]
    fn seconds_are_for_pictures() {
        let mut video = ready("ast_2");
        video.kind = Some(ItemKind::Video);
        let items = arrange(&[], &[ready("ast_1"), video], Some(7));
        let seconds: Vec<Option<u32>> = items.iter().map(|e| e.duration_seconds).collect();
        assert_eq!(seconds, [Some(7), None]);
    }
}
