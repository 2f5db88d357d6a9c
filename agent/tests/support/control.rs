//! A control plane as far as one device needs it, with a memory of what the device said.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use fleet_protocol::Version;
use fleet_protocol::command::CommandResult;
use fleet_protocol::enrolment::{
    CertificateRenewed, EnrollRequest, EnrollResponse, PairingStarted, PairingState, PairingStatus,
    ProvisionFile, RenewCertificate,
};
use fleet_protocol::event::{Event, EventBatch};
use fleet_protocol::heartbeat::{Heartbeat, HeartbeatAck};
use fleet_protocol::target::Target;
use fleet_protocol::update::UpdateReport;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use super::https::{Request, Response, Server, range_of};
use super::pki::Pki;

/// A device's patience is part of what is tested; a test's is not.
pub const PATIENCE: Duration = Duration::from_mins(3);

#[derive(Debug, Default)]
pub struct State {
    pub enrolments: u32,
    pub refuse_enrolment: bool,
    /// The token that was enrolled with last.
    pub enrolled_with: Option<String>,
    /// Codes that were given out: `K7QF-2MX2`, `K7QF-2MX3`, …
    pub pairings: u32,
    /// How the last one stands; `None`: pending.
    pub pairing: Option<PairingState>,
    /// How often that was asked.
    pub pairing_asked: u32,
    /// The device is told 401 whatever it asks, until it enrols again.
    pub revoked: bool,
    pub heartbeats: Vec<Heartbeat>,
    pub reports: Vec<UpdateReport>,
    pub events: Vec<Event>,
    pub results: BTreeMap<String, CommandResult>,
    pub target: Target,
    pub commands: Vec<Value>,
    /// How often target and commands were asked for.
    pub target_asked: u32,
    pub commands_asked: u32,
    /// Open wake-up streams.
    pub wakeups: Vec<Sender<String>>,
    pub bundles: BTreeMap<String, Vec<u8>>,
    pub uploads: BTreeMap<String, Vec<u8>>,
    pub server_time: Option<Timestamp>,
    /// The version that is told 401 whatever it asks.
    pub refuse_version: Option<Version>,
    /// Certificates that were renewed are told 401.
    pub refuse_renewed: bool,
    /// Of the certificates that enrolment gives: begin and end in days from now.
    pub enrolled_days: Option<(i64, i64)>,
    /// The renewed certificates, PEM.
    pub renewed: Vec<String>,
    /// What the last heartbeat showed, DER.
    pub shown: Option<Vec<u8>>,
}

impl State {
    /// The last heartbeat showed the certificate that was renewed last.
    pub fn shows_renewed(&self) -> bool {
        let renewed = self.renewed.last().map(|pem| der(pem));
        renewed.is_some() && renewed == self.shown
    }

    /// As the control plane when there is something new: `command`, `target` or `content`.
    pub fn wake(&mut self, reason: &str) {
        let event = format!("event: wakeup\ndata: {{\"reason\":\"{reason}\"}}\n\n");
        self.wakeups
            .retain(|stream| stream.send(event.clone()).is_ok());
    }

