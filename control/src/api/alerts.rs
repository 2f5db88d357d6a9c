//! Alerts and their rules.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use fleet_protocol::alert::{
    AcknowledgeAlert, AlertKind, AlertRules, AlertRulesView, AlertStatus, AlertView,
};
use fleet_protocol::device::Page;
use fleet_protocol::{AlertId, DeviceId, VenueId};

use super::extract::{IfMatch, Json, Operator, Path, page_request};
use super::operator::Result;
use crate::app::{App, Kind, PageRequest, Refusal, etag};
use crate::store::AlertFilter;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlertQuery {
    /// `nextCursor` of the page before.
    cursor: Option<String>,
    /// Rows on a page; 50 when it is left out.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u32>,
    /// Only those that have got so far; all when it is left out.
    status: Option<AlertStatus>,
    /// Only those of this kind.
    kind: Option<AlertKind>,
    /// Only those about this device.
    device_id: Option<DeviceId>,
}

type Asked = std::result::Result<Query<AlertQuery>, QueryRejection>;

fn asked(query: Asked) -> Result<(AlertFilter, PageRequest)> {
    const HINT: &str = "possible are cursor, limit (1 to 200), status, kind and deviceId";
    let bad = |detail: String| Refusal::new(Kind::BadRequest, "BAD_QUERY", detail, HINT);
    let Query(query) = query.map_err(|rejection| bad(rejection.body_text()))?;
    let page = page_request(query.cursor, query.limit).map_err(bad)?;
    let filter = AlertFilter {
        status: query.status,
        kind: query.kind,
        device: query.device_id,
        venue: None,
    };
    Ok((filter, page))
}

pub(super) async fn alerts(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    query: Asked,
) -> Result<Answer<Page<AlertView>>> {
    let (filter, page) = asked(query)?;
    Ok(Answer(app.alerts(&ctx, &filter, &page).await?))
}

pub(super) async fn venue_alerts(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(venue): Path<VenueId>,
    query: Asked,
) -> Result<Answer<Page<AlertView>>> {
    let (filter, page) = asked(query)?;
    let alerts = app.venue_alerts(&ctx, venue, filter, &page).await?;
    Ok(Answer(alerts))
}

pub(super) async fn alert(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<AlertId>,
) -> Result<Answer<AlertView>> {
    Ok(Answer(app.alert(&ctx, &id).await?))
}

pub(super) async fn acknowledge(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<AlertId>,
    Json(request): Json<AcknowledgeAlert>,
) -> Result<Answer<AlertView>> {
    Ok(Answer(app.acknowledge_alert(&ctx, &id, &request).await?))
}

pub(super) async fn acknowledge_of_venue(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path((venue, id)): Path<(VenueId, AlertId)>,
    Json(request): Json<AcknowledgeAlert>,
) -> Result<Answer<AlertView>> {
    let alert = app.acknowledge_venue_alert(&ctx, &venue, &id, &request);
    Ok(Answer(alert.await?))
}

fn tagged(view: AlertRulesView) -> Response {
    let tag = etag(view.version);
    ([(header::ETAG, tag)], Answer(view)).into_response()
}

pub(super) async fn rules(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
) -> Result<Response> {
    Ok(tagged(app.alert_rules(&ctx).await?))
}

pub(super) async fn put_rules(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    IfMatch(version): IfMatch,
    Json(rules): Json<AlertRules>,
) -> Result<Response> {
    Ok(tagged(app.put_alert_rules(&ctx, &rules, version).await?))
}
