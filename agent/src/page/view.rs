//! A status in the words of the page: everything is text here, so that templates only lay it out.

use super::words::{bytes, duration, or_dash, time, words};
use crate::daemon::status::Status;
use fleet_protocol::event::{Event, Severity};
use fleet_protocol::heartbeat::{NetworkType, ResetReason};
use fleet_protocol::update::UpdateState;
use fleet_protocol::why::{Verdict, WhyStep};

/// A label with a colour; the word says it as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Badge {
    /// `good`, `wait` or `bad`: a class of the stylesheet.
    pub(crate) tone: &'static str,
    pub(crate) text: String,
}

fn badge(tone: &'static str, text: impl Into<String>) -> Badge {
    Badge {
        tone,
        text: text.into(),
    }
}

#[derive(Debug, Clone)]
pub(crate) struct WhyLine {
    pub(crate) badge: Badge,
    pub(crate) step: String,
    pub(crate) detail: String,
    pub(crate) until: Option<String>,
    pub(crate) hint: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct HealthLine {
    pub(crate) badge: Badge,
    pub(crate) name: String,
    pub(crate) detail: String,
}

#[derive(Debug, Clone)]
pub(crate) struct EventLine {
    pub(crate) at: String,
    pub(crate) tone: &'static str,
    pub(crate) what: String,
    pub(crate) detail: String,
}

#[derive(Debug, Clone)]
pub(crate) struct StatusView {
    pub(crate) device: String,
    pub(crate) overall: Badge,
    pub(crate) at: String,
    /// An update is under way: look again soon.
    pub(crate) busy: bool,
    pub(crate) version: String,
    pub(crate) slot: String,
    pub(crate) other_slot: String,
    pub(crate) other_version: String,
    pub(crate) update: String,
    pub(crate) percent: Option<u8>,
    pub(crate) why_summary: String,
    pub(crate) why: Vec<WhyLine>,
    pub(crate) health: Vec<HealthLine>,
    /// Name and value.
    pub(crate) network: Vec<(&'static str, String)>,
    pub(crate) machine: Vec<(&'static str, String)>,
    pub(crate) events: Vec<EventLine>,
}

impl StatusView {
    pub(crate) fn of(status: &Status) -> Self {
        let (update, percent) = update(&status.update);
        Self {
            device: status
                .device_id
                .as_ref()
                .map_or_else(|| "Device not enrolled".to_owned(), ToString::to_string),
            overall: overall(status),
            at: time(status.at),
            busy: matches!(
                status.update,
                UpdateState::Installing { .. }
                    | UpdateState::RebootPending { .. }
                    | UpdateState::Trial { .. }
            ),
            version: status.booted.version.to_string(),
            slot: status.booted.slot.to_string(),
            other_slot: status.booted.slot.other().to_string(),
            other_version: status
                .other_version
                .as_ref()
                .map_or_else(|| "nothing usable known".to_owned(), ToString::to_string),
            update,
            percent,
            why_summary: status.why.summary.clone(),
            why: status.why.steps.iter().map(why_line).collect(),
            health: status
                .health
                .iter()
                .map(|check| HealthLine {
                    badge: if check.ok {
                        badge("good", "OK")
                    } else {
                        badge("bad", "Failing")
                    },
                    name: check.name.clone(),
                    detail: check.detail.clone(),
                })
                .collect(),
            network: network(status),
            machine: machine(status),
            events: status.recent_events.iter().map(event_line).collect(),
        }
    }
}

fn overall(status: &Status) -> Badge {
    if !status.control_plane.enrolled {
        return badge("wait", "Waiting to be enrolled");
    }
    match &status.update {
        UpdateState::Installing { .. } => return badge("wait", "Installing an update"),
        UpdateState::RebootPending { .. } => return badge("wait", "About to reboot"),
        UpdateState::Trial { .. } => return badge("wait", "Trying a new version"),
        _ => {}
    }
    let failing = status.health.iter().filter(|check| !check.ok).count();
    if failing > 0 {
        badge(
            "bad",
            format!("{failing} of {} checks failing", status.health.len()),
        )
    } else if status.control_plane.refused_since.is_some() {
        badge("bad", "Running, not accepted by the control plane")
    } else if !status.control_plane.reachable {
        badge("wait", "Running, control plane away")
    } else {
        badge("good", "Running")
    }
}

/// The update engine's state as a sentence, with its progress if it has one.
pub(crate) fn update(state: &UpdateState) -> (String, Option<u8>) {
    let sentence = match state {
        UpdateState::Idle => "No update wanted.".to_owned(),
        UpdateState::Deferred { version, .. } => format!("Version {version} waits."),
        UpdateState::Refused { version, .. } => match version {
            Some(version) => format!("Version {version} was refused."),
            None => "A release was refused.".to_owned(),
        },
        UpdateState::Installing {
            version,
            slot,
            percent,
            downloaded_bytes,
            message,
        } => {
            let text = format!(
                "Installing version {version} into slot {slot}: {percent} %, {} fetched. {message}",
                bytes(*downloaded_bytes)
            );
            return (text, Some(*percent));
        }
        UpdateState::RebootPending { version, slot } => {
            format!("Version {version} is installed in slot {slot}; the device reboots into it.")
        }
        UpdateState::Trial {
            version,
            slot,
            healthy_for_s,
            window_s,
        } => {
            let percent = healthy_for_s.saturating_mul(100) / (*window_s).max(1);
            let text = format!(
                "Version {version} in slot {slot} is on trial: healthy for {healthy_for_s} of {window_s} s."
            );
            return (text, u8::try_from(percent.min(100)).ok());
        }
        UpdateState::Committed { version, slot } => {
            format!("Version {version} in slot {slot} is committed.")
        }
        UpdateState::RolledBack { version, .. } => {
            format!("Version {version} failed and was rolled back.")
        }
    };
    (sentence, None)
}

fn why_line(step: &WhyStep) -> WhyLine {
    WhyLine {
        badge: match step.verdict {
            Verdict::Pass => badge("good", "Passed"),
            Verdict::Wait => badge("wait", "Waits"),
            Verdict::Hold => badge("bad", "Holds"),
            Verdict::NotReached => badge("none", "Not reached"),
        },
        step: words(&step.step),
        detail: step.detail.clone(),
        until: step.until.map(time),
        hint: step.hint.clone(),
    }
}

fn network(status: &Status) -> Vec<(&'static str, String)> {
    let control = &status.control_plane;
    let mut lines = vec![
        (
            "Connection",
            match status.network.network_type {
                NetworkType::Ethernet => "cable",
                NetworkType::Wifi => "Wi-Fi",
                NetworkType::None => "none",
            }
            .to_owned(),
        ),
        ("Addresses", or_dash(status.network.addresses.join(", "))),
        (
            "Control plane",
            match (&control.server_url, control.refused_since) {
                (None, _) => "not known yet".to_owned(),
                (Some(url), Some(since)) => {
                    format!("{url}, does not accept this device since {}", time(since))
                }
                (Some(url), None) if control.reachable => format!("{url}, reached"),
                (Some(url), None) => format!("{url}, not reached"),
            },
        ),
        (
            "Last contact",
            control
                .last_contact_at
                .map_or_else(|| "never".to_owned(), time),
        ),
    ];
    if let Some(certificate) = control.certificate(status.at) {
        lines.push(("Certificate", certificate));
    }
    if let Some(error) = &control.last_error {
        lines.push(("Last error", error.clone()));
    }
    if status.events_waiting > 0 {
        lines.push(("Events waiting", status.events_waiting.to_string()));
    }
    lines
}

fn machine(status: &Status) -> Vec<(&'static str, String)> {
    let metrics = &status.metrics;
    let mut lines = vec![
        ("Board", status.hardware.clone()),
        (
            "Serial number",
            or_dash(status.serial_number.clone().unwrap_or_default()),
        ),
        (
            "Role",
            or_dash(
                status
                    .role
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            ),
        ),
        (
            "Temperature",
            metrics
                .temperature_c
                .map_or_else(|| "no sensor".to_owned(), |c| format!("{c:.0} °C")),
        ),
    ];
    if metrics.throttled == Some(true) {
        lines.push(("Processor", "slowed down by heat or weak supply".to_owned()));
    }
    if metrics.under_voltage == Some(true) {
        lines.push((
            "Supply",
            "voltage too low: check power supply and cable".to_owned(),
        ));
    }
    lines.extend([
        (
            "Load",
            format!(
                "{:.0} % processor, {:.0} % memory",
                metrics.cpu_percent, metrics.mem_percent
            ),
        ),
        ("Free on data", bytes(metrics.disk_free_bytes)),
        ("Up for", duration(status.uptime_seconds)),
        ("Last start", reset_reason(status.reset_reason).to_owned()),
        ("Agent", status.agent_version.clone()),
    ]);
    if let Some(problem) = &status.config_problem {
        lines.push(("Configuration", problem.clone()));
    } else {
        lines.push((
            "Configuration",
            match status.config_version {
                0 => "the image's own".to_owned(),
                version => format!("version {version}"),
            },
        ));
    }
    lines
}

const fn reset_reason(reason: ResetReason) -> &'static str {
    match reason {
        ResetReason::Orderly => "after an orderly shutdown",
        ResetReason::Power => "after power came back",
        ResetReason::Watchdog => "after a reset by the watchdog",
        ResetReason::Panic => "after a kernel panic",
        ResetReason::Unknown => "for an unknown reason",
    }
}

fn event_line(event: &Event) -> EventLine {
    let kind = serde_json::to_value(&event.event_type).unwrap_or_default();
    let kind = kind
        .as_str()
        .unwrap_or("EVENT")
        .to_lowercase()
        .replace('_', " ");
    let mut what = kind;
    if let Some(first) = what.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    EventLine {
        at: time(event.event_time_utc),
        tone: match event.severity {
            Severity::Info => "none",
            Severity::Warning => "wait",
            Severity::Error => "bad",
        },
        what,
        detail: payload(&event.payload),
    }
}

/// `name value, name value` of the plain members of an event's payload.
fn payload(value: &serde_json::Value) -> String {
    let serde_json::Value::Object(members) = value else {
        return String::new();
    };
    let parts: Vec<String> = members
        .iter()
        .filter_map(|(name, value)| {
            let value = match value {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Number(number) => number.to_string(),
                serde_json::Value::Bool(yes) => yes.to_string(),
                _ => return None,
            };
            Some(format!("{} {value}", words(name)))
        })
        .collect();
    parts.join(", ").chars().take(200).collect()
}
