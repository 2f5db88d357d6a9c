//! What was on the glass, added up.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use fleet_protocol::player::PlaysOfDay;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::extract::{Operator, text};
use super::operator::all;
use super::problem::ApiError;
use crate::app::{App, Days, Kind, Refusal};

type Result<T> = std::result::Result<T, ApiError>;

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(super) struct ReportQuery {
    /// The first day, such as 2026-06-15; six days before the last when it is left out.
    from: Option<Date>,
    /// The last day; today when it is left out.
    to: Option<Date>,
}

/// JSON, or CSV for whoever accepts that. Without dates: the week that ends today.
pub(super) async fn plays(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    query: std::result::Result<Query<ReportQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response> {
    let Query(query) = query.map_err(|rejection| {
        let hint = "give `from` and `to` as dates such as 2026-06-15, or leave them out";
        Refusal::new(Kind::BadRequest, "BAD_QUERY", rejection.body_text(), hint)
    })?;
    let to = query
        .to
        .unwrap_or_else(|| app.now().to_zoned(TimeZone::UTC).date());
    let from = query.from.unwrap_or_else(|| to.saturating_sub(6.days()));
    let rows = app.plays(&ctx, Days { from, to }).await?;
    let wants_csv = text(&headers, "accept").is_some_and(|types| types.contains("text/csv"));
    if !wants_csv {
        return Ok(all(rows).into_response());
    }
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"proof-of-play.csv\"",
        ),
    ];
    Ok((headers, csv(&rows)).into_response())
}

/// No field can hold a comma or a quote: they are ids, dates and numbers.
fn csv(rows: &[PlaysOfDay]) -> String {
    let head = std::iter::once("day,venueId,assetId,plays,completed,durationMs\r\n".to_owned());
    let rows = rows.iter().map(|row| {
        let (day, venue, asset) = (row.day, &row.venue_id, &row.asset_id);
        let (plays, completed, ms) = (row.plays, row.completed, row.duration_ms);
        format!("{day},{venue},{asset},{plays},{completed},{ms}\r\n")
    });
    head.chain(rows).collect()
}
