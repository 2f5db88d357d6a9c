//! Speaks to the control plane: TLS 1.3, one pinned CA, JSON, problem+json.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use fleet_protocol::problem::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body, SendBody};

use crate::error::{CommandError, Kind, Result};
use crate::output::printable;

/// An answer is a page of a list at most; larger ones are refused.
const MAX_ANSWER_BYTES: u64 = 32 << 20;

/// What is needed to speak to one control plane. Not `Debug`: it holds the token.
#[expect(missing_debug_implementations, reason = "holds the token")]
pub struct Credentials {
    /// `https://host[:port]`
    pub server: String,
    pub ca_certificate_pem: Vec<u8>,
    pub token: String,
}

#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "holds the token")]
pub struct Client {
    agent: Agent,
    server: String,
    authorization: String,
}

impl Client {
    /// # Errors
    /// When the CA file holds no certificate.
    pub fn new(credentials: &Credentials) -> Result<Self> {
        let mut roots = Vec::new();
        for item in ureq::tls::parse_pem(&credentials.ca_certificate_pem) {
            match item {
                Ok(ureq::tls::PemItem::Certificate(certificate)) => roots.push(certificate),
                Ok(_) => {}
                Err(e) => {
                    return Err(CommandError::failed("the CA certificate does not parse")
                        .because(e)
                        .hint("--ca takes the control plane's `ca.pem`"));
                }
            }
        }
        if roots.is_empty() {
            return Err(CommandError::failed("the CA file holds no certificate")
                .hint("--ca takes the control plane's `ca.pem`"));
        }
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
            server: credentials.server.clone(),
            authorization: format!("Bearer {}", credentials.token),
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
        self.get::<serde_json::Value>("/v1/enrolment-tokens")
            .map(|_| ())
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let response = self.send(Method::GET, path, &[], SendBody::none())?;
        self.json(path, response)
    }

    pub fn exists(&self, path: &str) -> Result<bool> {
        match self.send(Method::HEAD, path, &[], SendBody::none()) {
            Ok(_) => Ok(true),
            Err(error) if error.kind == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T> {
        self.with_body(Method::POST, path, &[], body)
    }

    pub fn patch<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T> {
        self.with_body(Method::PATCH, path, &[], body)
    }

    /// Refused when what is there has another ETag by now.
    pub fn put_if_match<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        etag: &str,
        body: &B,
    ) -> Result<T> {
        self.with_body(Method::PUT, path, &[("if-match", etag.to_owned())], body)
    }

    fn with_body<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: &B,
    ) -> Result<T> {
        let bytes = serde_json::to_vec(body).expect("requests are plain data");
        let mut all = vec![("content-type", "application/json".to_owned())];
        all.extend_from_slice(headers);
        let mut bytes = bytes.as_slice();
        let response = self.send(method, path, &all, bytes.as_body())?;
        self.json(path, response)
    }

    pub fn delete(&self, path: &str) -> Result<()> {
        self.send(Method::DELETE, path, &[], SendBody::none())
            .map(|_| ())
    }

    /// Sends the bytes from `first` to the end of `size` from `reader`, which stands at `first`.
    pub fn upload(&self, path: &str, first: u64, size: u64, reader: &mut dyn Read) -> Result<()> {
        let mut headers = vec![
            ("content-type", "application/octet-stream".to_owned()),
            ("content-length", (size - first).to_string()),
        ];
        if let Some(last) = size.checked_sub(1) {
            headers.push(("content-range", format!("bytes {first}-{last}/{size}")));
        }
        self.send(Method::PUT, path, &headers, SendBody::from_reader(reader))
            .map(|_| ())
    }

