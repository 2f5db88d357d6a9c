//! A fleet in one process: devices that speak the real protocol to a real control plane, without
//! systems below them. They enrol, beat, fetch their target, "install" it, and tell how it went.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use fleet_protocol::enrolment::{EnrollResponse, ProvisionFile};
use fleet_protocol::release::ReleaseStatus;
use fleet_protocol::target::{Target, TargetKind};
use fleet_protocol::trust::{BundleRef, ReleaseMetadata, SigningKey};
use fleet_protocol::{Sha256, Version};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use ureq::http::Request;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

pub(crate) const COMPATIBLE: &str = "fleet-simulated";
const THREADS: usize = 4;
/// Between two rounds of a thread's devices.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) fn version(text: &str) -> Version {
    text.parse().unwrap()
}

pub(crate) fn root_hash(version: &Version) -> Sha256 {
    Sha256::of(format!("root of {version}"))
}

#[expect(clippy::disallowed_methods, reason = "a simulated device has a clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn agent(ca: &str, identity: Option<(&str, &str)>) -> ureq::Agent {
    let certificate = |pem: &str| Certificate::from_pem(pem.as_bytes()).unwrap().to_owned();
    let client = identity.map(|(cert, key)| {
        let key = PrivateKey::from_pem(key.as_bytes()).unwrap();
        ClientCert::new_with_certs(&[certificate(cert)], key)
    });
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&[certificate(ca)]))
        .client_cert(client)
        .build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .new_agent()
}

/// The operator's side that needs no `fleet`: releases without a bundle that RAUC would take.
pub(crate) struct Operator {
    agent: ureq::Agent,
    url: String,
    token: String,
}

impl Operator {
    /// Of the control plane whose data folder this is.
    pub(crate) fn of(data: &Path) -> Self {
        let read = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
        Self {
            agent: agent(&read("ca.pem"), None),
            url: format!("https://{}", read("address").trim()),
            token: format!("Bearer {}", read("admin-token").trim()),
        }
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: Vec<u8>) -> String {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", &self.token)
            .body(body)
            .unwrap();
        let mut answer = self.agent.run(request).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        assert!(answer.status().is_success(), "{method} {path}: {text}");
        text
    }

    pub(crate) fn upload(&self, bundle: &[u8]) -> Sha256 {
        let digest = Sha256::of(bundle);
        self.send("PUT", &format!("/v1/bundles/{digest}"), bundle.to_vec());
        digest
    }

    pub(crate) fn publish(&self, text: &str) {
        let bundle = format!("bundle of {text}").into_bytes();
        let digest = self.upload(&bundle);
        let size_bytes = bundle.len() as u64;
        let metadata = ReleaseMetadata {
            version: version(text),
            compatible: COMPATIBLE.parse().unwrap(),
            bundle: BundleRef {
                file_name: format!("fleet-{text}.raucb"),
                sha256: digest,
                size_bytes,
                manifest_sha256: Sha256::of("manifest"),
            },
            root_hash: root_hash(&version(text)),
            issued_at: now(),
            not_after: now() + jiff::SignedDuration::from_hours(24),
            min_version: None,
            rollback_floor: None,
            allow_downgrade: false,
            hardware: Vec::new(),
            notes: String::new(),
        };
        let mut envelope = metadata.to_envelope();
        envelope.sign(&SigningKey::from_secret(&[1; 32]));
        let release = json!({"metadata": envelope, "status": ReleaseStatus::Stable});
        self.send("POST", "/v1/releases", release.to_string().into_bytes());
    }
}

/// Which version fails on how many of the devices.
#[derive(Debug, Clone)]
pub(crate) struct Bad {
    pub(crate) version: Version,
    pub(crate) percent: usize,
}

