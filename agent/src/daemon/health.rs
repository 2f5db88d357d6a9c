//! Looks at the system's health: units, the agent's own loops, the data partition. The update engine's
//! gate and the configuration's judge what is seen.

use std::time::Duration;

use fleet_device::clock;
use fleet_device::files::{self, Access};
use fleet_protocol::UnitName;
use fleet_protocol::heartbeat::HealthCheck;
use fleet_protocol::player::{FRAMES_FILE, FrameCounts};
use tokio::sync::mpsc;

use super::context::{Ctx, Health};
use crate::core::gate::Sample;
use crate::core::pictures::Pictures;
use crate::platform::metrics;

/// While something is on trial.
const TRIAL_INTERVAL: Duration = Duration::from_secs(3);
/// Otherwise: a unit's state is asked for over D-Bus, which costs.
const IDLE_INTERVAL: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_mins(3);
/// The unit whose pictures are looked at, if the role wants it.
pub(super) const PLAYER: &str = "fleet-player.service";
/// Of the file with its counts.
const MAX_COUNTS_BYTES: u64 = 4 * 1024;

/// Who wants samples: the update engine and the configuration, each while it has a gate open.
#[derive(Debug)]
pub(super) struct Subscribers {
    pub(super) update: mpsc::Sender<super::update::Message>,
    pub(super) config: mpsc::Sender<super::config::Message>,
}

pub(super) async fn run(ctx: Ctx, subscribers: Subscribers) {
    let stamp = ctx.liveness.register("health", DEADLINE);
    let mut writable = None;
    let mut pictures = Pictures::default();
    loop {
        stamp.touch();
        let is_trial = is_on_trial(&ctx);
        // Flash is not written every few seconds for the sake of a check.
        if is_trial || writable.is_none() {
            writable = Some(data_check(&ctx));
        }
        let sample = look(&ctx, writable.clone(), &mut pictures).await;
        ctx.health.send_replace(Health {
            checks: sample.checks.clone(),
            restarts: sample.restarts.clone(),
        });
        // A full channel means that its loop is busy; the next sample comes soon.
        let _ = subscribers
            .update
            .try_send(super::update::Message::Sample(sample.clone()));
        let _ = subscribers
            .config
            .try_send(super::config::Message::Sample(sample));
        let pause = if is_trial {
            TRIAL_INTERVAL
        } else {
            IDLE_INTERVAL
        };
        let wait = async {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ctx.bells.health.notified() => {}
            }
        };
        stamp.idle(wait).await;
    }
}

fn is_on_trial(ctx: &Ctx) -> bool {
    matches!(
        ctx.update.borrow().state,
        fleet_protocol::update::UpdateState::Trial { .. }
    ) || ctx.config_on_trial()
}

async fn look(ctx: &Ctx, data: Option<HealthCheck>, pictures: &mut Pictures) -> Sample {
    let units = ctx.config().config.health.required_units.clone();
    let mut sample = Sample {
        network_up: metrics::network(&ctx.device.paths).connected,
        control_plane: ctx.needs().seen(),
        ..Sample::default()
    };
    for unit in &units {
        sample
            .checks
            .push(unit_check(ctx, unit, &mut sample.restarts).await);
    }
    let hung = ctx.liveness.hung(clock::monotonic());
    sample.checks.push(HealthCheck {
        name: "agent-loops".to_owned(),
        ok: hung.is_empty(),
        detail: if hung.is_empty() {
            "all alive".to_owned()
        } else {
            format!("hanging: {}", hung.join(", "))
        },
    });
    if units.iter().any(|unit| unit.as_str() == PLAYER) {
        sample
            .checks
            .push(pictures.look(frame_counts(ctx), clock::monotonic()));
    }
    sample.checks.extend(data);
    sample
}

async fn unit_check(
    ctx: &Ctx,
    unit: &UnitName,
    restarts: &mut std::collections::BTreeMap<UnitName, u32>,
) -> HealthCheck {
    let state = match ctx.bus.systemd().await {
        Ok(systemd) => systemd.unit(unit).await.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let (ok, detail) = match state {
        Ok(state) => {
            restarts.insert(unit.clone(), state.restarts);
            (
                state.is_active(),
                format!("{} ({})", state.active, state.sub),
            )
        }
        Err(error) => (false, error),
    };
    HealthCheck {
        name: format!("unit:{unit}"),
        ok,
        detail,
    }
}

/// What the player says; a file that is not understood says nothing.
fn frame_counts(ctx: &Ctx) -> Option<FrameCounts> {
    let path = ctx.device.paths.player_run.join(FRAMES_FILE);
    let text = files::read_limited(&path, MAX_COUNTS_BYTES).ok()??;
    serde_json::from_slice(&text).ok()
}

/// Writes and removes a small file: a filesystem that went read-only looks mounted.
fn data_check(ctx: &Ctx) -> HealthCheck {
    let path = ctx.device.paths.state().join("writable");
    let written =
        files::write_atomic(&path, b"yes", Access::Public).and_then(|()| files::remove(&path));
    HealthCheck {
        name: "data-writable".to_owned(),
        ok: written.is_ok(),
        detail: written.map_or_else(|e| e.to_string(), |()| "writable".to_owned()),
    }
}
