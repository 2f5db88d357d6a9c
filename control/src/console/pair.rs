//! Where the QR code of a device leads that waits to be paired: whoever stands before it lets it in.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use fleet_protocol::VenueId;
use fleet_protocol::content::VenueView;
use fleet_protocol::enrolment::{ClaimPairing, PairingClaimed, PairingCode};

use super::session::{Visitor, render, told};
use crate::app::{App, Error, Kind, PageRequest, Rate, Refusal};
use crate::domain::access::Right;
use crate::store::{PairingDevice, TenantContext};

/// What is filled in, and what a link brings of it.
#[derive(Default, serde::Deserialize)]
pub(crate) struct Sent {
    #[serde(default)]
    code: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    venue: String,
    /// Part of the name of the venue that is looked for.
    #[serde(default)]
    find: String,
}

#[derive(Template)]
#[template(path = "pair.html")]
struct PairPage {
    title: &'static str,
    refresh_s: u32,
    message: Option<String>,
    sent: Sent,
    step: Step,
}

enum Step {
    /// There is no venue that the caller may bring devices to.
    Nowhere,
    /// Which code it shows.
    Code,
    /// Whether it is the right one, and where it is.
    Device {
        device: PairingDevice,
        code: PairingCode,
        /// Those that the caller may bring devices to, and were looked for.
        venues: Vec<VenueView>,
        /// There are more of them than are listed.
        more: bool,
    },
    /// What has just been let in.
    Claimed(PairingClaimed),
}

pub(crate) async fn pair(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(sent): Query<Sent>,
) -> Response {
    let Visitor(Some(ctx)) = visitor else {
        return to_login(&sent.code);
    };
    form(&app, &ctx, sent, None).await
}

/// Read as a code, so that nothing else comes back from the login.
fn to_login(code: &str) -> Response {
    let code = code.parse::<PairingCode>();
    let path = code.map_or_else(
        |_| "/login".to_owned(),
        |code| format!("/login?pair={code}"),
    );
    Redirect::to(&path).into_response()
}

pub(crate) async fn submit_pair(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    axum::Form(filled): axum::Form<Sent>,
) -> Response {
    let Visitor(Some(ctx)) = visitor else {
        return to_login(&filled.code);
    };
    match claim(&app, &ctx, &filled).await {
        Ok(claimed) => {
            let page = PairPage {
                title: "Device let in",
                refresh_s: 0,
                message: None,
                sent: filled,
                step: Step::Claimed(claimed),
            };
            render(StatusCode::OK, &page)
        }
        Err(error) => form(&app, &ctx, filled, Some(error)).await,
    }
}

fn typed(code: &str) -> Result<PairingCode, Error> {
    let as_shown = "type the code as the screen shows it";
    let code = code.parse::<PairingCode>();
    Ok(code.map_err(|error| Refusal::field("pairingCode", error.to_string(), as_shown))?)
}

async fn claim(app: &App, ctx: &TenantContext, filled: &Sent) -> Result<PairingClaimed, Error> {
    app.rates.take(Rate::Mutation, ctx.tenant().as_str())?;
    let pairing_code = typed(&filled.code)?;
    let venue = filled.venue.parse::<VenueId>();
    let venue = venue.map_err(|error| {
        let hint = "choose one of the list";
        Refusal::field("venue", error.to_string(), hint)
    })?;
    if !ctx.access().allows(Right::ManageVenue, Some(&venue)) {
        let detail = format!("{} may bring no devices to {venue}", ctx.actor_name());
        let hint = format!("ask an administrator for {}", Right::ManageVenue.given_by());
        return Err(Refusal::new(Kind::Forbidden, "FORBIDDEN", detail, hint).into());
    }
    let name = filled.name.trim();
    let request = ClaimPairing {
        pairing_code,
        device_name: (!name.is_empty()).then(|| name.to_owned()),
        role: None,
    };
    app.claim_pairing(ctx, &venue, request).await
}

/// The next step, with what went wrong in the one before.
async fn form(app: &App, ctx: &TenantContext, sent: Sent, wrong: Option<Error>) -> Response {
    let (step, error) = match step(app, ctx, &sent).await {
        Ok(step) => (step, wrong),
        Err(error) => (Step::Code, Some(wrong.unwrap_or(error))),
    };
    let (status, message) = match error.map(told) {
        Some((status, message)) => (status, Some(message)),
        None => (StatusCode::OK, None),
    };
    let page = PairPage {
        title: "Pair a device",
        refresh_s: 0,
        message,
        sent,
        step,
    };
    render(status, &page)
}

async fn step(app: &App, ctx: &TenantContext, sent: &Sent) -> Result<Step, Error> {
    let mine = ctx.access().venues_with(Right::ManageVenue);
    if mine.is_some_and(|venues| venues.is_empty()) {
        return Ok(Step::Nowhere);
    }
    if sent.code.is_empty() {
        return Ok(Step::Code);
    }
    let code = typed(&sent.code)?;
    // Or codes could be guessed without end.
    app.rates.take(Rate::Mutation, ctx.tenant().as_str())?;
    let device = app.device_with_code(ctx, &code).await?;
    let most = PageRequest {
        cursor: None,
        limit: PageRequest::MAX,
    };
    let find = Some(sent.find.trim()).filter(|find| !find.is_empty());
    let venues = app.venues(ctx, Right::ManageVenue, find, &most).await?;
    Ok(Step::Device {
        device,
        code,
        more: venues.next_cursor.is_some(),
        venues: venues.items,
    })
}
