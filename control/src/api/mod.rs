//! HTTP: extract, one call, render.

mod access;
mod alerts;
mod content;
mod device;
mod extract;
mod linger;
mod mail;
mod monitoring;
mod observe;
mod openapi;
mod operator;
mod overrides;
mod pairing;
mod player;
mod problem;
mod protect;
pub mod range;
mod report;
mod rights;
mod route;
mod routes;
mod seat;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use axum::{Extension, Router};

pub(crate) use access::client;
pub(crate) use extract::Peer;
pub(crate) use extract::{ListQuery, Path};
pub use openapi::document;
pub(crate) use operator::device_filter;
pub(crate) use problem::ApiError;
pub use routes::{Audience, Route, routes};
pub(crate) use seat::{Seat, late_entry};

use crate::app::{App, Kind, Refusal};
use route::Body;
use seat::Rule;

/// Longest JSON body.
const MAX_JSON_BYTES: usize = 1 << 20;
/// Time that a request other than a stream may take, its body included.
const DEADLINE: Duration = Duration::from_secs(30);

/// The whole application.
pub fn router(app: Arc<App>) -> Router {
    let (mut documents, mut streams) = (Router::new(), Router::new());
    for route in routes() {
        let group = match route.body {
            Body::Document => &mut documents,
            Body::Stream => &mut streams,
        };
        let rule = Rule {
            right: rights::right(&route.method, route.path)
                .filter(|_| matches!(route.audience, Audience::Operator | Audience::Monitoring)),
            rate: rights::rate(&route.method, route.path),
            method: route.method,
            path: route.path,
            audience: route.audience,
        };
        let attended = middleware::from_fn_with_state(Arc::clone(&app), seat::attend);
        let handler: MethodRouter<_> = route.handler.layer(attended);
        let handler: MethodRouter<_> = handler.layer(Extension(rule));
        *group = std::mem::take(group).route(route.path, handler);
    }
    documents
        .layer(middleware::from_fn(deadline))
        .layer(DefaultBodyLimit::max(MAX_JSON_BYTES))
        .merge(streams.layer(DefaultBodyLimit::disable()))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn(problem::dress))
        .layer(middleware::from_fn(linger::linger))
        .layer(middleware::map_response(protect::protect))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            observe::observe,
        ))
        .with_state(app)
}

async fn deadline(request: Request, next: Next) -> Response {
    if let Ok(response) = tokio::time::timeout(DEADLINE, next.run(request)).await {
        return response;
    }
    let hint = "try again; send smaller requests if the connection is slow";
    let detail = format!("this took longer than {} seconds", DEADLINE.as_secs());
    ApiError::from(Refusal::new(Kind::Timeout, "TIMEOUT", detail, hint)).into_response()
}

async fn no_route(request: Request) -> ApiError {
    let detail = format!("there is nothing at {}", request.uri().path());
    let hint = "look for a typing error in the path; all of the API is under /v1";
    Refusal::new(Kind::NotFound, "NOT_FOUND", detail, hint).into()
}

async fn no_method(request: Request) -> ApiError {
    let detail = format!(
        "{} does not take {}",
        request.uri().path(),
        request.method()
    );
    let hint = "see the Allow header of this answer for what it takes";
    let refusal = Refusal::new(Kind::BadRequest, "METHOD_NOT_ALLOWED", detail, hint);
    ApiError::with_status(refusal, StatusCode::METHOD_NOT_ALLOWED)
}
