//! The page as a browser gets it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use fleet_protocol::event::{Event, EventKind, Severity};
use fleet_protocol::heartbeat::{
    HealthCheck, Metrics, Network, NetworkType, OperatingMode, ResetReason,
};
use fleet_protocol::update::{BootedSystem, DeferReason, Slot, UpdateState};
use fleet_protocol::why::{Verdict, WhyStep, WhyTrace};
use fleet_protocol::{Sha256, Version};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::view::StatusView;
use crate::daemon::status::{ControlPlaneStatus, Status};

fn step(name: &str, verdict: Verdict, detail: &str, hint: Option<&str>) -> WhyStep {
    WhyStep {
        step: name.to_owned(),
        verdict,
        detail: detail.to_owned(),
        until: (verdict == Verdict::Wait).then_some(Timestamp::UNIX_EPOCH),
        hint: hint.map(str::to_owned),
    }
}

fn why() -> WhyTrace {
    WhyTrace {
        summary: "Version 1.5.0 waits for the maintenance window at 02:00.".to_owned(),
        steps: vec![
            step(
                "target",
                Verdict::Pass,
                "Rollout rol_7 wants version 1.5.0.",
                None,
            ),
            step(
                "versionFloor",
                Verdict::Pass,
                "1.5.0 is newer than 1.4.0.",
                None,
            ),
            step(
                "window",
                Verdict::Wait,
                "The window 02:00 to 04:00 is closed.",
                Some("force the update, or wait"),
            ),
            step("disk", Verdict::NotReached, "Not asked yet.", None),
        ],
    }
}

fn health() -> Vec<HealthCheck> {
    vec![
        HealthCheck {
            name: "units".to_owned(),
            ok: true,
            detail: "fleet-agent.service is active".to_owned(),
        },
        HealthCheck {
            name: "control plane".to_owned(),
            ok: false,
            detail: "not reached for 4 min <script>".to_owned(),
        },
    ]
}

fn events() -> Vec<Event> {
    (0..20)
        .map(|n| Event {
            event_id: format!("evt_{n}").parse().unwrap(),
            event_type: if n % 3 == 0 {
                EventKind::UnderVoltage
            } else {
                EventKind::UpdateStateChanged
            },
            event_time_utc: Timestamp::UNIX_EPOCH,
            severity: if n % 3 == 0 {
                Severity::Warning
            } else {
                Severity::Info
            },
            payload: serde_json::json!({"state": "deferred", "version": "1.5.0"}),
        })
        .collect()
}

fn status() -> Status {
    Status {
        at: "2026-03-01T09:30:00Z".parse().unwrap(),
        mode: OperatingMode::Normal,
        safe_mode_cause: None,
        agent_version: "0.1.0".to_owned(),
        device_id: Some("dev_4f2a9c0d11e07b3a".parse().unwrap()),
        compatible: "fleet-qemux86-64".parse().unwrap(),
        hardware: "QEMU Standard PC (Q35 + ICH9, 2009)".to_owned(),
        serial_number: Some("10000000a1b2c3d4".to_owned()),
        role: Some("signage".parse().unwrap()),
        booted: BootedSystem {
            slot: Slot::A,
            version: Version::new(1, 4, 0),
            root_hash: Sha256::of("root"),
            boot_id: "b".to_owned(),
        },
        other_version: Some(Version::new(1, 3, 2)),
        update: UpdateState::Deferred {
            version: Version::new(1, 5, 0),
            why: DeferReason::Paused,
        },
        why: why(),
        health: health(),
        control_plane: ControlPlaneStatus {
            server_url: Some("https://fleet.example:8443".to_owned()),
            enrolled: true,
            reachable: false,
            refused_since: None,
            last_contact_at: Some(Timestamp::UNIX_EPOCH),
            last_error: Some("connection refused; check the address and the firewall".to_owned()),
            certificate_not_after: "2026-04-30T09:30:00Z".parse().ok(),
        },
        network: Network {
            connected: true,
            network_type: NetworkType::Ethernet,
            last_sync_at_utc: None,
            addresses: vec!["192.168.178.120".to_owned()],
        },
        metrics: Metrics {
            cpu_percent: 3.0,
            mem_percent: 21.0,
            disk_free_bytes: 1_234_567_890,
            temperature_c: Some(54.3),
            under_voltage: Some(true),
            ..Metrics::default()
        },
        reset_reason: ResetReason::Power,
        uptime_seconds: 90_061,
        config_version: 3,
        config_problem: None,
        events_waiting: 2,
        recent_events: events(),
    }
}

