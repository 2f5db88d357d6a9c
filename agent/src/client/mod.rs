//! The control plane as a device sees it: typed calls, blocking, each with a deadline and bounded.
//!
//! ureq blocks; callers run it on the runtime's blocking threads, and long-lived streams on threads
//! of their own.

pub mod bundle_proxy;
pub mod server_certificate;
mod tls;
mod wakeup;

use std::io::Read;
use std::time::Duration;

use fleet_device::request::{RequestError, header_text};
use fleet_protocol::CommandId;
use fleet_protocol::command::{CommandList, CommandResult};
use fleet_protocol::enrolment::{
    CertificateRenewed, DEVICE_TOKEN_HEADER, EnrollRequest, EnrollResponse, PairingStarted,
    PairingStatus, RenewCertificate, StartPairing,
};
use fleet_protocol::event::EventBatch;
use fleet_protocol::heartbeat::{Heartbeat, HeartbeatAck};
use fleet_protocol::target::Target;
use fleet_protocol::update::UpdateReport;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Method, Request, Response, StatusCode, header};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};
use ureq::{Agent, Body, SendBody};

pub use tls::{ClientIdentity, TimeFloor, TlsConfigError};
pub use wakeup::WakeupStream;

/// More than any answer of the control plane needs.
const MAX_ANSWER_BYTES: u64 = 2 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A stream is dead when nothing, not even a keepalive comment, came for this long.
const STREAM_SILENCE: Duration = Duration::from_secs(90);
/// A stream is opened anew after this long, so that a half-open one is not held for ever.
const STREAM_LIFETIME: Duration = Duration::from_mins(30);
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(10);

/// The device's own secret, never shown.
#[derive(Clone)]
pub struct DeviceToken(String);

impl DeviceToken {
    pub fn new(token: String) -> Self {
        Self(token)
    }
}

impl std::fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceToken(..)")
    }
}

/// How to reach the control plane.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `https://host[:port]`
    pub server_url: String,
    pub ca_pem: String,
    pub floor: TimeFloor,
    pub request_timeout: Duration,
}

/// The control plane. Cloning shares the connections.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    agent: Agent,
    base: String,
    token: Option<DeviceToken>,
    /// Deadline of a call that has none of its own.
    request_timeout: Duration,
}

/// A target, or that it is what was already seen.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetAnswer {
    NotModified,
    New {
        target: Box<Target>,
        etag: Option<String>,
    },
}

impl ControlPlane {
    /// Before the device has an identity: only [`Self::enroll`] will be answered.
    pub fn anonymous(endpoint: &Endpoint) -> Result<Self, TlsConfigError> {
        Self::new(endpoint, None, None)
    }

    pub fn as_device(
        endpoint: &Endpoint,
        identity: &ClientIdentity,
        token: DeviceToken,
    ) -> Result<Self, TlsConfigError> {
        Self::new(endpoint, Some(identity), Some(token))
    }

