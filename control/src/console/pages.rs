//! The three pages: the fleet, one rollout, one device.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fleet_protocol::device::DeviceView;
use fleet_protocol::rollout::RolloutView;
use fleet_protocol::{DeviceId, RolloutId};

use super::session::{Browser, render};
use super::words::{ago, command, member, rollout_tone, update_tone, verdict, words};
use crate::api::{ApiError, ListQuery, Path, device_filter};
use crate::app::{App, Error, Overview, PageRequest};

const REFRESH_S: u32 = 10;

type Answer = Result<Response, PageError>;

/// An error as a page.
pub(crate) struct PageError(Error);

impl From<Error> for PageError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    title: &'static str,
    refresh_s: u32,
    detail: String,
    hint: String,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let Error::Refused(refusal) = self.0 else {
            return ApiError::from(self.0).into_response();
        };
        let page = ErrorPage {
            title: "Not here",
            refresh_s: 0,
            detail: refusal.detail.clone(),
            hint: refusal.hint.clone(),
        };
        let status = ApiError::from(*refusal).status();
        render(status, &page)
    }
}

struct Line {
    name: String,
    text: String,
    tone: &'static str,
}

struct DeviceLine {
    id: String,
    name: String,
    version: String,
    online: bool,
    revoked: bool,
    seen: String,
    state: String,
    tone: &'static str,
}

struct VersionLine {
    version: String,
    devices: u64,
    percent: u64,
}

struct RolloutLine {
    id: String,
    version: String,
    status: String,
    tone: &'static str,
    summary: String,
    percent: u64,
}

#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    title: &'static str,
    refresh_s: u32,
    overview: Overview,
    versions: Vec<VersionLine>,
    rollouts: Vec<RolloutLine>,
    devices: Vec<DeviceLine>,
    query: String,
    status: String,
    next: Option<String>,
}

fn share(part: u64, total: u64) -> u64 {
    (part * 100).checked_div(total).unwrap_or(0)
}

fn rollout_line(view: &RolloutView) -> RolloutLine {
    RolloutLine {
        id: view.rollout_id.to_string(),
        version: view.version.to_string(),
        status: words(view.status.name()),
        tone: rollout_tone(view.status),
        summary: view.summary.clone(),
        percent: share(view.counts.verified, view.counts.total),
    }
}

fn device_line(device: DeviceView, now: jiff::Timestamp) -> DeviceLine {
    let state = device.update_state.as_deref().unwrap_or("idle");
    DeviceLine {
        tone: update_tone(state),
        state: words(state),
        id: device.device_id.to_string(),
        name: device.name,
        version: device.version.to_string(),
        online: device.online,
        revoked: device.revoked,
        seen: ago(device.last_seen_at, now),
    }
}

pub(crate) async fn fleet(
    State(app): State<Arc<App>>,
    Browser(ctx): Browser,
    query: ListQuery,
) -> Answer {
    let now = app.now();
    let overview = app.overview(&ctx).await?;
    let newest = PageRequest {
        cursor: None,
        limit: 5,
    };
    let rollouts = app.rollouts(&ctx, None, &newest).await?;
    let devices = app
        .devices(&ctx, &device_filter(&query), &query.page)
        .await?;
    let versions = overview
        .versions
        .iter()
        .map(|(version, devices)| VersionLine {
            version: version.clone(),
            devices: *devices,
            percent: share(*devices, overview.devices),
        });
    let page = FleetPage {
        title: "Fleet",
        refresh_s: REFRESH_S,
        versions: versions.collect(),
        overview,
        rollouts: rollouts.items.iter().map(rollout_line).collect(),
        next: devices.next_cursor,
        devices: devices
            .items
            .into_iter()
            .map(|d| device_line(d, now))
            .collect(),
        query: query.text.unwrap_or_default(),
        status: query.status.unwrap_or_default(),
    };
    Ok(render(StatusCode::OK, &page))
}

