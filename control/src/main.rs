//! `fleet-control`: the command line of the control plane.

mod mail_options;
mod tenant;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use fleet_control::app::Settings;
use fleet_control::backup::{Backup, BackupError, Restore};
use fleet_control::clock::Clock;
use fleet_control::domain::webhooks::target::Reach;
use fleet_control::mail::{MailError, Mailer};
use fleet_control::server::{Config, PublicUrl, StartError, check_name, start};
use fleet_control::store::{ServerUrl, Store};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use mail_options::MailOptions;

/// Fleet's control plane: registry, releases, rollouts, commands and the operator's console.
///
/// Everything that it keeps is in one folder: database, keys, media, bundles. `backup` makes one file of it. With
/// --database the rows are in PostgreSQL instead, to be backed up there.
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
    /// Make, list and shut out tenants.
    Tenant(tenant::TenantArgs),
    Backup(Backup),
    Restore(Restore),
    /// Look at the file on standard input (for `serve`, which never does it itself).
    #[command(hide = true)]
    Look {
        /// What can be played, as JSON.
        limits: String,
    },
}

/// Where everything is kept.
#[derive(Debug, Args)]
struct Home {
    /// Folder for keys, bundles, media, and the database if it is SQLite's.
    #[arg(
        long,
        global = true,
        default_value = "./fleet-data",
        env = "FLEET_DATA",
        value_name = "FOLDER"
    )]
    data: PathBuf,
    /// PostgreSQL instead of SQLite in the data folder: postgres://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE.
    /// Control planes with the same database and the same data folder share the work. An address
    /// with a password belongs into the environment: everybody can read a command line.
    #[arg(
        long,
        global = true,
        env = "FLEET_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    database: Option<Unread>,
}

#[derive(Debug, Args)]
struct Options {
    #[command(flatten)]
    home: Home,
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
    /// Let webhooks be on this machine and on private networks, and be reached by http. Whoever may make webhooks then
    /// chooses what this control plane connects to there.
    #[arg(long, env = "FLEET_WEBHOOKS_EVERYWHERE")]
    webhooks_everywhere: bool,
    #[command(flatten)]
    mail: MailOptions,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    options: Options,
    /// What to log, such as `info` or `fleet_control=debug`.
    #[arg(long, default_value = "info", env = "FLEET_LOG", value_name = "FILTER")]
    log: String,
    /// One record a line, for people or for programs; both go to standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "FLEET_LOG_FORMAT", value_name = "FORMAT")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// An address as it was given. It is not parsed by clap, which would print it, password and all, when it is none.
#[derive(Clone)]
struct Unread(String);

impl std::fmt::Debug for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unread")
    }
}

impl std::str::FromStr for Unread {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl Home {
    /// `None`: SQLite.
    fn database(&self) -> anyhow::Result<Option<ServerUrl>> {
        let given = self.database.as_ref().map(|given| given.0.parse());
        given.transpose().map_err(|wrong: String| {
            anyhow::anyhow!("--database (or FLEET_DATABASE_URL): {wrong}; leave it out for SQLite")
        })
    }

    /// The store of a control plane that was started here before.
    async fn store(&self) -> anyhow::Result<Store> {
        if let Some(server) = self.database()? {
            return Ok(Store::connect(&server).await?);
        }
        let file = self.data.join("fleet.db");
        anyhow::ensure!(
            file.exists(),
            "--data {}: there is no control plane's database; start `fleet-control serve` once, or name its folder",
            self.data.display()
        );
        Ok(Store::open(&file).await?)
    }
}

impl Options {
    fn config(self) -> anyhow::Result<Config> {
        let mail = self.mail.server()?;
        Ok(Config {
            database: self.home.database()?,
            data: self.home.data,
            listen: self.listen,
            public_url: self.public_url,
            names: self.names,
            settings: Settings {
                webhooks: if self.webhooks_everywhere {
                    Reach::Everywhere
                } else {
                    Reach::Public
                },
                mail,
                ..Settings::default()
            },
            clock: Clock::system(),
        })
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => run(serve),
        Command::Check(options) => check(&options),
        Command::Tenant(args) => tenant::run(args),
        Command::Backup(backup) => runtime().and_then(|r| Ok(r.block_on(backup.run())?)),
        Command::Restore(restore) => runtime().and_then(|r| Ok(r.block_on(restore.run())?)),
        Command::Look { limits } => fleet_control::media::run(&limits),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet-control: {error:#}");
            if let Some(hint) = hint(&error) {
                eprintln!("Hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

/// What to do next.
fn hint(error: &anyhow::Error) -> Option<String> {
    let started = error.downcast_ref().map(StartError::hint);
    let backed_up = || error.downcast_ref().map(BackupError::hint);
    let mailed = || {
        let hint = error.downcast_ref().map(MailError::hint);
        hint.map(str::to_owned)
    };
    started.or_else(backed_up).or_else(mailed)
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
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    runtime()?.block_on(answer(serve.options.config()?))
}

fn runtime() -> anyhow::Result<Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build().context("start the runtime")
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
        if let Some(link) = &running.first_link {
            println!("Your own account, an administrator's: {link}");
        }
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
    let data = &options.home.data;
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
    if let Some(server) = options.home.database()? {
        let checked = runtime()?.block_on(Store::check(&server));
        checked.map_err(StartError::from)?;
    }
    if let Some(server) = options.mail.server()? {
        let url = options.public_url.as_ref();
        let host = url.map_or_else(
            || options.listen.ip().to_string(),
            |url| url.host().to_owned(),
        );
        runtime()?.block_on(Mailer::new(server, &host).check())?;
    }
    println!("ok");
    Ok(())
}
