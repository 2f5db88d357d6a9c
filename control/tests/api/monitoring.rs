//! What those who watch the control plane see.

use std::collections::{BTreeMap, BTreeSet};

use fleet_control::app::Settings;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::world::World;
use crate::world::program::Program;

/// The series of `/metrics` with their values, and the type of each family.
pub(crate) struct Scrape {
    pub(crate) series: BTreeMap<String, f64>,
    pub(crate) types: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Scrape {
    pub(crate) fn of(world: &World) -> Self {
        let answer = world.raw("GET", "/metrics", &[], b"");
        assert_eq!(
            answer.headers()["content-type"],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        let text = answer.into_body().read_to_string().unwrap();
        let (mut series, mut types) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(line) = line.strip_prefix("# TYPE ") {
                let (name, kind) = line.split_once(' ').unwrap();
                types.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                series.insert(name.to_owned(), value.parse().unwrap());
            }
        }
        Self {
            series,
            types,
            text,
        }
    }

    #[track_caller]
    pub(crate) fn is(&self, series: &str, value: f64) {
        let found = self.series.get(series);
        assert!(
            found.is_some_and(|f| (f - value).abs() < 1e-9),
            "{series}: {found:?}, not {value}"
        );
    }

    /// Names as queries have them: a histogram has three.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for (name, kind) in &self.types {
            if kind == "histogram" {
                names.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
            } else {
                names.insert(name.clone());
            }
        }
        names
    }
}

#[test]
fn what_devices_and_operators_do_is_counted_by_route_and_never_by_name() {
    let world = World::new();
    let device = world.device("lobby");
    world.publish("2.0.0");
    world
        .post("/v1/rollouts", &json!({"version": "2.0.0"}))
        .ok();
    device
        .heartbeat(&world, "1.0.0", &json!({"state": "idle"}))
        .ok();
    let manifest = device.get(&world, "/v1/player/manifest");
    let tag = [("if-none-match", manifest.etag.as_deref().unwrap())];
    device.raw(&world, "GET", "/v1/player/manifest", &tag, b"");
    world.get(&format!("/v1/devices/{}", device.id)).ok();
    world.get("/v1/nowhere").refused(404, "NOT_FOUND");
    let mut wakeups = device.wakeups(&world);
    wakeups.next().unwrap();

    let scrape = Scrape::of(&world);
    for (series, value) in [
        ("fleet_heartbeats_total{program=\"agent\"}", 1.0),
        ("fleet_manifests_total{status=\"200\"}", 1.0),
        ("fleet_manifests_total{status=\"304\"}", 1.0),
        ("fleet_devices{state=\"online\"}", 1.0),
        ("fleet_devices{state=\"offline\"}", 0.0),
        ("fleet_rollouts{state=\"running\"}", 1.0),
        ("fleet_rollouts{state=\"failed\"}", 0.0),
        ("fleet_wakeup_streams", 1.0),
        ("fleet_store_up", 1.0),
        (
            "fleet_http_requests_total{method=\"GET\",route=\"/v1/devices/{id}\",status=\"2xx\"}",
            1.0,
        ),
        (
            "fleet_http_requests_total{method=\"GET\",route=\"none\",status=\"4xx\"}",
            1.0,
        ),
        (
            "fleet_http_request_duration_seconds_count{method=\"GET\",route=\"/v1/player/manifest\"}",
            2.0,
        ),
    ] {
        scrape.is(series, value);
    }
    assert!(scrape.series["fleet_data_free_bytes"] > 0.0);
    assert!(scrape.series["fleet_database_size_bytes"] > 0.0);
    assert!(!scrape.text.contains(&device.id), "no device is named");
    drop(wakeups);
}

#[test]
fn every_metric_has_a_name_help_and_type_as_prometheus_wants_them() {
    let world = World::new();
    world.get("/v1/devices").ok();
    let scrape = Scrape::of(&world);
    for (name, kind) in &scrape.types {
        assert!(
            name.starts_with("fleet_") || name.starts_with("process_"),
            "{name}"
        );
        let help = format!("# HELP {name} ");
        assert!(scrape.text.contains(&help), "{name} has no help");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        let base_unit = !["_ms", "_milliseconds", "_kib", "_mb", "_percent"]
            .iter()
            .any(|unit| name.ends_with(unit));
        assert!(base_unit, "{name}");
    }
}

#[test]
fn metrics_are_for_this_machine_and_for_operators_of_the_installation() {
    let world = World::new();
    let ask = |headers: &[(&str, &str)]| world.anyone("GET", "/metrics", headers, b"");
    let token = format!("Bearer {}", world.running().admin_token);
    ask(&[]).ok();
    let from_elsewhere = ("x-forwarded-for", "203.0.113.9");
    ask(&[from_elsewhere]).refused(401, "UNAUTHENTICATED");
    ask(&[("authorization", "Bearer wrong")]).refused(401, "UNAUTHENTICATED");
    ask(&[from_elsewhere, ("authorization", &token)]).ok();
}

