//! What handlers ask for: credentials first, then parsed paths, queries and bodies.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use fleet_protocol::DeviceId;
use fleet_protocol::enrolment::DEVICE_TOKEN_HEADER;
use serde::de::DeserializeOwned;

use super::problem::ApiError;
use super::seat::{Rule, Seat};
use crate::app::{App, Kind, PageRequest, Refusal, no_such};
use crate::domain::access::Right;
use crate::store::{TenantContext, VenueEpoch};

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

/// Whoever operates: a user, a program's key, or the installation's token. Let in only with the right that the
/// route takes, at the tenant and the venue that its path names.
#[derive(Debug)]
pub(crate) struct Operator(pub(crate) TenantContext);

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Some(token) = bearer(&parts.headers) else {
            return Err(Refusal::new(
                Kind::Unauthenticated,
                "UNAUTHENTICATED",
                "this is for operators, and no token was sent",
                "log in (POST /v1/auth/login) and send `Authorization: Bearer <accessToken>`",
            )
            .into());
        };
        let (address, token) = (Peer::of(parts).address, token.trim().to_owned());
        let ctx = app.operator(&token, address).await?;
        let seat = Seat::of(parts);
        seat.caller(&ctx);
        let rule: Option<Rule> = parts.extensions.get().cloned();
        let rule = rule.ok_or_else(|| forbidden("the rights of this route are not known"))?;
        let path = RawPathParams::from_request_parts(parts, app).await;
        let path =
            path.map_err(|_| no_such("such path", parts.uri.path(), "the API's document"))?;
        let named = |name: &str| {
            path.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        if let Some(tenant) = named("tenant_id").filter(|tenant| *tenant != ctx.tenant().as_str()) {
            return Err(no_such("tenant", tenant, "GET /v1/me").into());
        }
        // First, or what is refused could be asked for without end.
        if let Some(rate) = rule.rate {
            let oneself = rule.right == Some(Right::Myself);
            let who = if oneself {
                ctx.actor_id()
            } else {
                ctx.tenant().to_string()
            };
            seat.standing(app.rates.take(rate, &who)?);
        }
        authorize(&ctx, &rule, named("venue_id"))?;
        Ok(Self(ctx))
    }
}

fn authorize(ctx: &TenantContext, rule: &Rule, venue: Option<&str>) -> Result<(), ApiError> {
    let Some(right) = rule.right else {
        return Err(forbidden("this route is open to nobody"));
    };
    let venue = venue.and_then(|id| id.parse().ok());
    if ctx.access().allows(right, venue.as_ref()) {
        return Ok(());
    }
    let detail = format!("{} may not do this", ctx.actor_name());
    let hint = format!("ask an administrator for {}", right.given_by());
    Err(Refusal::new(Kind::Forbidden, "FORBIDDEN", detail, hint).into())
}

fn forbidden(detail: &str) -> ApiError {
    let hint = "this is a fault of the control plane: please report it";
    Refusal::new(Kind::Forbidden, "FORBIDDEN", detail, hint).into()
}

/// Counts one request of a device.
fn count(parts: &Parts, app: &App, id: &DeviceId) -> Result<(), ApiError> {
    let rate = parts.extensions.get::<Rule>().and_then(|rule| rule.rate);
    if let Some(rate) = rate {
        Seat::of(parts).standing(app.rates.take(rate, id.as_str())?);
    }
    Ok(())
}

/// A device with its certificate and its token.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) ctx: TenantContext,
    pub(crate) id: DeviceId,
    /// Where its screen is, and whether commands may wait for it, as of after the request came.
    pub(crate) screen: Option<VenueEpoch>,
    pub(crate) commands: bool,
}

