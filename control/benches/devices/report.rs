//! What was measured, as `cargo xtask bench control` reads it.

use std::time::Duration;

use serde::Serialize;

use crate::polls::Polls;

#[derive(Default)]
pub(crate) struct Latencies(Vec<f64>);

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1e3);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a list"
    )]
    pub(crate) fn percentile(&mut self, percent: f64) -> f64 {
        self.0.sort_by(f64::total_cmp);
        let index = (self.0.len() as f64 * percent / 100.0).ceil() as usize;
        let index = index.saturating_sub(1);
        self.0.get(index).copied().unwrap_or(f64::NAN)
    }
}

/// A minute of so many devices.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) devices: usize,
    pub(crate) requests: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) heartbeat_p99_ms: f64,
    pub(crate) handshake_p99_ms: f64,
    /// From when a device's turn was due to its end, the connection included.
    pub(crate) turn_p99_ms: f64,
    pub(crate) unchanged_percent: u64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) memory_kb: u64,
    pub(crate) server_cores: f64,
    pub(crate) generator_cores: f64,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) steps: Vec<Step>,
    /// Those that were acknowledged, and those of them that the database has not.
    pub(crate) heartbeats: u64,
    pub(crate) lost: u64,
    pub(crate) listed_devices: usize,
    pub(crate) list_p99_ms: f64,
    /// From the request to publish, to the manifest that has it.
    pub(crate) publish_ms: f64,
    pub(crate) streams: usize,
    pub(crate) stream_kb: f64,
    /// Until the last of them was woken.
    pub(crate) woken_ms: f64,
    /// Polls of ours and of gooseBit's, when there is one.
    pub(crate) ours: Option<Polls>,
    pub(crate) goosebit: Option<Polls>,
}
