//! Who plays, and how each is told to: full-screen, software decoding, X11 by shared memory, no sound, over and over.
//!
//! Each is given what its manual has against a blank screen between two films.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::films::Set;
use super::stage::Stage;
use crate::process;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Player {
    Fleet,
    Mpv,
    Vlc,
    GstPlay,
}

const MPV: &[&str] = &[
    "--no-config",
    "--really-quiet",
    "--vo=x11",
    "--hwdec=no",
    "--fullscreen",
    "--no-osc",
    "--no-audio",
    "--no-input-terminal",
    "--loop-playlist=inf",
    "--prefetch-playlist=yes",
];
const VLC: &[&str] = &[
    "--intf=dummy",
    "--quiet",
    "--vout=xcb_x11",
    "--avcodec-hw=none",
    "--fullscreen",
    "--no-osd",
    "--no-spu",
    "--no-audio",
    "--no-video-title-show",
    "--loop",
];
const GST_PLAY: &[&str] = &[
    "--no-interactive",
    "--quiet",
    "--videosink=ximagesink",
    "--gapless",
];

impl Player {
    /// In the order of the table's columns.
    pub(super) const ALL: [Self; 4] = [Self::Fleet, Self::Mpv, Self::Vlc, Self::GstPlay];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fleet => "fleet-player",
            Self::Mpv => "mpv",
            Self::Vlc => "VLC",
            Self::GstPlay => "gst-play-1.0",
        }
    }

    /// Plays the set for at least so long.
    pub(super) fn command(self, stage: &Stage, set: &Set, playing: Duration) -> Command {
        let files = set.files(&stage.films());
        match self {
            Self::Fleet => {
                let mut command = stage.command(stage.fleet_player());
                let (width, height) = stage.size();
                command
                    .args(["play", "--volume", "0", "--size"])
                    .arg(format!("{width}x{height}"))
                    .arg(stage.films().join(set.name));
                command
            }
            Self::Mpv => with(stage.command(Path::new("mpv")), MPV, &files),
            // `cvlc` is a script that starts this.
            Self::Vlc => with(stage.command(Path::new("vlc")), VLC, &files),
            Self::GstPlay => {
                // It has no loop.
                let rounds = playing.as_millis() / set.length().as_millis().max(1);
                let mut command = with(stage.command(Path::new("gst-play-1.0")), GST_PLAY, &files);
                for _ in 0..=rounds {
                    command.args(&files);
                }
                command
            }
        }
    }

    pub(super) fn version(self) -> Result<String> {
        let package = match self {
            Self::Fleet => return Ok(env!("CARGO_PKG_VERSION").to_owned()),
            Self::Mpv => "mpv",
            Self::Vlc => "vlc-bin",
            Self::GstPlay => "gstreamer1.0-plugins-base-apps",
        };
        let mut query = process::command("dpkg-query");
        query.args(["--show", "--showformat=${source:Upstream-Version}", package]);
        process::capture(&mut query).with_context(|| format!("the version of {package}"))
    }
}

fn with(mut command: Command, options: &[&str], files: &[PathBuf]) -> Command {
    command.args(options).args(files);
    command
}