struct PhaseLine {
    number: usize,
    percentage: String,
    total: usize,
    verified: u64,
    failed: u64,
    busy: u64,
    current: bool,
}

struct MemberLine {
    id: String,
    name: String,
    phase: String,
    status: &'static str,
    tone: &'static str,
    state: String,
    detail: String,
}

#[derive(Template)]
#[template(path = "rollout.html")]
struct RolloutPage {
    title: String,
    refresh_s: u32,
    line: RolloutLine,
    started: String,
    threshold: String,
    phases: Vec<PhaseLine>,
    members: Vec<MemberLine>,
    total: u64,
}

/// Bars are per cents of the phase's own devices.
fn phase_lines(view: &RolloutView) -> Vec<PhaseLine> {
    use fleet_protocol::rollout::MemberStatus as M;
    let line = |(index, phase): (usize, &fleet_protocol::rollout::Phase)| {
        let own: Vec<_> = view
            .members
            .iter()
            .filter(|m| m.phase as usize == index)
            .collect();
        let part = |wanted: &[M]| {
            let count = own.iter().filter(|m| wanted.contains(&m.status)).count();
            share(count as u64, own.len() as u64)
        };
        PhaseLine {
            number: index + 1,
            percentage: phase.percentage.to_string(),
            total: own.len(),
            verified: part(&[M::Verified]),
            failed: part(&[M::Failed, M::RolledBack]),
            busy: part(&[M::Offered, M::RollingBack]),
            current: view.current_phase as usize == index && !view.status.is_final(),
        }
    };
    view.phases.iter().enumerate().map(line).collect()
}

pub(crate) async fn rollout(
    State(app): State<Arc<App>>,
    Browser(ctx): Browser,
    Path(id): Path<RolloutId>,
) -> Answer {
    let view = app.rollout(&ctx, &id).await?;
    let members = view.members.iter().map(|m| {
        let (status, tone) = member(m.status);
        MemberLine {
            id: m.device_id.to_string(),
            name: m.name.clone(),
            phase: match (m.phase as usize) < view.phases.len() {
                true => (m.phase + 1).to_string(),
                false => "–".to_owned(),
            },
            status,
            tone,
            state: m
                .update
                .as_ref()
                .map(|u| words(u.name()))
                .unwrap_or_default(),
            detail: m.detail.clone().unwrap_or_default(),
        }
    });
    let page = RolloutPage {
        title: format!("Rollout of {}", view.version),
        refresh_s: if view.status.is_final() { 60 } else { 5 },
        line: rollout_line(&view),
        started: ago(Some(view.created_at), app.now()),
        threshold: view.failure_threshold.to_string(),
        phases: phase_lines(&view),
        members: members.collect(),
        total: view.counts.total,
    };
    Ok(render(StatusCode::OK, &page))
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
            .map(|e| event_line(e, now))
            .collect(),
        commands: commands
            .items
            .iter()
            .map(|c| command_line(c, now))
            .collect(),
    };
    Ok(render(StatusCode::OK, &page))
}

fn step_line(step: fleet_protocol::why::WhyStep) -> StepLine {
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

fn event_line(event: fleet_protocol::event::Event, now: jiff::Timestamp) -> EventLine {
    use fleet_protocol::event::Severity;
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

fn command_line(view: &fleet_protocol::command::CommandView, now: jiff::Timestamp) -> CommandLine {
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

fn facts(detail: &fleet_protocol::device::DeviceDetail) -> Vec<Line> {
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
    }
    facts
}

fn health(detail: &fleet_protocol::device::DeviceDetail) -> Vec<Line> {
    let checks = detail.heartbeat.iter().flat_map(|h| &h.health);
    checks
        .map(|check| Line {
            name: check.name.clone(),
            text: check.detail.clone(),
            tone: if check.ok { "good" } else { "bad" },
        })
        .collect()
}
