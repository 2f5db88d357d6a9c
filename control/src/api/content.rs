//! Routes for content: the library, venues and schedules.

use std::sync::Arc;

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fleet_protocol::command::{CommandView, CreateCommand};
use fleet_protocol::content::{
    AssetView, CreateGroup, CreatePlaylist, CreateUpload, CreateVenue, GroupView, PlaylistSnapshot,
    PlaylistView, PutEntries, Reorder, Rollback, ScheduleSet, ScheduleSnapshot, SetSlots,
    UploadSession, VenueView,
};
use fleet_protocol::device::{ChangeDevice, DeviceView, Page};
use fleet_protocol::player::PlayerCommandKind;
use fleet_protocol::{
    AssetId, CommandId, DeviceId, PlaylistId, SlotId, TargetId, TenantId, UploadId, VenueId,
};
use serde_json::Value;

use super::device::chunks;
use super::extract::{IfMatch, Json, ListQuery, Operator, Path, text};
use super::operator::{all, device_filter, status};
use super::problem::ApiError;
use super::range;
use crate::app::{App, Upload, etag, no_such};
use crate::domain::access::Right;
use crate::store::{AssetFilter, TenantContext};

type Result<T> = std::result::Result<T, ApiError>;

fn tagged<T: serde::Serialize>(version: u64, view: T) -> Response {
    ([(header::ETAG, etag(version))], Answer(view)).into_response()
}

fn tagged_playlist(view: PlaylistView) -> Response {
    tagged(view.draft_version, view)
}

fn tagged_schedule(set: ScheduleSet) -> Response {
    tagged(set.draft_version, set)
}

/// Who asks.
pub(super) async fn create_upload(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Json(request): Json<CreateUpload>,
) -> Result<(StatusCode, Answer<UploadSession>)> {
    let session = app.create_upload(&ctx, request).await?;
    Ok((StatusCode::CREATED, Answer(session)))
}

