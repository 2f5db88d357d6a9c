//! The control plane as a player sees it: typed calls, blocking, each with a deadline and a limit.
//!
//! Over https with TLS 1.3 alone, to servers under the fleet's own CA and no other; plain http only to this
//! very device, unless it was told otherwise (a test bench, a venue's own network). The token goes nowhere
//! else: redirects and proxies are not followed. Until when a server's certificate is valid is judged by
//! the device's clock, which the agent keeps.

mod identity;
mod worker;

use std::time::Duration;

use fleet_device::request::{RequestError, header_text};
use fleet_protocol::command::{CommandList, CommandResult};
use fleet_protocol::player::{
    MAX_MANIFEST_BYTES, Manifest, PlayerEventBatch, PlayerHeartbeat, ProofOfPlayBatch,
};
use fleet_protocol::{BatchId, CommandId};
use serde::Serialize;
use serde_json::Value;
use ureq::http::{Method, Request, StatusCode, Uri, header, request};
use ureq::{Agent, SendBody};

use crate::core::sync::{Failure, Success};
pub use identity::{DeviceToken, Identity, IdentityError};
pub use worker::{Given, Job, Report, Worker};

/// Any other answer than a manifest.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;
/// The same on each try, so that the receiver takes a batch once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Whether the token may go over a line that anybody can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlainHttp {
    /// To `localhost`, 127.0.0.0/8 and `::1`.
    #[default]
    LoopbackOnly,
    Anywhere,
}

/// No wait is longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    pub connect: Duration,
    /// From the name's look-up to the last byte of the answer.
    pub request: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_secs(45),
        }
    }
}

/// Why there is no way to a control plane at all.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error(
        "`{address}` is no address of a control plane; it looks like https://host or http://localhost"
    )]
    NoAddress { address: String },
    #[error("the token does not go to `{host}` over plain http; use https, or allow plain http")]
    Plain { host: String },
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// The control plane.
#[derive(Debug)]
pub struct ControlPlane {
    agent: Agent,
    base: String,
    token: DeviceToken,
}

/// A success: whole, and within its limit.
struct Answer {
    status: StatusCode,
    etag: Option<String>,
    content_type: String,
    body: Vec<u8>,
}

impl ControlPlane {
    /// # Errors
    /// When the address is none, or one to which the token may not go, or https is asked for and the
    /// identity has no CA.
    pub fn new(
        identity: &Identity,
        plain_http: PlainHttp,
        deadlines: Deadlines,
    ) -> Result<Self, EndpointError> {
        let base = identity.server_url.trim_end_matches('/').to_owned();
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("fleet-player/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(deadlines.connect))
            .timeout_global(Some(deadlines.request))
            .max_idle_connections(2)
            .max_idle_age(Duration::from_secs(50));
        config = match checked_scheme(&base, plain_http)? {
            Scheme::Http => config,
            Scheme::Https => config.https_only(true).tls_config(identity.tls()?),
        };
        Ok(Self {
            agent: config.build().new_agent(),
            base,
            token: identity.token.clone(),
        })
    }

    /// `etag`: of the manifest that is known, as `If-None-Match` takes it.
    pub fn manifest(&self, etag: Option<&str>) -> Result<Success, RequestError> {
        const OPERATION: &str = "fetch the manifest";
        let mut request = self.request(Method::GET, "/v1/player/manifest");
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        // One byte more, so that the manifest's own reader says what is wrong with it.
        let limit = MAX_MANIFEST_BYTES as u64 + 1;
        let answer = self.send(OPERATION, request, SendBody::none(), limit)?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(Success::NotModified);
        }
        // A portal's page is no manifest that could be rejected.
        answer.expect_json(OPERATION)?;
        Ok(match Manifest::parse(&answer.body) {
            Ok(manifest) => Success::Manifest {
                etag: answer.etag,
                manifest: Box::new(manifest),
            },
            Err(error) => Success::Unreadable {
                etag: answer.etag,
                reason: match std::error::Error::source(&error) {
                    Some(source) if !error.to_string().contains(&source.to_string()) => {
                        format!("{error}: {source}")
                    }
                    _ => error.to_string(),
                },
            },
        })
    }

    /// In the order in which they are to run; not all need be understood.
    pub fn commands(&self) -> Result<Vec<Value>, RequestError> {
        const OPERATION: &str = "fetch the commands";
        let request = self.request(Method::GET, "/v1/player/commands");
        let answer = self.send(OPERATION, request, SendBody::none(), MAX_ANSWER_BYTES)?;
        answer.expect_json(OPERATION)?;
        let list: CommandList = serde_json::from_slice(&answer.body)
            .map_err(|e| RequestError::unexpected(OPERATION, Some(200), e))?;
        Ok(list.items)
    }

    pub fn command_result(
        &self,
        id: &CommandId,
        result: &CommandResult,
    ) -> Result<(), RequestError> {
        let path = format!("/v1/player/commands/{id}/result");
        let request = self.request(Method::POST, &path);
        self.post("send a command's result", request, result)
    }

    pub fn heartbeat(&self, heartbeat: &PlayerHeartbeat) -> Result<(), RequestError> {
        let request = self.request(Method::POST, "/v1/player/heartbeat");
        self.post("send a heartbeat", request, heartbeat)
    }

