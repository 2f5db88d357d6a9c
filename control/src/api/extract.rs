//! What handlers ask for: credentials first, then parsed paths, queries and bodies.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use fleet_protocol::DeviceId;
use fleet_protocol::enrolment::DEVICE_TOKEN_HEADER;
use serde::de::DeserializeOwned;

use super::problem::ApiError;
use crate::app::{App, Kind, PageRequest, Refusal};
use crate::store::TenantContext;

/// Who is at the other end of the connection; the server puts it into each request.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// Of a client certificate that our CA signed.
    pub(crate) device: Option<DeviceId>,
}

impl Peer {
    pub(crate) fn of(parts: &Parts) -> Self {
        let nowhere = Self {
            address: IpAddr::from([0, 0, 0, 0]),
            device: None,
        };
        parts.extensions.get().cloned().unwrap_or(nowhere)
    }
}

impl FromRequestParts<Arc<App>> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        Ok(Self::of(parts))
    }
}

/// An operator with a bearer token.
#[derive(Debug)]
pub(crate) struct Operator(pub(crate) TenantContext);

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let token = text(&parts.headers, header::AUTHORIZATION.as_str())
            .and_then(|v| v.strip_prefix("Bearer "));
        let Some(token) = token else {
            return Err(Refusal::new(
                Kind::Unauthenticated,
                "UNAUTHENTICATED",
                "this is for operators, and no operator's token was sent",
                "send `Authorization: Bearer <token>` with the token in fleet-data/admin-token",
            )
            .into());
        };
        let address = Peer::of(parts).address;
        Ok(Self(app.operator(token.trim(), address).await?))
    }
}

/// A device with its certificate and its token.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) ctx: TenantContext,
    pub(crate) id: DeviceId,
}

impl FromRequestParts<Arc<App>> for Device {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let peer = Peer::of(parts);
        let token = text(&parts.headers, DEVICE_TOKEN_HEADER);
        let ctx = app.device_gate(peer.device.as_ref(), token).await?;
        let id = peer
            .device
            .expect("the gate lets nobody pass without a certificate");
        Ok(Self { ctx, id })
    }
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Path parameters; what does not parse names nothing that exists.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        match axum::extract::Path::<T>::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Refusal::new(
                Kind::NotFound,
                "NOT_FOUND",
                format!("the path names nothing: {}", rejection.body_text()),
                "look the name up in the list it comes from",
            )
            .into()),
        }
    }
}

/// `?cursor=&limit=&q=&status=`
#[derive(Debug)]
pub(crate) struct ListQuery {
    pub(crate) page: PageRequest,
    pub(crate) text: Option<String>,
    pub(crate) status: Option<String>,
}

#[derive(serde::Deserialize)]
struct RawQuery {
    cursor: Option<String>,
    limit: Option<u32>,
    q: Option<String>,
    status: Option<String>,
}

impl FromRequestParts<Arc<App>> for ListQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let hint = format!(
            "possible are cursor, limit (1 to {}), q and status",
            PageRequest::MAX
        );
        let bad = |detail: String| {
            ApiError::from(Refusal::new(
                Kind::BadRequest,
                "BAD_QUERY",
                detail,
                hint.clone(),
            ))
        };
        let axum::extract::Query(raw) =
            axum::extract::Query::<RawQuery>::from_request_parts(parts, app)
                .await
                .map_err(|e| bad(e.body_text()))?;
        let limit = raw.limit.unwrap_or(50);
        if !(1..=PageRequest::MAX).contains(&limit) {
            return Err(bad(format!(
                "limit {limit} is not within 1 to {}",
                PageRequest::MAX
            )));
        }
        let given = |text: Option<String>| text.filter(|t| !t.is_empty());
        Ok(Self {
            page: PageRequest {
                cursor: given(raw.cursor),
                limit,
            },
            text: given(raw.q),
            status: given(raw.status),
        })
    }
}

/// A JSON body; what does not fit is named by its path.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let body = Bytes::from_request(request, app)
            .await
            .map_err(|e| no_body(&e))?;
        let mut json = serde_json::Deserializer::from_slice(&body);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            if !inner.is_data() {
                return malformed(&inner);
            }
            let field = if path == "." { "body".to_owned() } else { path };
            let hint = "correct the field and send the request again";
            Refusal::field(&field, inner.to_string(), hint)
        })?;
        json.end().map_err(|e| malformed(&e))?;
        Ok(Self(value))
    }
}

fn malformed(error: &serde_json::Error) -> Refusal {
    let hint = "send one JSON document in UTF-8";
    Refusal::new(Kind::BadRequest, "MALFORMED_JSON", error.to_string(), hint)
}

fn no_body(rejection: &BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let hint = "send less at a time";
        let detail = "the body is longer than this route takes";
        return Refusal::new(Kind::TooLarge, "TOO_LARGE", detail, hint).into();
    }
    let hint = "send it again as a whole";
    Refusal::new(
        Kind::BadRequest,
        "BODY_INCOMPLETE",
        rejection.body_text(),
        hint,
    )
    .into()
}
