//! The daemon: one process, an explicit event loop per concern, each with a liveness stamp.

pub mod args;
pub mod status;

use std::time::Duration;

use fleet_protocol::command::LogLevel;
use tokio::signal::unix::{SignalKind, signal};

use crate::platform::paths::Paths;
use crate::platform::{booted, logging, reset, systemd};

/// `fleet-agent run`.
///
/// # Errors
/// Only for what makes the agent useless: no runtime, no signals.
pub fn run(paths: &Paths) -> anyhow::Result<()> {
    logging::start(LogLevel::Info);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_stack_size(512 * 1024)
        .thread_keep_alive(Duration::from_secs(20))
        .build()?;
    runtime.block_on(supervise(paths))
}

async fn supervise(paths: &Paths) -> anyhow::Result<()> {
    let boot_id = booted::boot_id(paths);
    let (reason, _) = reset::reason(paths, &boot_id);
    log::info!("agent.version" = env!("CARGO_PKG_VERSION"), "reset.reason":? = reason; "the agent runs");
    let liveness = systemd::Liveness::default();
    systemd::ready("running");
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let pause = systemd::watchdog_interval().unwrap_or(Duration::from_secs(30));
    let mut tick = tokio::time::interval(pause);
    loop {
        tokio::select! {
            _ = stop.recv() => break,
            _ = interrupt.recv() => break,
            _ = tick.tick() => liveness.keepalive(),
        }
    }
    systemd::stopping();
    if let Err(error) = reset::mark_orderly(paths, &boot_id) {
        log::warn!(error:%; "the orderly shutdown could not be marked");
    }
    Ok(())
}
