//! Headers that every answer has, whatever it is: what keeps browsers and caches from making more of it.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

/// Nothing here loads, runs or frames anything; pages say themselves what they may.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";
/// The control plane speaks TLS alone, and will in a year.
const ALWAYS_TLS: &str = "max-age=31536000";

/// What a handler has said itself stays.
pub(super) async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    // What has a tag may be kept and must be asked about; the rest is not to lie around anywhere.
    let cache = if headers.contains_key(header::ETAG) {
        "private, no-cache"
    } else {
        "no-store"
    };
    unless_said(headers, header::CACHE_CONTROL, cache);
    unless_said(headers, header::CONTENT_SECURITY_POLICY, NOTHING);
    unless_said(headers, header::REFERRER_POLICY, "no-referrer");
    unless_said(headers, header::STRICT_TRANSPORT_SECURITY, ALWAYS_TLS);
    unless_said(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    unless_said(headers, header::X_FRAME_OPTIONS, "DENY");
    response
}

fn unless_said(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers
        .entry(name)
        .or_insert(HeaderValue::from_static(value));
}
