//! Where the link of an invitation leads: choosing a password.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use fleet_protocol::access::AcceptInvitation;

use super::pages::PageError;
use super::session::{render, told};
use crate::api::{Peer, Seat};
use crate::app::{App, is_unnamed};

#[derive(serde::Deserialize)]
pub(crate) struct Link {
    #[serde(default)]
    token: String,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    #[serde(default)]
    token: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    again: String,
    email: Option<String>,
    display_name: Option<String>,
}

#[derive(Template)]
#[template(path = "join.html")]
struct JoinPage {
    title: &'static str,
    refresh_s: u32,
    message: Option<String>,
    token: String,
    email: String,
    name: String,
    unnamed: bool,
}

pub(crate) async fn join(
    State(app): State<Arc<App>>,
    peer: Peer,
    Query(link): Query<Link>,
) -> Response {
    form(&app, &peer, link.token, None, StatusCode::OK).await
}

pub(crate) async fn submit_join(
    State(app): State<Arc<App>>,
    peer: Peer,
    seat: Seat,
    axum::Form(filled): axum::Form<Sent>,
) -> Response {
    if filled.password != filled.again {
        let message = Some("the two passwords differ: type the same one twice".to_owned());
        return form(
            &app,
            &peer,
            filled.token,
            message,
            StatusCode::UNPROCESSABLE_ENTITY,
        )
        .await;
    }
    let request = AcceptInvitation {
        token: filled.token,
        password: filled.password,
        email: filled.email,
        display_name: filled.display_name,
    };
    match app.accept(&request, peer.address).await {
        Ok(ctx) => {
            seat.caller(&ctx);
            Redirect::to("/login").into_response()
        }
        Err(error) => {
            let (status, message) = told(error);
            form(&app, &peer, request.token, Some(message), status).await
        }
    }
}

async fn form(
    app: &App,
    peer: &Peer,
    token: String,
    message: Option<String>,
    status: StatusCode,
) -> Response {
    let user = match app.invited(&token, peer.address).await {
        Ok(login) => login.user,
        Err(error) => return PageError::from(error).into_response(),
    };
    let unnamed = is_unnamed(&user);
    let (email, name) = if unnamed {
        (String::new(), String::new())
    } else {
        (user.email, user.display_name)
    };
    let page = JoinPage {
        title: "Choose a password",
        refresh_s: 0,
        message,
        token,
        email,
        name,
        unnamed,
    };
    render(status, &page)
}