    fn new(
        endpoint: &Endpoint,
        identity: Option<&ClientIdentity>,
        token: Option<DeviceToken>,
    ) -> Result<Self, TlsConfigError> {
        let tls = tls::client_config(&endpoint.ca_pem, identity, &endpoint.floor)?;
        let config = Agent::config_builder()
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("fleet-agent/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .input_buffer_size(32 * 1024)
            .output_buffer_size(16 * 1024)
            .max_idle_connections(4)
            .max_idle_connections_per_host(4)
            .max_idle_age(Duration::from_secs(50))
            .build();
        let connector = TcpConnector::default().chain(tls::TlsConnector(tls));
        Ok(Self {
            agent: Agent::with_parts(config, connector, DefaultResolver::default()),
            base: endpoint.server_url.trim_end_matches('/').to_owned(),
            token,
            request_timeout: endpoint.request_timeout,
        })
    }

    /// The same control plane over the same connections, with another deadline.
    #[must_use]
    pub fn with_request_timeout(&self, request_timeout: Duration) -> Self {
        Self {
            request_timeout,
            ..self.clone()
        }
    }

    pub fn enroll(&self, request: &EnrollRequest) -> Result<EnrollResponse, RequestError> {
        self.post("enrol", "/v1/enroll", request)
    }

    /// Asks for a code to show. For devices without an identity.
    pub fn start_pairing(&self, request: &StartPairing) -> Result<PairingStarted, RequestError> {
        self.post(
            "ask for a pairing code",
            "/v1/devices/pairing/start",
            request,
        )
    }

    /// `token`: of the pairing.
    pub fn pairing_status(&self, token: &str) -> Result<PairingStatus, RequestError> {
        const OPERATION: &str = "ask how the pairing stands";
        let request = self
            .request(Method::GET, "/v1/devices/pairing/status")
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        let response = self.send(OPERATION, request, SendBody::none())?;
        decode(OPERATION, checked(OPERATION, response)?)
    }

    pub fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatAck, RequestError> {
        self.post("heartbeat", "/v1/device/heartbeat", heartbeat)
    }

    /// `etag`: of the answer that is known, if any.
    pub fn target(&self, etag: Option<&str>) -> Result<TargetAnswer, RequestError> {
        const OPERATION: &str = "fetch the target";
        let mut request = self.request(Method::GET, "/v1/device/target");
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let response = self.send(OPERATION, request, SendBody::none())?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(TargetAnswer::NotModified);
        }
        let etag = header_text(response.headers(), &header::ETAG).map(str::to_owned);
        let target = decode(OPERATION, checked(OPERATION, response)?)?;
        Ok(TargetAnswer::New {
            target: Box::new(target),
            etag,
        })
    }

    pub fn renew_certificate(
        &self,
        request: &RenewCertificate,
    ) -> Result<CertificateRenewed, RequestError> {
        self.post("renew the certificate", "/v1/device/certificate", request)
    }

    pub fn commands(&self) -> Result<CommandList, RequestError> {
        const OPERATION: &str = "fetch the commands";
        let request = self.request(Method::GET, "/v1/device/commands");
        let response = self.send(OPERATION, request, SendBody::none())?;
        decode(OPERATION, checked(OPERATION, response)?)
    }

    pub fn command_result(
        &self,
        id: &CommandId,
        result: &CommandResult,
    ) -> Result<(), RequestError> {
        let path = format!("/v1/device/commands/{id}/result");
        self.post_empty("send a command's result", &path, result)
    }

    pub fn events(&self, batch: &EventBatch) -> Result<(), RequestError> {
        self.post_empty("send events", "/v1/device/events", batch)
    }

    pub fn update_report(&self, report: &UpdateReport) -> Result<(), RequestError> {
        self.post_empty("report the update", "/v1/device/update-report", report)
    }

    /// Uploads `size_bytes` from `body`. `name`: letters, digits, `.`, `-` and `_`.
    pub fn upload_support_bundle(
        &self,
        name: &str,
        size_bytes: u64,
        body: impl Read + 'static,
    ) -> Result<(), RequestError> {
        const OPERATION: &str = "upload the support bundle";
        let path = format!("/v1/device/support-bundles/{name}");
        let request = self
            .request(Method::PUT, &path)
            .header(header::CONTENT_TYPE, "application/zstd")
            .header(header::CONTENT_LENGTH, size_bytes);
        let body = SendBody::from_owned_reader(body);
        let response = self.send_within(OPERATION, request, body, UPLOAD_TIMEOUT)?;
        checked(OPERATION, response).map(drop)
    }

    /// Opens the stream of wake-ups. It ends by itself from time to time.
    pub fn wakeup(&self) -> Result<WakeupStream, RequestError> {
        const OPERATION: &str = "listen for wake-ups";
        let request = self
            .request(Method::GET, "/v1/device/wakeup")
            .header(header::ACCEPT, "text/event-stream");
        let request = build(OPERATION, request, SendBody::none())?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(None)
            .timeout_recv_response(Some(CONNECT_TIMEOUT))
            .timeout_recv_body(Some(STREAM_LIFETIME))
            .timeout_per_read(Some(STREAM_SILENCE))
            .build();
        let response = self
            .agent
            .run(request)
            .map_err(|e| RequestError::from_ureq(OPERATION, &e))?;
        let body = checked(OPERATION, response)?;
        Ok(WakeupStream::new(
            body.into_with_config().limit(u64::MAX).reader(),
        ))
    }

