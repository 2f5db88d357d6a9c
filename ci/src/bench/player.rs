//! The player beside mpv, VLC and gst-play-1.0: the same films on the same machine in the same run.
//!
//! All of them play on an X server in memory ([`stage`]), full-screen, by software, as the same user. Every frame of
//! the films says which it is, and the server's pixels are looked at 200 times a second, so that what was blank and
//! what was left out is read from the glass ([`seen`]) and not from what a player says of itself.

mod films;
mod glass;
mod peers;
mod seen;
mod stage;
mod usage;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::table::{Row, figure};
use crate::process;
use crate::progress::Progress;
use crate::setup::{self, Consent, Package};
use crate::workspace::Workspace;

use films::{Films, Set};
use glass::{Changes, Watch};
use peers::Player;
use seen::Story;
use stage::{Running, Stage};
use usage::Tree;

/// What is installed for this alone.
const PACKAGES: &[Package] = &[
    ("gstreamer1.0-plugins-base-apps", "a peer: gst-play-1.0"),
    ("matchbox-window-manager", "every window fills the screen"),
    ("mpv", "a peer"),
    ("vlc-bin", "a peer"),
    ("vlc-plugin-base", "the same"),
    ("vlc-plugin-video-output", "the same"),
    ("xvfb", "a screen in memory"),
];

/// How often each player is started for the time to its first frame; the first start is not counted.
const STARTS: usize = 8;
const MEMORY_LOOKED_AT_EVERY: Duration = Duration::from_millis(250);
const CPU_RATIO: f64 = 1.1;
const MEMORY_MB: f64 = 150.0;
const FIRST_FRAME_MS: f64 = 300.0;

/// What was measured of one player.
#[derive(Debug)]
struct Figures {
    playlist: Story,
    playlist_cpu: Duration,
    clip: Story,
    clip_cpu: Duration,
    clip_peak_bytes: u64,
    first_frame: Duration,
}

/// What one performance was.
struct Performance {
    story: Story,
    /// From the first frame on.
    cpu: Duration,
    peak_bytes: u64,
}

/// Measures all players.
pub(super) fn beside_others(
    workspace: &Workspace,
    playing: Duration,
    progress: Progress,
) -> Result<Vec<Row>> {
    setup::ensure(workspace, &[PACKAGES], Consent::Ask, progress)?;
    let films = films(workspace, progress)?;
    let mut figures = Vec::new();
    for player in Player::ALL {
        figures.push(measure(workspace, &films, player, playing, progress)?);
    }
    rows(&figures)
}

fn films(workspace: &Workspace, progress: Progress) -> Result<Films> {
    let step = progress.step("Making films, and the player as it is released");
    let films = Films::make(workspace)?;
    let mut command = process::cargo();
    command
        .args([
            "build",
            "--locked",
            "--release",
            "--package",
            "fleet-player",
        ])
        .current_dir(workspace.root());
    process::run_logged(&mut command, &workspace.log_file("build-player"))?;
    step.done("");
    Ok(films)
}

fn measure(
    workspace: &Workspace,
    films: &Films,
    player: Player,
    playing: Duration,
    progress: Progress,
) -> Result<Figures> {
    let step = progress.step(player.name());
    step.update("the playlist");
    let stage = Stage::open(workspace, films, (1280, 720))?;
    let mut starts = Vec::new();
    for _ in 0..=STARTS {
        let start = perform(&stage, player, &films.playlist, Duration::ZERO)?;
        starts.push(start.story.first);
    }
    let mut starts = starts.split_off(1);
    starts.sort();
    let playlist = perform(&stage, player, &films.playlist, playing)?;
    drop(stage);
    step.update("a film of 1080p30");
    let stage = Stage::open(workspace, films, (1920, 1080))?;
    // Not to its very end: what a player does then is another matter.
    let length = films.clip.length().saturating_sub(Duration::from_secs(2));
    let clip = perform(&stage, player, &films.clip, length)?;
    step.done(&format!(
        "{} changes, {:.1} ms blank; longest between two looks {} ms",
        playlist.story.transitions,
        millis(playlist.story.blank),
        playlist.story.blind.as_millis(),
    ));
    Ok(Figures {
        playlist: playlist.story,
        playlist_cpu: playlist.cpu,
        clip: clip.story,
        clip_cpu: clip.cpu,
        clip_peak_bytes: clip.peak_bytes,
        first_frame: starts[starts.len() / 2],
    })
}

