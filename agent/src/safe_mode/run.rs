//! The loop of safe mode.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fleet_device::clock;
use fleet_device::files::{self, Access};
use fleet_protocol::command::LogLevel;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::app::{App, router};
use super::device::Device;
use super::facts::Facts;
use super::gate::Gate;
use super::presence::Keyboards;
use super::{network, pin, sign_of_life};
use crate::core::Monotonic;
use crate::core::safe_mode::{self, Event, Watch};
use crate::page;
use crate::platform::framebuffer::Screen;
use crate::platform::paths::Paths;
use crate::platform::{booted, reset, systemd};
use fleet_cards::{Card, SafeModeCard};

const TICK: Duration = Duration::from_millis(300);
/// The console or a driver may have painted over the card; addresses may have changed.
const REDRAW: Duration = Duration::from_secs(10);
/// How long the PIN stays on the screen after a key was pressed.
const PIN_SHOWN_S: u64 = 120;

/// `fleet-agent safe-mode`: until it is told to stop, or the device reboots.
///
/// # Errors
/// Only when there is no runtime, no random numbers, or no signals: everything else is worked around.
pub fn run(paths: &Paths, address: SocketAddr) -> anyhow::Result<()> {
    fleet_device::logging::start("fleet-agent", LogLevel::Info);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .thread_stack_size(512 * 1024)
        .build()?;
    runtime.block_on(safe_mode(paths, address))
}

/// At the start of normal operation: the PIN is made before it is needed, and the network settings
/// that a technician kept come back. Beside everything else, because neither may hold up the agent.
pub fn prepare(paths: &Paths) {
    let paths = paths.clone();
    std::thread::spawn(move || {
        if let Err(error) = pin::ensure(&paths) {
            log::warn!(error:% = error; "no PIN could be made");
        }
        put_back_network(&paths);
    });
}

/// Blocking.
fn put_back_network(paths: &Paths) {
    match network::restore(paths) {
        Ok(None) => {}
        Ok(Some(wifi)) => {
            if let Err(error) = super::device::reload_networks(paths, &wifi) {
                log::warn!(error:% = error; "kept network settings could not be put in force");
            }
        }
        Err(error) => {
            log::warn!(error:% = error; "kept network settings could not be put back");
        }
    }
}

async fn safe_mode(paths: &Paths, address: SocketAddr) -> anyhow::Result<()> {
    let (pin, origin) = pin::ensure(paths)?;
    log::warn!("pin.origin":? = origin; "safe mode runs");
    let gate = Gate::new(paths, pin, clock::monotonic());
    let app = Arc::new(App::new(Device::new(paths.clone()), paths.clone(), gate));
    systemd::ready("safe mode");
    tokio::spawn(restore_network(Arc::clone(&app)));
    let server = tokio::spawn(serve(Arc::clone(&app), address));
    tokio::spawn(sign_of_life::run(paths.clone()));
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let boot_id = booted::boot_id(paths);
    reset::unmark_orderly(paths, &boot_id);
    let in_order = tokio::select! {
        _ = stop.recv() => true,
        _ = interrupt.recv() => true,
        () = watch(&app, address.port()) => false,
    };
    server.abort();
    systemd::stopping();
    if in_order && let Err(error) = reset::mark_orderly(paths, &boot_id) {
        log::warn!(error:%; "the orderly shutdown could not be marked");
    }
    Ok(())
}

