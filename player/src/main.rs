//! `fleet-player`: the program around the library.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use fleet_device::logging;
use fleet_player::app::device::{Device, Facts, MediaLimits, Places, Setting};
use fleet_player::app::folder::{Folder, Manner};
use fleet_player::app::{self, Engines, Happening, Place, Show};
use fleet_player::control_plane::PlainHttp;
use fleet_player::media::decoder::{self, Program};
use fleet_player::media::frame::Size;
use fleet_player::profile::{self, Board, Profile};
use fleet_player::service;
use fleet_protocol::command::LogLevel;
use fleet_protocol::config::MIN_BANDWIDTH_LIMIT_BYTES_PER_S;
use fleet_protocol::player::{Fit, Orientation, Settings, Transition, TransitionKind};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Keeps pictures on a screen.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Of `--window` without a verb.
    #[command(flatten)]
    run: RunArguments,
}

impl Arguments {
    /// `fleet-player --window` is short for `fleet-player run --window`; the display is taken only when told so.
    fn verb(self) -> Result<Verb, clap::Error> {
        match self.verb {
            Some(verb) => Ok(verb),
            None if self.run.window.is_some() => Ok(Verb::Run(self.run)),
            None => {
                let kind = clap::error::ErrorKind::MissingSubcommand;
                let message = "without `run` or `play` a `--window` is asked for";
                Err(Self::command().error(kind, message))
            }
        }
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Loop the pictures and films of a folder.
    Play(PlayArguments),
    /// Show what the control plane wants shown: the device's own service.
    Run(RunArguments),
    /// What the player starts for each item; not for people.
    #[command(hide = true)]
    Decode {
        /// Elements to be loaded before the order comes.
        preferred: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct PlayArguments {
    /// Pictures (JPEG, PNG) and films (MP4, `WebM`), played in the order of their names.
    folder: PathBuf,
    /// Of the picture in a window.
    #[arg(long, default_value = "1280x720", conflicts_with = "display")]
    size: Size,
    /// On this machine's display instead of a window: from a console, where no desktop has it.
    #[arg(long)]
    display: bool,
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
    #[command(flatten)]
    machine: Machine,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// The agent's folder: address and certificate of the control plane, the device's token.
    #[arg(
        long,
        env = "FLEET_PLAYER_IDENTITY",
        value_name = "FOLDER",
        default_value = "/data/fleet/identity"
    )]
    identity: PathBuf,
    /// The player's folder: manifests and what is still to be told.
    #[arg(long, value_name = "FOLDER", default_value = "/data/fleet/player")]
    state: PathBuf,
    /// The player's folder for media.
    #[arg(long, value_name = "FOLDER", default_value = "/data/fleet/cache")]
    cache: PathBuf,
    /// What the agent wants on the screen.
    #[arg(long, value_name = "FILE", default_value = "/run/fleet/card.json")]
    notice: PathBuf,
    /// In a window of this size, on somebody's desktop, instead of on the display.
    #[arg(long, value_name = "SIZE", num_args = 0..=1, default_missing_value = "1280x720")]
    window: Option<Size>,
    /// Of the media on this device, in bytes, instead of what the profile says. A manifest may say otherwise.
    #[arg(long, env = "FLEET_PLAYER_CACHE_BUDGET_BYTES", value_name = "BYTES")]
    cache_budget: Option<u64>,
    /// Of all downloads together, in bytes a second: 16384 or more, or 0 for no limit. A manifest may say otherwise.
    #[arg(
        long,
        env = "FLEET_PLAYER_BANDWIDTH_LIMIT_BYTES_PER_S",
        value_name = "BYTES",
        default_value_t = 0,
        value_parser = bandwidth_limit
    )]
    bandwidth_limit: u64,
    /// Let the token go over plain http beyond this machine. For trying things out.
    #[arg(long, env = "FLEET_PLAYER_INSECURE_HTTP")]
    insecure_http: bool,
    #[command(flatten)]
    machine: Machine,
}

#[derive(Debug, Args)]
struct Machine {
    /// What kind of machine this is, instead of finding out: a name in /usr/share/fleet/profiles, or a file's path.
    #[arg(long, env = "FLEET_PLAYER_PROFILE", value_name = "NAME")]
    profile: Option<String>,
}