pub(super) async fn put_upload(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<UploadId>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode> {
    let part = range::sent(text(&headers, "content-range"))?;
    let uploaded = app.put_upload(&ctx, &id, part, chunks(body)).await?;
    Ok(match uploaded {
        Upload::Whole => StatusCode::CREATED,
        Upload::Partly => StatusCode::ACCEPTED,
    })
}

pub(super) async fn complete_upload(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<UploadId>,
) -> Result<(StatusCode, Answer<AssetView>)> {
    let view = app.complete_upload(&ctx, &id).await?;
    Ok((StatusCode::ACCEPTED, Answer(view)))
}

pub(super) async fn assets(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    query: ListQuery,
) -> Result<Answer<Page<AssetView>>> {
    let filter = AssetFilter {
        status: status(&query)?,
        text: query.text,
    };
    Ok(Answer(app.assets(&ctx, &filter, &query.page).await?))
}

pub(super) async fn asset(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<AssetId>,
) -> Result<Answer<AssetView>> {
    Ok(Answer(app.asset(&ctx, &id).await?))
}

pub(super) async fn delete_asset(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<AssetId>,
) -> Result<StatusCode> {
    app.delete_asset(&ctx, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn asset_file(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<AssetId>,
    headers: HeaderMap,
) -> Result<Response> {
    let (file, content_type) = app.asset_file(&ctx, &id).await?;
    range::serve(file, content_type, &headers).await
}

pub(super) async fn thumbnail(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<AssetId>,
) -> Result<Response> {
    let jpeg = app.thumbnail(&ctx, &id).await?;
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg"),
        (
            header::CACHE_CONTROL,
            "private, immutable, max-age=31536000",
        ),
    ];
    Ok((headers, jpeg).into_response())
}

pub(super) async fn create_playlist(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Json(request): Json<CreatePlaylist>,
) -> Result<Response> {
    let view = app.create_playlist(&ctx, request).await?;
    Ok((StatusCode::CREATED, tagged_playlist(view)).into_response())
}

pub(super) async fn playlists(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    query: ListQuery,
) -> Result<Answer<Page<PlaylistView>>> {
    let text = query.text.as_deref();
    Ok(Answer(app.playlists(&ctx, text, &query.page).await?))
}

pub(super) async fn playlist(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<PlaylistId>,
) -> Result<Response> {
    Ok(tagged_playlist(app.playlist(&ctx, &id).await?))
}

pub(super) async fn put_entries(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<PlaylistId>,
    IfMatch(expected): IfMatch,
    Json(request): Json<PutEntries>,
) -> Result<Response> {
    let view = app.put_entries(&ctx, &id, expected, request.items).await?;
    Ok(tagged_playlist(view))
}

pub(super) async fn reorder(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<PlaylistId>,
    IfMatch(expected): IfMatch,
    Json(order): Json<Reorder>,
) -> Result<Response> {
    Ok(tagged_playlist(
        app.reorder(&ctx, &id, expected, order).await?,
    ))
}

pub(super) async fn publish_playlist(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<PlaylistId>,
) -> Result<Response> {
    Ok(tagged_playlist(app.publish_playlist(&ctx, &id).await?))
}

pub(super) async fn roll_playlist_back(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<PlaylistId>,
    Json(to): Json<Rollback>,
) -> Result<Response> {
    let view = app
        .roll_playlist_back(&ctx, &id, to.published_version)
        .await?;
    Ok(tagged_playlist(view))
}

pub(super) async fn playlist_history(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<PlaylistId>,
    query: ListQuery,
) -> Result<Answer<Page<PlaylistSnapshot>>> {
    Ok(Answer(app.playlist_history(&ctx, &id, &query.page).await?))
}

pub(super) async fn delete_playlist(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<PlaylistId>,
) -> Result<StatusCode> {
    app.delete_playlist(&ctx, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Another tenant is not there.
fn own(ctx: &TenantContext, tenant: &TenantId) -> Result<()> {
    if ctx.tenant() == tenant {
        return Ok(());
    }
    Err(no_such("tenant", tenant, "GET /v1/me").into())
}

pub(super) async fn my_venues(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    query: ListQuery,
) -> Result<Answer<Page<VenueView>>> {
    venues_seen(&app, &ctx, &query).await
}

pub(super) async fn venues(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(tenant): Path<TenantId>,
    query: ListQuery,
) -> Result<Answer<Page<VenueView>>> {
    own(&ctx, &tenant)?;
    venues_seen(&app, &ctx, &query).await
}

async fn venues_seen(
    app: &App,
    ctx: &TenantContext,
    query: &ListQuery,
) -> Result<Answer<Page<VenueView>>> {
    let text = query.text.as_deref();
    let page = app.venues(ctx, Right::ReadVenue, text, &query.page).await?;
    Ok(Answer(page))
}

pub(super) async fn create_venue(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(tenant): Path<TenantId>,
    Json(settings): Json<CreateVenue>,
) -> Result<Response> {
    own(&ctx, &tenant)?;
    let view = app.create_venue(&ctx, &settings).await?;
    Ok((StatusCode::CREATED, tagged(view.version, view)).into_response())
}

pub(super) async fn venue(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((tenant, id)): Path<(TenantId, VenueId)>,
) -> Result<Response> {
    own(&ctx, &tenant)?;
    let view = app.venue(&ctx, &id).await?;
    Ok(tagged(view.version, view))
}

pub(super) async fn put_venue(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((tenant, id)): Path<(TenantId, VenueId)>,
    IfMatch(expected): IfMatch,
    Json(settings): Json<CreateVenue>,
) -> Result<Response> {
    own(&ctx, &tenant)?;
    let view = app.put_venue(&ctx, &id, expected, &settings).await?;
    Ok(tagged(view.version, view))
}

pub(super) async fn venue_devices(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(venue): Path<VenueId>,
    query: ListQuery,
) -> Result<Answer<Page<DeviceView>>> {
    let filter = device_filter(&query);
    let devices = app.venue_devices(&ctx, &venue, filter, &query.page).await?;
    Ok(Answer(devices))
}

pub(super) async fn venue_device(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((venue, id)): Path<(VenueId, DeviceId)>,
) -> Result<Answer<DeviceView>> {
    Ok(Answer(app.device_of(&ctx, &venue, &id).await?))
}

pub(super) async fn change_venue_device(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((venue, id)): Path<(VenueId, DeviceId)>,
    Json(change): Json<ChangeDevice>,
) -> Result<Answer<DeviceView>> {
    let changed = app.change_device_of(&ctx, &venue, &id, &change).await?;
    Ok(Answer(changed))
}

pub(super) async fn create_player_command(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((venue, id)): Path<(VenueId, DeviceId)>,
    Json(request): Json<CreateCommand<PlayerCommandKind>>,
) -> Result<(StatusCode, Answer<CommandView<PlayerCommandKind>>)> {
    app.device_of(&ctx, &venue, &id).await?;
    let view = app.create_player_command(&ctx, &id, request).await?;
    Ok((StatusCode::CREATED, Answer(view)))
}

pub(super) async fn player_commands(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((venue, id)): Path<(VenueId, DeviceId)>,
    query: ListQuery,
) -> Result<Answer<Page<CommandView<PlayerCommandKind>>>> {
    app.device_of(&ctx, &venue, &id).await?;
    Ok(Answer(app.commands(&ctx, &id, &query.page).await?))
}

pub(super) async fn cancel_player_command(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((venue, id, command)): Path<(VenueId, DeviceId, CommandId)>,
) -> Result<Answer<CommandView<PlayerCommandKind>>> {
    app.device_of(&ctx, &venue, &id).await?;
    Ok(Answer(app.cancel_command(&ctx, &id, &command).await?))
}

pub(super) async fn groups(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(venue): Path<VenueId>,
) -> Result<Answer<Page<GroupView>>> {
    Ok(all(app.groups(&ctx, &venue).await?))
}

pub(super) async fn create_group(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(venue): Path<VenueId>,
    Json(request): Json<CreateGroup>,
) -> Result<(StatusCode, Answer<GroupView>)> {
    let group = app.create_group(&ctx, &venue, request).await?;
    Ok((StatusCode::CREATED, Answer(group)))
}

pub(super) async fn put_group(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((venue, group)): Path<(VenueId, TargetId)>,
    Json(request): Json<CreateGroup>,
) -> Result<Answer<GroupView>> {
    Ok(Answer(app.put_group(&ctx, &venue, group, request).await?))
}

pub(super) async fn delete_group(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((venue, group)): Path<(VenueId, TargetId)>,
) -> Result<StatusCode> {
    app.delete_group(&ctx, &venue, &group).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn schedule_set(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(venue): Path<VenueId>,
) -> Result<Response> {
    Ok(tagged_schedule(app.schedule_set(&ctx, &venue).await?))
}

pub(super) async fn set_slots(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(venue): Path<VenueId>,
    IfMatch(expected): IfMatch,
    Json(request): Json<SetSlots>,
) -> Result<Response> {
    let set = app.set_slots(&ctx, &venue, expected, request.slots).await?;
    Ok(tagged_schedule(set))
}

pub(super) async fn add_slot(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(venue): Path<VenueId>,
    IfMatch(expected): IfMatch,
    Json(slot): Json<Value>,
) -> Result<Response> {
    let set = app.put_slot(&ctx, &venue, expected, None, slot).await?;
    Ok((StatusCode::CREATED, tagged_schedule(set)).into_response())
}

pub(super) async fn put_slot(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((venue, id)): Path<(VenueId, SlotId)>,
    IfMatch(expected): IfMatch,
    Json(slot): Json<Value>,
) -> Result<Response> {
    let set = app
        .put_slot(&ctx, &venue, expected, Some(&id), slot)
        .await?;
    Ok(tagged_schedule(set))
}

pub(super) async fn remove_slot(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((venue, id)): Path<(VenueId, SlotId)>,
    IfMatch(expected): IfMatch,
) -> Result<Response> {
    Ok(tagged_schedule(
        app.remove_slot(&ctx, &venue, expected, &id).await?,
    ))
}

pub(super) async fn publish_schedule(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(venue): Path<VenueId>,
) -> Result<Response> {
    Ok(tagged_schedule(app.publish_schedule(&ctx, &venue).await?))
}

pub(super) async fn roll_schedule_back(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(venue): Path<VenueId>,
    Json(to): Json<Rollback>,
) -> Result<Response> {
    let set = app
        .roll_schedule_back(&ctx, &venue, to.published_version)
        .await?;
    Ok(tagged_schedule(set))
}

pub(super) async fn schedule_history(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(venue): Path<VenueId>,
    query: ListQuery,
) -> Result<Answer<Page<ScheduleSnapshot>>> {
    Ok(Answer(
        app.schedule_history(&ctx, &venue, &query.page).await?,
    ))
}
