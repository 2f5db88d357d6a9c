//! The daemon: one process, an explicit event loop per concern, each with a liveness stamp.
//!
//! ```text
//! enrol ─► link ─► heartbeat ─┬ bells ─► target ─► update engine ─► install, reports
//!                  wakeup ────┘       └► commands ─► execute
//! health ─► update engine's gate, configuration's gate
//! renewal (of the certificate) ─► link
//! thermal, screen, safe mode, events, status, watchdog: each on its own
//! ```
//!
//! All loops run on one thread; what blocks (the control plane, large files) runs on the runtime's few
//! blocking threads. Loops speak through bounded channels and [`context::Bells`]. A loop that panics
//! ends the process: systemd starts it again, and the machines go on from their records.

pub mod args;
pub(crate) mod clock_keeper;
mod commands;
mod config;
mod context;
mod effects;
mod enrol;
mod events;
mod execute;
mod health;
mod heartbeat;
pub(crate) mod identity;
mod install;
mod publish;
mod reboot;
mod renewal;
mod reports;
mod safe_mode;
mod screen;
mod situation;
pub mod status;
mod target;
mod thermal;
mod update;
mod wakeup;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fleet_protocol::command::LogLevel;
use fleet_protocol::event::{EventKind, Severity};
use fleet_protocol::heartbeat::ResetReason;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::client::TimeFloor;
use crate::page;
use crate::platform::boot_env::BootEnvFile;
use crate::platform::metrics::Meter;
use crate::platform::paths::Paths;
use crate::platform::reset::FirstOfBoot;
use crate::platform::{booted, reset, sysfs, systemd};
use args::PageAddress;
use clock_keeper::ClockKeeper;
use context::{Context, Ctx, Device};
use events::EventSink;

/// Messages waiting for a loop; a sender that must not wait drops its own.
const CHANNEL: usize = 64;
/// The clock is written down this often, so that a power cut loses no more of it.
const KEEP_CLOCK: Duration = Duration::from_mins(15);
const WATCHDOG: Duration = Duration::from_secs(10);

/// `fleet-agent run`: until it is told to stop.
///
/// # Errors
/// Only for what makes the agent useless: no runtime, no signals, an image that does not say what it
/// is, or a loop that ended.
pub fn run(paths: &Paths, page: PageAddress) -> anyhow::Result<()> {
    fleet_device::logging::start("fleet-agent", LogLevel::Info);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(6)
        .thread_stack_size(512 * 1024)
        .thread_keep_alive(Duration::from_secs(20))
        .build()?;
    runtime.block_on(supervise(paths, page))
}

async fn supervise(paths: &Paths, page: PageAddress) -> anyhow::Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let prepared = prepare(paths)?;
    let ctx = prepared.ctx.clone();
    let mut loops = start(prepared, page);
    systemd::ready("running");
    let ended = tokio::select! {
        _ = stop.recv() => None,
        _ = interrupt.recv() => None,
        ended = loops.join_next() => Some(ended),
    };
    systemd::stopping();
    if let Err(error) = ctx.clock.keep() {
        log::warn!(error:%; "the time could not be kept");
    }
    if let Some(ended) = ended {
        let detail = ended.map(|joined| format!("{joined:?}"));
        anyhow::bail!("a loop has ended ({})", detail.unwrap_or_default());
    }
    if let Err(error) = reset::mark_orderly(paths, &ctx.device.booted.boot_id) {
        log::warn!(error:%; "the orderly shutdown could not be marked");
    }
    Ok(())
}

struct Prepared {
    ctx: Ctx,
    raised: mpsc::Receiver<fleet_protocol::event::Event>,
    config: config::Loaded,
}

/// Everything that comes before the loops: what boot this is, the clock, the configuration.
fn prepare(paths: &Paths) -> anyhow::Result<Prepared> {
    let release = booted::image_release(paths)
        .map_err(|e| anyhow::anyhow!("{e}; {}", e.hint()))
        .context("the image does not say what it is")?;
    let system = booted::system(paths, &release);
    let (reset_reason, first) = reset::reason(paths, &system.boot_id);
    let floor = TimeFloor::default();
    let (clock, step) = ClockKeeper::start(
        paths,
        floor.clone(),
        clock_keeper::evidence(paths, release.built_at),
    );
    let role = identity::load(paths).and_then(|identity| identity.role);
    let config = config::load(paths, role.as_ref(), &system.boot_id);
    let (sink, raised) = EventSink::new();
    let device = Device {
        hardware: sysfs::model(paths),
        serial_number: sysfs::serial_number(paths),
        paths: paths.clone(),
        release,
        booted: system,
        reset_reason,
    };
    log::info!(
        "agent.version" = env!("CARGO_PKG_VERSION"),
        "system.version":% = device.booted.version,
        "slot.name":% = device.booted.slot,
        "reset.reason":? = reset_reason;
        "the agent runs"
    );
    let boot_env = BootEnvFile::new(booted::grub_environment(paths));
    let in_force = config.in_force.clone();
    let ctx = Arc::new(Context::new(device, boot_env, sink, clock, floor, in_force));
    tell_start(&ctx, first, step);
    Ok(Prepared {
        ctx,
        raised,
        config,
    })
}

