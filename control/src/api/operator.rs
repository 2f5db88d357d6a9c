//! Routes that operators call.

use std::sync::Arc;

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fleet_protocol::command::{CommandView, CreateCommand};
use fleet_protocol::device::{
    ChangeDevice, DeviceDetail, DeviceView, FleetOverview, Page, SupportBundleView,
};
use fleet_protocol::enrolment::{CreateEnrolmentToken, EnrolmentTokenCreated, EnrolmentTokenView};
use fleet_protocol::event::Event;
use fleet_protocol::heartbeat::Heartbeat;
use fleet_protocol::release::{
    BundleUpload, BundlesPruned, CreateRelease, PruneBundles, ReleaseStatus, ReleaseView,
    SetReleaseStatus, StoredBundle,
};
use fleet_protocol::rollout::{CreateRollout, RolloutView};
use fleet_protocol::trust::Envelope;
use fleet_protocol::why::WhyTrace;
use fleet_protocol::{CommandId, DeviceId, RolloutId, Sha256, TokenId, Version};
use serde_json::{Map, Value};

use super::device::chunks;
use super::extract::{Json, ListQuery, Operator, Path, if_match, text};
use super::problem::ApiError;
use super::range;
use crate::app::{App, BundleStored, Refusal, etag};
use crate::domain::rollout::Act;
use crate::store::DeviceFilter;

pub(super) type Result<T> = std::result::Result<T, ApiError>;

pub(super) fn all<T>(items: Vec<T>) -> Answer<Page<T>> {
    Answer(Page {
        items,
        next_cursor: None,
    })
}

/// What `status` names in a list of such things.
pub(super) fn status<T>(query: &ListQuery) -> Result<Option<T>>
where
    T: std::str::FromStr<Err = String>,
{
    let status = query.status.as_deref().map(str::parse).transpose();
    status.map_err(|message: String| {
        Refusal::field("status", message, "take one of these, or leave it out").into()
    })
}

pub(super) async fn create_enrolment_token(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Json(request): Json<CreateEnrolmentToken>,
) -> Result<(StatusCode, Answer<EnrolmentTokenCreated>)> {
    let created = app.create_enrolment_token(&ctx, request).await?;
    Ok((StatusCode::CREATED, Answer(created)))
}

pub(super) async fn enrolment_tokens(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    query: ListQuery,
) -> Result<Answer<Page<EnrolmentTokenView>>> {
    Ok(Answer(app.enrolment_tokens(&ctx, &query.page).await?))
}

