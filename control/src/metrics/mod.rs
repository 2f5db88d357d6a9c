//! What is counted while the control plane runs, and what `/metrics` says.
//!
//! Invariants:
//! - A label's values are a closed set (a route's pattern, a method, a class of status, a state): never an id, a name or
//!   anything else that a caller chooses. The number of series follows from the program alone.
//! - Counters live here; what is a fact of the moment ([`Facts`]) is looked up when somebody asks, in a registry of that
//!   answer alone, so that two who ask at once do not see one another's half.

mod facts;
mod process;

use std::time::Duration;

use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::{
    Encoder as _, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder,
};

pub use facts::{Facts, PoolUse};

/// The version of the text format that the answer is in.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The route of what no route was found for.
pub const NO_ROUTE: &str = "none";

const REQUEST_BUCKETS: &[f64] = &[0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];
const TASK_BUCKETS: &[f64] = &[0.01, 0.1, 1.0, 10.0, 60.0, 600.0];

/// What runs without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Carrying rollouts on.
    Plan,
    /// Forgetting what is old.
    Housekeeping,
    /// Looking at uploaded files.
    Look,
    /// Looking for alerts.
    Alerts,
    /// Bringing messages to webhooks.
    Deliver,
    /// Sending mail about alerts.
    Mail,
}

impl Task {
    const ALL: [Self; 6] = [
        Self::Plan,
        Self::Housekeeping,
        Self::Look,
        Self::Alerts,
        Self::Deliver,
        Self::Mail,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Housekeeping => "housekeeping",
            Self::Look => "look",
            Self::Alerts => "alerts",
            Self::Deliver => "deliver",
            Self::Mail => "mail",
        }
    }
}

/// Which program of a device speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Agent,
    Player,
}

/// What came of looking at an uploaded file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    Ready,
    /// The file can't be played.
    Failed,
    /// This host could not look; the file is looked at again.
    Postponed,
}

