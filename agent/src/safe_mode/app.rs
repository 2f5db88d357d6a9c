//! The page of safe mode: what it shows, and the forms that act.
//!
//! Every form but the login goes through [`Gate::allows`] first. An action answers with a page that
//! says what was done, or what was not and what to do next; nothing is done by GET.

mod bundles;
mod network;

use std::sync::{Arc, Mutex};

use axum::extract::{DefaultBodyLimit, Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use fleet_device::clock;
use serde::Deserialize;

use super::actions::{ActionError, Actions, Repair};
use super::facts::Facts;
use super::gate::{Gate, same_origin};
use super::install::InstallState;
use super::network as settings;
use super::pages::{self, Outcome};
use super::ssh_key::SshKey;
use crate::core::Monotonic;
use crate::page::web;
use crate::platform::paths::Paths;

pub(super) use bundles::{claim, install};

/// A form is small; uploads have their own limit.
const MAX_FORM_BYTES: usize = 32 * 1024;

/// What handlers share.
#[derive(Debug)]
pub struct App<A> {
    pub(super) actions: A,
    pub(super) paths: Paths,
    pub(super) gate: Gate,
    install: Mutex<InstallState>,
    /// Gathered once for all who ask at the same time.
    facts: tokio::sync::Mutex<Option<(Monotonic, Facts)>>,
}

type Shared<A> = State<Arc<App<A>>>;

impl<A> App<A> {
    pub fn new(actions: A, paths: Paths, gate: Gate) -> Self {
        Self {
            actions,
            paths,
            gate,
            install: Mutex::new(InstallState::None),
            facts: tokio::sync::Mutex::new(None),
        }
    }

    /// Whether somebody is at work here, or something they began.
    pub(super) fn is_in_use(&self, now: Monotonic) -> bool {
        self.gate.is_somebody_there(now)
            || matches!(
                *self.install_state(),
                InstallState::Receiving | InstallState::Running { .. }
            )
            || settings::trial(&self.paths).is_some()
            || super::ssh::is_open(&self.paths)
    }

    pub(super) fn install_state(&self) -> std::sync::MutexGuard<'_, InstallState> {
        // Assigned whole; a poisoned state is as good as any.
        self.install
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// All routes of safe mode.
pub fn router<A: Actions>(app: Arc<App<A>>) -> Router {
    Router::new()
        .route("/", get(home::<A>))
        .route("/login", post(log_in::<A>))
        .route("/logout", post(log_out::<A>))
        .route("/retry", post(retry::<A>))
        .route("/rollback", post(roll_back::<A>))
        .route("/reboot", post(reboot::<A>))
        .route("/network", post(network::set::<A>))
        .route("/network/keep", post(network::keep::<A>))
        .route("/network/undo", post(network::undo::<A>))
        .route("/usb", post(bundles::install_from_usb::<A>))
        .route("/ssh", post(open_ssh::<A>))
        .route("/ssh/close", post(close_ssh::<A>))
        .route("/data", post(repair_data::<A>))
        .route("/support-bundle", get(super::download::support_bundle::<A>))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .route(
            "/upload",
            post(super::upload::upload::<A>).layer(DefaultBodyLimit::disable()),
        )
        .route("/style.css", get(web::style))
        .with_state(app)
        .layer(middleware::from_fn(web::guard))
}

async fn home<A: Actions>(State(app): Shared<A>, headers: HeaderMap) -> Response {
    let token = app.gate.form_token(&headers, clock::monotonic());
    let facts = app.facts().await;
    let Some(token) = token else {
        return pages::door(StatusCode::OK, &facts, None);
    };
    let bundles = app.actions.usb_bundles().await;
    let install = app.install_state().clone();
    let trial = settings::trial(&app.paths);
    let interfaces = settings::interfaces(&app.paths);
    pages::home(
        &facts,
        token.as_str(),
        &bundles,
        &install,
        trial.as_ref(),
        &interfaces,
    )
}

#[derive(Deserialize)]
struct LoginForm {
    pin: String,
}

async fn log_in<A: Actions>(
    State(app): Shared<A>,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Response {
    let entered = if same_origin(&headers) {
        app.gate
            .log_in(&form.pin, clock::monotonic())
            .map_err(|e| e.to_string())
    } else {
        Err("Open this page by the device's own address.".to_owned())
    };
    match entered {
        Ok(cookie) => {
            let headers = [
                (header::SET_COOKIE, cookie),
                (header::LOCATION, "/".to_owned()),
            ];
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        Err(problem) => {
            let facts = app.facts().await;
            pages::door(StatusCode::FORBIDDEN, &facts, Some(problem))
        }
    }
}

/// Facts older than this are gathered anew: guests may reload as fast as they like.
const FACTS_FRESH_MS: u64 = 3_000;

impl<A: Actions> App<A> {
    pub(super) async fn facts(&self) -> Facts {
        // Held while gathering, which is bounded: whoever comes meanwhile gets the same answer.
        let mut cached = self.facts.lock().await;
        if let Some((at, facts)) = &*cached
            && clock::monotonic().since(*at) < FACTS_FRESH_MS
        {
            return facts.clone();
        }
        let facts = self.actions.facts().await;
        *cached = Some((clock::monotonic(), facts.clone()));
        facts
    }
}

/// A form that only needs to be allowed.
#[derive(Deserialize)]
struct PlainForm {
    token: String,
}

impl<A: Actions> App<A> {
    /// `Err`: the answer to a form that may not act.
    #[expect(clippy::result_large_err, reason = "the answer itself, once a request")]
    pub(super) fn check(&self, headers: &HeaderMap, token: &str) -> Result<(), Response> {
        if self.gate.allows(headers, token, clock::monotonic()) {
            Ok(())
        } else {
            Err(pages::expired())
        }
    }
}

async fn log_out<A: Actions>(
    State(app): Shared<A>,
    headers: HeaderMap,
    Form(form): Form<PlainForm>,
) -> Result<Response, Response> {
    app.check(&headers, &form.token)?;
    app.gate.log_out(&headers);
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, "/")]).into_response())
}

