//! `fleet-control`: the command line of the control plane.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use fleet_control::app::Settings;
use fleet_control::clock::Clock;
use fleet_control::server::{Config, PublicUrl, StartError, check_name, start};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Fleet's control plane: registry, releases, rollouts, commands and the operator's console.
///
/// Everything that it keeps is in one folder: database, keys, bundles. Back that folder up.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer devices and operators until SIGTERM or Ctrl-C.
    ///
    /// The first start makes a certificate authority and an administrator's token in the data
    /// folder, and prints the token this once.
    Serve(Serve),
    /// Say whether `serve` would start with these options, and change nothing.
    Check(Options),
}

#[derive(Debug, Args)]
struct Options {
    /// Folder for database, keys and bundles.
    #[arg(
        long,
        default_value = "./fleet-data",
        env = "FLEET_DATA",
        value_name = "FOLDER"
    )]
    data: PathBuf,
    /// Address to listen on; port 0 takes a free one, which is written to FOLDER/address.
    #[arg(
        long,
        default_value = "127.0.0.1:8443",
        env = "FLEET_LISTEN",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// How devices reach this control plane; goes into provisioning files and the certificate.
    /// Default: the address that it listens on.
    #[arg(long, env = "FLEET_PUBLIC_URL", value_name = "https://HOST[:PORT]")]
    public_url: Option<PublicUrl>,
    /// Another host name or address for the server's certificate; may be given several times.
    #[arg(long = "san", value_name = "NAME", value_parser = check_name)]
    names: Vec<String>,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    options: Options,
    /// What to log, such as `info` or `fleet_control=debug`.
    #[arg(long, default_value = "info", env = "FLEET_LOG", value_name = "FILTER")]
    log: String,
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "FLEET_LOG_FORMAT")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Options {
    fn config(self) -> Config {
        Config {
            data: self.data,
            listen: self.listen,
            public_url: self.public_url,
            names: self.names,
            settings: Settings::default(),
            clock: Clock::system(),
        }
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => run(serve),
        Command::Check(options) => check(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet-control: {error:#}");
            if let Some(error) = error.downcast_ref::<StartError>() {
                eprintln!("Hint: {}", error.hint());
            }
            ExitCode::FAILURE
        }
    }
}

fn run(serve: Serve) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&serve.log)
        .with_context(|| format!("--log {}: no filter; try `info`", serve.log))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match serve.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime
        .context("start the runtime")?
        .block_on(answer(serve.options.config()))
}

async fn answer(config: Config) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
    let token_file = config.data.join("admin-token");
    let running = start(config).await?;
    let url = &running.app.settings.public_url;
    tracing::info!(server.address = %running.address, server.url = url, "fleet-control answers");
    if running.first_start {
        println!("Administrator's token, also in {}:", token_file.display());
        println!("  {}", running.admin_token);
        println!(
            "Console: https://{}/login?token={}",
            running.address, running.admin_token
        );
    } else {
        println!(
            "Console: https://{}/login (token in {})",
            running.address,
            token_file.display()
        );
    }
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    tracing::info!("fleet-control ends");
    running.stop().await;
    Ok(())
}

fn check(options: &Options) -> anyhow::Result<()> {
    let data = &options.data;
    if data.exists() {
        let metadata = data
            .metadata()
            .with_context(|| format!("look at {}", data.display()))?;
        anyhow::ensure!(
            metadata.is_dir(),
            "--data {}: is no folder; name one that is, or that does not exist yet",
            data.display()
        );
    } else {
        let parent = data.parent().filter(|p| !p.as_os_str().is_empty());
        let parent = parent.unwrap_or(std::path::Path::new("."));
        anyhow::ensure!(
            parent.is_dir(),
            "--data {}: the folder above it does not exist; make it first",
            data.display()
        );
    }
    std::net::TcpListener::bind(options.listen).with_context(|| {
        format!(
            "--listen {}: can't be used; choose another address, or end the program that has it",
            options.listen
        )
    })?;
    println!("ok");
    Ok(())
}