impl Machine {
    fn profile(&self) -> anyhow::Result<Profile> {
        let folder = Path::new(profile::FOLDER);
        let profile = match &self.profile {
            Some(name) => Profile::named(name, folder)?,
            None => Profile::of(&Board::under(Path::new("/")), folder)?,
        };
        log::info!("plays as a machine of the profile {}", profile.name);
        Ok(profile)
    }
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

fn bandwidth_limit(text: &str) -> Result<u64, String> {
    let limit = text.parse::<u64>().map_err(|error| error.to_string())?;
    if (1..MIN_BANDWIDTH_LIMIT_BYTES_PER_S).contains(&limit) {
        let least = MIN_BANDWIDTH_LIMIT_BYTES_PER_S;
        return Err(format!(
            "at least {least}, or 0 for no limit: below it nothing would ever arrive"
        ));
    }
    Ok(limit)
}

/// As sysexits(3) has it.
const EX_UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    let verb = Arguments::parse()
        .verb()
        .unwrap_or_else(|error| error.exit());
    // A decoder has nobody to log to: what goes wrong it tells the player.
    if !matches!(verb, Verb::Decode { .. }) {
        logging::start("fleet-player", LogLevel::Info);
    }
    let result = match verb {
        Verb::Decode { preferred } => return decoder::run(&preferred),
        Verb::Play(arguments) => play(&arguments),
        Verb::Run(arguments) => run(arguments),
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
    let profile = arguments.machine.profile()?;
    let budget = arguments.cache_budget;
    let setting = Setting {
        places: Places {
            identity: arguments.identity,
            state: arguments.state,
            cache: arguments.cache,
            notice: arguments.notice,
            // A window is on somebody's desktop, and so is his screen.
            cec: arguments.window.is_none().then(|| PathBuf::from("/dev")),
        },
        facts: Facts::of_this_machine(),
        plain_http: if arguments.insecure_http {
            PlainHttp::Anywhere
        } else {
            PlainHttp::LoopbackOnly
        },
        media: MediaLimits {
            cache_budget_bytes: budget.unwrap_or(profile.cache_budget_bytes),
            bandwidth_limit_bytes_per_s: arguments.bandwidth_limit,
        },
    };
    let place = match arguments.window {
        Some(size) => Place::Window(size),
        None => Place::Display {
            kept: service::take_display(),
        },
    };
    let (happen, happenings) = mpsc::channel();
    let mut engines = engines(&happen, profile)?;
    let engine = engines.begin(place)?;
    let (device, events) = Device::open(setting)?;
    stop_at_signals(happen)?;
    let mut show = Show::new(engine, device);
    for event in events {
        show.take(event);
    }
    let played = app::play(&mut show, &mut engines, &happenings);
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
    let place = if arguments.display {
        Place::Display { kept: None }
    } else {
        Place::Window(arguments.size)
    };
    let (happen, happenings) = mpsc::channel();
    let mut engines = engines(&happen, arguments.machine.profile()?)?;
    let engine = engines.begin(place)?;
    stop_at_signals(happen)?;
    let mut show = Show::new(engine, folder);
    show.take(loaded);
    app::play(&mut show, &mut engines, &happenings)?;
    Ok(())
}

/// Decoders are this very program.
fn engines(happen: &mpsc::Sender<Happening>, profile: Profile) -> anyhow::Result<Engines> {
    let path = std::env::current_exe().context("finding this program's file")?;
    let profile = profile.decoder;
    let program = Program { path, profile };
    Ok(Engines::new(program, happen.clone()))
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

fn manner(arguments: &PlayArguments) -> Manner {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn verb(arguments: &[&str]) -> Result<Verb, clap::Error> {
        let arguments = std::iter::once(&"fleet-player").chain(arguments);
        Arguments::try_parse_from(arguments)?.verb()
    }

    #[test]
    fn a_window_needs_no_verb() {
        let check = |arguments: &[&str], size: &str| {
            let Verb::Run(run) = verb(arguments).unwrap() else {
                panic!("{arguments:?}");
            };
            assert_eq!(run.window, Some(size.parse().unwrap()), "{arguments:?}");
            assert_eq!(run.cache, PathBuf::from("/tmp/media"));
        };
        check(&["--window", "--cache", "/tmp/media"], "1280x720");
        check(&["--window", "640x360", "--cache", "/tmp/media"], "640x360");
        check(&["run", "--window", "--cache", "/tmp/media"], "1280x720");
    }

    #[test]
    fn the_display_is_taken_only_when_told_so() {
        assert!(matches!(verb(&["run"]), Ok(Verb::Run(run)) if run.window.is_none()));
        assert!(matches!(verb(&["play", "/tmp"]), Ok(Verb::Play(_))));
        for wrong in [
            &[][..],
            &["--cache", "/tmp"],
            &["--window", "64x64", "play", "/tmp"],
        ] {
            assert!(verb(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_bandwidth_through_which_nothing_gets_is_refused() {
        let check = |limit: &str, accepted: bool| {
            let parsed = verb(&["run", "--bandwidth-limit", limit]);
            assert_eq!(parsed.is_ok(), accepted, "{limit}");
        };
        check("0", true);
        check("16383", false);
        check("16384", true);
    }
}
