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
    /// Since when it answers that the device is none of its own.
    #[serde(default)]
    pub refused_since: Option<Timestamp>,
    #[serde(default)]
    pub last_contact_at: Option<Timestamp>,
    /// With its hint.
    #[serde(default)]
    pub last_error: Option<String>,
    /// The end of the device's certificate; it is renewed long before.
    #[serde(default)]
    pub certificate_not_after: Option<Timestamp>,
}

impl ControlPlaneStatus {
    /// For people: until when the device's certificate is valid, as seen at `at`.
    pub fn certificate(&self, at: Timestamp) -> Option<String> {
        let not_after = self.certificate_not_after?;
        let hours = not_after.duration_since(at).as_hours();
        let day = not_after.to_zoned(jiff::tz::TimeZone::UTC).date();
        Some(match hours {
            ..0 => format!("ended on {day}"),
            0..48 => format!("valid for {hours} hours, until {day}"),
            _ => format!("valid for {} days, until {day}", hours / 24),
        })
    }
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
        let why = self.control_plane.last_error.as_deref();
        let contact = match (
            self.control_plane.refused_since,
            self.control_plane.reachable,
        ) {
            (Some(since), _) => format!(
                "does not accept this device since {since}: {}",
                why.unwrap_or("no reason given")
            ),
            (None, true) => "reachable".to_owned(),
            (None, false) => format!("not reachable: {}", why.unwrap_or("not tried yet")),
        };
        line("control plane", &contact);
        if let Some(certificate) = self.control_plane.certificate(self.at) {
            line("certificate", &certificate);
        }
        for check in self.health.iter().filter(|c| !c.ok) {
            line("not healthy", &format!("{}: {}", check.name, check.detail));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_certificates_life_is_told_in_days() {
        let check = |left_s: i64, expected: &str| {
            let status = ControlPlaneStatus {
                certificate_not_after: Timestamp::from_second(left_s).ok(),
                ..ControlPlaneStatus::default()
            };
            let found = status.certificate(Timestamp::UNIX_EPOCH);
            assert_eq!(found.as_deref(), Some(expected));
        };
        check(3_600, "valid for 1 hours, until 1970-01-01");
        check(90 * 86_400, "valid for 90 days, until 1970-04-01");
        check(-90_000, "ended on 1969-12-30");
        let not_enrolled = ControlPlaneStatus::default();
        assert_eq!(not_enrolled.certificate(Timestamp::UNIX_EPOCH), None);
    }
}
