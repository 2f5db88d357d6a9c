//! `fleet-control backup` and `fleet-control restore`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::restore::Present;
use super::{BackupError, Progress, Scope, create, restore};
use crate::clock::Clock;

/// Write everything that a control plane keeps to one file, also while it runs.
///
/// The file holds the database as it stands at one instant, the keys of the CA, the administrator's token, and all media and
/// bundles: whoever can read it can be the control plane. It is readable by its owner only; keep it so.
#[derive(Debug, Args)]
pub struct Backup {
    /// The new file, such as `fleet-2026-06-15.backup`.
    file: PathBuf,
    /// The control plane's data folder.
    #[arg(
        long,
        default_value = "./fleet-data",
        env = "FLEET_DATA",
        value_name = "FOLDER"
    )]
    data: PathBuf,
    /// Leave out assets, bundles and support bundles: their files never change under their names, and may be copied apart.
    #[arg(long)]
    without_media: bool,
    /// Say what was written as JSON.
    #[arg(long)]
    json: bool,
}

/// Make a data folder what it was when a backup was made, or leave it as it is.
///
/// Everything is unpacked beside what is there and checked first. What is replaced is kept in FOLDER/.before-restore.
#[derive(Debug, Args)]
pub struct Restore {
    /// The file that `fleet-control backup` wrote.
    file: PathBuf,
    /// The data folder; no control plane may run on it.
    #[arg(
        long,
        default_value = "./fleet-data",
        env = "FLEET_DATA",
        value_name = "FOLDER"
    )]
    data: PathBuf,
    /// Replace what the data folder holds.
    #[arg(long)]
    force: bool,
    /// Say what was restored as JSON.
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub async fn run(self) -> Result<(), BackupError> {
        let scope = if self.without_media {
            Scope::WithoutMedia
        } else {
            Scope::Everything
        };
        let progress = Progress::on_terminal("Backing up");
        let now = Clock::system().now();
        let made = create(&self.data, &self.file, scope, now, &progress).await?;
        if self.json {
            say(&made);
            return Ok(());
        }
        println!(
            "{}: {} files, {} bytes ({} before compression), schema {}",
            made.file.display(),
            made.files,
            made.size_bytes,
            made.content_bytes,
            made.schema
        );
        if !made.left_out.is_empty() {
            println!(
                "Left out: {}. Copy these folders apart.",
                made.left_out.join(", ")
            );
        }
        Ok(())
    }
}

impl Restore {
    pub async fn run(self) -> Result<(), BackupError> {
        let present = if self.force {
            Present::Replace
        } else {
            Present::Refuse
        };
        let progress = Progress::on_terminal("Restoring");
        let restored = restore(&self.file, &self.data, present, &progress).await?;
        if self.json {
            say(&restored);
            return Ok(());
        }
        println!(
            "{}: as it was at {}: {} files, {} bytes, schema {}",
            restored.data.display(),
            restored.created_at,
            restored.files,
            restored.content_bytes,
            restored.schema
        );
        if !restored.left_out.is_empty() {
            println!(
                "The backup has no {}: put these folders there before you start the control plane.",
                restored.left_out.join(", ")
            );
        }
        if let Some(replaced) = restored.replaced {
            println!(
                "What was there is in {}: remove it when you are sure.",
                replaced.display()
            );
        }
        Ok(())
    }
}

fn say(answer: &impl Serialize) {
    let text = serde_json::to_string(answer).expect("paths, numbers and names make JSON");
    println!("{text}");
}
