//! Playlists as text: where one stands in a sentence, in a row, and item by item.

use std::collections::HashMap;

use fleet_protocol::AssetId;
use fleet_protocol::content::{AssetView, Entry, PlaylistView};
use fleet_protocol::player::ItemKind;

use crate::name::{Named as _, label};
use crate::output::{Output, Tone, printable};
use crate::text::wire_name;

/// How long a picture stays that says nothing else.
const USUAL_SECONDS: u32 = 10;

/// Where a playlist stands, in a sentence.
pub(super) fn said(view: &PlaylistView) -> String {
    let called = label(&view.name, view.id());
    let items = items(view.items.len());
    match (view.published_version, view.changed) {
        (Some(version), false) => format!("{called}: {items}, published as version {version}\n"),
        (Some(version), true) => format!(
            "{called}: {items}; screens still have version {version}. Next: fleet playlist publish {}\n",
            view.playlist_id
        ),
        (None, _) => format!(
            "{called}: {items}, not published yet. Next: fleet playlist publish {}\n",
            view.playlist_id
        ),
    }
}

pub(crate) fn items(count: usize) -> String {
    match count {
        1 => "1 item".to_owned(),
        count => format!("{count} items"),
    }
}

pub(super) fn row(playlist: &PlaylistView, output: Output) -> Vec<String> {
    vec![
        playlist.playlist_id.to_string(),
        output.paint(Tone::Strong, &printable(&playlist.name)),
        playlist.items.len().to_string(),
        published(playlist.published_version, playlist.changed, output),
        playlist.updated_at.strftime("%Y-%m-%d %H:%M").to_string(),
    ]
}

/// Of a playlist or a schedule: which version screens have, and whether the draft is another.
pub(crate) fn published(version: Option<u64>, changed: bool, output: Output) -> String {
    match (version, changed) {
        (None, _) => output.paint(Tone::Dim, "never"),
        (Some(version), false) => output.paint(Tone::Good, &format!("version {version}")),
        (Some(version), true) => {
            output.paint(Tone::Busy, &format!("version {version}, draft changed"))
        }
    }
}

pub(super) fn text(view: &PlaylistView, assets: &[AssetView], output: Output) -> String {
    let mut text = output.fields(&[
        ("playlist", view.playlist_id.to_string()),
        ("name", printable(&view.name)),
        (
            "published",
            published(view.published_version, view.changed, output),
        ),
        ("changed", view.updated_at.to_string()),
    ]);
    if view.items.is_empty() {
        return text
            + &format!(
                "\nIt is empty. Fill it with `fleet playlist set {} ASSET…`.\n",
                view.playlist_id
            );
    }
    let assets: HashMap<&AssetId, &AssetView> = assets.iter().map(|a| (&a.asset_id, a)).collect();
    let rows = view.items.iter().enumerate();
    let rows: Vec<Vec<String>> = rows
        .map(|(index, entry)| item_row(index, entry, assets.get(&entry.asset_id).copied(), output))
        .collect();
    text += "\n";
    text += &output.table(&["", "asset", "name", "shown for", "fit", ""], &rows);
    text
}

fn item_row(index: usize, entry: &Entry, asset: Option<&AssetView>, output: Output) -> Vec<String> {
    let video = asset.is_some_and(|a| a.kind == Some(ItemKind::Video));
    vec![
        (index + 1).to_string(),
        entry.asset_id.to_string(),
        asset.map_or_else(|| "?".to_owned(), |a| printable(&a.display_name)),
        if video {
            "to its end".to_owned()
        } else {
            format!("{} s", entry.duration_seconds.unwrap_or(USUAL_SECONDS))
        },
        wire_name(&entry.fit).to_lowercase(),
        if entry.enabled {
            String::new()
        } else {
            output.paint(Tone::Dim, "left out")
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::tests::{asset, plain};
    use crate::playlist::tests::playlist;
    use fleet_protocol::content::AssetStatus;

    #[test]
    fn a_sentence_says_what_screens_have_and_what_comes_next() {
        let check = |version, changed, expected: &str| {
            let text = said(&playlist("menu", version, changed));
            assert!(text.contains(expected), "{text}");
        };
        check(
            None,
            true,
            "not published yet. Next: fleet playlist publish pl_menu",
        );
        check(Some(3), true, "screens still have version 3");
        check(
            Some(3),
            false,
            "menu (pl_menu): 1 item, published as version 3",
        );
    }

    #[test]
    fn a_playlist_is_shown_item_by_item() {
        let mut view = playlist("menu", Some(2), true);
        view.items.push(Entry {
            enabled: false,
            duration_seconds: Some(4),
            ..Entry::new("ast_2".parse().unwrap())
        });
        let shown = text(
            &view,
            &[asset("ast_1", "soup", AssetStatus::Ready)],
            plain(),
        );
        for part in [
            "version 2, draft changed",
            "1  ast_1  soup",
            "10 s",
            "4 s",
            "left out",
        ] {
            assert!(shown.contains(part), "no `{part}` in\n{shown}");
        }
        view.items.clear();
        assert!(text(&view, &[], plain()).contains("It is empty"));
    }
}
