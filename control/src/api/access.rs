//! Logging in, users, keys, and the record of what they did.

use std::sync::Arc;

use axum::Json as Answer;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use fleet_protocol::access::{
    AcceptInvitation, ApiKeyCreated, ApiKeyView, AuditCheck, AuditEntry, ChangePassword,
    ChangeUser, CreateApiKey, CreateUser, ForgotPassword, Invitation, LogIn, Me, PutVenueRoles,
    Refresh, SessionView, Tokens, TotpBegun, TotpCode, TotpConfirmed, UserCreated, UserView,
};
use fleet_protocol::device::Page;
use fleet_protocol::{ApiKeyId, SessionId, TenantId, UserId};

use super::extract::{IfMatch, Json, ListQuery, Operator, Path, Peer, text};
use super::operator::{Result, all, status};
use super::seat::{Seat, late_entry};
use crate::app::{App, Error, Handing, Kind, Refusal, etag};
use crate::store::{Client, TenantContext, UserFilter};

pub(crate) fn client(peer: &Peer, headers: &HeaderMap) -> Client {
    let agent = text(headers, header::USER_AGENT.as_str()).unwrap_or_default();
    Client {
        address: peer.address.to_string(),
        user_agent: agent.chars().take(200).collect(),
    }
}

pub(super) async fn log_in(
    State(app): State<Arc<App>>,
    peer: Peer,
    seat: Seat,
    headers: HeaderMap,
    Json(request): Json<LogIn>,
) -> Result<Answer<Tokens>> {
    seat.standing(app.admit_login(&request.email, peer.address)?);
    let account = app.account(&request.email).await?;
    // Who tries is recorded, whether or not it works.
    if let Some(login) = &account {
        seat.caller(&login.ctx);
    }
    let client = client(&peer, &headers);
    Ok(Answer(app.log_in(account, &request, &client).await?))
}

pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    peer: Peer,
    seat: Seat,
    headers: HeaderMap,
    Json(request): Json<Refresh>,
) -> Result<Answer<Tokens>> {
    let token = &request.refresh_token;
    let ctx = app.refresher(token, peer.address).await?;
    seat.caller(&ctx);
    let client = client(&peer, &headers);
    let (tokens, standing) = app.refresh(&ctx, token, &client).await?;
    seat.standing(standing);
    Ok(Answer(tokens))
}

