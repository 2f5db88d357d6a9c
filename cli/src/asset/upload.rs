//! `fleet asset upload`: files one after the other, then a wait until all of them were looked at.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet_protocol::Sha256;
use fleet_protocol::content::{AssetStatus, AssetView, CreateUpload, UploadSession};
use serde::Serialize;
use serde_json::json;

use super::{ASSETS, failure, painted, picture};
use crate::client::Client;
use crate::error::{CommandError, Kind, Result};
use crate::output::{Output, Tone, printable};
use crate::resume::Upload;
use crate::{clock, store};

/// Between two looks at the assets that are being looked at, and how many of them.
const STEP: Duration = Duration::from_secs(1);
const LOOKS: u32 = 600;
/// Of a file's name beside its bar.
const NAME_SHOWN: usize = 24;

/// What became of one file.
#[derive(Debug, Serialize)]
pub(crate) struct Uploaded {
    pub(crate) file: PathBuf,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    /// Ready, failed, or still being looked at when nobody waited any longer.
    Sent {
        asset: Box<AssetView>,
    },
    NotSent {
        error: String,
    },
}

impl Uploaded {
    fn is_waited_for(&self) -> bool {
        match &self.outcome {
            Outcome::Sent { asset } => {
                !matches!(asset.status, AssetStatus::Ready | AssetStatus::Failed)
            }
            Outcome::NotSent { .. } => false,
        }
    }

    /// Why it can't be played; `None`: it can.
    fn trouble(&self) -> Option<String> {
        match &self.outcome {
            Outcome::NotSent { error } => Some(error.clone()),
            Outcome::Sent { asset } => match asset.status {
                AssetStatus::Ready => None,
                AssetStatus::Failed => {
                    Some(failure(asset).unwrap_or_else(|| "it failed".to_owned()))
                }
                AssetStatus::Uploading | AssetStatus::Processing => {
                    Some("it is still being looked at".to_owned())
                }
            },
        }
    }
}

pub(super) fn run(files: &[PathBuf], client: &Client, output: Output) -> Result<()> {
    let items = all(files, &[], client, output)?;
    output.result(&json!({"items": items}), |_| table(&items, output));
    ready(items).map(|_| ())
}

/// Uploads files, and waits until all of them were looked at. A file that is among the ready ones of `here` is
/// not sent again. One that can't be read or is not taken does not hold the others up.
pub(crate) fn all(
    files: &[PathBuf],
    here: &[AssetView],
    client: &Client,
    output: Output,
) -> Result<Vec<Uploaded>> {
    let mut uploads = Vec::new();
    for file in files {
        let outcome = match send(file, here, client, output) {
            Ok(asset) => Outcome::Sent {
                asset: Box::new(asset),
            },
            // The others would fare no better.
            Err(error) if matches!(error.kind, Kind::Unreachable | Kind::Unauthorized) => {
                return Err(error);
            }
            Err(error) => Outcome::NotSent {
                error: sentence(&error),
            },
        };
        uploads.push(Uploaded {
            file: file.clone(),
            outcome,
        });
    }
    wait(&mut uploads, client, output)?;
    Ok(uploads)
}

fn sentence(error: &CommandError) -> String {
    let mut text = error.message.clone();
    for cause in error.causes() {
        text += &format!(": {cause}");
    }
    text
}

fn send(file: &Path, here: &[AssetView], client: &Client, output: Output) -> Result<AssetView> {
    let file_name = file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .ok_or_else(|| {
            CommandError::usage(format!("{} is no file", file.display())).hint("name a file")
        })?;
    let (checksum_sha256, size_bytes) = store::digest(file)?;
    if let Some(asset) = find(here, checksum_sha256) {
        return Ok(asset.clone());
    }
    let request = CreateUpload {
        display_name: None,
        file_name: file_name.clone(),
        file_size_bytes: size_bytes,
        checksum_sha256,
    };
    let session: UploadSession = client.post(&format!("{ASSETS}/uploads"), &request)?;
    let upload = Upload {
        client,
        file,
        to: &session.upload_url,
        size_bytes,
    };
    let last = last_byte(file, size_bytes)?;
    let mut begun = false;
    let shown: String = printable(&file_name).chars().take(NAME_SHOWN).collect();
    upload.run(&output.byte_bar(size_bytes, &shown), output, || {
        // Of an empty file there is no byte to ask with.
        if std::mem::replace(&mut begun, true) && size_bytes > 0 {
            return client.arrived(&session.upload_url, size_bytes, last);
        }
        Ok(Some(0))
    })?;
    let path = format!("{ASSETS}/uploads/{}/complete", session.upload_id);
    client.post(&path, &json!({}))
}

/// The asset that this file is already.
fn find(here: &[AssetView], checksum: Sha256) -> Option<&AssetView> {
    here.iter()
        .find(|a| a.status == AssetStatus::Ready && a.checksum_sha256 == checksum)
}

fn last_byte(file: &Path, size: u64) -> Result<u8> {
    use std::os::unix::fs::FileExt as _;
    let mut byte = [0];
    if let Some(at) = size.checked_sub(1) {
        std::fs::File::open(file)
            .and_then(|file| file.read_exact_at(&mut byte, at))
            .map_err(|e| CommandError::io(format!("cannot read {}", file.display()), e))?;
    }
    Ok(byte[0])
}

