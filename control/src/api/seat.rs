//! What is found out about a request on its way in and needed on its way out: who asks, and what they have left.

use std::sync::{Arc, OnceLock};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use fleet_protocol::access::{AuditEntry, AuditOutcome};

use super::extract::{Peer, text};
use super::problem::{ApiError, REQUEST_ID};
use super::routes::Audience;
use crate::app::{App, Kind, Rate, Refusal, Standing};
use crate::domain::access::Right;
use crate::store::{BEGINNING, TenantContext};

/// What the table says of the route that a request goes to.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) audience: Audience,
    pub(super) right: Option<Right>,
    pub(super) rate: Option<Rate>,
}

impl Rule {
    /// Whether what is asked for is kept in the audit log.
    fn is_recorded(&self) -> bool {
        let reads = matches!(self.method, Method::GET | Method::HEAD);
        let by_people = matches!(self.audience, Audience::Operator | Audience::Anyone);
        by_people && !reads
    }
}

/// One for each request, filled by its extractors.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seat(Arc<Found>);

#[derive(Debug, Default)]
struct Found {
    caller: OnceLock<TenantContext>,
    standing: OnceLock<Standing>,
}

impl Seat {
    /// The first one counts.
    pub(crate) fn caller(&self, ctx: &TenantContext) {
        let _ = self.0.caller.set(ctx.clone());
    }

    /// Who asks, as soon as their credentials were accepted.
    pub(super) fn asked(&self) -> Option<&TenantContext> {
        self.0.caller.get()
    }

    /// The first one counts.
    pub(super) fn standing(&self, standing: Option<Standing>) {
        if let Some(standing) = standing {
            let _ = self.0.standing.set(standing);
        }
    }

    pub(crate) fn of(parts: &Parts) -> Self {
        parts.extensions.get().cloned().unwrap_or_default()
    }
}

impl FromRequestParts<Arc<App>> for Seat {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        Ok(Self::of(parts))
    }
}

/// Records what was done, and says what is left of the asker's rate.
pub(super) async fn attend(
    State(app): State<Arc<App>>,
    rule: axum::Extension<Rule>,
    request: Request,
    next: Next,
) -> Response {
    if !rule.is_recorded() {
        let seat: Seat = request.extensions().get().cloned().unwrap_or_default();
        let response = next.run(request).await;
        return say_standing(response, &seat);
    }
    // On its own: it goes on to its entry even if whoever asked has gone, or the deadline has passed.
    let recorded = tokio::spawn(record(app, rule.0, request, next)).await;
    recorded.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()))
}

async fn record(app: Arc<App>, rule: Rule, request: Request, next: Next) -> Response {
    let seat: Seat = request.extensions().get().cloned().unwrap_or_default();
    let mut entry = about(&request, &rule);
    let response = say_standing(next.run(request).await, &seat);
    let Some(ctx) = seat.asked() else {
        return response;
    };
    // Refused before anything was looked at, and as often as somebody likes.
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        return response;
    }
    entry.at = app.now();
    entry.actor_id = ctx.actor_id();
    ctx.actor_name().clone_into(&mut entry.actor);
    entry.status = response.status().as_u16();
    entry.outcome = match response.status() {
        status if status.is_server_error() => AuditOutcome::Failed,
        status if status.is_client_error() => AuditOutcome::Refused,
        _ => AuditOutcome::Done,
    };
    match app.append_audit(ctx, entry).await {
        Ok(()) => response,
        // It was not done, and says why: the store is gone for both.
        Err(_) if response.status().is_server_error() => response,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "nothing was recorded"
            );
            let refusal = Refusal::new(
                Kind::BadRequest,
                "NOT_RECORDED",
                "the audit log could not be written; what was asked for may have been done",
                "look at what is there before you ask again, and at the control plane's log",
            );
            ApiError::with_status(refusal, StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
    }
}

fn say_standing(mut response: Response, seat: &Seat) -> Response {
    let refused = response.extensions().get::<ApiError>();
    let standing = refused.and_then(ApiError::standing);
    if let Some(standing) = standing.or_else(|| seat.0.standing.get().copied()) {
        let headers = response.headers_mut();
        headers.insert("x-ratelimit-limit", standing.limit.into());
        headers.insert("x-ratelimit-remaining", standing.remaining.into());
        let resets = HeaderValue::from(standing.resets_at.as_second());
        headers.insert("x-ratelimit-reset", resets);
    }
    response
}

/// What is known before it is done.
fn about(request: &Request, rule: &Rule) -> AuditEntry {
    let action = format!("{} {}", rule.method, rule.path);
    let entry = entry(action, request.uri().path(), request.headers());
    let peer = request.extensions().get::<Peer>();
    let address = peer.map(|peer| peer.address.to_string());
    AuditEntry {
        address: address.unwrap_or_default(),
        ..entry
    }
}

/// One for what is asked for with these headers, by nobody yet.
fn entry(action: String, subject: &str, headers: &HeaderMap) -> AuditEntry {
    AuditEntry {
        tenant_id: "ten_none".parse().expect("a constant"),
        sequence: 0,
        at: jiff::Timestamp::UNIX_EPOCH,
        actor_id: String::new(),
        actor: String::new(),
        action,
        subject: subject.to_owned(),
        outcome: AuditOutcome::Done,
        status: 0,
        address: String::new(),
        request_id: text(headers, REQUEST_ID).unwrap_or_default().to_owned(),
        previous_hash: BEGINNING,
        hash: None,
    }
}

/// For what is recorded after it was answered, since the answer must not show whether there is somebody to record it of.
pub(crate) fn late_entry(
    path: &str,
    status: StatusCode,
    peer: &Peer,
    headers: &HeaderMap,
) -> AuditEntry {
    AuditEntry {
        status: status.as_u16(),
        address: peer.address.to_string(),
        ..entry(format!("POST {path}"), path, headers)
    }
}