async fn retry<A: Actions>(
    State(app): Shared<A>,
    headers: HeaderMap,
    Form(form): Form<PlainForm>,
) -> Result<Response, Response> {
    app.check(&headers, &form.token)?;
    let done = app.actions.retry().await;
    Ok(pages::outcome(done.map(|()| {
        Outcome::reboots("The device restarts and tries again.")
    })))
}

async fn roll_back<A: Actions>(
    State(app): Shared<A>,
    headers: HeaderMap,
    Form(form): Form<PlainForm>,
) -> Result<Response, Response> {
    app.check(&headers, &form.token)?;
    let done = app.actions.roll_back().await;
    Ok(pages::outcome(done.map(|slot| {
        Outcome::reboots(format!("The device restarts into slot {slot}."))
    })))
}

async fn reboot<A: Actions>(
    State(app): Shared<A>,
    headers: HeaderMap,
    Form(form): Form<PlainForm>,
) -> Result<Response, Response> {
    app.check(&headers, &form.token)?;
    let done = app.actions.reboot().await;
    Ok(pages::outcome(
        done.map(|()| Outcome::reboots("The device restarts.")),
    ))
}

#[derive(Deserialize)]
struct SshForm {
    token: String,
    key: String,
}

async fn open_ssh<A: Actions>(
    State(app): Shared<A>,
    headers: HeaderMap,
    Form(form): Form<SshForm>,
) -> Result<Response, Response> {
    app.check(&headers, &form.token)?;
    let opened = match form.key.parse::<SshKey>() {
        Ok(key) => app.actions.open_ssh(key).await,
        Err(error) => Err(ActionError::new(error, "go back and paste the key again")),
    };
    Ok(pages::outcome(opened.map(|ssh| {
        Outcome::new(
            format!("SSH is open for {} minutes", ssh.minutes),
            format!(
                "Log in as root. The device's host key is {}.",
                ssh.host_fingerprint
            ),
        )
    })))
}

async fn close_ssh<A: Actions>(
    State(app): Shared<A>,
    headers: HeaderMap,
    Form(form): Form<PlainForm>,
) -> Result<Response, Response> {
    app.check(&headers, &form.token)?;
    let closed = app.actions.close_ssh().await;
    Ok(pages::outcome(closed.map(|()| {
        Outcome::new("SSH is closed", "Sessions were ended.")
    })))
}

#[derive(Deserialize)]
struct RepairForm {
    token: String,
    repair: String,
    #[serde(default)]
    confirm: String,
}

async fn repair_data<A: Actions>(
    State(app): Shared<A>,
    headers: HeaderMap,
    Form(form): Form<RepairForm>,
) -> Result<Response, Response> {
    app.check(&headers, &form.token)?;
    let repaired = match (form.repair.as_str(), form.confirm.trim()) {
        ("check", _) => app.actions.repair_data(Repair::Check).await.map(|()| {
            Outcome::new(
                "Checked",
                "The data partition was checked and repaired. Now retry.",
            )
        }),
        ("format", "FORMAT") => app.actions.repair_data(Repair::Format).await.map(|()| {
            Outcome::new(
                "Formatted",
                "The data partition is empty. Retry, then enrol the device again.",
            )
        }),
        ("format", _) => Err(ActionError::new(
            "nothing was formatted",
            "to format, type the word FORMAT into the field",
        )),
        _ => Err(ActionError::new(
            "no such repair",
            "use the page's own forms",
        )),
    };
    Ok(pages::outcome(repaired))
}
