//! For whoever forgot their password: a link to choose a new one, by mail.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use fleet_protocol::access::ForgotPassword;

use super::session::{render, told};
use crate::api::{Peer, late_entry};
use crate::app::App;

#[derive(Template)]
#[template(path = "forgot.html")]
struct ForgotPage {
    title: &'static str,
    refresh_s: u32,
    message: Option<String>,
    email: String,
    /// Whether they have asked, with success or without.
    asked: bool,
}

fn page(status: StatusCode, email: String, asked: bool, message: Option<String>) -> Response {
    let page = ForgotPage {
        title: "A new password",
        refresh_s: 0,
        message,
        email,
        asked,
    };
    render(status, &page)
}

pub(crate) async fn forgot(State(app): State<Arc<App>>) -> Response {
    if app.sends_mail() {
        return page(StatusCode::OK, String::new(), false, None);
    }
    Redirect::to("/login").into_response()
}

pub(crate) async fn submit_forgot(
    State(app): State<Arc<App>>,
    peer: Peer,
    headers: HeaderMap,
    axum::Form(ForgotPassword { email }): axum::Form<ForgotPassword>,
) -> Response {
    let entry = late_entry("/forgot", StatusCode::OK, &peer, &headers);
    match app.forgot_password(&email, peer.address, entry) {
        Ok(_) => page(StatusCode::OK, email, true, None),
        Err(error) => {
            let (status, message) = told(error);
            page(status, email, false, Some(message))
        }
    }
}