#[test]
fn an_upload_that_was_looked_at_is_counted_by_its_result() {
    let world = World::new();
    crate::content::published(&world, "Day", 1);
    let scrape = Scrape::of(&world);
    scrape.is("fleet_uploads_looked_at_total{result=\"ready\"}", 1.0);
    scrape.is(
        "fleet_task_runs_total{result=\"failed\",task=\"look\"}",
        0.0,
    );
    assert!(scrape.series["fleet_task_duration_seconds_count{task=\"housekeeping\"}"] >= 1.0);
}

#[test]
fn a_control_plane_that_can_keep_nothing_is_alive_and_not_ready() {
    let world = World::with(Settings {
        least_free_bytes: u64::MAX,
        ..Settings::default()
    });
    assert_eq!(world.get("/healthz").ok(), "ok\n");
    world.get("/readyz").refused(503, "DATA_ALMOST_FULL");

    let world = World::new();
    assert_eq!(world.get("/readyz").ok(), "ready\n");
    let (data, aside) = (world.data.path(), tempfile::tempdir().unwrap());
    let aside = aside.path().join("aside");
    std::fs::rename(data, &aside).unwrap();
    world.get("/readyz").refused(503, "DATA_NOT_WRITABLE");
    std::fs::rename(&aside, data).unwrap();
    assert_eq!(world.get("/readyz").ok(), "ready\n");

    let app = &world.running().app;
    app.shut_down();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ready = runtime.block_on(app.ready()).unwrap_err();
    assert_eq!(ready.to_string(), "the control plane ends");
}

#[test]
fn every_answer_tells_browsers_and_caches_to_make_nothing_of_it() {
    let world = World::new();
    let token = format!("Bearer {}", world.running().admin_token);
    let header = |path: &str, name: &str| {
        let answer = world.raw("GET", path, &[("authorization", &token)], b"");
        let value = answer.headers().get(name);
        value
            .map(|v| v.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    for path in [
        "/v1/devices",
        "/v1/nowhere",
        "/healthz",
        "/metrics",
        "/login",
        "/v1/bundles",
    ] {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("strict-transport-security", "max-age=31536000"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(header(path, name), value, "{path}: {name}");
        }
        let policy = header(path, "content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
    }
    let release = world.publish("2.0.0");
    let bundle = format!("/v1/bundles/{}", release.bundle.sha256);
    assert_eq!(
        header(&bundle, "cache-control"),
        "private, immutable, max-age=31536000"
    );
    assert_eq!(header(&bundle, "x-content-type-options"), "nosniff");
}

#[test]
fn each_request_has_a_line_that_says_what_and_who_and_never_with_which_token() {
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let file = std::fs::File::create(&log).unwrap();
    let arguments = ["--log", "info,fleet_control=debug", "--log-format", "json"];
    let mut program = Program::serve_with(&data, &arguments, file.into());
    program.ask("GET", "/v1/devices?q=lobby", b"").unwrap();
    program.ask("GET", "/v1/devices/dev_none", b"").unwrap();
    program.ask("GET", "/healthz", b"").unwrap();
    program.signal(Signal::SIGTERM);
    program.wait();

    let log = std::fs::read_to_string(log).unwrap();
    let lines = log.lines().map(|l| serde_json::from_str(l).unwrap());
    let lines: Vec<Value> = lines
        .filter(|l: &Value| l["message"] == "answered")
        .collect();
    let told = |line: &Value| {
        assert!(
            line["duration_ms"].is_u64() && line["timestamp"].is_string(),
            "{line}"
        );
        assert!(
            line["request.id"].as_str().unwrap().starts_with("req_"),
            "{line}"
        );
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (
            text("level"),
            text("http.route"),
            line["http.status"].as_u64().unwrap(),
            text("actor"),
        )
    };
    let row = |level: &str, route: &str, status: u64, actor: &str| {
        (level.to_owned(), route.to_owned(), status, actor.to_owned())
    };
    assert_eq!(
        lines.iter().map(told).collect::<Vec<_>>(),
        [
            row("INFO", "/v1/devices", 200, "admin"),
            row("INFO", "/v1/devices/{id}", 404, "admin"),
            row("DEBUG", "/healthz", 200, ""),
        ]
    );
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
    assert!(!log.contains(token.trim()), "{log}");
    assert!(
        !log.contains("lobby"),
        "what was looked for is nobody's business: {log}"
    );
}
