//! The pages of the fleet and of one rollout.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fleet_protocol::RolloutId;
use fleet_protocol::device::{DeviceView, FleetOverview};
use fleet_protocol::rollout::{MemberStatus, Phase, RolloutCounts, RolloutView};

use super::session::{Browser, render};
use super::words::{ago, member, rollout_tone, update_tone, words};
use crate::api::{ApiError, ListQuery, Path, device_filter};
use crate::app::{App, Error, PageRequest};

pub(super) const REFRESH_S: u32 = 10;

pub(super) type Answer = Result<Response, PageError>;

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

pub(super) struct DeviceLine {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) online: bool,
    pub(super) revoked: bool,
    pub(super) seen: String,
    pub(super) state: String,
    pub(super) tone: &'static str,
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
    bar: Bar,
}

/// Devices of a rollout or a phase, by what became of them.
#[derive(Default)]
struct Bar {
    verified: u64,
    failed: u64,
    busy: u64,
    back: u64,
    waiting: u64,
}

impl Bar {
    fn add(&mut self, status: MemberStatus, devices: u64) {
        *match status {
            MemberStatus::Verified => &mut self.verified,
            MemberStatus::Failed => &mut self.failed,
            MemberStatus::Offered | MemberStatus::RollingBack => &mut self.busy,
            MemberStatus::RolledBack => &mut self.back,
            MemberStatus::Waiting => &mut self.waiting,
        } += devices;
    }

    const fn total(&self) -> u64 {
        self.verified + self.failed + self.busy + self.back + self.waiting
    }

    fn of(counts: &RolloutCounts) -> Self {
        Self {
            verified: counts.verified,
            failed: counts.failed,
            busy: counts.offered + counts.rolling_back,
            back: counts.rolled_back,
            waiting: counts.waiting,
        }
    }
}

#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    title: &'static str,
    refresh_s: u32,
    overview: FleetOverview,
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
        bar: Bar::of(&view.counts),
    }
}

pub(super) fn device_line(device: DeviceView, now: jiff::Timestamp) -> DeviceLine {
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
    let versions = overview.versions.iter().map(|counted| VersionLine {
        version: counted.version.clone(),
        devices: counted.devices,
        percent: share(counted.devices, overview.devices),
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
    bar: Bar,
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
    /// Members that the page has no room for.
    left_out: u64,
    total: u64,
}

fn phase_lines(view: &RolloutView, counts: &[(u32, MemberStatus, u64)]) -> Vec<PhaseLine> {
    let line = |(index, phase): (usize, &Phase)| {
        let mut bar = Bar::default();
        for (_, status, devices) in counts.iter().filter(|c| c.0 as usize == index) {
            bar.add(*status, *devices);
        }
        PhaseLine {
            number: index + 1,
            percentage: phase.percentage.to_string(),
            bar,
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
    let counts = app.rollout_phases(&ctx, &id).await?;
    let members = view.members.iter().map(|m| {
        let (status, tone) = member(m.status);
        MemberLine {
            id: m.device_id.to_string(),
            name: m.name.clone(),
            phase: if (m.phase as usize) < view.phases.len() {
                (m.phase + 1).to_string()
            } else {
                "–".to_owned()
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
        phases: phase_lines(&view, &counts),
        left_out: view.counts.total - view.members.len() as u64,
        members: members.collect(),
        total: view.counts.total,
    };
    Ok(render(StatusCode::OK, &page))
}
