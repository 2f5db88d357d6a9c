//! What goes before a venue's schedule for a while.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use fleet_protocol::content::{CreateOverride, OverrideView};
use fleet_protocol::device::Page;
use fleet_protocol::{OverrideId, VenueId};

use super::extract::{Json, ListQuery, Operator, Path};
use super::operator::{Result, status};
use crate::app::App;

pub(super) async fn overrides(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(venue): Path<VenueId>,
    query: ListQuery,
) -> Result<Answer<Page<OverrideView>>> {
    let status = status(&query)?;
    let page = app.overrides(&ctx, &venue, status, &query.page).await?;
    Ok(Answer(page))
}

pub(super) async fn create_override(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(venue): Path<VenueId>,
    Json(request): Json<CreateOverride>,
) -> Result<(StatusCode, Answer<OverrideView>)> {
    let view = app.create_override(&ctx, &venue, request).await?;
    Ok((StatusCode::CREATED, Answer(view)))
}

pub(super) async fn cancel_override(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((venue, id)): Path<(VenueId, OverrideId)>,
) -> Result<Answer<OverrideView>> {
    Ok(Answer(app.cancel_override(&ctx, &venue, &id).await?))
}
