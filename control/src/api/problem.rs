//! Refusals and failures as `application/problem+json`.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fleet_protocol::problem::{CONTENT_TYPE, Problem};

use crate::app::{Error, Kind, Refusal, Standing};

pub(crate) const REQUEST_ID: &str = "x-request-id";

/// Until somebody who was refused for want of a database asks again.
const RETRY_AFTER_S: u64 = 5;

/// An error on its way to the client; [`dress`] makes the body, where the request is known.
#[derive(Debug, Clone)]
pub(crate) struct ApiError(Box<Refusal>, StatusCode);

const fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::BadRequest => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Precondition => StatusCode::PRECONDITION_FAILED,
        Kind::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Kind::Timeout => StatusCode::REQUEST_TIMEOUT,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = status(refusal.kind);
        Self(Box::new(refusal), status)
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        if let Error::Refused(refusal) = error {
            let status = status(refusal.kind);
            return Self(refusal, status);
        }
        if let Error::Store(error) = &error
            && error.is_unfit_text()
        {
            let detail = "some text holds a character that can't be kept (NUL, \\u0000)";
            let hint = "leave that character out";
            return Refusal::new(Kind::Unprocessable, "VALIDATION_FAILED", detail, hint).into();
        }
        tracing::error!(error = &error as &dyn std::error::Error, "request failed");
        if let Error::Store(error) = &error
            && error.is_passing()
        {
            let mut refusal = Refusal::new(
                Kind::BadRequest,
                "STORE_UNAVAILABLE",
                "the control plane can't reach its database at the moment",
                "try again in a moment; if it stays, see that the database runs (GET /readyz)",
            );
            refusal.retry_after_seconds = Some(RETRY_AFTER_S);
            return Self(Box::new(refusal), StatusCode::SERVICE_UNAVAILABLE);
        }
        let refusal = Refusal::new(
            Kind::BadRequest,
            "INTERNAL",
            "the control plane could not do this",
            "try again; if it stays, look for the request id in the control plane's log",
        );
        Self(Box::new(refusal), StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl ApiError {
    pub(crate) const fn status(&self) -> StatusCode {
        self.1
    }

    /// What is left to whoever was refused for asking too often.
    pub(super) fn standing(&self) -> Option<Standing> {
        self.0.standing
    }

    pub(crate) fn with_status(refusal: Refusal, status: StatusCode) -> Self {
        Self(Box::new(refusal), status)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives every request an id (the client's, if it is a plain one) and every error its body.
pub(crate) async fn dress(mut request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|v| v.to_str().ok())
        .filter(|v| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            (1..=80).contains(&v.len()) && v.bytes().all(plain)
        })
        .map_or_else(
            || format!("req_{}", &crate::clock::random_secret()[..20]),
            str::to_owned,
        );
    let value = HeaderValue::from_str(&id).expect("plain characters make a header");
    request.headers_mut().insert(REQUEST_ID, value.clone());
    let instance = request.uri().path().to_owned();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        tracing::debug!(
            http.method = %method, http.path = instance, http.status = error.1.as_u16(),
            request.id = id, code = error.0.code, "{}", error.0.detail
        );
        let headers = std::mem::take(response.headers_mut());
        response = error.render(instance, id);
        // Allow and Content-Range belong to the answer whatever its body is.
        for (name, value) in &headers {
            response
                .headers_mut()
                .entry(name)
                .or_insert_with(|| value.clone());
        }
    } else if response.status().is_server_error() {
        tracing::error!(
            http.path = instance,
            http.status = response.status().as_u16(),
            request.id = id,
            "request failed"
        );
    }
    response.headers_mut().insert(REQUEST_ID, value);
    response
}

impl ApiError {
    fn render(self, instance: String, request_id: String) -> Response {
        let Self(refusal, status) = self;
        let problem = Problem {
            type_uri: format!("https://fleet.invalid/errors/{}", refusal.code),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: refusal.code.to_owned(),
            detail: refusal.detail,
            hint: Some(refusal.hint),
            instance,
            request_id,
            errors: refusal.fields,
            retry_after_seconds: refusal.retry_after_seconds,
            current_etag: refusal.current_etag,
            context: refusal.context,
        };
        let body = serde_json::to_vec(&problem).expect("a problem is plain data");
        let mut response = (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
        if let Some(seconds) = refusal.retry_after_seconds {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"fleet\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
