//! The regular sign of life, and what the answer to it sets going.

use std::time::Duration;

use fleet_device::clock;
use fleet_protocol::backoff::Backoff;
use fleet_protocol::event::{EventKind, Severity};
use fleet_protocol::heartbeat::{Heartbeat, HeartbeatAck, OperatingMode};
use jiff::Timestamp;

use super::context::{CallError, Context, Ctx, dice};
use super::enrol::linked;
use crate::core::contact::Need;
use crate::core::interval::next_poll_ms;
use crate::core::standing::Word;
use crate::platform::metrics::{self, Meter};

const DEADLINE: Duration = Duration::from_mins(5);
/// Heartbeats asked for out of turn come no faster than this.
const MIN_PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn run(ctx: Ctx) {
    let stamp = ctx.liveness.register("heartbeat", DEADLINE);
    stamp.idle(linked(&ctx)).await;
    let mut meter = Meter::new();
    let mut failures = 0;
    let mut config = ctx.config.subscribe();
    loop {
        stamp.touch();
        let heartbeat = compose(&ctx, &mut meter);
        let errors = heartbeat.errors.clone();
        let answer = ctx
            .call_for(Need::Heartbeat, move |client| client.heartbeat(&heartbeat))
            .await;
        match answer {
            Ok(ack) => {
                failures = 0;
                ctx.heard_word(Word::Taken);
                ctx.counted(&errors);
                answered(&ctx, &ack);
            }
            Err(error) => {
                failures += 1;
                log::debug!(error:%; "a heartbeat was not answered");
                if matches!(&error, CallError::Client(error) if error.is_refused_identity()) {
                    ctx.heard_word(Word::Refused);
                }
            }
        }
        let pause = pause(&ctx, failures);
        let early = async {
            tokio::time::sleep(MIN_PAUSE).await;
            tokio::select! {
                () = ctx.bells.heartbeat.notified() => {}
                // Its interval counts from now on, and its trial waits for an answer.
                _ = config.changed() => {}
            }
        };
        let wait = async {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = early => {}
            }
        };
        stamp.idle(wait).await;
    }
}

fn pause(ctx: &Ctx, failures: u32) -> Duration {
    let control = &ctx.config().config.control;
    let interval_ms = u64::from(control.heartbeat_interval_s) * 1_000;
    let max_ms = u64::from(control.max_backoff_s) * 1_000;
    let ms = if ctx.refused_since().is_some() {
        next_poll_ms(max_ms, control.jitter_percent, dice())
    } else if failures == 0 {
        next_poll_ms(interval_ms, control.jitter_percent, dice())
    } else {
        let backoff = Backoff {
            base_ms: interval_ms.min(5_000),
            max_ms,
        };
        backoff.pause_ms(failures, dice())
    };
    Duration::from_millis(ms)
}

/// The interval and its jitter, rounded up.
fn longest_pause_s(control: &fleet_protocol::config::Control) -> u32 {
    let percent = 100 + u64::from(control.jitter_percent);
    let seconds = (u64::from(control.heartbeat_interval_s) * percent).div_ceil(100);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

fn compose(ctx: &Ctx, meter: &mut Meter) -> Heartbeat {
    let device = &ctx.device;
    let config = ctx.config();
    let update = ctx.update.borrow().clone();
    let mut network = metrics::network(&device.paths);
    network.last_sync_at_utc = ctx.contact().last_success;
    Heartbeat {
        device_time: clock::wall(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        compatible: device.release.compatible.clone(),
        hardware: device.hardware.clone(),
        role: config.config.role.clone(),
        mode: OperatingMode::Normal,
        booted: device.booted.clone(),
        other_version: update.other_version,
        uptime_seconds: metrics::uptime_seconds(&device.paths),
        reset_reason: device.reset_reason,
        update: update.state,
        health: ctx.health.borrow().checks.clone(),
        metrics: meter.read(&device.paths),
        network,
        errors: ctx.error_counts(),
        // What an application knows of itself it tells in its own words: the player by its own heartbeat. The field is for
        // roles whose application has no line to the control plane of its own; none of today's is one.
        status: None,
        next_within_seconds: Some(longest_pause_s(&config.config.control)),
        config_version: config.version,
        key_set_version: *ctx.key_set_version.borrow(),
    }
}

fn answered(ctx: &Ctx, ack: &HeartbeatAck) {
    log::debug!("target.generation" = ack.target_generation,
        "commands.pending" = ack.commands_pending; "a heartbeat was answered");
    ctx.heard_time(ack.server_time);
    if ack.commands_pending > 0 {
        ctx.bells.commands.notify_one();
    }
    if ack.target_generation != ctx.update.borrow().generation {
        ctx.bells.target.notify_one();
    }
    // The line is good: what waits for it need not wait for its own pause.
    ctx.bells.events.notify_one();
}

impl Context {
    /// The control plane's word on the time, over an authenticated connection.
    pub(super) fn heard_time(&self, server_time: Timestamp) {
        if let Some(step) = self.clock.heard(server_time) {
            let payload = serde_json::json!({ "from": step.from, "to": step.to });
            self.events
                .raise(EventKind::ClockStepped, Severity::Warning, payload);
        }
    }

    /// Shown on the device's own page while it is not enrolled.
    pub(super) fn fail_enrolment(&self, message: &str, hint: &str) {
        self.note_trouble(format!("{message}; {hint}"));
    }
}
