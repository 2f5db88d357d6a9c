//! Routes that devices call.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use fleet_protocol::command::{Command, CommandList, CommandResult, Kind};
use fleet_protocol::enrolment::{
    CertificateRenewed, EnrollRequest, EnrollResponse, RenewCertificate,
};
use fleet_protocol::event::EventBatch;
use fleet_protocol::heartbeat::{Heartbeat, HeartbeatAck};
use fleet_protocol::target::Target;
use fleet_protocol::update::UpdateReport;
use fleet_protocol::{CommandId, Sha256};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::broadcast::error::RecvError;

use super::extract::{Device, Json, Path, Peer, text};
use super::problem::ApiError;
use super::range;
use super::seat::Seat;
use crate::app::{App, BodyError};

type Result<T> = std::result::Result<T, ApiError>;

pub(super) async fn enrol(
    State(app): State<Arc<App>>,
    peer: Peer,
    seat: Seat,
    Json(request): Json<EnrollRequest>,
) -> Result<(StatusCode, Answer<EnrollResponse>)> {
    let (response, ctx) = app.enrol(request, peer.address).await?;
    seat.caller(&ctx);
    Ok((StatusCode::CREATED, Answer(response)))
}

pub(super) async fn renew_certificate(
    State(app): State<Arc<App>>,
    device: Device,
    Json(request): Json<RenewCertificate>,
) -> Result<Answer<CertificateRenewed>> {
    let renewed = app.renew_certificate(&device.ctx, &device.id, &request);
    Ok(Answer(renewed.await?))
}

pub(super) async fn heartbeat(
    State(app): State<Arc<App>>,
    device: Device,
    Json(heartbeat): Json<Heartbeat>,
) -> Result<Answer<HeartbeatAck>> {
    Ok(Answer(
        app.heartbeat(&device.ctx, &device.id, &heartbeat).await?,
    ))
}

pub(super) async fn target(
    State(app): State<Arc<App>>,
    device: Device,
    headers: HeaderMap,
) -> Result<Response> {
    let target = app.target(&device.ctx, &device.id).await?;
    let etag = target_etag(&target);
    let known =
        text(&headers, "if-none-match").is_some_and(|t| t.split(',').any(|t| t.trim() == etag));
    let tag = [(header::ETAG, etag)];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok((tag, Answer(target)).into_response())
}

/// Of the content: a generation is given out a second time by a control plane restored from a backup.
fn target_etag(target: &Target) -> String {
    let text = serde_json::to_vec(target).expect("a target is plain data");
    format!("\"{}\"", Sha256::of(text))
}

/// Of the agent or of the player.
pub(super) async fn commands<K: Kind>(
    State(app): State<Arc<App>>,
    device: Device,
) -> Result<Answer<CommandList>> {
    let commands = app.pending_commands(&device.ctx, &device.id, device.commands);
    let commands: Vec<Command<K>> = commands.await?;
    let items = commands.iter();
    let items = items.map(|c| serde_json::to_value(c).expect("a command is plain data"));
    Ok(Answer(CommandList {
        items: items.collect(),
    }))
}

/// Of the agent or of the player.
pub(super) async fn command_result<K: Kind>(
    State(app): State<Arc<App>>,
    device: Device,
    Path(command): Path<CommandId>,
    Json(result): Json<CommandResult>,
) -> Result<StatusCode> {
    let receiver = K::RECEIVER;
    app.command_result(&device.ctx, &device.id, receiver, &command, &result)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn events(
    State(app): State<Arc<App>>,
    device: Device,
    Json(batch): Json<EventBatch>,
) -> Result<StatusCode> {
    app.add_events(&device.ctx, &device.id, &batch).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn update_report(
    State(app): State<Arc<App>>,
    device: Device,
    Json(report): Json<UpdateReport>,
) -> Result<StatusCode> {
    app.update_report(&device.ctx, &device.id, &report).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One `wakeup` event at once, so that what came before the stream is not missed, then one for
/// each reason. Ends with the control plane.
pub(super) async fn wakeup(
    State(app): State<Arc<App>>,
    device: Device,
) -> Sse<impl Stream<Item = std::result::Result<Event, Infallible>>> {
    let event = |reason: &str| {
        let data = serde_json::json!({ "reason": reason }).to_string();
        Ok(Event::default().event("wakeup").data(data))
    };
    let state = (app.wakeups.subscribe(&device.id), app.shutdown_signal());
    let reasons = stream::unfold(state, move |(mut reasons, mut shutdown)| async move {
        let reason = tokio::select! {
            _ = shutdown.wait_for(|ended| *ended) => return None,
            reason = reasons.recv() => reason,
        };
        match reason {
            Ok(reason) => Some((event(reason.name()), (reasons, shutdown))),
            Err(RecvError::Lagged(_)) => Some((event("refresh"), (reasons, shutdown))),
            Err(RecvError::Closed) => None,
        }
    });
    let first = stream::once(async move { event("connected") });
    Sse::new(first.chain(reasons)).keep_alive(KeepAlive::new().interval(Duration::from_secs(20)))
}

pub(super) async fn put_support_bundle(
    State(app): State<Arc<App>>,
    device: Device,
    Path(name): Path<String>,
    body: Body,
) -> Result<StatusCode> {
    let body = chunks(body);
    app.put_support_bundle(&device.ctx, &device.id, &name, body)
        .await?;
    Ok(StatusCode::CREATED)
}

pub(super) async fn bundle(
    State(app): State<Arc<App>>,
    device: Device,
    Path(sha256): Path<Sha256>,
    headers: HeaderMap,
) -> Result<Response> {
    let bundle = app.bundle(&device.ctx, &sha256).await?;
    range::serve(bundle, "application/vnd.rauc.bundle", &headers).await
}

/// A body as the app takes it.
pub(super) fn chunks(
    body: Body,
) -> impl Stream<Item = std::result::Result<bytes::Bytes, BodyError>> + Unpin {
    body.into_data_stream()
        .map(|chunk| chunk.map_err(|e| BodyError(e.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_protocol::target::TargetConfig;

    #[test]
    fn another_target_of_the_same_generation_has_another_tag() {
        let target = |level: &str| Target {
            generation: 7,
            config: Some(TargetConfig {
                version: 3,
                document: serde_json::Map::from_iter([("log_level".to_owned(), level.into())]),
            }),
            ..Target::default()
        };
        assert_ne!(target_etag(&target("info")), target_etag(&target("debug")));
        assert_eq!(target_etag(&target("info")), target_etag(&target("info")));
    }
}