pub(super) async fn revoke_enrolment_token(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<TokenId>,
) -> Result<StatusCode> {
    app.revoke_token(&ctx, &id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn devices(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    query: ListQuery,
) -> Result<Answer<Page<DeviceView>>> {
    let filter = device_filter(&query);
    Ok(Answer(app.devices(&ctx, &filter, &query.page).await?))
}

/// `status` is `online`, `offline`, or the name of an update state.
pub(crate) fn device_filter(query: &ListQuery) -> DeviceFilter {
    let online = match query.status.as_deref() {
        Some("online") => Some(true),
        Some("offline") => Some(false),
        _ => None,
    };
    DeviceFilter {
        text: query.text.clone(),
        update_state: query.status.clone().filter(|_| online.is_none()),
        online,
        venue: None,
    }
}

pub(super) async fn device(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<DeviceId>,
) -> Result<Answer<DeviceDetail>> {
    Ok(Answer(app.device(&ctx, &id).await?))
}

pub(super) async fn overview(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
) -> Result<Answer<FleetOverview>> {
    Ok(Answer(app.overview(&ctx).await?))
}

pub(super) async fn change_device(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<DeviceId>,
    Json(change): Json<ChangeDevice>,
) -> Result<Answer<DeviceView>> {
    Ok(Answer(app.change_device(&ctx, &id, &change).await?))
}

pub(super) async fn revoke_device(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<DeviceId>,
) -> Result<StatusCode> {
    app.revoke_device(&ctx, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove_device(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<DeviceId>,
) -> Result<StatusCode> {
    app.remove_device(&ctx, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn restore_device(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<DeviceId>,
) -> Result<StatusCode> {
    app.restore_device(&ctx, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn why(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<DeviceId>,
) -> Result<Answer<WhyTrace>> {
    Ok(Answer(app.why(&ctx, &id).await?))
}

pub(super) async fn heartbeats(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<DeviceId>,
    query: ListQuery,
) -> Result<Answer<Page<Heartbeat>>> {
    Ok(Answer(app.heartbeats(&ctx, &id, &query.page).await?))
}

pub(super) async fn create_command(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<DeviceId>,
    Json(request): Json<CreateCommand>,
) -> Result<(StatusCode, Answer<CommandView>)> {
    let view = app.create_command(&ctx, &id, request).await?;
    Ok((StatusCode::CREATED, Answer(view)))
}

pub(super) async fn commands(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<DeviceId>,
    query: ListQuery,
) -> Result<Answer<Page<CommandView>>> {
    Ok(Answer(app.commands(&ctx, &id, &query.page).await?))
}

pub(super) async fn cancel_command(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((id, command)): Path<(DeviceId, CommandId)>,
) -> Result<Answer<CommandView>> {
    Ok(Answer(app.cancel_command(&ctx, &id, &command).await?))
}

pub(super) async fn events(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<DeviceId>,
    query: ListQuery,
) -> Result<Answer<Page<Event>>> {
    Ok(Answer(app.events(&ctx, &id, &query.page).await?))
}

pub(super) async fn support_bundles(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<DeviceId>,
) -> Result<Answer<Page<SupportBundleView>>> {
    Ok(all(app.support_bundles(&ctx, &id).await?))
}

pub(super) async fn support_bundle(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((id, name)): Path<(DeviceId, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    let file = app.support_bundle(&ctx, &id, &name).await?;
    range::serve(file, "application/zstd", &headers).await
}

pub(super) async fn put_bundle(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(sha256): Path<Sha256>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode> {
    let part = range::sent(text(&headers, "content-range"))?;
    let stored = app.put_bundle(&ctx, &sha256, part, chunks(body)).await?;
    Ok(match stored {
        BundleStored::New => StatusCode::CREATED,
        BundleStored::AlreadyThere => StatusCode::NO_CONTENT,
        BundleStored::Partly => StatusCode::ACCEPTED,
    })
}

pub(super) async fn bundle_upload(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(sha256): Path<Sha256>,
) -> Result<Answer<BundleUpload>> {
    Ok(Answer(app.bundle_upload(&ctx, &sha256).await?))
}

pub(super) async fn bundle(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(sha256): Path<Sha256>,
    headers: HeaderMap,
) -> Result<Response> {
    let bundle = app.bundle(&ctx, &sha256).await?;
    range::serve(bundle, "application/vnd.rauc.bundle", &headers).await
}

pub(super) async fn bundles(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
) -> Result<Answer<Page<StoredBundle>>> {
    Ok(all(app.bundles(&ctx).await?))
}

pub(super) async fn delete_bundle(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(sha256): Path<Sha256>,
) -> Result<StatusCode> {
    app.delete_bundle(&ctx, &sha256).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn prune_bundles(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Json(request): Json<PruneBundles>,
) -> Result<Answer<BundlesPruned>> {
    Ok(Answer(app.prune_bundles(&ctx, request).await?))
}

pub(super) async fn create_release(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Json(request): Json<CreateRelease>,
) -> Result<(StatusCode, Answer<ReleaseView>)> {
    let view = app.create_release(&ctx, &request).await?;
    Ok((StatusCode::CREATED, Answer(view)))
}

pub(super) async fn releases(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    query: ListQuery,
) -> Result<Answer<Page<ReleaseView>>> {
    let status: Option<ReleaseStatus> = status(&query)?;
    Ok(all(app.releases(&ctx, status).await?))
}

pub(super) async fn set_release_status(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(version): Path<Version>,
    Json(request): Json<SetReleaseStatus>,
) -> Result<Answer<ReleaseView>> {
    Ok(Answer(
        app.set_release_status(&ctx, &version, request.status)
            .await?,
    ))
}

pub(super) async fn create_rollout(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Json(request): Json<CreateRollout>,
) -> Result<(StatusCode, Answer<RolloutView>)> {
    let view = app.create_rollout(&ctx, request).await?;
    Ok((StatusCode::CREATED, Answer(view)))
}

pub(super) async fn rollouts(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    query: ListQuery,
) -> Result<Answer<Page<RolloutView>>> {
    let status = query.status.as_deref();
    Ok(Answer(app.rollouts(&ctx, status, &query.page).await?))
}

pub(super) async fn rollout(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<RolloutId>,
) -> Result<Answer<RolloutView>> {
    Ok(Answer(app.rollout(&ctx, &id).await?))
}

pub(super) async fn pause_rollout(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<RolloutId>,
) -> Result<Answer<RolloutView>> {
    Ok(Answer(app.operate_rollout(&ctx, &id, Act::Pause).await?))
}

pub(super) async fn resume_rollout(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<RolloutId>,
) -> Result<Answer<RolloutView>> {
    Ok(Answer(app.operate_rollout(&ctx, &id, Act::Resume).await?))
}

pub(super) async fn abort_rollout(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<RolloutId>,
) -> Result<Answer<RolloutView>> {
    Ok(Answer(app.operate_rollout(&ctx, &id, Act::Abort).await?))
}

pub(super) async fn config(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(scope): Path<String>,
) -> Result<Response> {
    let view = app.config(&ctx, &scope).await?;
    let tag = etag(view.version);
    Ok(([(header::ETAG, tag)], Answer(view)).into_response())
}

/// The body is the bare document; `If-Match` with the ETag of a GET refuses lost updates.
pub(super) async fn put_config(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(scope): Path<String>,
    headers: HeaderMap,
    Json(document): Json<Map<String, Value>>,
) -> Result<Response> {
    let expected = if_match(&headers)?;
    let view = app.put_config(&ctx, &scope, document, expected).await?;
    let tag = etag(view.version);
    Ok(([(header::ETAG, tag)], Answer(view)).into_response())
}

pub(super) async fn key_sets(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
) -> Result<Answer<Page<Envelope>>> {
    Ok(all(app.key_sets(&ctx).await?))
}

pub(super) async fn add_key_set(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Json(envelope): Json<Envelope>,
) -> Result<StatusCode> {
    app.add_key_set(&ctx, &envelope).await?;
    Ok(StatusCode::CREATED)
}
