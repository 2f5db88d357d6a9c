//! `fleet-player`: the program around the library.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use fleet_player::app::device::{Device, Facts, Places, Setting};
use fleet_player::app::folder::{Folder, Manner};
use fleet_player::app::{self, Happening, Show};
use fleet_player::control_plane::PlainHttp;
use fleet_player::media::decoder::{self, Program};
use fleet_player::media::engine::Engine;
use fleet_player::media::frame::Size;
use fleet_player::media::output::Glass;
use fleet_protocol::command::LogLevel;
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
    /// Show what the control plane wants shown: the device's own service.
    Run(RunArguments),
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

#[derive(Debug, Args)]
struct RunArguments {
    /// The agent's folder: address and certificate of the control plane, the device's token.
    #[arg(long, value_name = "FOLDER", default_value = "/data/fleet/identity")]
    identity: PathBuf,
    /// The player's folder: manifests and what is still to be told.
    #[arg(long, value_name = "FOLDER", default_value = "/data/fleet/player")]
    state: PathBuf,
    /// The player's folder for media.
    #[arg(long, value_name = "FOLDER", default_value = "/data/fleet/cache")]
    cache: PathBuf,
    /// In a window of this size, on somebody's desktop.
    #[arg(long, value_name = "SIZE", default_value = "1280x720")]
    window: Size,
    /// Let the token go over plain http beyond this machine. For trying things out.
    #[arg(long)]
    insecure_http: bool,
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
    let result = match Arguments::parse().verb {
        Verb::Decode => return decoder::run(),
        Verb::Play(arguments) => {
            fleet_logging::start("fleet-player", LogLevel::Info);
            play(&arguments)
        }
        Verb::Run(arguments) => {
            fleet_logging::start("fleet-player", LogLevel::Info);
            run(arguments)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet-player: {error:#}");
            ExitCode::from(EX_UNAVAILABLE)
        }
    }
}

fn run(arguments: RunArguments) -> anyhow::Result<()> {
    let setting = Setting {
        places: Places {
            identity: arguments.identity,
            state: arguments.state,
            cache: arguments.cache,
        },
        facts: Facts::of_this_machine(),
        plain_http: if arguments.insecure_http {
            PlainHttp::Anywhere
        } else {
            PlainHttp::LoopbackOnly
        },
    };
    let (engine, happen, happenings) = open(arguments.window)?;
    let (device, events) = Device::open(setting)?;
    stop_at_signals(happen)?;
    let mut show = Show::new(engine, device);
    for event in events {
        show.take(event);
    }
    let played = app::play(&mut show, &happenings);
    show.end();
    Ok(played?)
}

fn play(arguments: &PlayArguments) -> anyhow::Result<()> {
    let (folder, loaded) = Folder::open(&arguments.folder, manner(arguments))?;
    if folder.is_empty() {
        anyhow::bail!(
            "{} holds no picture or film\nhint: .jpg, .png, .mp4, .webm and the like are played",
            arguments.folder.display()
        );
    }
    let (engine, happen, happenings) = open(arguments.size)?;
    stop_at_signals(happen)?;
    let mut show = Show::new(engine, folder);
    show.take(loaded);
    app::play(&mut show, &happenings)?;
    Ok(())
}

type Opened = (Engine, mpsc::Sender<Happening>, mpsc::Receiver<Happening>);

/// A window, and the channel of the main loop.
fn open(size: Size) -> anyhow::Result<Opened> {
    let (happen, happenings) = mpsc::channel();
    let program = Program {
        path: std::env::current_exe().context("finding this program's file")?,
    };
    let reports = happen.clone();
    let engine = Engine::start(Glass::Window, size, program, move |report| {
        // The loop has ended: so will the engine.
        let _ = reports.send(Happening::Engine(report));
    })?;
    Ok((engine, happen, happenings))
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