/// Asks until every asset is ready or failed; a control plane that restarts meanwhile is waited for.
fn wait(uploads: &mut [Uploaded], client: &Client, output: Output) -> Result<()> {
    let bar = output.count_bar(uploads.len() as u64, "Looking at");
    for look in 0..LOOKS {
        let waiting = uploads.iter().filter(|u| u.is_waited_for()).count();
        bar.set_position((uploads.len() - waiting) as u64);
        if waiting == 0 {
            break;
        }
        if look > 0 {
            clock::pause(STEP);
        }
        for upload in uploads.iter_mut().filter(|u| u.is_waited_for()) {
            let Outcome::Sent { asset } = &mut upload.outcome else {
                continue;
            };
            match client.get(&format!("{ASSETS}/{}", asset.asset_id)) {
                Ok(view) => **asset = view,
                Err(error) if error.kind == Kind::Unreachable => {}
                Err(error) => return Err(error),
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

pub(crate) fn table(uploads: &[Uploaded], output: Output) -> String {
    let rows: Vec<Vec<String>> = uploads
        .iter()
        .map(|upload| {
            let (sign, tone) = match upload.trouble() {
                None => ("✓", Tone::Good),
                Some(_) => ("✗", Tone::Bad),
            };
            let mut row = vec![
                output.paint(tone, sign),
                printable(&upload.file.display().to_string()),
            ];
            match &upload.outcome {
                Outcome::Sent { asset } => row.extend([
                    asset.asset_id.to_string(),
                    painted(asset.status, output),
                    picture(asset),
                ]),
                Outcome::NotSent { .. } => {
                    row.extend(["-", "not sent", "-"].map(str::to_owned));
                }
            }
            row
        })
        .collect();
    output.table(&["", "file", "asset", "status", "picture"], &rows)
}

/// The assets, if all of them can be played.
///
/// # Errors
/// Names each that can't, and why.
pub(crate) fn ready(uploads: Vec<Uploaded>) -> Result<Vec<AssetView>> {
    let count = uploads.len();
    let troubles: Vec<String> = uploads
        .iter()
        .filter_map(|u| Some(format!("\n  {}: {}", u.file.display(), u.trouble()?)))
        .collect();
    if !troubles.is_empty() {
        let files = if count == 1 { "file" } else { "files" };
        let message = format!(
            "{} of {count} {files} can't be played:{}",
            troubles.len(),
            troubles.concat()
        );
        return Err(CommandError::failed(message).hint(
            "JPEG, PNG and MP4 (H.264 with AAC) are taken: mend these, and upload them again",
        ));
    }
    let assets = uploads.into_iter().filter_map(|u| match u.outcome {
        Outcome::Sent { asset } => Some(*asset),
        Outcome::NotSent { .. } => None,
    });
    Ok(assets.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::tests::{asset, plain};

    fn sent(file: &str, status: AssetStatus) -> Uploaded {
        Uploaded {
            file: file.into(),
            outcome: Outcome::Sent {
                asset: Box::new(asset("ast_1", "spring", status)),
            },
        }
    }

    fn not_sent(file: &str) -> Uploaded {
        let error = CommandError::failed("cannot read it").because("it is a folder");
        Uploaded {
            file: file.into(),
            outcome: Outcome::NotSent {
                error: sentence(&error),
            },
        }
    }

    #[test]
    fn each_file_that_cannot_be_played_is_named_with_its_reason() {
        let uploads = vec![
            sent("good.png", AssetStatus::Ready),
            sent("bad.webm", AssetStatus::Failed),
            sent("slow.mp4", AssetStatus::Processing),
            not_sent("folder"),
        ];
        let shown = table(&uploads, plain());
        assert!(shown.contains("✓  good.png"), "{shown}");
        assert!(shown.contains("✗  bad.webm  ast_1  failed"), "{shown}");
        let error = ready(uploads).unwrap_err();
        assert_eq!(error.kind, Kind::Failed);
        let expected = "3 of 4 files can't be played:\n  bad.webm: INVALID_CODEC: Video uses VP9 codec.\n  \
            slow.mp4: it is still being looked at\n  folder: cannot read it: it is a folder";
        assert_eq!(error.message, expected);
        assert!(!error.hints.is_empty());
    }

    #[test]
    fn when_all_can_be_played_there_is_no_error() {
        let assets = ready(vec![sent("a.png", AssetStatus::Ready)]).unwrap();
        assert_eq!(assets.len(), 1);
    }

    #[test]
    fn in_json_a_file_has_its_asset_or_its_error() {
        let shape = serde_json::to_value(sent("a.png", AssetStatus::Ready)).unwrap();
        assert_eq!(shape["asset"]["status"], "READY");
        let shape = serde_json::to_value(not_sent("b")).unwrap();
        assert_eq!(
            shape,
            json!({"file": "b", "error": "cannot read it: it is a folder"})
        );
    }

    #[test]
    fn a_file_that_is_there_already_is_not_sent_again() {
        let here = [
            asset("ast_1", "spring", AssetStatus::Failed),
            asset("ast_2", "spring", AssetStatus::Ready),
        ];
        let found = find(&here, Sha256::of("spring")).unwrap();
        assert_eq!(found.asset_id.as_str(), "ast_2");
        assert_eq!(find(&here, Sha256::of("summer")), None);
    }
}
