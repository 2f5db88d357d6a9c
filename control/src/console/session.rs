//! Logging in with the administrator's token, once for each browser.

use std::sync::Arc;

use askama::Template;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};

use crate::api::Peer;
use crate::app::{App, Error, SESSION_LIFETIME};
use crate::store::TenantContext;

const COOKIE: &str = "fleet_session";

#[derive(serde::Deserialize)]
pub(crate) struct Credentials {
    token: Option<String>,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    title: &'static str,
    refresh_s: u32,
    message: Option<String>,
}

/// An operator's browser; without a session it is sent to the login page.
pub(crate) struct Browser(pub(crate) TenantContext);

impl FromRequestParts<Arc<App>> for Browser {
    type Rejection = Redirect;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Redirect> {
        secret(&parts.headers)
            .and_then(|secret| app.sessions.find(secret, app.now()))
            .map(Self)
            .ok_or_else(|| Redirect::to("/login"))
    }
}

fn secret(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    cookies
        .filter_map(|c| c.to_str().ok())
        .flat_map(|c| c.split(';'))
        .filter_map(|c| c.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

/// The form; with `?token=` (the printed link) it is as good as filled in.
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    peer: Peer,
    Query(query): Query<Credentials>,
) -> Response {
    match query.token {
        Some(token) => enter(&app, peer, &token).await,
        None => form(StatusCode::OK, None),
    }
}

pub(crate) async fn submit_login(
    State(app): State<Arc<App>>,
    peer: Peer,
    form: axum::Form<Credentials>,
) -> Response {
    let token = form.0.token.unwrap_or_default();
    enter(&app, peer, token.trim()).await
}

pub(crate) async fn logout(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if let Some(secret) = secret(&headers) {
        app.sessions.close(secret);
    }
    let gone = cookie("", 0);
    ([(header::SET_COOKIE, gone)], Redirect::to("/login")).into_response()
}

async fn enter(app: &App, peer: Peer, token: &str) -> Response {
    match app.operator(token, peer.address).await {
        Ok(ctx) => {
            let secret = app.sessions.open(ctx, app.now());
            let cookie = cookie(&secret, SESSION_LIFETIME.as_secs());
            ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
        }
        Err(Error::Refused(refusal)) => {
            let status = match refusal.retry_after_seconds {
                Some(_) => StatusCode::TOO_MANY_REQUESTS,
                None => StatusCode::UNAUTHORIZED,
            };
            form(
                status,
                Some(format!("{}: {}", refusal.detail, refusal.hint)),
            )
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "login failed");
            form(
                StatusCode::INTERNAL_SERVER_ERROR,
                Some("try again".to_owned()),
            )
        }
    }
}

fn cookie(value: &str, max_age_s: i64) -> String {
    format!("{COOKIE}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; Secure; SameSite=Lax")
}

fn form(status: StatusCode, message: Option<String>) -> Response {
    let page = LoginPage {
        title: "Log in",
        refresh_s: 0,
        message,
    };
    render(status, &page)
}

/// A page, with what keeps browsers from doing anything with it but show it.
pub(super) fn render(status: StatusCode, page: &impl Template) -> Response {
    let html = match page.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a page did not render"
            );
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut response = (status, Html(html)).into_response();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
