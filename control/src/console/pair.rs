//! Where the QR code of a device leads that waits to be paired: whoever stands before it lets it in.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use fleet_protocol::VenueId;
use fleet_protocol::content::VenueView;
use fleet_protocol::enrolment::{ClaimPairing, PairingClaimed, PairingCode};

use super::pages::PageError;
use super::session::{Visitor, render, told};
use crate::app::{App, Error, Kind, PageRequest, Rate, Refusal};
use crate::domain::access::Right;
use crate::store::TenantContext;

#[derive(Default, serde::Deserialize)]
pub(crate) struct Link {
    #[serde(default)]
    code: String,
}

#[derive(serde::Deserialize)]
pub(crate) struct Sent {
    #[serde(default)]
    code: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    venue: String,
}

#[derive(Template)]
#[template(path = "pair.html")]
struct PairPage {
    title: &'static str,
    refresh_s: u32,
    message: Option<String>,
    code: String,
    name: String,
    /// Those that the caller may bring devices to.
    venues: Vec<VenueView>,
    venue: String,
    /// What has just been let in.
    claimed: Option<PairingClaimed>,
}

pub(crate) async fn pair(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(link): Query<Link>,
) -> Response {
    let Visitor(Some(ctx)) = visitor else {
        return to_login(&link.code);
    };
    let sent = Sent {
        code: link.code,
        name: String::new(),
        venue: String::new(),
    };
    form(&app, &ctx, sent, StatusCode::OK, None).await
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
                code: String::new(),
                name: filled.name,
                venues: Vec::new(),
                venue: String::new(),
                claimed: Some(claimed),
            };
            render(StatusCode::OK, &page)
        }
        Err(error) => {
            let (status, message) = told(error);
            form(&app, &ctx, filled, status, Some(message)).await
        }
    }
}

async fn claim(app: &App, ctx: &TenantContext, filled: &Sent) -> Result<PairingClaimed, Error> {
    app.rates.take(Rate::Mutation, ctx.tenant().as_str())?;
    let as_shown = "type the code as the screen shows it";
    let code = filled.code.parse::<PairingCode>();
    let pairing_code =
        code.map_err(|error| Refusal::field("pairingCode", error.to_string(), as_shown))?;
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

async fn form(
    app: &App,
    ctx: &TenantContext,
    sent: Sent,
    status: StatusCode,
    message: Option<String>,
) -> Response {
    let all = PageRequest {
        cursor: None,
        limit: PageRequest::MAX,
    };
    let mut venues = match app.my_venues(ctx, &all).await {
        Ok(page) => page.items,
        Err(error) => return PageError::from(error).into_response(),
    };
    venues.retain(|v| ctx.access().allows(Right::ManageVenue, Some(&v.venue_id)));
    let page = PairPage {
        title: "Pair a device",
        refresh_s: 0,
        message,
        code: sent.code,
        name: sent.name,
        venues,
        venue: sent.venue,
        claimed: None,
    };
    render(status, &page)
}
