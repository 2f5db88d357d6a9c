//! Webhooks, and what was sent to them.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use fleet_protocol::WebhookId;
use fleet_protocol::device::Page;
use fleet_protocol::webhook::{DeliveryView, PutWebhook, WebhookCreated, WebhookView};

use super::extract::{IfMatch, Json, ListQuery, Operator, Path};
use super::operator::{Result, all};
use crate::app::{App, etag};

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Json(given): Json<PutWebhook>,
) -> Result<(StatusCode, Answer<WebhookCreated>)> {
    let created = app.create_webhook(&ctx, given).await?;
    Ok((StatusCode::CREATED, Answer(created)))
}

pub(super) async fn webhooks(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
) -> Result<Answer<Page<WebhookView>>> {
    Ok(all(app.webhooks(&ctx).await?))
}

fn tagged(webhook: WebhookView) -> Response {
    let tag = etag(webhook.version);
    ([(header::ETAG, tag)], Answer(webhook)).into_response()
}

pub(super) async fn webhook(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<WebhookId>,
) -> Result<Response> {
    Ok(tagged(app.webhook(&ctx, &id).await?))
}

pub(super) async fn put(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<WebhookId>,
    IfMatch(version): IfMatch,
    Json(given): Json<PutWebhook>,
) -> Result<Response> {
    Ok(tagged(app.put_webhook(&ctx, &id, version, &given).await?))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<WebhookId>,
) -> Result<StatusCode> {
    app.delete_webhook(&ctx, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn test(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<WebhookId>,
) -> Result<Answer<DeliveryView>> {
    Ok(Answer(app.test_webhook(&ctx, &id).await?))
}

pub(super) async fn deliveries(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<WebhookId>,
    query: ListQuery,
) -> Result<Answer<Page<DeliveryView>>> {
    Ok(Answer(app.deliveries(&ctx, &id, &query.page).await?))
}
