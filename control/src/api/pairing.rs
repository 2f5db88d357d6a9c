//! A screen that nobody knows, and whoever claims it (seed 003, §27.7).

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use fleet_protocol::enrolment::{
    ClaimPairing, PairingClaimed, PairingStarted, PairingStatus, ProvisionFile, StartPairing,
};
use fleet_protocol::{TokenId, VenueId};

use super::extract::{Json, Operator, Path, Peer, bearer};
use super::operator::Result;
use crate::app::App;

pub(super) async fn start(
    State(app): State<Arc<App>>,
    peer: Peer,
    Json(request): Json<StartPairing>,
) -> Result<(StatusCode, Answer<PairingStarted>)> {
    let started = app.start_pairing(request, peer.address).await?;
    Ok((StatusCode::CREATED, Answer(started)))
}

pub(super) async fn status(
    State(app): State<Arc<App>>,
    peer: Peer,
    headers: HeaderMap,
) -> Result<Answer<PairingStatus>> {
    let token = bearer(&headers);
    Ok(Answer(app.pairing_status(token, peer.address).await?))
}

pub(super) async fn claim(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(venue): Path<VenueId>,
    Json(request): Json<ClaimPairing>,
) -> Result<Answer<PairingClaimed>> {
    Ok(Answer(app.claim_pairing(&ctx, &venue, request).await?))
}

pub(super) async fn take_back(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((venue, token)): Path<(VenueId, TokenId)>,
) -> Result<StatusCode> {
    app.revoke_token(&ctx, &token, Some(&venue)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn file(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
) -> Answer<ProvisionFile> {
    Answer(app.pairing_file(&ctx))
}
