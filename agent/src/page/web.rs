//! What all pages have in common: headers, the host check, errors, the stylesheet.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};

const STYLE: &str = include_str!("templates/style.css");

/// No script, no frame, no other origin (CSP level 3); nothing kept by caches.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

pub(crate) async fn style() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, STYLE).into_response()
}

/// Around every route: refuses foreign host names, adds the headers.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let mut response = if host_is_ours(request.headers()) {
        next.run(request).await
    } else {
        let text = "Open this page by the device's address, as its screen shows it.\n";
        (StatusCode::MISDIRECTED_REQUEST, text).into_response()
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An address, or a name that nobody can own on the internet. Any other name may be one that an
/// attacker made point at this device (DNS rebinding).
fn host_is_ours(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|h| h.to_str().ok()) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_local = !name.is_empty() && !name.contains('.');
    name.parse::<IpAddr>().is_ok()
        || is_local
        || [".local", ".home.arpa"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
}

/// A rendered template, or a plain error: a template that cannot be rendered is a programming error
/// that must not take the page down.
pub(crate) fn html(status: StatusCode, template: &impl askama::Template) -> Response {
    match template.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            log::error!(error:% = error; "a page could not be rendered");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The page could not be drawn.\n",
            )
                .into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_local_names_are_ours() {
        let check = |host: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            assert_eq!(host_is_ours(&headers), expected, "{host}");
        };
        check("192.168.1.20", true);
        check("192.168.1.20:8080", true);
        check("[fe80::1]:80", true);
        check("localhost:8080", true);
        check("screen-4.local", true);
        check("evil.example", false);
        check("192.168.1.20.evil.example", false);
        check("", false);
        assert!(!host_is_ours(&HeaderMap::new()));
    }
}
