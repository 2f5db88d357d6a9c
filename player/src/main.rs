//! `fleet-player`: the program around the library.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use fleet_player::app::folder::{Folder, Manner};
use fleet_player::app::{self, Happening, Show};
use fleet_player::media::decoder::{self, Program};
use fleet_player::media::engine::Engine;
use fleet_player::media::frame::Size;
use fleet_player::media::output::Glass;
use fleet_protocol::player::{Fit, Orientation, Settings, Transition, TransitionKind};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Keeps pictures on a screen.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Loop the pictures and films of a folder.
    Play(PlayArguments),
    /// What the player starts for each item; not for people.
    #[command(hide = true)]
    Decode,
}

#[derive(Debug, Args)]
struct PlayArguments {
    /// Pictures (JPEG, PNG) and films (MP4, `WebM`), played in the order of their names.
    folder: PathBuf,
    /// Of the picture in a window.
    #[arg(long, default_value = "1280x720")]
    size: Size,
    /// How long an image stays.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Fade from one item to the next for so many milliseconds; 0 cuts.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    crossfade: u32,
    /// How a picture of another shape is fitted in.
    #[arg(long, value_enum, default_value_t = FitName::Letterbox)]
    fit: FitName,
    /// How the screen is mounted, in degrees clockwise.
    #[arg(long, value_enum, default_value_t = Turn::D0)]
    turned: Turn,
    /// 0 to 100; 0 is silent.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u8).range(0..=100))]
    volume: u8,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FitName {
    Letterbox,
    Cover,
    Stretch,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Turn {
    #[value(name = "0")]
    D0,
    #[value(name = "90")]
    D90,
    #[value(name = "180")]
    D180,
    #[value(name = "270")]
    D270,
}

/// As sysexits(3) has it.
const EX_UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    match Arguments::parse().verb {
        Verb::Decode => decoder::run(),
        Verb::Play(arguments) => {
            app::log_to_stderr();
            match play(&arguments) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("fleet-player: {error:#}");
                    ExitCode::from(EX_UNAVAILABLE)
                }
            }
        }
    }
}

fn play(arguments: &PlayArguments) -> anyhow::Result<()> {
    let (folder, loaded) = Folder::open(&arguments.folder, manner(arguments))?;
    if folder.is_empty() {
        anyhow::bail!(
            "{} holds no picture or film\nhint: .jpg, .png, .mp4, .webm and the like are played",
            arguments.folder.display()
        );
    }
    let (happen, happenings) = mpsc::channel();
    let program = Program {
        path: std::env::current_exe().context("finding this program's file")?,
    };
    let reports = happen.clone();
    let engine = Engine::start(Glass::Window, arguments.size, program, move |report| {
        // The loop has ended: so will the engine.
        let _ = reports.send(Happening::Engine(report));
    })?;
    stop_at_signals(happen)?;
    let mut show = Show::new(engine, folder);
    show.take(loaded);
    app::play(&mut show, &happenings)?;
    Ok(())
}

fn stop_at_signals(happen: mpsc::Sender<Happening>) -> anyhow::Result<()> {
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).context("watching for signals")?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            let _ = happen.send(Happening::Stop);
        }
    });
    Ok(())
}

const fn manner(arguments: &PlayArguments) -> Manner {
    let kind = if arguments.crossfade == 0 {
        TransitionKind::Cut
    } else {
        TransitionKind::Crossfade
    };
    Manner {
        seconds_an_image: arguments.seconds,
        fit: match arguments.fit {
            FitName::Letterbox => Fit::Letterbox,
            FitName::Cover => Fit::Cover,
            FitName::Stretch => Fit::Stretch,
        },
        transition: Transition {
            kind,
            duration_ms: arguments.crossfade,
        },
        volume_percent: arguments.volume,
        settings: Settings {
            orientation: match arguments.turned {
                Turn::D0 => Orientation::Landscape,
                Turn::D90 => Orientation::Portrait,
                Turn::D180 => Orientation::LandscapeFlipped,
                Turn::D270 => Orientation::PortraitFlipped,
            },
            ..Settings::KIOSK
        },
    }
}