fn router() -> Router {
    let (_sender, receiver) = watch::channel(Arc::new(status()));
    super::router(receiver)
}

async fn get(path: &str, host: &str) -> (StatusCode, axum::http::HeaderMap, String) {
    let request = Request::get(path)
        .header(header::HOST, host)
        .body(Body::empty())
        .unwrap();
    let response = router().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, headers, String::from_utf8(bytes.to_vec()).unwrap())
}

/// `FLEET_PAGES=folder` keeps pages for a person to look at.
pub(crate) fn keep_for_a_person(name: &str, page: &str) {
    if let Some(folder) = std::env::var_os("FLEET_PAGES") {
        let folder = std::path::PathBuf::from(folder);
        std::fs::write(
            folder.join("style.css"),
            include_str!("templates/style.css"),
        )
        .unwrap();
        let page = page.replace("href=\"/style.css\"", "href=\"style.css\"");
        let page = page.replace("http-equiv=\"refresh\"", "name=\"refresh\"");
        std::fs::write(folder.join(name), page).unwrap();
    }
}

/// With its stylesheet.
pub(crate) fn assert_light_and_without_script(page: &str) {
    let size = page.len() + include_str!("templates/style.css").len();
    assert!(size < 50_000, "{size} bytes");
    for forbidden in [
        "<script",
        "javascript:",
        " onclick",
        " onload",
        " style=",
        "http-equiv=\"Content",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

#[tokio::test]
async fn the_page_says_what_runs_and_why_the_update_waits() {
    let (status, headers, page) = get("/", "192.168.178.120").await;
    keep_for_a_person("status.html", &page);
    assert_eq!(status, StatusCode::OK);
    for expected in [
        "dev_4f2a9c0d11e07b3a",
        "1.4.0",
        "The window 02:00 to 04:00 is closed.",
        "version floor",
        "54 °C",
        "1.2 GB",
        "1 d 1 h",
        "valid for 60 days, until 2026-04-30",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(
        page.contains("&#60;script&#62;"),
        "text of the device is escaped"
    );
    assert_light_and_without_script(&page);
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"));
    assert_eq!(headers[header::X_FRAME_OPTIONS], "DENY");
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
}

#[test]
fn a_device_that_the_control_plane_does_not_accept_says_so_everywhere() {
    let mut status = status();
    status.update = UpdateState::Idle;
    status.health = Vec::new();
    status.control_plane.reachable = true;
    status.control_plane.refused_since = Some(Timestamp::UNIX_EPOCH);
    let view = StatusView::of(&status);
    assert_eq!(
        view.overall.text,
        "Running, not accepted by the control plane"
    );
    let line =
        "https://fleet.example:8443, does not accept this device since 1970-01-01 00:00:00 UTC";
    assert!(view.network.contains(&("Control plane", line.to_owned())));
    assert!(status.for_people().contains("does not accept this device"));
}

#[tokio::test]
async fn programs_read_the_same_as_json() {
    let (code, _, text) = get("/status.json", "screen.local").await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status());
}

#[tokio::test]
async fn a_foreign_host_name_gets_nothing() {
    let (code, _, text) = get("/", "rebound.example").await;
    assert_eq!(code, StatusCode::MISDIRECTED_REQUEST);
    assert!(!text.contains("dev_"));
}

#[tokio::test]
async fn in_normal_mode_nothing_can_be_posted() {
    for path in ["/", "/login", "/reboot", "/install"] {
        let request = Request::post(path)
            .header(header::HOST, "10.0.0.1")
            .body(Body::empty())
            .unwrap();
        let code = router().oneshot(request).await.unwrap().status();
        assert!(
            matches!(code, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND),
            "{path}"
        );
    }
}
