//! Logging in: as a person, or with the administrator's token; once for each browser.

use std::sync::Arc;

use askama::Template;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use fleet_protocol::access::LogIn;
use fleet_protocol::enrolment::PairingCode;

use super::pages::PageError;
use crate::api::{ApiError, Peer, Seat, client};
use crate::app::{App, Credential, Error, Kind, Refusal, SESSION_LIFETIME};
use crate::domain::access::Right;
use crate::store::{Client, TenantContext};

pub(crate) const COOKIE: &str = "fleet_session";

#[derive(Default, serde::Deserialize)]
pub(crate) struct Credentials {
    token: Option<String>,
    email: Option<String>,
    password: Option<String>,
    code: Option<String>,
    /// Of a device, which is what they came for.
    #[serde(default)]
    pair: String,
}

/// Where to go once logged in.
fn next_page(pair: &str) -> String {
    let code = pair.parse::<PairingCode>();
    code.map_or_else(|_| "/".to_owned(), |code| format!("/pair?code={code}"))
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    title: &'static str,
    refresh_s: u32,
    message: Option<String>,
    email: String,
    pair: String,
    /// Whether a link can be mailed to whoever forgot their password.
    mail: bool,
}

/// An operator's browser; without a session it is filled to the login page.
pub(crate) struct Browser(pub(crate) TenantContext);

impl FromRequestParts<Arc<App>> for Browser {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let Visitor(Some(ctx)) = Visitor::from_request_parts(parts, app).await? else {
            return Err(Redirect::to("/login").into_response());
        };
        if ctx.access().allows(Right::ReadTenant, None) {
            return Ok(Self(ctx));
        }
        let detail = format!("{} may not see the whole fleet", ctx.actor_name());
        let hint = format!("ask an administrator for {}", Right::ReadTenant.given_by());
        let refusal = Refusal::new(Kind::Forbidden, "FORBIDDEN", detail, hint);
        Err(PageError::from(Error::from(refusal)).into_response())
    }
}

/// Whoever is logged in, whatever they may do.
pub(crate) struct Visitor(pub(crate) Option<TenantContext>);

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let secret = secret(&parts.headers);
        let credential = secret.and_then(|secret| app.sessions.find(secret, app.now()));
        let ctx = match credential {
            // Whoever lost a role since, or was shut out, has lost it here too.
            Some(credential) => app
                .known(&credential)
                .await
                .map_err(|e| PageError::from(e).into_response())?,
            None => None,
        };
        if let Some(ctx) = &ctx {
            Seat::of(parts).caller(ctx);
        }
        Ok(Self(ctx))
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
        Some(token) => entered(
            &app,
            by_token(&app, &peer, &Seat::default(), &token).await,
            "",
            &query.pair,
        ),
        None => form(&app, StatusCode::OK, None, "", &query.pair),
    }
}

pub(crate) async fn submit_login(
    State(app): State<Arc<App>>,
    peer: Peer,
    seat: Seat,
    headers: HeaderMap,
    axum::Form(filled): axum::Form<Credentials>,
) -> Response {
    if let Some(token) = filled.token {
        let found = by_token(&app, &peer, &seat, token.trim()).await;
        return entered(&app, found, "", &filled.pair);
    }
    let email = filled.email.unwrap_or_default();
    let request = LogIn {
        email: email.clone(),
        password: filled.password.unwrap_or_default(),
        code: filled.code.filter(|code| !code.trim().is_empty()),
    };
    let client = client(&peer, &headers);
    let found = by_password(&app, &peer, &seat, &client, &request).await;
    entered(&app, found, &email, &filled.pair)
}

/// With a key, or the token of the installation. An access token is not for browsers: it would last longer here.
async fn by_token(app: &App, peer: &Peer, seat: &Seat, token: &str) -> Result<Credential, Error> {
    let ctx = app.operator(token, peer.address).await?;
    seat.caller(&ctx);
    let credential = app.credential(token);
    let lasting = credential.filter(|found| !matches!(found, Credential::Session(_)));
    lasting.ok_or_else(|| {
        let hint = "log in with your address and password";
        let detail = "this is an access token, which is for programs";
        Refusal::new(Kind::Unauthenticated, "UNAUTHENTICATED", detail, hint).into()
    })
}

async fn by_password(
    app: &App,
    peer: &Peer,
    seat: &Seat,
    client: &Client,
    request: &LogIn,
) -> Result<Credential, Error> {
    app.admit_login(&request.email, peer.address)?;
    let account = app.account(&request.email).await?;
    // Who tries is recorded, whether or not it works.
    if let Some(login) = &account {
        seat.caller(&login.ctx);
    }
    app.log_in_browser(account, request, client).await
}

pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    seat: Seat,
    headers: HeaderMap,
) -> Response {
    let credential = secret(&headers).and_then(|secret| app.sessions.close(secret));
    if let Some(credential) = credential
        && let Ok(Some(ctx)) = app.known(&credential).await
    {
        seat.caller(&ctx);
        if ctx.session().is_some()
            && let Err(error) = app.log_out(&ctx).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a session was not ended"
            );
        }
    }
    let gone = cookie("", 0);
    ([(header::SET_COOKIE, gone)], Redirect::to("/login")).into_response()
}

fn entered(app: &App, found: Result<Credential, Error>, email: &str, pair: &str) -> Response {
    match found {
        Ok(credential) => {
            let secret = app.sessions.open(credential, app.now());
            let cookie = cookie(&secret, SESSION_LIFETIME.as_secs());
            let next = Redirect::to(&next_page(pair));
            ([(header::SET_COOKIE, cookie)], next).into_response()
        }
        Err(error) => {
            let (status, message) = told(error);
            form(app, status, Some(message), email, pair)
        }
    }
}

/// An error for somebody who fills in a form.
pub(super) fn told(error: Error) -> (StatusCode, String) {
    match error {
        Error::Refused(refusal) => {
            let message = format!("{}: {}", refusal.detail, refusal.hint);
            (ApiError::from(*refusal).status(), message)
        }
        error => {
            tracing::error!(error = &error as &dyn std::error::Error, "a form failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "try again".to_owned())
        }
    }
}

fn cookie(value: &str, max_age_s: i64) -> String {
    format!("{COOKIE}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; Secure; SameSite=Lax")
}

fn form(
    app: &App,
    status: StatusCode,
    message: Option<String>,
    email: &str,
    pair: &str,
) -> Response {
    let page = LoginPage {
        title: "Log in",
        refresh_s: 0,
        message,
        email: email.to_owned(),
        // Nothing else than a code is shown to whoever follows a link.
        pair: pair
            .parse::<PairingCode>()
            .map_or_else(|_| String::new(), |code| code.to_string()),
        mail: app.sends_mail(),
    };
    render(status, &page)
}

/// A page, with what keeps browsers from doing anything with it but show it.
pub(crate) fn render(status: StatusCode, page: &impl Template) -> Response {
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