pub(super) async fn log_out(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
) -> Result<StatusCode> {
    app.log_out(&ctx).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn sessions(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
) -> Result<Answer<Page<SessionView>>> {
    Ok(all(app.sessions(&ctx).await?))
}

pub(super) async fn end_session(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(session): Path<SessionId>,
) -> Result<StatusCode> {
    app.end_session(&ctx, &session).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn change_password(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Json(request): Json<ChangePassword>,
) -> Result<StatusCode> {
    app.change_password(&ctx, &request).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn accept(
    State(app): State<Arc<App>>,
    peer: Peer,
    seat: Seat,
    Json(request): Json<AcceptInvitation>,
) -> Result<StatusCode> {
    let ctx = app.accept(&request, peer.address).await?;
    seat.caller(&ctx);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn forgot(
    State(app): State<Arc<App>>,
    peer: Peer,
    seat: Seat,
    headers: HeaderMap,
    Json(request): Json<ForgotPassword>,
) -> Result<StatusCode> {
    let status = StatusCode::ACCEPTED;
    let entry = late_entry("/v1/auth/forgot", status, &peer, &headers);
    seat.standing(app.forgot_password(&request.email, peer.address, entry)?);
    Ok(status)
}

pub(super) async fn begin_totp(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
) -> Result<Answer<TotpBegun>> {
    Ok(Answer(app.begin_totp(&ctx).await?))
}

pub(super) async fn confirm_totp(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Json(request): Json<TotpCode>,
) -> Result<Answer<TotpConfirmed>> {
    Ok(Answer(app.confirm_totp(&ctx, &request.code).await?))
}

pub(super) async fn remove_totp(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Json(request): Json<TotpCode>,
) -> Result<StatusCode> {
    app.remove_totp(&ctx, &request.code).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn me(State(app): State<Arc<App>>, Operator(ctx): Operator) -> Result<Answer<Me>> {
    Ok(Answer(app.me(&ctx).await?))
}

fn tagged(user: UserView) -> Response {
    let tag = etag(user.version);
    ([(header::ETAG, tag)], Answer(user)).into_response()
}

pub(super) async fn create_user(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(_): Path<TenantId>,
    Json(request): Json<CreateUser>,
) -> Result<(StatusCode, Answer<UserCreated>)> {
    let created = app.create_user(&ctx, request).await?;
    Ok((StatusCode::CREATED, Answer(created)))
}

pub(super) async fn users(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(_): Path<TenantId>,
    query: ListQuery,
) -> Result<Answer<Page<UserView>>> {
    let filter = UserFilter {
        status: status(&query)?,
        text: query.text,
    };
    Ok(Answer(app.users(&ctx, &filter, &query.page).await?))
}

pub(super) async fn user(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((_, id)): Path<(TenantId, UserId)>,
) -> Result<Response> {
    Ok(tagged(app.user(&ctx, &id).await?))
}

pub(super) async fn change_user(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((_, id)): Path<(TenantId, UserId)>,
    IfMatch(version): IfMatch,
    Json(change): Json<ChangeUser>,
) -> Result<Response> {
    Ok(tagged(app.change_user(&ctx, &id, version, &change).await?))
}

pub(super) async fn put_venue_roles(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((_, id)): Path<(TenantId, UserId)>,
    IfMatch(version): IfMatch,
    Json(roles): Json<PutVenueRoles>,
) -> Result<Response> {
    let put = app.put_venue_roles(&ctx, &id, version, &roles).await?;
    Ok(tagged(put))
}

pub(super) async fn invite(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((_, id)): Path<(TenantId, UserId)>,
    query: std::result::Result<Query<InviteQuery>, QueryRejection>,
) -> Result<Answer<Invitation>> {
    let Query(query) = query.map_err(|rejection| {
        let hint = "possible is mail=false";
        Refusal::new(Kind::BadRequest, "BAD_QUERY", rejection.body_text(), hint)
    })?;
    let handing = if query.mail == Some(false) {
        Handing::Shown
    } else {
        Handing::Mailed
    };
    Ok(Answer(app.invite(&ctx, &id, handing).await?))
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(super) struct InviteQuery {
    /// `false`: the link is in the answer, to be handed on, and is not mailed.
    mail: Option<bool>,
}

pub(super) async fn take_totp_off(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((_, id)): Path<(TenantId, UserId)>,
) -> Result<StatusCode> {
    app.take_totp_off(&ctx, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn create_api_key(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(_): Path<TenantId>,
    Json(request): Json<CreateApiKey>,
) -> Result<(StatusCode, Answer<ApiKeyCreated>)> {
    let created = app.create_api_key(&ctx, request).await?;
    Ok((StatusCode::CREATED, Answer(created)))
}

pub(super) async fn api_keys(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(_): Path<TenantId>,
    query: ListQuery,
) -> Result<Answer<Page<ApiKeyView>>> {
    Ok(Answer(app.api_keys(&ctx, &query.page).await?))
}

pub(super) async fn remove_api_key(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((_, id)): Path<(TenantId, ApiKeyId)>,
) -> Result<StatusCode> {
    app.remove_api_key(&ctx, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn audit(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    query: ListQuery,
) -> Result<Answer<Page<AuditEntry>>> {
    let text = query.text.as_deref();
    Ok(Answer(app.audit(&ctx, text, &query.page).await?))
}

pub(super) async fn check_audit(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
) -> Result<Answer<AuditCheck>> {
    Ok(Answer(app.check_audit(&ctx).await?))
}

/// All entries, a line each, oldest first; read as fast as they are taken.
pub(super) async fn export_audit(State(app): State<Arc<App>>, Operator(ctx): Operator) -> Response {
    let lines = futures_util::stream::try_unfold(0, move |after| {
        next_lines(app.clone(), ctx.clone(), after)
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::from_stream(lines)).into_response()
}

async fn next_lines(
    app: Arc<App>,
    ctx: TenantContext,
    after: u64,
) -> std::result::Result<Option<(Bytes, u64)>, Error> {
    let lines = app.audit_lines(&ctx, after).await?;
    // Not their number: one that is missing is not made up for by another.
    let Some(last) = lines.last().map(|(sequence, _)| *sequence) else {
        return Ok(None);
    };
    let text: String = lines.into_iter().map(|(_, line)| line + "\n").collect();
    Ok(Some((text.into(), last)))
}
