//! `fleet asset`: pictures and films, from a file here to the moment when they can be played.

pub(crate) mod upload;

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use fleet_protocol::AssetId;
use fleet_protocol::content::{AssetStatus, AssetView};
use fleet_protocol::device::Page;
use serde::Serialize;

use crate::args::Global;
use crate::client::Client;
use crate::context;
use crate::error::Result;
use crate::name::{self, Named};
use crate::output::{Output, Tone, human_bytes, printable};
use crate::text::{human_duration, wire_name};

const ASSETS: &str = "/v1/library/assets";

#[derive(Debug, Subcommand)]
pub enum AssetCommand {
    /// Upload pictures and films, and wait until they can be played; exit code 1 when one can't
    Upload {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List the assets
    List {
        /// Only those that are uploading, processing, ready or failed
        #[arg(long, value_name = "STATUS", value_parser = status)]
        status: Option<AssetStatus>,
    },
    /// Show one asset, and why it can't be played if so
    Show {
        /// Id, or name that only one has
        asset: String,
    },
    /// Delete assets that no playlist names
    Delete {
        /// Ids, or names that only one has
        #[arg(required = true, value_name = "ASSET")]
        assets: Vec<String>,
    },
}

fn status(text: &str) -> Result<AssetStatus, String> {
    text.to_uppercase().parse()
}

/// `--json` shape of every `delete` here and of playlists and groups.
#[derive(Debug, Serialize)]
pub(crate) struct Deleted<T> {
    pub(crate) deleted: Vec<T>,
}

/// # Errors
/// See each command.
pub fn run(command: AssetCommand, global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    match command {
        AssetCommand::Upload { files } => upload::run(&files, &client, output),
        AssetCommand::List { status } => list(status, &client, output),
        AssetCommand::Show { asset } => {
            let id = resolve(&all(&client)?, &asset)?.asset_id.clone();
            let view: AssetView = client.get(&format!("{ASSETS}/{id}"))?;
            output.result(&view, |v| text(v, output));
            Ok(())
        }
        AssetCommand::Delete { assets } => delete(&assets, &client, output),
    }
}

/// Every asset.
pub(crate) fn all(client: &Client) -> Result<Vec<AssetView>> {
    client.all(ASSETS)
}

impl Named for AssetView {
    const KIND: &'static str = "asset";
    const LIST: &'static str = "fleet asset list";

    fn id(&self) -> &str {
        self.asset_id.as_str()
    }

    fn is_called(&self, text: &str) -> bool {
        self.display_name == text || self.file_name == text
    }
}

/// One that failed has a name only while no other has it: a file that was mended is uploaded again.
pub(crate) fn resolve<'a>(all: &'a [AssetView], text: &str) -> Result<&'a AssetView> {
    let found = name::find(all, text);
    if found.is_err() {
        let usable = |a: &&AssetView| a.status != AssetStatus::Failed && a.is_called(text);
        let mut usable = all.iter().filter(usable);
        if let (Some(one), None) = (usable.next(), usable.next()) {
            return Ok(one);
        }
    }
    found
}

fn list(status: Option<AssetStatus>, client: &Client, output: Output) -> Result<()> {
    let items = match status {
        Some(status) => client.all(&format!("{ASSETS}?status={}", status.name()))?,
        None => all(client)?,
    };
    let page = Page {
        items,
        next_cursor: None,
    };
    output.result(&page, |page| {
        if page.items.is_empty() {
            return "No assets. Upload some with `fleet asset upload FILE…`.\n".to_owned();
        }
        table(&page.items, output)
    });
    Ok(())
}

fn table(assets: &[AssetView], output: Output) -> String {
    let rows: Vec<Vec<String>> = assets
        .iter()
        .map(|a| {
            vec![
                a.asset_id.to_string(),
                output.paint(Tone::Strong, &printable(&a.display_name)),
                painted(a.status, output),
                picture(a),
                human_bytes(a.file_size_bytes),
                a.created_at.strftime("%Y-%m-%d %H:%M").to_string(),
            ]
        })
        .collect();
    output.table(
        &[
            "asset",
            "name",
            "status",
            "picture",
            "size",
            "uploaded (UTC)",
        ],
        &rows,
    )
}

fn painted(status: AssetStatus, output: Output) -> String {
    let tone = match status {
        AssetStatus::Ready => Tone::Good,
        AssetStatus::Uploading | AssetStatus::Processing => Tone::Busy,
        AssetStatus::Failed => Tone::Bad,
    };
    output.paint(tone, &status.name().to_lowercase())
}

/// `video 1920 × 1080 12s`, as far as it is known.
fn picture(asset: &AssetView) -> String {
    let kind = asset.kind.map(|kind| wire_name(&kind).to_lowercase());
    let size = asset.width_px.zip(asset.height_px);
    let size = size.map(|(width, height)| format!("{width} × {height}"));
    let length = asset
        .duration_ms
        .map(|ms| human_duration(Duration::from_millis(ms)));
    let parts: Vec<String> = [kind, size, length].into_iter().flatten().collect();
    if parts.is_empty() {
        return "-".to_owned();
    }
    parts.join(" ")
}