/// Has `player` play for so long from its first frame on.
fn perform(stage: &Stage, player: Player, set: &Set, playing: Duration) -> Result<Performance> {
    stage.glass().wait_blank()?;
    let watch = Watch::begin(stage.glass(), Instant::now())?;
    let mut running = Running::start(stage, player, set, playing)?;
    watch
        .wait_first()
        .with_context(|| format!("waiting for {}", player.name()))?;
    let tree = Tree::of(running.id());
    let before = tree.cpu();
    let until = Instant::now() + playing;
    let mut peak_bytes = 0;
    while Instant::now() < until {
        peak_bytes = peak_bytes.max(tree.memory_bytes());
        if let Some(status) = running.ended()? {
            bail!("{} ended by itself: {status}", player.name());
        }
        thread::sleep(MEMORY_LOOKED_AT_EVERY);
    }
    let cpu = tree.cpu().saturating_sub(before);
    let looks = watch.end()?;
    running.stop()?;
    let story = seen::story(&looks, &set.films).context("nothing was seen")?;
    Ok(Performance {
        story,
        cpu,
        peak_bytes,
    })
}

fn rows(figures: &[Figures]) -> Result<Vec<Row>> {
    let versions: Vec<String> = Player::ALL
        .iter()
        .map(|player| player.version())
        .collect::<Result<_>>()?;
    let cells = |unit: &str, of: &dyn Fn(&Figures) -> f64| -> Vec<String> {
        figures
            .iter()
            .map(|each| format!("{} {unit}", short(of(each))))
            .collect()
    };
    let [ours, .., gst_play] = figures else {
        bail!("fewer players than columns");
    };
    let seconds = |cpu: Duration| cpu.as_secs_f64();
    let first = millis(ours.first_frame);
    let peak = megabytes(ours.clip_peak_bytes);
    Ok(vec![
        Row::beside("Version", &versions, "", None),
        Row::beside(
            "Blank from one film to the next, mean",
            &cells("ms", &|each| millis(each.playlist.blank_each())),
            "0 ms",
            None,
        ),
        Row::beside(
            "Blank from one film to the next, longest",
            &cells("ms", &|each| millis(each.playlist.longest_blank)),
            "0 ms",
            None,
        ),
        Row::beside(
            "Frames of the playlist that were not seen",
            &cells("%", &|each| each.playlist.missed_percent()),
            "",
            None,
        ),
        Row::beside(
            "Frames of the film of 1080p30 that were not seen",
            &cells("%", &|each| each.clip.missed_percent()),
            "",
            None,
        ),
        Row::beside(
            "Processor for the playlist",
            &cells("s", &|each| seconds(each.playlist_cpu)),
            "",
            Some(seconds(ours.playlist_cpu) / seconds(gst_play.playlist_cpu)),
        ),
        Row::beside(
            "Processor for the film of 1080p30",
            &cells("s", &|each| seconds(each.clip_cpu)),
            &format!("at most {CPU_RATIO} times gst-play-1.0"),
            Some(seconds(ours.clip_cpu) / seconds(gst_play.clip_cpu)),
        ),
        Row::beside(
            "Peak memory in the film of 1080p30",
            &cells("MB", &|each| megabytes(each.clip_peak_bytes)),
            &format!("at most {MEMORY_MB:.0} MB"),
            Some(peak / MEMORY_MB),
        ),
        Row::beside(
            "Process start to first frame, median",
            &cells("ms", &|each| millis(each.first_frame)),
            &format!("at most {FIRST_FRAME_MS:.0} ms"),
            Some(first / FIRST_FRAME_MS),
        ),
    ])
}

/// Resident memory of the player alone (decoders end with their items), early and late.
pub(super) fn memory(
    workspace: &Workspace,
    transitions: u64,
    progress: Progress,
) -> Result<Vec<Row>> {
    setup::ensure(workspace, &[PACKAGES], Consent::Ask, progress)?;
    let films = films(workspace, progress)?;
    let early = transitions / 10;
    let step = progress.step(format!("{transitions} changes of the picture"));
    let stage = Stage::open(workspace, &films, (320, 180))?;
    let count = Changes::count(stage.glass())?;
    let mut running = Running::start(&stage, Player::Fleet, &films.changes, Duration::ZERO)?;
    let tree = Tree::of(running.id());
    let mut at = |wanted: u64| -> Result<f64> {
        while count.so_far() < wanted {
            step.update(&format!("{} so far", count.so_far()));
            if let Some(status) = running.ended()? {
                bail!("the player ended by itself: {status}");
            }
            thread::sleep(Duration::from_millis(500));
        }
        tree.settled_resident_bytes().map(megabytes)
    };
    let (before, after) = (at(early)?, at(transitions)?);
    running.stop()?;
    step.done(&format!("{before:.1} MB, then {after:.1} MB"));
    Ok(vec![Row::compared(
        &format!("Player's resident memory after {transitions} items, against after {early}"),
        (after, before),
        "MB",
        "flat",
    )])
}

fn short(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else {
        figure(value)
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