    pub fn events(&self, id: &BatchId, batch: &PlayerEventBatch) -> Result<(), RequestError> {
        let request = self
            .request(Method::POST, "/v1/player/events")
            .header(IDEMPOTENCY_KEY, id.as_str());
        self.post("send events", request, batch)
    }

    pub fn proofs(&self, batch: &ProofOfPlayBatch) -> Result<(), RequestError> {
        let request = self
            .request(Method::POST, "/v1/player/proof-of-play")
            .header(IDEMPOTENCY_KEY, batch.batch_id.as_str());
        self.post("send proofs of play", request, batch)
    }

    fn request(&self, method: Method, path: &str) -> request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, self.token.bearer())
    }

    fn post(
        &self,
        operation: &'static str,
        request: request::Builder,
        body: &impl Serialize,
    ) -> Result<(), RequestError> {
        let bytes =
            serde_json::to_vec(body).map_err(|e| RequestError::unexpected(operation, None, e))?;
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, bytes.len());
        let mut reader = bytes.as_slice();
        let body = SendBody::from_reader(&mut reader);
        self.send(operation, request, body, MAX_ANSWER_BYTES)
            .map(drop)
    }

    fn send(
        &self,
        operation: &'static str,
        request: request::Builder,
        body: SendBody<'_>,
        limit: u64,
    ) -> Result<Answer, RequestError> {
        let request = request
            .body(body)
            .map_err(|e| RequestError::unexpected(operation, None, e))?;
        let response = self
            .agent
            .run(request)
            .map_err(|e| RequestError::from_ureq(operation, &e))?;
        let (head, body) = response.into_parts();
        let is_success = head.status.is_success() || head.status == StatusCode::NOT_MODIFIED;
        let limit = if is_success { limit } else { MAX_ANSWER_BYTES };
        let body = body.into_with_config().limit(limit).read_to_vec();
        if !is_success {
            // What else it says is of less account than that it said no.
            let body = body.unwrap_or_default();
            let refused = RequestError::refused(operation, head.status, &head.headers, &body);
            return Err(refused);
        }
        let text = |name| header_text(&head.headers, &name);
        Ok(Answer {
            status: head.status,
            etag: text(header::ETAG).map(str::to_owned),
            content_type: text(header::CONTENT_TYPE)
                .unwrap_or_default()
                .to_ascii_lowercase(),
            body: body.map_err(|e| RequestError::from_ureq(operation, &e))?,
        })
    }
}

/// For the machine that decides when to ask again.
impl From<&RequestError> for Failure {
    fn from(error: &RequestError) -> Self {
        Self {
            status: error.status(),
            retry_after_s: match error {
                RequestError::Refused { retry_after_s, .. } => *retry_after_s,
                _ => None,
            },
            reason: error.to_string(),
        }
    }
}

impl Answer {
    fn expect_json(&self, operation: &'static str) -> Result<(), RequestError> {
        if self.status == StatusCode::OK && self.content_type.starts_with("application/json") {
            return Ok(());
        }
        let kind: String = self.content_type.chars().take(80).collect();
        let detail = format!(
            "HTTP {} with content of type `{kind}`",
            self.status.as_u16()
        );
        Err(RequestError::unexpected(
            operation,
            Some(self.status.as_u16()),
            detail,
        ))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

fn checked_scheme(base: &str, plain_http: PlainHttp) -> Result<Scheme, EndpointError> {
    let no_address = || EndpointError::NoAddress {
        address: base.chars().take(200).collect(),
    };
    let uri: Uri = base.parse().map_err(|_| no_address())?;
    let host = uri.host().filter(|host| !host.is_empty());
    match (uri.scheme_str(), host) {
        (Some("https"), Some(_)) => Ok(Scheme::Https),
        (Some("http"), Some(host)) => {
            if plain_http == PlainHttp::Anywhere || is_loopback(host) {
                Ok(Scheme::Http)
            } else {
                Err(EndpointError::Plain {
                    host: host.to_owned(),
                })
            }
        }
        _ => Err(no_address()),
    }
}

/// By what is written; a name that somebody's resolver makes loopback is none.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_over_plain_http_to_this_very_device_alone() {
        let check = |base: &str, plain_http, expected: Option<Scheme>| {
            let found = checked_scheme(base, plain_http).ok();
            assert_eq!(found, expected, "{base}");
        };
        for base in [
            "http://localhost:1",
            "http://127.0.0.7",
            "http://[::1]:80/x",
        ] {
            check(base, PlainHttp::LoopbackOnly, Some(Scheme::Http));
        }
        for base in [
            "http://10.0.0.1",
            "http://localhost.example",
            "http://127.0.0.1.example",
        ] {
            check(base, PlainHttp::LoopbackOnly, None);
            check(base, PlainHttp::Anywhere, Some(Scheme::Http));
        }
        check(
            "https://fleet.example",
            PlainHttp::LoopbackOnly,
            Some(Scheme::Https),
        );
        for base in [
            "",
            "fleet.example",
            "ftp://localhost",
            "file:///etc",
            "http://",
        ] {
            check(base, PlainHttp::Anywhere, None);
        }
    }
}
