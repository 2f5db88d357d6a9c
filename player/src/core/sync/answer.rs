//! What follows from an answer.

use fleet_protocol::player::{Manifest, PlayerEventKind};
use jiff::Timestamp;

use super::{Effect, Lane, Mode, Step, Upload, quoted};

/// Between two probes with a token that was refused.
const PROBE_MS: u64 = 15 * 60_000;
/// Near a manifest's end the player asks more often, but not more often than this.
const SHORTEST_MS: u64 = 30_000;
/// In a row; one alone may be a proxy's mistake, which is over after this pause. A token taken for
/// invalid costs the screen its picture.
const REFUSALS: u32 = 2;
const REFUSED_PAUSE_MS: u64 = 30_000;
const UNAUTHORIZED: u16 = 401;

/// The control plane gave what it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Success {
    /// 304
    NotModified,
    Manifest {
        /// Of the header, if there was one.
        etag: Option<String>,
        manifest: Box<Manifest>,
    },
    /// It came whole, and is no manifest.
    Unreadable {
        etag: Option<String>,
        reason: String,
    },
    /// Commands, a heartbeat or a batch.
    Done { more: More },
}

/// Whether rows are left to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    Waits,
    None,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `None`: there was no answer.
    pub status: Option<u16>,
    pub retry_after_s: Option<u64>,
    pub reason: String,
}

impl Step {
    pub(super) fn succeeded(&mut self, lane: Lane, success: Success, dice: u64) {
        self.sync.lanes.succeeded(lane);
        if self.sync.link.is_in_doubt() {
            self.sync.lanes.reached(self.now.mono);
        }
        let told = self.sync.link.succeeded(self.now);
        self.effects.extend(told.map(Effect::Tell));
        self.sync.unauthorized = 0;
        if self.sync.mode == Mode::Unregistered {
            self.register();
        }
        let mut more = More::None;
        match success {
            Success::NotModified => self.confirmed(),
            Success::Manifest { etag, manifest } => self.received(etag, manifest),
            Success::Unreadable { etag, reason } => self.rejected(etag, reason),
            Success::Done { more: left } => more = left,
        }
        self.plan(lane, more, dice);
    }

    /// When the lane is due again.
    fn plan(&mut self, lane: Lane, more: More, dice: u64) {
        let check_ms = self.sync.check_ms();
        let now = self.now.mono;
        let go_on = |step: &mut Self, upload| {
            if more == More::Waits {
                step.sync.lanes.go_on_with(upload, now);
            }
        };
        match lane {
            Lane::Manifest => {
                let pause_ms = self.poll_pause_ms(dice);
                self.sync.lanes.set(lane, now.plus_ms(pause_ms));
                self.sync.lanes.follow_manifest(now, check_ms);
            }
            Lane::Heartbeat => {
                let told = std::mem::take(&mut self.sync.fetch_failures.being_told);
                let untold = &mut self.sync.fetch_failures.untold;
                *untold = untold.saturating_sub(told);
                self.sync.lanes.set(lane, now.plus_ms(check_ms / 4 * 5));
            }
            // Follow the manifest; by themselves only when it fails.
            Lane::Commands => self.sync.lanes.set(lane, now.plus_ms(check_ms / 4 * 5)),
            Lane::Results => go_on(self, Upload::Results),
            Lane::Events => go_on(self, Upload::Events),
            Lane::Proofs => go_on(self, Upload::Proofs),
        }
    }

    /// The manifest's interval with a tenth of jitter; half of what is left when its end is near.
    fn poll_pause_ms(&self, dice: u64) -> u64 {
        let check_ms = self.sync.check_ms();
        let jittered = check_ms / 10 * 9 + dice % (check_ms / 5 + 1);
        let Some(valid_to) = self.sync.valid_to else {
            return jittered;
        };
        let left_ms = left_ms(self.now.wall, valid_to);
        let hurried = if left_ms == 0 {
            check_ms / 4
        } else {
            left_ms / 2
        };
        jittered.min(hurried.max(check_ms.min(SHORTEST_MS)))
    }

    fn confirmed(&mut self) {
        // Its end has passed, and it is still the one: there is nothing to hurry for.
        self.sync.valid_to.take_if(|end| *end <= self.now.wall);
        self.sync.rejected = None;
    }

    fn received(&mut self, etag: Option<String>, manifest: Box<Manifest>) {
        let sync = &mut self.sync;
        sync.etag = Some(etag.unwrap_or_else(|| quoted(&manifest.manifest_etag)));
        sync.valid_to = Some(manifest.valid_to_utc);
        sync.check_ms = Some(u64::from(manifest.next_check_seconds) * 1_000);
        sync.rejected = None;
        self.effects.push(Effect::Received(manifest));
    }

    /// The tag is not kept: what is asked for next is whatever comes after the manifest in force.
    fn rejected(&mut self, etag: Option<String>, reason: String) {
        let manifest_etag = etag.unwrap_or_default();
        let seen = format!("{manifest_etag} {reason}");
        if self.sync.rejected.as_ref() != Some(&seen) {
            self.sync.rejected = Some(seen);
            self.tell(PlayerEventKind::ManifestRejected {
                manifest_etag,
                reason,
            });
        }
    }

    pub(super) fn failed(&mut self, lane: Lane, failure: &Failure, dice: u64) {
        let now = self.now.mono;
        let unanswered = failure.status.is_none();
        let failures = self.sync.lanes.failed(lane, unanswered, now, dice);
        if unanswered {
            let told = self.sync.link.silent(lane, self.now, dice);
            self.effects.extend(told.map(Effect::Tell));
        }
        if lane == Lane::Manifest {
            self.fetch_failed(failures, failure);
        }
        match failure.status {
            Some(UNAUTHORIZED) => self.refused(dice),
            Some(_) | None if self.sync.mode == Mode::Unregistered => self.probe_later(dice),
            Some(_) | None => {}
        }
        if let Some(seconds) = failure.retry_after_s {
            self.sync.lanes.retry_after(lane, seconds, now, dice);
        }
    }

    /// Told for the first of an outage, and at each doubling of their number.
    fn fetch_failed(&mut self, failures: u32, failure: &Failure) {
        let untold = &mut self.sync.fetch_failures.untold;
        *untold = untold.saturating_add(1);
        if failures.is_power_of_two() {
            self.tell(PlayerEventKind::ManifestFetchFailed {
                http_status: failure.status,
                reason: failure.reason.clone(),
            });
        }
    }

    fn refused(&mut self, dice: u64) {
        self.sync.unauthorized = self.sync.unauthorized.saturating_add(1);
        if self.sync.unauthorized < REFUSALS {
            let pause_ms = REFUSED_PAUSE_MS + dice % REFUSED_PAUSE_MS;
            let until = self.now.mono.plus_ms(pause_ms);
            self.sync.link.hold(until);
        } else {
            if self.sync.mode == Mode::Registered {
                self.sync.mode = Mode::Unregistered;
                self.tell(PlayerEventKind::DeviceTokenInvalid {
                    http_status: UNAUTHORIZED,
                });
                self.effects.push(Effect::TokenInvalid);
            }
            self.probe_later(dice);
        }
    }

    fn probe_later(&mut self, dice: u64) {
        let pause_ms = PROBE_MS + dice % (PROBE_MS / 10);
        let at = self.now.mono.plus_ms(pause_ms);
        self.sync.lanes.put_off(Lane::Manifest, at);
    }
}

/// 0 when it is over.
fn left_ms(now: Timestamp, end: Timestamp) -> u64 {
    u64::try_from(end.as_millisecond() - now.as_millisecond()).unwrap_or(0)
}