fn text(asset: &AssetView, output: Output) -> String {
    let mut fields = vec![
        ("asset", asset.asset_id.to_string()),
        ("name", printable(&asset.display_name)),
        ("file", printable(&asset.file_name)),
        ("status", painted(asset.status, output)),
    ];
    if let Some(reason) = failure(asset) {
        fields.push(("because", reason));
    }
    fields.extend([
        ("picture", picture(asset)),
        ("size", human_bytes(asset.file_size_bytes)),
        ("sha256", asset.checksum_sha256.to_string()),
        ("uploaded", asset.created_at.to_string()),
    ]);
    output.fields(&fields)
}

/// `INVALID_CODEC: Video uses VP9 codec.`
fn failure(asset: &AssetView) -> Option<String> {
    let failure = asset.failure.as_ref()?;
    let reason = wire_name(&failure.failure_reason);
    Some(format!("{reason}: {}", printable(&failure.failure_detail)))
}

fn delete(names: &[String], client: &Client, output: Output) -> Result<()> {
    // All of them are known before the first one is gone.
    let all = all(client)?;
    let assets = names
        .iter()
        .map(|name| resolve(&all, name))
        .collect::<Result<Vec<&AssetView>>>()?;
    let mut deleted: Vec<AssetId> = Vec::new();
    for asset in assets {
        if let Err(mut error) = client.delete(&format!("{ASSETS}/{}", asset.asset_id)) {
            let name = name::label(&asset.display_name, asset.id());
            error.message = format!("{name} is not deleted: {}", error.message);
            return Err(error);
        }
        deleted.push(asset.asset_id.clone());
    }
    output.result(&Deleted { deleted }, |d| match d.deleted.len() {
        1 => "1 asset is deleted\n".to_owned(),
        count => format!("{count} assets are deleted\n"),
    });
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::error::Kind;
    use fleet_protocol::Sha256;
    use serde_json::json;

    pub(crate) fn asset(id: &str, name: &str, status: AssetStatus) -> AssetView {
        let mut view = json!({
            "assetId": id, "displayName": name, "fileName": format!("{name}.png"),
            "status": status, "fileSizeBytes": 2048, "checksumSha256": Sha256::of(name),
            "createdAt": "2026-06-15T14:02:00Z", "updatedAt": "2026-06-15T14:02:00Z",
        });
        let more = match status {
            AssetStatus::Ready => json!({"type": "IMAGE", "widthPx": 1920, "heightPx": 1080}),
            AssetStatus::Failed => json!({
                "failureReason": "INVALID_CODEC", "failureDetail": "Video uses VP9 codec.",
                "failedAtUtc": "2026-06-15T14:02:00Z",
            }),
            _ => json!({}),
        };
        let more = more.as_object().unwrap().clone();
        view.as_object_mut().unwrap().extend(more);
        serde_json::from_value(view).unwrap()
    }

    pub(crate) fn plain() -> Output {
        Output::new(&Global {
            color: crate::output::Color::Never,
            ..Global::default()
        })
    }

    #[test]
    fn an_asset_goes_by_its_id_its_name_and_its_files_name() {
        let all = [
            asset("ast_1", "spring", AssetStatus::Ready),
            asset("ast_2", "summer", AssetStatus::Ready),
        ];
        for text in ["ast_2", "summer", "summer.png"] {
            assert_eq!(resolve(&all, text).unwrap().id(), "ast_2", "{text}");
        }
        assert_eq!(resolve(&all, "winter").unwrap_err().kind, Kind::NotFound);
    }

    #[test]
    fn an_upload_that_failed_does_not_keep_its_name_from_the_next() {
        let failed = asset("ast_1", "spring", AssetStatus::Failed);
        assert_eq!(
            resolve(std::slice::from_ref(&failed), "spring")
                .unwrap()
                .id(),
            "ast_1"
        );
        let ready = asset("ast_2", "spring", AssetStatus::Ready);
        let both = [failed, ready.clone()];
        assert_eq!(resolve(&both, "spring").unwrap().id(), "ast_2");
        let again = asset("ast_3", "spring", AssetStatus::Ready);
        let error = resolve(&[ready, again], "spring").unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
    }

    #[test]
    fn an_asset_shows_what_it_is_or_why_it_is_not() {
        let shown = text(&asset("ast_1", "spring", AssetStatus::Ready), plain());
        assert!(shown.contains("image 1920 × 1080"), "{shown}");
        assert!(shown.contains("2.0 KiB"), "{shown}");
        let shown = text(&asset("ast_1", "spring", AssetStatus::Failed), plain());
        let because = "because:  INVALID_CODEC: Video uses VP9 codec.";
        assert!(shown.contains(because), "{shown}");
        let listed = table(
            &[asset("ast_1", "spring", AssetStatus::Processing)],
            plain(),
        );
        assert!(listed.contains("processing"), "{listed}");
    }

    #[test]
    fn a_status_may_be_written_small() {
        assert_eq!(status("ready"), Ok(AssetStatus::Ready));
        assert!(status("lost").unwrap_err().contains("READY"));
    }
}
