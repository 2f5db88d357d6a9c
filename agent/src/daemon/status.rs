//! What the device is and does, for the local page, `fleet-agent status` and the support bundle.
//!
//! One document: in memory behind a watch channel for whoever runs in the same process, and as
//! `/run/fleet/status.json` for everybody else. It holds no secrets.

use std::sync::Arc;

use fleet_protocol::event::Event;
use fleet_protocol::heartbeat::{HealthCheck, Metrics, Network, OperatingMode, ResetReason};
use fleet_protocol::update::{BootedSystem, UpdateState};
use fleet_protocol::why::WhyTrace;
use fleet_protocol::{Compatible, DeviceId, RoleName, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// A snapshot that may be a few seconds old.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// When this was put together.
    pub at: Timestamp,
    pub mode: OperatingMode,
    /// For people: why it is in safe mode, if it is.
    #[serde(default)]
    pub safe_mode_cause: Option<String>,
    pub agent_version: String,
    /// `None` before it is enrolled.
    #[serde(default)]
    pub device_id: Option<DeviceId>,
    pub compatible: Compatible,
    /// Board model.
    pub hardware: String,
    #[serde(default)]
    pub serial_number: Option<String>,
    #[serde(default)]
    pub role: Option<RoleName>,
    pub booted: BootedSystem,
    /// What the other slot holds, as far as is known.
    #[serde(default)]
    pub other_version: Option<Version>,
    pub update: UpdateState,
    /// Why the target does not run yet.
    pub why: WhyTrace,
    pub health: Vec<HealthCheck>,
    pub control_plane: ControlPlaneStatus,
    pub network: Network,
    pub metrics: Metrics,
    pub reset_reason: ResetReason,
    pub uptime_seconds: u64,
    /// The delivered configuration in force, 0 for the image's own.
    pub config_version: u64,
    /// Why the configuration last delivered is not in force, if it is not.
    #[serde(default)]
    pub config_problem: Option<String>,
    /// Events waiting for the control plane.
    pub events_waiting: u32,
    /// The latest, newest first; at most [`MAX_RECENT_EVENTS`].
    #[serde(default)]
    pub recent_events: Vec<Event>,
}

pub const MAX_RECENT_EVENTS: usize = 20;

/// How it stands with the control plane.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlPlaneStatus {
    #[serde(default)]
    pub server_url: Option<String>,
    pub enrolled: bool,
    pub reachable: bool,
    #[serde(default)]
    pub last_contact_at: Option<Timestamp>,
    /// With its hint.
    #[serde(default)]
    pub last_error: Option<String>,
}

/// Read it with `borrow()`; it never blocks for long.
pub type SharedStatus = watch::Receiver<Arc<Status>>;

/// `fleet-agent status`: what the running agent last wrote down.
///
/// # Errors
/// When no agent runs, or its document can't be read; with what to do.
pub fn show(paths: &crate::platform::paths::Paths, json: bool) -> anyhow::Result<()> {
    use anyhow::Context as _;
    let path = paths.status_file();
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "{} cannot be read: is the agent running? See `systemctl status fleet-agent`",
            path.display()
        )
    })?;
    if json {
        print!("{text}");
        return Ok(());
    }
    let status: Status = serde_json::from_str(&text)
        .with_context(|| format!("{} is no status of this version", path.display()))?;
    print!("{}", status.for_people());
    Ok(())
}

impl Status {
    /// A few lines for a terminal.
    pub fn for_people(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:14} {value}");
        };
        let device = self
            .device_id
            .as_ref()
            .map_or("not enrolled", |id| id.as_str());
        line("device", device);
        line(
            "system",
            &format!("{} in slot {}", self.booted.version, self.booted.slot),
        );
        line("update", self.update.name());
        line("", &self.why.summary);
        let reachable = if self.control_plane.reachable {
            "reachable".to_owned()
        } else {
            let why = self.control_plane.last_error.as_deref();
            format!("not reachable: {}", why.unwrap_or("not tried yet"))
        };
        line("control plane", &reachable);
        for check in self.health.iter().filter(|c| !c.ok) {
            line("not healthy", &format!("{}: {}", check.name, check.detail));
        }
        text
    }
}
