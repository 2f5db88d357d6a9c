//! Routes that players call (seed 003, §27.8).

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fleet_protocol::player::{PlayerHeartbeat, ProofOfPlayBatch};
use fleet_protocol::{AssetId, BatchId, Sha256};

use super::extract::{Certificate, Device, Json, Path, Sent, text};
use super::problem::ApiError;
use super::range;
use crate::app::{App, Kind, PlayerEvents, Refusal};

type Result<T> = std::result::Result<T, ApiError>;

pub(super) async fn manifest(
    State(app): State<Arc<App>>,
    device: Device,
    headers: HeaderMap,
) -> Result<Response> {
    let known = text(&headers, "if-none-match").map(|tag| tag.trim().trim_matches('"'));
    let screen = device.screen.as_ref();
    let manifest = app.manifest(&device.ctx, &device.id, screen, known);
    let manifest = manifest.await?;
    app.metrics.manifest(manifest.is_some());
    let tag = |etag: &str| [(header::ETAG, format!("\"{etag}\""))];
    Ok(match manifest {
        Some(manifest) => (tag(&manifest.manifest_etag), Answer(manifest)).into_response(),
        None => (StatusCode::NOT_MODIFIED, tag(known.unwrap_or_default())).into_response(),
    })
}

/// What a manifest names. The client's certificate is enough: a token goes to no address that stands in a manifest.
pub(super) async fn media(
    State(app): State<Arc<App>>,
    Certificate(ctx): Certificate,
    Path(id): Path<AssetId>,
    headers: HeaderMap,
) -> Result<Response> {
    if let Some(png) = app.message_picture(&ctx, &id).await? {
        return Ok(([(header::CONTENT_TYPE, "image/png")], png).into_response());
    }
    let (file, content_type) = app.asset_file(&ctx, &id).await?;
    range::serve(file, content_type, &headers).await
}

pub(super) async fn heartbeat(
    State(app): State<Arc<App>>,
    device: Device,
    Json(heartbeat): Json<PlayerHeartbeat>,
) -> Result<StatusCode> {
    app.player_heartbeat(&device.ctx, &device.id, &heartbeat)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The batch is known by its `Idempotency-Key`; without one, by what is in it.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    device: Device,
    headers: HeaderMap,
    Sent(events, body): Sent<PlayerEvents>,
) -> Result<StatusCode> {
    let batch = match text(&headers, "idempotency-key") {
        Some(key) => key.parse().map_err(|error: fleet_protocol::ParseIdError| {
            let hint = "send the same one with each try of the same batch, or none";
            let detail = format!("Idempotency-Key: {error}");
            Refusal::new(Kind::BadRequest, "BAD_IDEMPOTENCY_KEY", detail, hint)
        })?,
        None => batch_of(&body),
    };
    app.player_events(&device.ctx, &device.id, &batch, events)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn batch_of(body: &[u8]) -> BatchId {
    let digest = Sha256::of(body).to_string();
    let id = format!("bat_{}", &digest[..40]);
    id.parse()
        .expect("a known prefix and 40 hex digits make an identifier")
}

pub(super) async fn proofs_of_play(
    State(app): State<Arc<App>>,
    device: Device,
    Json(batch): Json<ProofOfPlayBatch>,
) -> Result<StatusCode> {
    app.proofs_of_play(&device.ctx, &device.id, &batch).await?;
    Ok(StatusCode::NO_CONTENT)
}
