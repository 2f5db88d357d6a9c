//! What each command does. Each has its own end: none waits for ever.

use std::time::Duration;

use fleet_device::clock;
use fleet_protocol::UnitName;
use fleet_protocol::Version;
use fleet_protocol::command::{Command, CommandKind, CommandOutcome};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::context::{CallError, Ctx};
use super::{config, screen, update};
use crate::core::update::OperatorCommand;
use crate::support_bundle::{self, BundleLimits, Contents};

/// A reboot that did not come after this long has failed.
const REBOOT_GRACE: Duration = Duration::from_mins(3);
/// A configuration on trial ends by its own deadline; this is for when it does not.
const CONFIG_DEADLINE: Duration = Duration::from_hours(3);
const ENGINE_DEADLINE: Duration = Duration::from_mins(6);
/// Leaves the target some time to be fetched before the engine is asked.
const FETCH_PAUSE: Duration = Duration::from_secs(3);
/// How long a restarted service is given to come up or fail.
const RESTART_PAUSE: Duration = Duration::from_secs(5);
const MAX_DELAY_S: u32 = 7 * 24 * 3600;

/// How a command ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) ended: CommandOutcome,
    pub(super) detail: String,
    pub(super) output: Option<Value>,
}

/// What commands act through.
#[derive(Debug, Clone)]
pub(super) struct Hands {
    pub(super) update: mpsc::Sender<update::Message>,
    pub(super) config: mpsc::Sender<config::Message>,
    pub(super) screen: mpsc::Sender<screen::Message>,
}

fn succeeded(detail: impl Into<String>) -> Outcome {
    Outcome::new(CommandOutcome::Succeeded, detail)
}

fn failed(detail: impl Into<String>) -> Outcome {
    Outcome::new(CommandOutcome::Failed, detail)
}

fn refused(detail: impl Into<String>) -> Outcome {
    Outcome::new(CommandOutcome::Refused, detail)
}

/// The answer that a loop gave, if it gave one.
fn of(answer: Result<Result<String, String>, NoAnswer>) -> Outcome {
    match answer {
        Ok(Ok(detail)) => succeeded(detail),
        Ok(Err(detail)) => refused(detail),
        Err(none) => failed(none.to_string()),
    }
}

/// Nobody refused: whether anything was done is not known.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error(
        "no answer: the part of the agent that should give it dropped the question; see the journal"
    )]
    Dropped,
    #[error("no answer within {seconds} s; see the journal")]
    Late { seconds: u64 },
}

pub(super) async fn run(ctx: &Ctx, hands: &Hands, command: Command) -> Outcome {
    match command.kind {
        CommandKind::Update { version, force } => update(ctx, hands, version, force).await,
        CommandKind::Reboot { delay_seconds } => reboot(ctx, hands, delay_seconds).await,
        CommandKind::RestartService { service } => restart_service(ctx, &service).await,
        CommandKind::Bundle {
            include_logs,
            include_config,
        } => {
            let contents = Contents {
                logs: include_logs,
                config: include_config,
            };
            bundle(ctx, contents).await
        }
        CommandKind::Config { changes } => {
            let (reply, answer) = oneshot::channel();
            let message = config::Message::OwnChanges { changes, reply };
            if hands.config.send(message).await.is_err() {
                return failed("the configuration loop has stopped; restart the agent");
            }
            of(answered(answer, CONFIG_DEADLINE).await)
        }
        CommandKind::Refresh {} => {
            refresh(ctx);
            succeeded("everything is polled now")
        }
        CommandKind::LogLevel { level } => {
            fleet_device::logging::set_level(level);
            succeeded(format!(
                "{level:?} until the next start or change of configuration"
            ))
        }
        CommandKind::Identify { seconds } => {
            let seconds = seconds.clamp(1, 3600);
            match hands.screen.try_send(screen::Message::Identify { seconds }) {
                Ok(()) => succeeded(format!("the card is shown for {seconds} s")),
                Err(_) => failed("the screen is busy; try again"),
            }
        }
    }
}

fn refresh(ctx: &Ctx) {
    ctx.bells.target.notify_one();
    ctx.bells.heartbeat.notify_one();
    ctx.bells.events.notify_one();
    ctx.bells.health.notify_one();
}

async fn answered(
    answer: oneshot::Receiver<Result<String, String>>,
    deadline: Duration,
) -> Result<Result<String, String>, NoAnswer> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(NoAnswer::Dropped),
        Err(_) => Err(NoAnswer::Late {
            seconds: deadline.as_secs(),
        }),
    }
}