fn tell_start(ctx: &Ctx, first: FirstOfBoot, step: Option<clock_keeper::Step>) {
    let device = &ctx.device;
    let payload = serde_json::json!({
        "agentVersion": env!("CARGO_PKG_VERSION"),
        "version": device.booted.version,
        "slot": device.booted.slot,
        "firstOfBoot": first == FirstOfBoot::Yes,
    });
    ctx.events
        .raise(EventKind::AgentStarted, Severity::Info, payload);
    if let Some(step) = step {
        let payload = serde_json::json!({ "from": step.from, "to": step.to });
        ctx.events
            .raise(EventKind::ClockStepped, Severity::Warning, payload);
    }
    if first == FirstOfBoot::Yes {
        let severity = match device.reset_reason {
            ResetReason::Orderly | ResetReason::Unknown => Severity::Info,
            ResetReason::Power => Severity::Warning,
            ResetReason::Watchdog | ResetReason::Panic => Severity::Error,
        };
        let payload = serde_json::json!({ "reason": device.reset_reason });
        ctx.events
            .raise(EventKind::ResetDetected, severity, payload);
    }
}

fn start(prepared: Prepared, page: PageAddress) -> JoinSet<()> {
    let Prepared {
        ctx,
        raised,
        config: loaded,
    } = prepared;
    let (update_in, update_out) = mpsc::channel(CHANNEL);
    let (config_in, config_out) = mpsc::channel(CHANNEL);
    let (reports_in, reports_out) = mpsc::channel(CHANNEL);
    let (screen_in, screen_out) = mpsc::channel(4);
    let (safe_mode_in, safe_mode_out) = mpsc::channel(8);
    let mut meter = Meter::new();
    let first_status = Arc::new(publish::compose(&ctx, &mut meter));
    let (status_in, status_out) = watch::channel(first_status);
    let mut loops = JoinSet::new();
    loops.spawn(watchdog(ctx.clone()));
    loops.spawn(update::run(
        ctx.clone(),
        update::Wiring {
            messages: update_out,
            own: update_in.clone(),
            reports: reports_in,
            safe_mode: safe_mode_in,
        },
    ));
    loops.spawn(reports::run(ctx.clone(), reports_out, update_in.clone()));
    loops.spawn(health::run(
        ctx.clone(),
        health::Subscribers {
            update: update_in.clone(),
            config: config_in.clone(),
        },
    ));
    loops.spawn(config::run(ctx.clone(), loaded, config_out));
    loops.spawn(events::run(ctx.clone(), raised));
    loops.spawn(enrol::run(ctx.clone(), config_in.clone()));
    loops.spawn(heartbeat::run(ctx.clone()));
    loops.spawn(renewal::run(ctx.clone()));
    loops.spawn(target::run(
        ctx.clone(),
        target::Audience {
            update: update_in.clone(),
            config: config_in.clone(),
        },
    ));
    let hands = execute::Hands {
        update: update_in,
        config: config_in,
        screen: screen_in,
    };
    loops.spawn(commands::run(ctx.clone(), hands));
    loops.spawn(thermal::run(ctx.clone()));
    loops.spawn(screen::run(ctx.clone(), screen_out));
    loops.spawn(safe_mode::run(ctx.clone(), safe_mode_out));
    loops.spawn(publish::run(ctx.clone(), status_in, meter));
    // These may end without harm: polling and the status file do without them.
    tokio::spawn(wakeup::run(ctx));
    if let PageAddress::At(address) = page {
        tokio::spawn(async move {
            if let Err(error) = page::serve(status_out, address).await {
                log::error!(error:%, "page.address":% = address; "the local page is not served");
            }
        });
    }
    loops
}

/// Sends systemd its keepalive and writes the time down.
async fn watchdog(ctx: Ctx) {
    let pause = systemd::watchdog_interval()
        .unwrap_or(WATCHDOG)
        .min(WATCHDOG);
    let mut kept_at = tokio::time::Instant::now();
    loop {
        ctx.liveness.keepalive();
        tokio::time::sleep(pause).await;
        if kept_at.elapsed() >= KEEP_CLOCK {
            kept_at = tokio::time::Instant::now();
            if let Err(error) = ctx.clock.keep() {
                log::warn!(error:%; "the time could not be kept");
            }
        }
    }
}
