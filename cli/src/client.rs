//! Speaks to the control plane: TLS 1.3, one pinned CA, JSON, problem+json.

mod access;
mod refusal;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use fleet_protocol::Sha256;
use fleet_protocol::device::Page;
use fleet_protocol::problem::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body, SendBody};

use crate::error::{CommandError, Kind, Result};
pub(crate) use access::Access;
use refusal::{read_problem, received_bytes, refusal};

/// An answer is a page of a list at most; larger ones are refused.
const MAX_ANSWER_BYTES: u64 = 32 << 20;
/// As many as the control plane gives in one page.
const PAGE: u32 = 200;

/// One control plane, and what shows that it is the one.
#[derive(Debug, Clone)]
pub struct Server {
    /// `https://host[:port]`
    pub url: String,
    pub ca_certificate_pem: Vec<u8>,
}

#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "holds the token")]
pub struct Client {
    agent: Agent,
    server: String,
    access: Arc<Access>,
}

/// `{}`: for a POST that says everything by its path.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct NoBody {}

/// What a request brings.
enum Payload<'a> {
    None,
    /// Can be sent again.
    Bytes(&'a [u8]),
    /// Is gone once it was sent.
    Stream(&'a mut dyn Read),
}

/// What came back.
enum Answer {
    Good(Response<Body>),
    No(StatusCode, Option<Problem>),
}

impl Client {
    /// # Errors
    /// When the CA file holds no certificate.
    pub(crate) fn new(server: &Server, access: Access) -> Result<Self> {
        let roots = certificates(&server.ca_certificate_pem)?;
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(tls13_only()))
            .root_certs(RootCerts::new_with_certs(&roots))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .https_only(true)
            .max_redirects(0)
            .user_agent(concat!("fleet/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_mins(1)))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            server: server.url.clone(),
            access: Arc::new(access),
        })
    }

    pub fn server(&self) -> &str {
        &self.server
    }

    /// Reaches it and is let in.
    ///
    /// # Errors
    /// Kind unreachable or unauthorized.
    pub fn check(&self) -> Result<()> {
        self.get::<serde_json::Value>("/v1/me").map(|_| ())
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let response = self.send(&Method::GET, path, &[], Payload::None)?;
        self.json(path, response)
    }

    /// Every item of a list, over all pages. `path` may have a query.
    pub fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        let sign = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{sign}limit={PAGE}");
        let (mut items, mut next) = (Vec::new(), first.clone());
        loop {
            let page: Page<T> = self.get(&next)?;
            let empty = page.items.is_empty();
            items.extend(page.items);
            match page.next_cursor {
                Some(cursor) if !empty => next = format!("{first}&cursor={}", encode(&cursor)),
                _ => return Ok(items),
            }
        }
    }

    pub fn exists(&self, path: &str) -> Result<bool> {
        match self.send(&Method::HEAD, path, &[], Payload::None) {
            Ok(_) => Ok(true),
            Err(error) if error.kind == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T> {
        self.with_body(&Method::POST, path, &[], body)
    }

    pub fn patch<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T> {
        self.with_body(&Method::PATCH, path, &[], body)
    }

    /// As [`Self::put_if_match`].
    pub fn patch_if_match<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        version: u64,
        body: &B,
    ) -> Result<T> {
        self.with_body(&Method::PATCH, path, &[if_match(version)], body)
    }

    pub fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T> {
        self.with_body(&Method::PUT, path, &[], body)
    }

    /// Refused when what is there has another version by now: its ETag.
    pub fn put_if_match<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        version: u64,
        body: &B,
    ) -> Result<T> {
        self.with_body(&Method::PUT, path, &[if_match(version)], body)
    }

    /// As [`Self::put_if_match`].
    pub fn post_if_match<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        version: u64,
        body: &B,
    ) -> Result<T> {
        self.with_body(&Method::POST, path, &[if_match(version)], body)
    }

    /// As [`Self::put_if_match`].
    pub fn delete_if_match<T: DeserializeOwned>(&self, path: &str, version: u64) -> Result<T> {
        let headers = [if_match(version)];
        let response = self.send(&Method::DELETE, path, &headers, Payload::None)?;
        self.json(path, response)
    }

    fn with_body<B: Serialize, T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, String)],
        body: &B,
    ) -> Result<T> {
        let bytes = serde_json::to_vec(body).expect("requests are plain data");
        let mut all = vec![("content-type", "application/json".to_owned())];
        all.extend_from_slice(headers);
        let response = self.send(method, path, &all, Payload::Bytes(&bytes))?;
        self.json(path, response)
    }

    pub fn delete(&self, path: &str) -> Result<()> {
        self.send(&Method::DELETE, path, &[], Payload::None)
            .map(|_| ())
    }

    /// Sends the bytes from `first` to the end of `size` from `reader`, which stands at `first`.
    pub fn upload(&self, path: &str, first: u64, size: u64, reader: &mut dyn Read) -> Result<()> {
        let headers = part(first, size);
        self.send(&Method::PUT, path, &headers, Payload::Stream(reader))
            .map(|_| ())
    }

    /// How many bytes of an upload have arrived, asked by sending the `last` one of `size`; `None`: all of them.
    pub fn arrived(&self, path: &str, size: u64, last: u8) -> Result<Option<u64>> {
        let headers = part(size.saturating_sub(1), size);
        match self.exchange(&Method::PUT, path, &headers, Payload::Bytes(&[last]))? {
            Answer::Good(_) => Ok(None),
            Answer::No(status, problem) => match problem.as_ref().and_then(received_bytes) {
                Some(received) => Ok((received < size).then_some(received)),
                None => Err(refusal(status, problem.as_ref())),
            },
        }
    }

    /// The answer's size, if announced, and its bytes.
    pub fn download(&self, path: &str) -> Result<(Option<u64>, impl Read + use<>)> {
        let response = self.send(&Method::GET, path, &[], Payload::None)?;
        let body = response.into_body();
        let size = body.content_length();
        Ok((size, body.into_with_config().limit(u64::MAX).reader()))
    }

    fn send(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, String)],
        payload: Payload<'_>,
    ) -> Result<Response<Body>> {
        match self.exchange(method, path, headers, payload)? {
            Answer::Good(response) => Ok(response),
            Answer::No(status, problem) => Err(refusal(status, problem.as_ref())),
        }
    }

    /// The answer, whatever its status. Where it says that the access token is not good any more, it is that of a second
    /// try with another one.
    fn exchange(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, String)],
        payload: Payload<'_>,
    ) -> Result<Answer> {
        let token = self.access.token(self)?;
        let again = match &payload {
            Payload::None => Some(Payload::None),
            Payload::Bytes(bytes) => Some(Payload::Bytes(bytes)),
            Payload::Stream(_) => None,
        };
        let first = self.once(method, path, headers, payload, token.as_deref())?;
        let (Answer::No(status, problem), Some(payload), Some(token)) = (&first, again, &token)
        else {
            return Ok(first);
        };
        if *status != StatusCode::UNAUTHORIZED || !access::is_about_the_token(problem.as_ref()) {
            return Ok(first);
        }
        match self.access.other_than(token, self)? {
            None => Ok(first),
            Some(token) => self.once(method, path, headers, payload, Some(&token)),
        }
    }

    fn once(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, String)],
        payload: Payload<'_>,
        token: Option<&str>,
    ) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header("accept", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let mut response = match payload {
            Payload::None => self.run(request, SendBody::none()),
            Payload::Bytes(mut bytes) => self.run(request, bytes.as_body()),
            Payload::Stream(reader) => self.run(request, SendBody::from_reader(reader)),
        }?;
        let status = response.status();
        if status.is_success() {
            return Ok(Answer::Good(response));
        }
        Ok(Answer::No(status, read_problem(&mut response)))
    }

    fn run(
        &self,
        request: ureq::http::request::Builder,
        body: SendBody<'_>,
    ) -> Result<Response<Body>> {
        let request = request.body(body).map_err(|e| {
            CommandError::usage("the request cannot be made")
                .because(e)
                .hint("check the address and the token for stray characters")
        })?;
        self.agent.run(request).map_err(|e| self.transport(e))
    }

    fn json<T: DeserializeOwned>(&self, path: &str, mut response: Response<Body>) -> Result<T> {
        let bytes = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec()
            .map_err(|e| self.transport(e))?;
        let bytes = if bytes.is_empty() {
            b"null"
        } else {
            bytes.as_slice()
        };
        serde_json::from_slice(bytes).map_err(|e| {
            CommandError::failed(format!("the answer to {path} is not understood"))
                .because(e)
                .hint("is this `fleet` as new as the control plane? compare `fleet --version`")
        })
    }

    fn transport(&self, error: ureq::Error) -> CommandError {
        let hint = match &error {
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::Pem(_) => {
                "the certificate is not from the pinned CA, or TLS 1.3 is not spoken there: check --ca and --server"
            }
            ureq::Error::HostNotFound => "check the host's name in --server",
            _ if error.to_string().contains("certificate") => {
                "the certificate is not from the pinned CA: check --ca and --server"
            }
            _ => "is `fleet-control serve` running there, and the port open?",
        };
        CommandError::new(Kind::Unreachable, format!("cannot reach {}", self.server))
            .because(error)
            .hint(hint)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<ureq::tls::Certificate<'static>>> {
    const HINT: &str = "--ca takes the control plane's `ca.pem`";
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(e) => {
                return Err(CommandError::failed("the CA certificate does not parse")
                    .because(e)
                    .hint(HINT));
            }
        }
    }
    if found.is_empty() {
        return Err(CommandError::failed("the CA file holds no certificate").hint(HINT));
    }
    Ok(found)
}

