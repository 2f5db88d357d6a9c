//! Routes for those who watch the control plane.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::IntoResponse;

use super::extract::{Operator, Peer};
use super::problem::ApiError;
use crate::app::{App, Kind, Refusal};
use crate::metrics::CONTENT_TYPE;
use crate::store::DEFAULT_TENANT;

/// What proxies add to a request that somebody else made.
const FORWARDED: [HeaderName; 4] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
];

/// The process is alive.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The process can do its work.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, ApiError> {
    app.ready().await?;
    Ok("ready\n")
}

pub(super) async fn metrics(State(app): State<Arc<App>>, _: Monitor) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        app.metrics_text().await,
    )
}

/// A caller on this machine, or an operator of the installation.
#[derive(Debug)]
pub(super) struct Monitor;

impl FromRequestParts<Arc<App>> for Monitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        if is_local(Peer::of(parts).address, &parts.headers) {
            return Ok(Self);
        }
        let Operator(ctx) = Operator::from_request_parts(parts, app).await?;
        if ctx.tenant().as_str() == DEFAULT_TENANT {
            return Ok(Self);
        }
        Err(Refusal::new(
            Kind::Forbidden,
            "FORBIDDEN",
            "these numbers are about the whole installation",
            "ask with a token of the tenant that runs it",
        )
        .into())
    }
}

/// Asked on this machine, and not on behalf of somebody else. Who shows a token is judged by it.
fn is_local(peer: IpAddr, headers: &HeaderMap) -> bool {
    let proxied = FORWARDED.iter().any(|name| headers.contains_key(name));
    peer.is_loopback() && !proxied && !headers.contains_key(header::AUTHORIZATION)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_who_asks_here_for_himself_needs_no_token() {
        let none = HeaderMap::new();
        for (address, local) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("0.0.0.0", false),
            ("10.0.0.7", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(
                is_local(address.parse().unwrap(), &none),
                local,
                "{address}"
            );
        }
        for name in FORWARDED.into_iter().chain([header::AUTHORIZATION]) {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("x"))]);
            assert!(
                !is_local(IpAddr::from([127, 0, 0, 1]), &headers),
                "{headers:?}"
            );
        }
    }
}
