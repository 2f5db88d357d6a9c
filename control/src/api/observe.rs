//! Every request is counted and has its line in the log: pattern, status, duration, id and who asked. Never a path's ids,
//! a query, a header or a body.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::problem::REQUEST_ID;
use super::seat::Seat;
use crate::app::App;
use crate::metrics::NO_ROUTE;
use crate::store::TenantContext;

pub(super) async fn observe(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let seat = Seat::default();
    request.extensions_mut().insert(seat.clone());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let took = begun.elapsed();
    let route = matched.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let status = response.status();
    app.metrics.request(route, &method, status, took);
    let id = response.headers().get(REQUEST_ID);
    let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
    let actor = seat.asked().map_or("", TenantContext::actor_name);
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    // What devices and probes ask for all day is counted, and written down only if it went wrong.
    if status < 400 && is_routine(route) {
        tracing::debug!(
            http.method = %method, http.route = route, http.status = status, duration_ms,
            request.id = id, actor, "answered"
        );
    } else {
        tracing::info!(
            http.method = %method, http.route = route, http.status = status, duration_ms,
            request.id = id, actor, "answered"
        );
    }
    response
}

fn is_routine(route: &str) -> bool {
    let by_devices = ["/v1/device/", "/v1/player/"];
    by_devices.iter().any(|prefix| route.starts_with(prefix))
        || matches!(route, "/healthz" | "/readyz" | "/metrics")
}