/// The counters of one control plane.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    heartbeats: IntCounterVec,
    manifests: IntCounterVec,
    looks: IntCounterVec,
    task_runs: IntCounterVec,
    task_duration: HistogramVec,
    task_succeeded: GaugeVec,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// `now` is when the process is taken to have begun.
    pub fn new(now: Timestamp) -> Self {
        let registry = Registry::new();
        process::register(&registry, now);
        let counter =
            |name, help, labels| kept(&registry, IntCounterVec::new(Opts::new(name, help), labels));
        let histogram = |name, help, buckets: &[f64], labels| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            kept(&registry, HistogramVec::new(options, labels))
        };
        let metrics = Self {
            requests: counter(
                "fleet_http_requests_total",
                "Requests answered, by route pattern, method and class of status.",
                &["route", "method", "status"],
            ),
            request_duration: histogram(
                "fleet_http_request_duration_seconds",
                "Time until a request's answer began, by route pattern and method.",
                REQUEST_BUCKETS,
                &["route", "method"],
            ),
            heartbeats: counter(
                "fleet_heartbeats_total",
                "Heartbeats kept, by the program of the device that sent them.",
                &["program"],
            ),
            manifests: counter(
                "fleet_manifests_total",
                "Manifests that players asked for, by answer: 200 for a new one, 304 for the one they have.",
                &["status"],
            ),
            looks: counter(
                "fleet_uploads_looked_at_total",
                "Uploaded files looked at, by result.",
                &["result"],
            ),
            task_runs: counter(
                "fleet_task_runs_total",
                "Runs of background jobs, by result.",
                &["task", "result"],
            ),
            task_duration: histogram(
                "fleet_task_duration_seconds",
                "Duration of background jobs.",
                TASK_BUCKETS,
                &["task"],
            ),
            task_succeeded: kept(
                &registry,
                GaugeVec::new(
                    Opts::new(
                        "fleet_task_last_success_timestamp_seconds",
                        "When a background job last came to its end; 0 before it first did.",
                    ),
                    &["task"],
                ),
            ),
            registry,
        };
        metrics.begin_at_zero();
        metrics
    }

    /// A series that appears only with its first failure has no rate when that matters.
    fn begin_at_zero(&self) {
        for program in ["agent", "player"] {
            self.heartbeats.with_label_values(&[program]);
        }
        for status in ["200", "304"] {
            self.manifests.with_label_values(&[status]);
        }
        for result in ["ready", "failed", "postponed"] {
            self.looks.with_label_values(&[result]);
        }
        for task in Task::ALL {
            self.task_duration.with_label_values(&[task.name()]);
            self.task_succeeded.with_label_values(&[task.name()]);
            for result in ["ok", "failed"] {
                self.task_runs.with_label_values(&[task.name(), result]);
            }
        }
    }

    /// `route` is a pattern of the table, or [`NO_ROUTE`].
    pub fn request(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        let method = method_name(method);
        self.requests
            .with_label_values(&[route, method, class(status)])
            .inc();
        self.request_duration
            .with_label_values(&[route, method])
            .observe(took.as_secs_f64());
    }

    pub fn heartbeat(&self, program: Program) {
        let program = match program {
            Program::Agent => "agent",
            Program::Player => "player",
        };
        self.heartbeats.with_label_values(&[program]).inc();
    }

    pub fn manifest(&self, is_new: bool) {
        let status = if is_new { "200" } else { "304" };
        self.manifests.with_label_values(&[status]).inc();
    }

    pub fn looked(&self, result: Looked) {
        let result = match result {
            Looked::Ready => "ready",
            Looked::Failed => "failed",
            Looked::Postponed => "postponed",
        };
        self.looks.with_label_values(&[result]).inc();
    }

    /// `ended` is when the job came to its end, `None` if it failed.
    pub fn task(&self, task: Task, took: Duration, ended: Option<Timestamp>) {
        let result = if ended.is_some() { "ok" } else { "failed" };
        self.task_runs
            .with_label_values(&[task.name(), result])
            .inc();
        self.task_duration
            .with_label_values(&[task.name()])
            .observe(took.as_secs_f64());
        if let Some(at) = ended {
            self.task_succeeded
                .with_label_values(&[task.name()])
                .set(seconds(at));
        }
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self, facts: &Facts) -> String {
        let mut families = self.registry.gather();
        families.extend(facts.registry().gather());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&families, &mut text)
            .expect("registered families have a name and a value, and memory takes all");
        String::from_utf8(text).expect("the text format is UTF-8")
    }
}

fn kept<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let collector = made.expect("names and labels are constants of the right form");
    registry
        .register(Box::new(collector.clone()))
        .expect("each name is registered once");
    collector
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

/// Anybody may make up a method; only these are told apart.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

const fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_method_makes_no_series_of_its_own() {
        let metrics = Metrics::new(Timestamp::UNIX_EPOCH);
        for name in ["BREW", "PROPFIND"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            let status = StatusCode::METHOD_NOT_ALLOWED;
            metrics.request(NO_ROUTE, &method, status, Duration::ZERO);
        }
        let text = metrics.render(&Facts::default());
        let line = "fleet_http_requests_total{method=\"other\",route=\"none\",status=\"4xx\"} 2\n";
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("BREW"), "{text}");
    }

    #[test]
    fn a_failed_job_counts_and_does_not_touch_its_last_success() {
        let metrics = Metrics::new(Timestamp::UNIX_EPOCH);
        let at = Timestamp::from_second(1_000).unwrap();
        metrics.task(Task::Plan, Duration::from_millis(20), Some(at));
        metrics.task(Task::Plan, Duration::from_millis(20), None);
        let text = metrics.render(&Facts::default());
        for line in [
            "fleet_task_runs_total{result=\"ok\",task=\"plan\"} 1\n",
            "fleet_task_runs_total{result=\"failed\",task=\"plan\"} 1\n",
            "fleet_task_runs_total{result=\"failed\",task=\"housekeeping\"} 0\n",
            "fleet_task_last_success_timestamp_seconds{task=\"plan\"} 1000\n",
            "fleet_task_duration_seconds_count{task=\"plan\"} 2\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