    /// Bytes `from..to` of a bundle. `silence`: the longest wait for one read.
    pub(crate) fn bundle_range(
        &self,
        path: &str,
        from: u64,
        to: u64,
        silence: Duration,
    ) -> Result<Response<Body>, RequestError> {
        const OPERATION: &str = "download the bundle";
        let request = self.request(Method::GET, path).header(
            header::RANGE,
            format!("bytes={from}-{}", to.saturating_sub(1)),
        );
        let request = build(OPERATION, request, SendBody::none())?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(None)
            .timeout_recv_response(Some(silence))
            .timeout_per_read(Some(silence))
            .build();
        self.agent
            .run(request)
            .map_err(|e| RequestError::from_ureq(OPERATION, &e))
    }

    fn request(&self, method: Method, path: &str) -> ureq::http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.header(DEVICE_TOKEN_HEADER, &token.0),
            None => request,
        }
    }

    fn post<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, RequestError> {
        decode(operation, self.post_body(operation, path, body)?)
    }

    fn post_empty(
        &self,
        operation: &'static str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(), RequestError> {
        // Read to its end, so that the connection can be used again.
        read_limited(operation, self.post_body(operation, path, body)?).map(drop)
    }

    fn post_body(
        &self,
        operation: &'static str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Body, RequestError> {
        let bytes =
            serde_json::to_vec(body).map_err(|e| RequestError::unexpected(operation, None, e))?;
        let request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, bytes.len());
        let mut reader = bytes.as_slice();
        let response = self.send(operation, request, SendBody::from_reader(&mut reader))?;
        checked(operation, response)
    }

    fn send(
        &self,
        operation: &'static str,
        request: ureq::http::request::Builder,
        body: SendBody<'_>,
    ) -> Result<Response<Body>, RequestError> {
        self.send_within(operation, request, body, self.request_timeout)
    }

    fn send_within(
        &self,
        operation: &'static str,
        request: ureq::http::request::Builder,
        body: SendBody<'_>,
        timeout: Duration,
    ) -> Result<Response<Body>, RequestError> {
        let request = build(operation, request, body)?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(timeout))
            .build();
        self.agent
            .run(request)
            .map_err(|e| RequestError::from_ureq(operation, &e))
    }
}

fn build<'a>(
    operation: &'static str,
    request: ureq::http::request::Builder,
    body: SendBody<'a>,
) -> Result<Request<SendBody<'a>>, RequestError> {
    request
        .body(body)
        .map_err(|e| RequestError::unexpected(operation, None, e))
}

/// The body of a success; anything else as an error.
fn checked(operation: &'static str, response: Response<Body>) -> Result<Body, RequestError> {
    if response.status().is_success() {
        return Ok(response.into_body());
    }
    let (head, body) = response.into_parts();
    // What else it says is of less account than that it said no.
    let body = read_limited(operation, body).unwrap_or_default();
    Err(RequestError::refused(
        operation,
        head.status,
        &head.headers,
        &body,
    ))
}

fn decode<T: DeserializeOwned>(operation: &'static str, body: Body) -> Result<T, RequestError> {
    let bytes = read_limited(operation, body)?;
    serde_json::from_slice(&bytes).map_err(|e| RequestError::unexpected(operation, Some(200), e))
}

fn read_limited(operation: &'static str, body: Body) -> Result<Vec<u8>, RequestError> {
    body.into_with_config()
        .limit(MAX_ANSWER_BYTES)
        .read_to_vec()
        .map_err(|e| RequestError::from_ureq(operation, &e))
}
