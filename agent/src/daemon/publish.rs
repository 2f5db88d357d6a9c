//! Puts the status together, for the page in this process and for everybody else in `/run`.

use std::sync::Arc;
use std::time::Duration;

use fleet_device::clock;
use fleet_device::files::{self, Access};
use fleet_protocol::heartbeat::OperatingMode;
use tokio::sync::watch;

use super::context::Ctx;
use super::status::{ControlPlaneStatus, Status};
use crate::platform::metrics::{self, Meter};

/// A page that refreshes itself shows nothing older than this.
const INTERVAL: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_mins(2);

pub(super) async fn run(ctx: Ctx, status: watch::Sender<Arc<Status>>, mut meter: Meter) {
    let stamp = ctx.liveness.register("status", DEADLINE);
    let mut update = ctx.update.subscribe();
    loop {
        stamp.touch();
        let now = compose(&ctx, &mut meter);
        if let Err(error) = write(&ctx, &now) {
            log::debug!(error:%; "the status could not be written");
        }
        status.send_replace(Arc::new(now));
        let wait = async {
            tokio::select! {
                _ = update.changed() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        };
        stamp.idle(wait).await;
    }
}

/// `/run` is memory: a rename is enough, and no sync is needed.
fn write(ctx: &Ctx, status: &Status) -> Result<(), files::FileError> {
    files::write_json(&ctx.device.paths.status_file(), status, Access::Public)
}

pub(super) fn compose(ctx: &Ctx, meter: &mut Meter) -> Status {
    let device = &ctx.device;
    let config = ctx.config();
    let contact = ctx.contact();
    let link = ctx.link();
    let update = ctx.update.borrow().clone();
    let mut network = metrics::network(&device.paths);
    network.last_sync_at_utc = contact.last_success;
    Status {
        at: clock::wall(),
        mode: OperatingMode::Normal,
        safe_mode_cause: None,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        device_id: link.as_ref().map(|l| l.device_id.clone()),
        compatible: device.release.compatible.clone(),
        hardware: device.hardware.clone(),
        serial_number: device.serial_number.clone(),
        role: Some(config.config.role.clone()),
        booted: device.booted.clone(),
        other_version: update.other_version,
        update: update.state,
        why: update.why,
        health: ctx.health.borrow().checks.clone(),
        control_plane: ControlPlaneStatus {
            server_url: ctx.server_url.borrow().clone(),
            enrolled: link.is_some(),
            reachable: contact.last_success.is_some() && !contact.is_away,
            refused_since: ctx.refused_since(),
            last_contact_at: contact.last_success,
            last_error: contact.last_error,
            certificate_not_after: *ctx.certificate_ends.borrow(),
        },
        network,
        metrics: meter.read(&device.paths),
        reset_reason: device.reset_reason,
        uptime_seconds: metrics::uptime_seconds(&device.paths),
        config_version: config.version,
        config_problem: config.problem.clone(),
        events_waiting: *ctx.events_waiting.borrow(),
        recent_events: ctx.events.recent(),
    }
}