/// Tries again for ever: the port may still be held by the page of normal operation.
async fn serve(app: Arc<App<Device>>, address: SocketAddr) {
    loop {
        match page::listen(address).await {
            Ok(listener) => {
                let served = axum::serve(listener, router(Arc::clone(&app))).await;
                log::error!(error:? = served.err(); "the page ended");
            }
            Err(error) => {
                log::warn!(error:% = error, address:% = address; "the page cannot be served yet");
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// What a technician kept comes back; what was on trial when this process last ended goes.
async fn restore_network(app: Arc<App<Device>>) {
    if let Err(error) = app.undo().await {
        log::warn!(error:% = error; "network settings on trial could not be undone");
    }
    let paths = app.paths.clone();
    if let Err(error) = tokio::task::spawn_blocking(move || put_back_network(&paths)).await {
        log::warn!(error:% = error; "kept network settings were not put back");
    }
}

/// Screen, keys, the network trial's end, and systemd's watchdog. What may take long (RAUC, the
/// journal, networkd) runs beside it, so that the keepalive speaks for this loop alone.
async fn watch(app: &Arc<App<Device>>, port: u16) {
    let liveness = systemd::Liveness::default();
    let mut tick = tokio::time::interval(TICK);
    let mut keyboards = Keyboards::default();
    let mut pin_until: Option<Monotonic> = None;
    let mut undoing: Option<JoinHandle<()>> = None;
    let (facts_in, mut facts) = watch::channel(None);
    let refreshing = tokio::spawn(refresh(Arc::clone(app), facts_in));
    let patience = Patience::begin(&app.paths);
    let mut retrying: Option<JoinHandle<()>> = None;
    loop {
        let mut repaint = false;
        tokio::select! {
            _ = tick.tick() => {
                liveness.keepalive();
                let now = clock::monotonic();
                let was_shown = pin_until.is_some();
                if keyboards.pressed(&app.paths, Path::new("/dev/input")) {
                    pin_until = Some(now.plus_ms(PIN_SHOWN_S * 1_000));
                } else if pin_until.is_some_and(|until| until <= now) {
                    pin_until = None;
                }
                repaint |= was_shown != pin_until.is_some();
                if undoing.as_ref().is_none_or(JoinHandle::is_finished) {
                    undoing = Some(tokio::spawn(end_trial(Arc::clone(app), now)));
                }
                if retrying.is_none() && patience.left_s(now) == 0 && !app.is_in_use(now) {
                    retrying = Some(tokio::spawn(retry(Arc::clone(app))));
                }
            }
            changed = facts.changed() => {
                if changed.is_err() {
                    // Gathering ended, which it never does by itself: start this process anew.
                    refreshing.abort();
                    return;
                }
                repaint = true;
            }
        }
        let known = facts.borrow_and_update().clone();
        if let Some(known) = known.filter(|_| repaint) {
            let pin = pin_until.map(|_| app.gate.presence());
            let left_s = patience.left_s(clock::monotonic());
            draw(&app.paths, card(&known, port, pin, left_s)).await;
        }
    }
}

/// When this device tries normal operation by itself: counted from when safe mode was entered, however
/// often this process began anew since.
struct Patience {
    until: Monotonic,
}

impl Patience {
    fn begin(paths: &Paths) -> Self {
        let file = paths.run.join("safe-mode-entered.json");
        let entered = booted::read_state(&file).unwrap_or_else(|| {
            let now = clock::monotonic();
            if let Err(error) = files::write_json(&file, &now, Access::Public) {
                log::warn!(error:%; "when safe mode was entered could not be kept");
            }
            now
        });
        let pause_s = memory(paths).pause_s(clock::wall());
        Self {
            until: entered.plus_ms(pause_s * 1_000),
        }
    }

    fn left_s(&self, now: Monotonic) -> u64 {
        self.until.since(now).div_ceil(1_000)
    }
}

/// What the agent remembers of failures and retries.
fn memory(paths: &Paths) -> Watch {
    let kept = booted::read_state(&paths.state().join("safe-mode.json"));
    kept.or_else(|| booted::read_state(&paths.run.join("safe-mode.json")))
        .unwrap_or_default()
}

/// Nobody came: restart and try normal operation. Should that fail, a person is still waited for.
async fn retry(app: Arc<App<Device>>) {
    log::warn!("nobody came: trying normal operation again");
    let (watch, _) = memory(&app.paths).step(
        Event::RetryDue,
        clock::wall(),
        &safe_mode::Limits::default(),
    );
    for folder in [app.paths.state(), app.paths.run.clone()] {
        // Without /data the count is lost with the boot, and the first pause is kept to.
        if folder.is_dir()
            && let Err(error) =
                files::write_json(&folder.join("safe-mode.json"), &watch, Access::Public)
        {
            log::warn!(error:%; "the count of retries could not be kept");
        }
    }
    if let Err(error) = app.actions.retry_unasked().await {
        log::error!(error:%; "normal operation could not be tried again");
    }
}

/// Looks at the device every few seconds.
async fn refresh(app: Arc<App<Device>>, out: watch::Sender<Option<Facts>>) {
    while !out.is_closed() {
        out.send_replace(Some(app.facts().await));
        tokio::time::sleep(REDRAW).await;
    }
}

async fn end_trial(app: Arc<App<Device>>, now: Monotonic) {
    if network::trial(&app.paths).is_some_and(|trial| trial.until <= now) {
        log::warn!("nobody kept the new network settings: going back to the old ones");
        if let Err(error) = app.undo().await {
            log::error!(error:% = error; "the old network settings could not be put back");
        }
    }
}

fn card(facts: &Facts, port: u16, pin: Option<String>, left_s: u64) -> Card {
    let port = if port == 80 {
        String::new()
    } else {
        format!(":{port}")
    };
    // IPv4 first: it is what people can type.
    let url = facts
        .addresses
        .iter()
        .find(|a| !a.contains(':'))
        .map(|a| format!("http://{a}{port}/"))
        .or_else(|| {
            facts
                .addresses
                .first()
                .map(|a| format!("http://[{a}]{port}/"))
        });
    Card::SafeMode(SafeModeCard {
        reason: facts.cause.clone(),
        advice: match left_s {
            0 => "A technician is needed. Nothing is lost by waiting.".to_owned(),
            // In steps, so that the screen does not look like a countdown to something.
            left_s => format!(
                "The device tries again by itself within {}. A technician can do so now.",
                page::duration(left_s.next_multiple_of(600))
            ),
        },
        device: facts.device.clone(),
        version: match facts.slot {
            Some(slot) => format!("Version {}, slot {slot}", facts.version),
            None => format!("Version {}", facts.version),
        },
        url,
        addresses: facts.addresses.clone(),
        pin,
    })
}

async fn draw(paths: &Paths, card: Card) {
    let sysfs = paths.sys.join("class/graphics/fb0");
    let drawn = tokio::task::spawn_blocking(move || {
        Screen::open_at(&sysfs, Path::new("/dev/fb0")).and_then(|screen| screen.show(&card))
    })
    .await;
    if let Ok(Err(error)) = drawn {
        // A device without a screen is an ordinary one.
        log::debug!(error:% = error; "the card could not be shown");
    }
}