impl FromRequestParts<Arc<App>> for Device {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let peer = Peer::of(parts);
        // Agents have a header of their own for it, players the one of their contract.
        let token = text(&parts.headers, DEVICE_TOKEN_HEADER).or_else(|| bearer(&parts.headers));
        let admitted = app.device_gate(peer.device.as_ref(), token).await?;
        Seat::of(parts).caller(&admitted.ctx);
        let id = peer
            .device
            .expect("the gate lets nobody pass without a certificate");
        count(parts, app, &id)?;
        Ok(Self {
            ctx: admitted.ctx,
            id,
            screen: admitted.screen,
            commands: admitted.commands,
        })
    }
}

/// A device that shows its certificate, and no token.
#[derive(Debug)]
pub(crate) struct Certificate(pub(crate) TenantContext);

impl FromRequestParts<Arc<App>> for Certificate {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let peer = Peer::of(parts);
        let ctx = app.certificate_gate(peer.device.as_ref()).await?;
        Seat::of(parts).caller(&ctx);
        Ok(Self(ctx))
    }
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    text(headers, header::AUTHORIZATION.as_str())?.strip_prefix("Bearer ")
}

/// The version that a change is meant for; without one nothing is changed.
#[derive(Debug)]
pub(crate) struct IfMatch(pub(crate) u64);

impl FromRequestParts<Arc<App>> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        if_match(&parts.headers)?.map(Self).ok_or_else(|| {
            Refusal::new(
                Kind::PreconditionRequired,
                "PRECONDITION_REQUIRED",
                "If-Match is missing",
                "send the ETag of a GET of the same thing, so that nobody's change is lost",
            )
            .into()
        })
    }
}

/// The version in `If-Match`, if there is one that says anything.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let tag = text(headers, header::IF_MATCH.as_str()).filter(|tag| *tag != "*");
    let version = tag.map(|tag| tag.trim_matches('"').parse()).transpose();
    version.map_err(|_| {
        Refusal::new(
            Kind::BadRequest,
            "BAD_IF_MATCH",
            "If-Match is no ETag of ours",
            "send the ETag of a GET of the same thing",
        )
        .into()
    })
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

/// What every list may be asked with.
#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct RawQuery {
    /// `nextCursor` of the page before.
    cursor: Option<String>,
    /// Rows on a page; 50 when it is left out.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u32>,
    /// Only what holds this text, where the list can be searched.
    q: Option<String>,
    /// Only what is in this state, where the list knows states.
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
        let given = |text: Option<String>| text.filter(|t| !t.is_empty());
        Ok(Self {
            page: page_request(raw.cursor, raw.limit).map_err(bad)?,
            text: given(raw.q),
            status: given(raw.status),
        })
    }
}

/// Which page is asked for, or what is wrong with the question.
pub(super) fn page_request(
    cursor: Option<String>,
    limit: Option<u32>,
) -> Result<PageRequest, String> {
    let limit = limit.unwrap_or(50);
    if !(1..=PageRequest::MAX).contains(&limit) {
        let most = PageRequest::MAX;
        return Err(format!("limit {limit} is not within 1 to {most}"));
    }
    Ok(PageRequest {
        cursor: cursor.filter(|cursor| !cursor.is_empty()),
        limit,
    })
}

/// A JSON body; what does not fit is named by its path.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let Sent(value, _) = Sent::from_request(request, app).await?;
        Ok(Self(value))
    }
}

/// A JSON body with the bytes that it was.
#[derive(Debug)]
pub(crate) struct Sent<T>(pub(crate) T, pub(crate) Bytes);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Sent<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let body = Bytes::from_request(request, app)
            .await
            .map_err(|e| no_body(&e))?;
        Ok(Self(parse_json(&body)?, body))
    }
}

/// A JSON document; what does not fit is named by its path.
fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // Else a list would be read as the fields of a type in their order.
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') {
        serde_json::from_slice::<serde::de::IgnoredAny>(body).map_err(|e| malformed(&e))?;
        let hint = "send a JSON object, with the fields by their names";
        return Err(Refusal::field("body", "is no object", hint).into());
    }
    let mut json = serde_json::Deserializer::from_slice(body);
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
    Ok(value)
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