    fn refuses(&self, request: &Request) -> bool {
        let is_of = |pem: &String| Some(der(pem)) == request.certificate;
        let agent = self.heartbeats.last().map(|h| &h.booted.version);
        self.revoked
            || (self.refuse_renewed && self.renewed.iter().any(is_of))
            || (self.refuse_version.is_some() && self.refuse_version.as_ref() == agent)
    }
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

fn sign(pki: &Pki, csr_pem: &str, (from_day, to_day): (i64, i64)) -> String {
    let now = now().as_second();
    pki.sign(csr_pem, now + from_day * 86_400, now + to_day * 86_400)
}

pub struct Control {
    pub pki: Arc<Pki>,
    pub server: Server,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Control {
    pub fn start() -> Self {
        let pki = Arc::new(Pki::new());
        let shared: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let (handling, signing) = (shared.clone(), pki.clone());
        let server = Server::start(&pki, move |request| {
            let mut state = handling.0.lock().unwrap();
            let response = handle(&mut state, &signing, &request);
            handling.1.notify_all();
            response
        });
        Self {
            pki,
            server,
            shared,
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap()
    }

    /// Waits until `condition` holds.
    pub fn wait(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let guard = self.state();
        let (guard, waited) = self
            .shared
            .1
            .wait_timeout_while(guard, PATIENCE, |state| !condition(state))
            .unwrap();
        let states: Vec<&str> = guard.reports.iter().map(|r| r.state.name()).collect();
        assert!(
            !waited.timed_out(),
            "{what}: not within {PATIENCE:?}; reports: {states:?}"
        );
    }

    pub fn provision_file(&self, token: &str) -> ProvisionFile {
        ProvisionFile {
            server_url: self.server.url(),
            ca_certificate_pem: self.pki.ca_pem.clone(),
            enrolment_token: token.to_owned(),
            server_time: "2026-01-01T00:00:00Z".parse().unwrap(),
            role: None,
            pairing: false,
            tenant_id: None,
        }
    }
}

fn handle(state: &mut State, pki: &Pki, request: &Request) -> Response {
    let path = request.path.as_str();
    match path {
        "/v1/enroll" => return enroll(state, pki, request),
        "/v1/devices/pairing/start" => return start_pairing(state),
        "/v1/devices/pairing/status" => return pairing_status(state, request),
        _ => {}
    }
    if !request.has_certificate
        || request.headers.get("x-device-token").map(String::len) != Some(64)
    {
        return Response::new(401);
    }
    if path == "/v1/device/heartbeat" {
        state.heartbeats.push(parse(request));
        state.shown.clone_from(&request.certificate);
    }
    if state.refuses(request) {
        return Response::new(401);
    }
    match (request.method.as_str(), path) {
        ("POST", "/v1/device/heartbeat") => {
            let ack = HeartbeatAck {
                ack: true,
                commands_pending: u32::try_from(state.commands.len()).unwrap(),
                target_generation: state.target.generation,
                target_version: state.target.release.as_ref().map(|r| r.version.clone()),
                server_time: state.server_time.unwrap_or_else(now),
            };
            Response::json(200, &ack)
        }
        ("GET", "/v1/device/target") => {
            state.target_asked += 1;
            let etag = format!("\"{}\"", state.target.generation);
            if request.headers.get("if-none-match") == Some(&etag) {
                return Response::new(304);
            }
            Response::json(200, &state.target).header("etag", etag)
        }
        ("POST", "/v1/device/certificate") => {
            let renewal: RenewCertificate = parse(request);
            let certificate_pem = sign(pki, &renewal.csr_pem, (-1, 90));
            state.renewed.push(certificate_pem.clone());
            let answer = CertificateRenewed {
                certificate_pem,
                not_after: now(),
                server_time: now(),
            };
            Response::json(200, &answer)
        }
        ("GET", "/v1/device/commands") => {
            state.commands_asked += 1;
            Response::json(200, &serde_json::json!({ "items": state.commands }))
        }
        ("POST", "/v1/device/events") => {
            let batch: EventBatch = parse(request);
            for event in batch.events {
                if state.events.iter().all(|e| e.event_id != event.event_id) {
                    state.events.push(event);
                }
            }
            Response::new(204)
        }
        ("POST", "/v1/device/update-report") => {
            state.reports.push(parse(request));
            Response::new(204)
        }
        ("GET", "/v1/device/wakeup") => open_wakeups(state),
        ("PUT", _) if path.starts_with("/v1/device/support-bundles/") => {
            let name = path.rsplit('/').next().unwrap().to_owned();
            state.uploads.insert(name, request.body.clone());
            Response::new(204)
        }
        ("GET", _) if path.starts_with("/v1/device/bundles/") => {
            let name = path.rsplit('/').next().unwrap();
            match state.bundles.get(name) {
                Some(file) => range_of(file, request),
                None => Response::new(404),
            }
        }
        ("POST", _) if path.ends_with("/result") => {
            let id = path.split('/').nth(4).unwrap().to_owned();
            state.commands.retain(|c| c["commandId"] != id.as_str());
            state.results.insert(id, parse(request));
            Response::new(204)
        }
        _ => Response::new(404),
    }
}

fn open_wakeups(state: &mut State) -> Response {
    let (wakeups, events) = mpsc::channel();
    state.wakeups.push(wakeups);
    let mut response = Response::new(200).header("content-type", "text/event-stream");
    response.stream = Some(events);
    response
}

fn start_pairing(state: &mut State) -> Response {
    state.pairings += 1;
    state.pairing = None;
    let started = PairingStarted {
        pairing_code: format!("K7QF-2MX{}", 1 + state.pairings).parse().unwrap(),
        pairing_token: format!("pairing-{}", state.pairings),
        expires_at: now(),
        server_time: now(),
    };
    Response::json(201, &started)
}

fn pairing_status(state: &mut State, request: &Request) -> Response {
    let token = format!("Bearer pairing-{}", state.pairings);
    if request.headers.get("authorization") != Some(&token) {
        return Response::new(401);
    }
    state.pairing_asked += 1;
    let status = PairingStatus {
        status: state.pairing.unwrap_or(PairingState::Pending),
        role: Some("signage".parse().unwrap()),
        server_time: now(),
    };
    Response::json(200, &status)
}

fn enroll(state: &mut State, pki: &Pki, request: &Request) -> Response {
    if state.refuse_enrolment {
        let problem = serde_json::json!({
            "type": "https://fleet.invalid/errors/TOKEN_USED", "title": "Used", "status": 401,
            "code": "TOKEN_USED", "detail": "the enrolment token was used",
            "hint": "make a new token", "instance": "/v1/enroll", "requestId": "r"
        });
        return Response::new(401)
            .header("content-type", "application/problem+json")
            .body(serde_json::to_vec(&problem).unwrap());
    }
    let enrolment: EnrollRequest = parse(request);
    state.enrolments += 1;
    state.enrolled_with = Some(enrolment.enrolment_token.clone());
    state.revoked = false;
    let response = EnrollResponse {
        device_id: "dev_1".parse().unwrap(),
        tenant_id: "ten_default".parse().unwrap(),
        certificate_pem: sign(
            pki,
            &enrolment.csr_pem,
            state.enrolled_days.unwrap_or((-1, 90)),
        ),
        device_token: "t".repeat(64),
        server_time: state.server_time.unwrap_or_else(now),
    };
    Response::json(200, &response)
}

fn parse<T: serde::de::DeserializeOwned>(request: &Request) -> T {
    serde_json::from_slice(&request.body).unwrap_or_else(|e| {
        panic!(
            "{}: {e}: {}",
            request.path,
            String::from_utf8_lossy(&request.body)
        )
    })
}

#[allow(clippy::disallowed_methods, reason = "a server has a clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
