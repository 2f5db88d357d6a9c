//! The page in normal operation: reading only.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router, middleware};

use super::view::StatusView;
use super::web;
use crate::daemon::status::{SharedStatus, Status};

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    title: String,
    refresh_s: u32,
    status: StatusView,
}

/// `/`, `/status.json` and the stylesheet.
pub fn router(status: SharedStatus) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/status.json", get(document))
        .route("/style.css", get(web::style))
        .with_state(status)
        .layer(middleware::from_fn(web::guard))
}

async fn page(State(status): State<SharedStatus>) -> Response {
    let status = status.borrow().clone();
    let view = StatusView::of(&status);
    let page = StatusPage {
        title: view.device.clone(),
        refresh_s: if view.busy { 3 } else { 15 },
        status: view,
    };
    web::html(StatusCode::OK, &page)
}

async fn document(State(status): State<SharedStatus>) -> Json<Status> {
    Json(status.borrow().as_ref().clone())
}