impl Server {
    /// SHA-256 of the CA's certificate: which control plane it is, whatever its address.
    ///
    /// # Errors
    /// When the CA file holds no certificate.
    pub fn ca_sha256(&self) -> Result<Sha256> {
        let all = certificates(&self.ca_certificate_pem)?;
        Ok(Sha256::of(all.first().map_or(&[][..], |first| first.der())))
    }
}

/// Without TLS 1.2 suites no TLS 1.2 can be agreed upon.
pub(crate) fn tls13_only() -> rustls::crypto::CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_some());
    provider
}

fn if_match(version: u64) -> (&'static str, String) {
    ("if-match", format!("\"{version}\""))
}

/// The headers of a body that brings the bytes from `first` to the end of `size`.
fn part(first: u64, size: u64) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("content-type", "application/octet-stream".to_owned()),
        ("content-length", (size - first).to_string()),
    ];
    if let Some(last) = size.checked_sub(1) {
        headers.push(("content-range", format!("bytes {first}-{last}/{size}")));
    }
    headers
}

/// Percent-encodes what is not unreserved (RFC 3986, section 2.3).
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_cannot_break_out_of_its_parameter() {
        assert_eq!(encode("a&b=ü"), "a%26b%3D%C3%BC");
    }

    #[test]
    fn only_tls_1_3_is_offered() {
        assert!(
            tls13_only()
                .cipher_suites
                .iter()
                .all(|s| s.tls13().is_some())
        );
    }
}