    /// The answer's size, if announced, and its bytes.
    pub fn download(&self, path: &str) -> Result<(Option<u64>, impl Read + use<>)> {
        let response = self.send(Method::GET, path, &[], SendBody::none())?;
        let body = response.into_body();
        let size = body.content_length();
        Ok((size, body.into_with_config().limit(u64::MAX).reader()))
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: SendBody<'_>,
    ) -> Result<Response<Body>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header("authorization", &self.authorization)
            .header("accept", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(body).map_err(|e| {
            CommandError::usage("the request cannot be made")
                .because(e)
                .hint("check the address and the token for stray characters")
        })?;
        let response = self.agent.run(request).map_err(|e| self.transport(e))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(problem(response))
        }
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

/// Without TLS 1.2 suites no TLS 1.2 can be agreed upon.
fn tls13_only() -> rustls::crypto::CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_some());
    provider
}

fn problem(mut response: Response<Body>) -> CommandError {
    let status = response.status();
    let body = response
        .body_mut()
        .with_config()
        .limit(1 << 20)
        .read_to_vec()
        .unwrap_or_default();
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => from_problem(status, &problem),
        Err(_) => CommandError::new(
            kind_of(status),
            format!("the control plane answered {status}"),
        )
        .hint("is this the control plane's address? its log says more"),
    }
}

const fn kind_of(status: StatusCode) -> Kind {
    match status.as_u16() {
        401 | 403 => Kind::Unauthorized,
        404 | 410 => Kind::NotFound,
        400 | 405..=499 => Kind::Refused,
        502..=504 => Kind::Unreachable,
        _ => Kind::Failed,
    }
}

fn from_problem(status: StatusCode, problem: &Problem) -> CommandError {
    let kind = if status == StatusCode::TOO_MANY_REQUESTS {
        Kind::Unreachable
    } else {
        kind_of(status)
    };
    let mut message = printable(&problem.detail);
    if message.is_empty() {
        message = printable(&problem.title);
    }
    for field in &problem.errors {
        if !problem.detail.contains(&field.message) {
            message += &format!(
                "\n  {}: {}",
                printable(&field.field),
                printable(&field.message)
            );
        }
    }
    let error = CommandError::new(kind, message);
    match (&problem.hint, kind, problem.retry_after_seconds) {
        (Some(hint), _, _) => error.hint(printable(hint)),
        (None, Kind::Unauthorized, _) => {
            error.hint("run `fleet login` again, or check --token-file")
        }
        (None, _, Some(seconds)) => error.hint(format!("try again in {seconds} s")),
        (None, Kind::NotFound, _) => {
            error.hint("list what there is: `fleet device|release|rollout list`")
        }
        (None, _, _) => error.hint(format!(
            "the control plane's log has more under request {}",
            printable(&problem.request_id)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, hint: Option<&str>) -> CommandError {
        let problem = Problem {
            type_uri: String::new(),
            title: "Conflict".to_owned(),
            status,
            code: "CONFLICT".to_owned(),
            detail: "the rollout is over".to_owned(),
            hint: hint.map(str::to_owned),
            instance: String::new(),
            request_id: "req_1".to_owned(),
            errors: vec![fleet_protocol::problem::FieldError {
                field: "phases[0]".to_owned(),
                message: "too small".to_owned(),
            }],
            retry_after_seconds: None,
            current_etag: None,
            context: serde_json::Map::new(),
        };
        from_problem(StatusCode::from_u16(status).unwrap(), &problem)
    }

    #[test]
    fn each_status_has_its_exit_code() {
        let check =
            |status, code| assert_eq!(answer(status, None).kind.exit_code(), code, "{status}");
        check(401, 6);
        check(404, 3);
        check(409, 4);
        check(422, 4);
        check(429, 5);
        check(503, 5);
        check(500, 1);
    }

    #[test]
    fn a_problem_names_its_fields_and_always_has_a_hint() {
        let error = answer(409, None);
        assert!(error.message.contains("phases[0]: too small"), "{error}");
        assert!(!error.hints.is_empty());
        assert_eq!(answer(409, Some("wait")).hints, ["wait"]);
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
