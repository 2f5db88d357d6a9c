//! The page of one device: state, what holds its update back, events, commands.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use fleet_protocol::DeviceId;
use fleet_protocol::command::CommandView;
use fleet_protocol::device::DeviceDetail;
use fleet_protocol::event::{Event, Severity};
use fleet_protocol::heartbeat::ApplicationStatus;
use fleet_protocol::why::WhyStep;
use jiff::Timestamp;

use super::pages::{Answer, DeviceLine, REFRESH_S, device_line};
use super::session::{Browser, render};
use super::words::{ago, command, verdict, words};
use crate::api::Path;
use crate::app::{App, PageRequest};

struct Line {
    name: String,
    text: String,
    tone: &'static str,
}

struct StepLine {
    step: String,
    mark: &'static str,
    tone: &'static str,
    detail: String,
    hint: String,
}

struct EventLine {
    at: String,
    kind: String,
    tone: &'static str,
    payload: String,
}

struct CommandLine {
    sequence: u64,
    kind: &'static str,
    status: String,
    tone: &'static str,
    detail: String,
    at: String,
}

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage {
    title: String,
    refresh_s: u32,
    line: DeviceLine,
    summary: String,
    rollout: Option<String>,
    facts: Vec<Line>,
    health: Vec<Line>,
    steps: Vec<StepLine>,
    events: Vec<EventLine>,
    commands: Vec<CommandLine>,
}

pub(crate) async fn device(
    State(app): State<Arc<App>>,
    Browser(ctx): Browser,
    Path(id): Path<DeviceId>,
) -> Answer {
    let now = app.now();
    let newest = PageRequest {
        cursor: None,
        limit: 20,
    };
    let detail = app.device(&ctx, &id).await?;
    let why = app.why(&ctx, &id).await?;
    let events = app.events(&ctx, &id, &newest).await?;
    let commands = app.commands(&ctx, &id, &newest).await?;
    let page = DevicePage {
        title: detail.device.name.clone(),
        refresh_s: REFRESH_S,
        facts: facts(&detail),
        health: health(&detail),
        rollout: detail.rollout_id.as_ref().map(ToString::to_string),
        line: device_line(detail.device, now),
        summary: why.summary,
        steps: why.steps.into_iter().map(step_line).collect(),
        events: events
            .items
            .into_iter()
            .map(|e| event_line(&e, now))
            .collect(),
        commands: commands
            .items
            .iter()
            .map(|c| command_line(c, now))
            .collect(),
    };
    Ok(render(StatusCode::OK, &page))
}

fn step_line(step: WhyStep) -> StepLine {
    let (mark, tone) = verdict(step.verdict);
    let until = step
        .until
        .map(|at| format!(" (until {at})"))
        .unwrap_or_default();
    StepLine {
        step: words(&step.step),
        mark,
        tone,
        detail: format!("{}{until}", step.detail),
        hint: step.hint.unwrap_or_default(),
    }
}

fn event_line(event: &Event, now: Timestamp) -> EventLine {
    let kind = serde_json::to_value(&event.event_type).unwrap_or_default();
    let kind = kind
        .as_str()
        .unwrap_or("event")
        .to_lowercase()
        .replace('_', " ");
    EventLine {
        at: ago(Some(event.event_time_utc), now),
        kind,
        tone: match event.severity {
            Severity::Info => "idle",
            Severity::Warning => "held",
            Severity::Error => "bad",
        },
        payload: match &event.payload {
            serde_json::Value::Null => String::new(),
            payload => payload.to_string(),
        },
    }
}

fn command_line(view: &CommandView, now: Timestamp) -> CommandLine {
    let (status, tone) = command(view);
    CommandLine {
        sequence: view.command.sequence,
        kind: view.command.kind.name(),
        status,
        tone,
        detail: view
            .result
            .as_ref()
            .map(|r| r.detail.clone())
            .unwrap_or_default(),
        at: ago(Some(view.command.created_at), now),
    }
}

fn line(name: &str, text: impl Into<String>) -> Line {
    Line {
        name: name.to_owned(),
        text: text.into(),
        tone: "",
    }
}

fn facts(detail: &DeviceDetail) -> Vec<Line> {
    let device = &detail.device;
    let mut facts = vec![
        line("Id", device.device_id.as_str()),
        line("Compatible", device.compatible.as_str()),
        line("Hardware", &device.hardware),
    ];
    if let Some(serial) = &device.serial_number {
        facts.push(line("Serial number", serial));
    }
    if let Some(wanted) = &detail.target_version {
        facts.push(line("Wanted version", wanted.to_string()));
    }
    if let Some(beat) = &detail.heartbeat {
        let metrics = &beat.metrics;
        facts.extend([
            line("Slot", beat.booted.slot.name()),
            line("Root hash", beat.booted.root_hash.to_string()),
            line("Mode", words(&format!("{:?}", beat.mode)).trim().to_owned()),
            line("Role", beat.role.as_str()),
            line("Up for", format!("{} min", beat.uptime_seconds / 60)),
            line(
                "Last start",
                words(&format!("{:?}", beat.reset_reason)).trim().to_owned(),
            ),
            line(
                "Load",
                format!(
                    "CPU {:.0} %, memory {:.0} %",
                    metrics.cpu_percent, metrics.mem_percent
                ),
            ),
            line(
                "Free data",
                format!("{} MiB", metrics.disk_free_bytes >> 20),
            ),
            line("Addresses", beat.network.addresses.join(", ")),
            line("Agent", &beat.agent_version),
            line("Configuration", format!("version {}", beat.config_version)),
        ]);
        if let Some(degrees) = metrics.temperature_c {
            facts.push(line("Temperature", format!("{degrees:.0} °C")));
        }
        facts.extend(beat.status.iter().flat_map(application));
    }
    facts
}

fn application(status: &ApplicationStatus) -> Vec<Line> {
    let mut lines = Vec::new();
    if status.degradation_level > 0 {
        let text = format!("level {}", status.degradation_level);
        lines.push(line("Degraded", text));
    }
    let facts = status.facts.iter().map(|(name, fact)| {
        let text = fact
            .as_str()
            .map_or_else(|| fact.to_string(), str::to_owned);
        line(&words(name), text)
    });
    lines.extend(facts);
    lines
}

fn health(detail: &DeviceDetail) -> Vec<Line> {
    let checks = detail.heartbeat.iter().flat_map(|h| &h.health);
    checks
        .map(|check| Line {
            name: check.name.clone(),
            text: check.detail.clone(),
            tone: if check.ok { "good" } else { "bad" },
        })
        .collect()
}
