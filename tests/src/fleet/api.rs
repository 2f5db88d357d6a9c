//! The control plane's operator side over HTTP, with the CA and the token that it made for itself.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::error::{FleetError, Result};

const REQUEST_WITHIN: Duration = Duration::from_secs(30);
const UPLOAD_WITHIN: Duration = Duration::from_mins(5);

/// One control plane.
pub struct Api {
    agent: Agent,
    base: String,
    token: String,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Api {
    /// `base` is `https://host:port`; `token` is an operator's.
    pub fn new(base: String, ca_pem: &str, token: &str) -> Result<Self> {
        let ca = Certificate::from_pem(ca_pem.as_bytes()).map_err(|e| FleetError::Unexpected {
            what: "the control plane's CA certificate".to_owned(),
            reason: e.to_string(),
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[ca]))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(REQUEST_WITHIN))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Ok(Self {
            agent,
            base,
            token: token.trim().to_owned(),
        })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        answer("GET", path, request.call())
    }

    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        answer("POST", path, request.send_json(body))
    }

    pub fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let request = self.agent.put(format!("{}{path}", self.base));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        answer("PUT", path, request.send_json(body))
    }

    /// Is there something at `path`?
    pub fn exists(&self, path: &str) -> Result<bool> {
        let request = self.agent.head(format!("{}{path}", self.base));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        match checked("HEAD", path, request.call()) {
            Ok(_) => Ok(true),
            Err(FleetError::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Uploads a file; a bundle takes longer than other requests.
    pub fn put_file(&self, path: &str, file: &Path) -> Result<()> {
        let what = format!("opening {}", file.display());
        let body = File::open(file).map_err(FleetError::io(what))?;
        let request = self.agent.put(format!("{}{path}", self.base));
        let request = request
            .header("authorization", format!("Bearer {}", self.token))
            .config()
            .timeout_global(Some(UPLOAD_WITHIN))
            .build();
        checked("PUT", path, request.send(&body)).map(drop)
    }

    /// A body that is no JSON, such as a support bundle.
    pub fn get_bytes(&self, path: &str) -> Result<Vec<u8>> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let mut response = checked("GET", path, request.call())?;
        response
            .body_mut()
            .with_config()
            .limit(256 << 20)
            .read_to_vec()
            .map_err(|e| unreachable("GET", path, &e))
    }
}

fn checked(
    method: &'static str,
    path: &str,
    sent: std::result::Result<Response<ureq::Body>, ureq::Error>,
) -> Result<Response<ureq::Body>> {
    let mut response = sent.map_err(|e| unreachable(method, path, &e))?;
    let status = response.status().as_u16();
    if (200..300).contains(&status) {
        return Ok(response);
    }
    Err(FleetError::Refused {
        method,
        path: path.to_owned(),
        status,
        answer: response.body_mut().read_to_string().unwrap_or_default(),
    })
}

fn answer<T: DeserializeOwned>(
    method: &'static str,
    path: &str,
    sent: std::result::Result<Response<ureq::Body>, ureq::Error>,
) -> Result<T> {
    let mut response = checked(method, path, sent)?;
    let text = response
        .body_mut()
        .read_to_string()
        .map_err(|e| unreachable(method, path, &e))?;
    // 204 has no body; `null` fits into `()` and `Option`.
    let text = if text.is_empty() { "null" } else { &text };
    serde_json::from_str(text).map_err(|error| FleetError::Unexpected {
        what: format!("the answer to {method} {path}"),
        reason: format!("{error} in {text}"),
    })
}

fn unreachable(method: &'static str, path: &str, error: &ureq::Error) -> FleetError {
    FleetError::Unreachable {
        method,
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