async fn update(ctx: &Ctx, hands: &Hands, version: Option<Version>, force: bool) -> Outcome {
    ctx.bells.target.notify_one();
    tokio::time::sleep(FETCH_PAUSE).await;
    if let Some(wanted) = version {
        let target = ctx.update.borrow().wanted.clone();
        if target.as_ref() != Some(&wanted) && ctx.device.booted.version != wanted {
            let target = target.map_or_else(|| "nothing".to_owned(), |t| t.to_string());
            return refused(format!(
                "{wanted} is not the target of this device, {target} is; start a rollout of it first"
            ));
        }
    }
    let (reply, answer) = oneshot::channel();
    let command = OperatorCommand::Update { force };
    let message = update::Message::Operator { command, reply };
    if hands.update.send(message).await.is_err() {
        return failed("the update engine has stopped; restart the agent");
    }
    of(answered(answer, ENGINE_DEADLINE).await)
}

async fn reboot(ctx: &Ctx, hands: &Hands, delay_seconds: u32) -> Outcome {
    if delay_seconds > MAX_DELAY_S {
        return refused(format!("a delay of more than {MAX_DELAY_S} s is not kept"));
    }
    tokio::time::sleep(Duration::from_secs(delay_seconds.into())).await;
    let (reply, answer) = oneshot::channel();
    if hands
        .update
        .send(update::Message::MayReboot(reply))
        .await
        .is_err()
    {
        return failed("the update engine has stopped; restart the agent");
    }
    match answered(answer, ENGINE_DEADLINE).await {
        Ok(Ok(_)) => {}
        denied => return of(denied),
    }
    if !super::reboot::reboot(ctx).await {
        return failed("systemd does not reboot; see the journal");
    }
    // The next boot answers: the queue knows that this command was running.
    tokio::time::sleep(REBOOT_GRACE).await;
    failed("systemd took the reboot, but the device still runs; see `systemctl list-jobs`")
}

async fn restart_service(ctx: &Ctx, service: &UnitName) -> Outcome {
    let allowed = ctx.config().config.services.restartable.clone();
    if !allowed.contains(service) {
        let list: Vec<&str> = allowed.iter().map(UnitName::as_str).collect();
        return refused(format!(
            "{service} is not among the services that may be restarted ({}); add it to \
             `services.restartable`",
            list.join(", ")
        ));
    }
    let systemd = match ctx.bus.systemd().await {
        Ok(systemd) => systemd,
        Err(error) => return failed(error.to_string()),
    };
    if let Err(error) = systemd.restart(service).await {
        return failed(format!("{error}; {}", error.hint()));
    }
    tokio::time::sleep(RESTART_PAUSE).await;
    match systemd.unit(service).await {
        Ok(state) if state.is_active() => succeeded(format!("{service} is {}", state.active)),
        Ok(state) => failed(format!(
            "{service} was restarted and is {} now",
            state.active
        )),
        Err(error) => failed(error.to_string()),
    }
}

async fn bundle(ctx: &Ctx, contents: Contents) -> Outcome {
    let collecting = ctx.clone();
    let written = tokio::task::spawn_blocking(move || collect(&collecting, contents)).await;
    let (name, path, size_bytes) = match written {
        Ok(Ok(written)) => written,
        Ok(Err(error)) => {
            return failed(format!(
                "the support bundle cannot be written: {error}; free space on /data"
            ));
        }
        Err(_) => return failed("collecting the support bundle was cut short"),
    };
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) => return failed(format!("the support bundle cannot be read again: {error}")),
    };
    let uploaded_name = name.clone();
    let sent = ctx
        .call(move |client| client.upload_support_bundle(&uploaded_name, size_bytes, file))
        .await;
    // Left-overs would only fill the disk.
    let _ = std::fs::remove_file(&path);
    match sent {
        Ok(()) => succeeded(format!("{name}, {size_bytes} bytes")).with(serde_json::json!({
            "name": name,
            "sizeBytes": size_bytes,
        })),
        Err(CallError::Client(error)) => failed(error.with_hint()),
        Err(error) => failed(error.to_string()),
    }
}

fn collect(ctx: &Ctx, contents: Contents) -> std::io::Result<(String, std::path::PathBuf, u64)> {
    let paths = &ctx.device.paths;
    let device = ctx
        .link()
        .map_or_else(|| "device".to_owned(), |l| l.device_id.to_string());
    let name = support_bundle::file_name(&device, clock::wall());
    std::fs::create_dir_all(paths.cache())?;
    let path = paths.cache().join(&name);
    let status = std::fs::read_to_string(paths.status_file()).unwrap_or_default();
    let parts = support_bundle::standard_parts(paths, contents, status);
    let secrets = support_bundle::secrets(paths);
    let file = std::fs::File::create(&path)?;
    let summary = support_bundle::write(
        parts,
        &secrets,
        BundleLimits::default(),
        clock::wall(),
        file,
    )
    .inspect_err(|_| {
        let _ = std::fs::remove_file(&path);
    })?;
    Ok((name, path, summary.size_bytes))
}
