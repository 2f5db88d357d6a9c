//! How the tests speak HTTP: over TLS, with or without a client certificate.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Request, Response};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::contract::Asked;

/// A status and a JSON body (null if there is none).
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) etag: Option<String>,
}

impl Answer {
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.body
    }

    /// A problem with this status and code, and a hint.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status, self.body["code"].as_str()),
            (status, Some(code)),
            "{self:?}"
        );
        assert!(
            self.body["hint"].as_str().is_some_and(|h| !h.is_empty()),
            "{self:?}"
        );
        assert!(self.body["requestId"].is_string());
        self.body
    }
}

pub(crate) fn agent(ca: &str, identity: Option<&(String, String)>) -> Agent {
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
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_mins(1)))
        .build()
        .new_agent()
}

pub(super) fn send(
    agent: &Agent,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let path = request.uri_ref().unwrap().path().to_owned();
    let mut response = if matches!(method, "GET" | "HEAD" | "DELETE") {
        agent.run(request.body(()).unwrap()).unwrap()
    } else {
        agent.run(request.body(body.to_vec()).unwrap()).unwrap()
    };
    let asked = Asked::new(method, &path, body);
    asked.check_status(response.status().as_u16(), media(&response));
    response.extensions_mut().insert(asked);
    response
}

fn media(response: &Response<Body>) -> Option<&str> {
    let media = response.headers().get("content-type")?;
    Some(media.to_str().unwrap())
}

pub(super) fn answer(response: Response<Body>) -> Answer {
    let status = response.status().as_u16();
    let media = media(&response).map(str::to_owned);
    let asked = response.extensions().get::<Asked>().cloned();
    let etag = response
        .headers()
        .get("etag")
        .map(|v| v.to_str().unwrap().to_owned());
    let text = response.into_body().read_to_string().unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if let Some(asked) = asked {
        asked.check_bodies(status, media.as_deref(), &body);
    }
    Answer { status, body, etag }
}