/// Devices at work until dropped.
pub(crate) struct Simulation {
    stop: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Simulation {
    /// `count` devices that join with this provisioning file, all on `first`.
    pub(crate) fn start(provision: &Path, count: usize, first: &str, bad: &[Bad]) -> Self {
        let file = std::fs::read(provision).unwrap();
        let file: ProvisionFile = serde_json::from_slice(&file).unwrap();
        let mut simulation = Self {
            stop: Vec::new(),
            threads: Vec::new(),
        };
        for thread in 0..THREADS {
            let (stop, stopped) = channel();
            let (file, first, bad) = (file.clone(), version(first), bad.to_vec());
            simulation.stop.push(stop);
            simulation.threads.push(std::thread::spawn(move || {
                let numbers = (0..count).filter(|n| n % THREADS == thread);
                let mut devices: Vec<_> = numbers
                    .map(|n| Device::enrol(&file, n, count, first.clone(), &bad))
                    .collect();
                while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                    for device in &mut devices {
                        device.step();
                    }
                }
            }));
        }
        simulation
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.stop.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Device {
    agent: ureq::Agent,
    url: String,
    token: String,
    id: String,
    number: usize,
    /// These don't get well on it.
    bad: Vec<Version>,
    booted: Version,
    slot: &'static str,
    /// Tried here and given up, with the attempt.
    failed: BTreeSet<(Version, u32)>,
    state: Value,
    sequence: u64,
    steps: u64,
    config_version: u64,
    /// Installed, booted with the next step.
    pending: Option<(Version, TargetKind, u32)>,
}

impl Device {
    fn enrol(
        file: &ProvisionFile,
        number: usize,
        count: usize,
        first: Version,
        bad: &[Bad],
    ) -> Self {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let request = json!({
            "enrolmentToken": file.enrolment_token, "csrPem": csr.pem().unwrap(),
            "version": first, "compatible": COMPATIBLE, "hardware": "Simulated Board",
        });
        let open = agent(&file.ca_certificate_pem, None);
        let request = Request::post(format!("{}/v1/enroll", file.server_url))
            .body(request.to_string())
            .unwrap();
        let mut answer = open.run(request).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let enrolled: EnrollResponse =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let identity = (enrolled.certificate_pem.as_str(), key.serialize_pem());
        let mut device = Self {
            agent: agent(&file.ca_certificate_pem, Some((identity.0, &identity.1))),
            url: file.server_url.clone(),
            token: enrolled.device_token.clone(),
            id: enrolled.device_id.to_string(),
            number,
            bad: bad
                .iter()
                .filter(|b| number * 100 < b.percent * count)
                .map(|b| b.version.clone())
                .collect(),
            booted: first,
            slot: "A",
            failed: BTreeSet::new(),
            state: json!({"state": "idle"}),
            sequence: 0,
            steps: 0,
            config_version: 0,
            pending: None,
        };
        device.beat();
        device
    }

    fn call(&self, method: &str, path: &str, body: Vec<u8>) -> Option<Value> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("x-device-token", &self.token);
        let sent = if method == "GET" {
            self.agent.run(request.body(()).unwrap())
        } else {
            self.agent.run(request.body(body).unwrap())
        };
        // A control plane that ends is no fault of a device.
        let mut answer = sent.ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        // A revoked device is refused, and goes on asking.
        let fine = answer.status().is_success() || answer.status().as_u16() == 403;
        assert!(fine, "{method} {path}: {text}");
        serde_json::from_str(&text).ok()
    }

    fn send(&self, path: &str, body: &Value) {
        self.call("POST", path, body.to_string().into_bytes());
    }

    fn booted(&self) -> Value {
        json!({
            "slot": self.slot, "version": self.booted, "rootHash": root_hash(&self.booted),
            "bootId": format!("{}-{}", self.booted, self.slot),
        })
    }

    fn beat(&mut self) {
        let load = self.number % 37;
        let body = json!({
            "deviceTime": now(), "agentVersion": env!("CARGO_PKG_VERSION"), "compatible": COMPATIBLE,
            "hardware": "Simulated Board", "role": "signage", "mode": "normal",
            "booted": self.booted(), "uptimeSeconds": 3_600 + self.steps, "resetReason": "orderly",
            "update": self.state,
            "health": [{"name": "units", "ok": true, "detail": "all active"}],
            "metrics": {"cpuPercent": load, "memPercent": 20 + load, "diskFreeBytes": 1_000_000_000_u64,
                "temperatureC": 45.0},
            "network": {"connected": true, "type": "ETHERNET", "addresses": [format!("10.0.{}.{}", self.number / 250, self.number % 250)]},
            "errors": {"controlPlane": 0, "install": 0, "command": 0, "droppedEvents": 0},
            "configVersion": self.config_version, "keySetVersion": 1,
        });
        self.send("/v1/device/heartbeat", &body);
    }

    fn report(&mut self, state: Value) {
        self.sequence += 1;
        self.state = state;
        let mut body = self.state.clone();
        let fields = body.as_object_mut().unwrap();
        fields.insert("sequence".to_owned(), self.sequence.into());
        fields.insert("at".to_owned(), json!(now()));
        fields.insert("booted".to_owned(), self.booted());
        self.send("/v1/device/update-report", &body);
        let severity = match self.state["state"].as_str() {
            Some("rolledBack") => "ERROR",
            _ => "INFO",
        };
        self.event("UPDATE_STATE_CHANGED", severity, &self.state);
        self.beat();
    }

    fn event(&self, kind: &str, severity: &str, payload: &Value) {
        let id = format!("evt_{}_{}", &self.id[4..], self.sequence);
        let event = json!({
            "eventId": id, "eventType": kind, "eventTimeUtc": now(), "severity": severity,
            "payload": payload,
        });
        self.send(
            "/v1/device/events",
            &json!({"deviceTime": now(), "events": [event]}),
        );
    }

    fn step(&mut self) {
        self.steps += 1;
        if let Some(pending) = self.pending.take() {
            self.boot(pending);
            return;
        }
        let target = self.call("GET", "/v1/device/target", Vec::new());
        let target: Target = target
            .and_then(|t| serde_json::from_value(t).ok())
            .unwrap_or_default();
        self.config_version = target.config.map_or(0, |c| c.version);
        if let Some(release) = target.release
            && release.version != self.booted
            && !self
                .failed
                .contains(&(release.version.clone(), release.attempt))
        {
            let metadata = ReleaseMetadata::read(&release.metadata).unwrap();
            assert_eq!(
                metadata.version, release.version,
                "what is named is what is signed"
            );
            let slot = self.other();
            self.report(json!({
                "state": "rebootPending", "version": release.version, "slot": slot,
                "rolloutId": release.rollout_id,
            }));
            self.pending = Some((release.version, release.kind, release.attempt));
        }
        self.commands();
        if self.steps.is_multiple_of(40) {
            self.beat();
        }
    }

    fn other(&self) -> &'static str {
        if self.slot == "A" { "B" } else { "A" }
    }

    fn boot(&mut self, (wanted, kind, attempt): (Version, TargetKind, u32)) {
        if kind == TargetKind::Install && self.bad.contains(&wanted) {
            self.failed.insert((wanted.clone(), attempt));
            self.report(json!({
                "state": "rolledBack", "version": wanted,
                "why": {"reason": "unhealthy", "failedChecks": ["units: fleet-player.service failed"]},
            }));
            return;
        }
        self.slot = self.other();
        self.booted = wanted.clone();
        self.report(json!({"state": "committed", "version": wanted, "slot": self.slot}));
    }

    fn commands(&mut self) {
        let list = self.call("GET", "/v1/device/commands", Vec::new());
        for command in list.iter().filter_map(|l| l["items"].as_array()).flatten() {
            let id = command["commandId"].as_str().unwrap();
            if command["type"] == "bundle" {
                let name = format!("support-{}.tar.zst", self.steps);
                let path = format!("/v1/device/support-bundles/{name}");
                self.call("PUT", &path, format!("bundle of {}", self.id).into_bytes());
            }
            let result = json!({"outcome": "SUCCEEDED", "finishedAt": now(), "detail": "done"});
            self.send(&format!("/v1/device/commands/{id}/result"), &result);
        }
    }
}
