//! Who is told of alerts by mail, and what was sent there.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use fleet_protocol::MailRecipientId;
use fleet_protocol::device::Page;
use fleet_protocol::mail::{AddMailRecipient, MailRecipientView, MailView};

use super::extract::{Json, ListQuery, Operator, Path};
use super::operator::{Result, all};
use crate::app::App;

pub(super) async fn add(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Json(given): Json<AddMailRecipient>,
) -> Result<(StatusCode, Answer<MailRecipientView>)> {
    let added = app.add_mail_recipient(&ctx, given).await?;
    Ok((StatusCode::CREATED, Answer(added)))
}

pub(super) async fn recipients(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
) -> Result<Answer<Page<MailRecipientView>>> {
    Ok(all(app.mail_recipients(&ctx).await?))
}

pub(super) async fn recipient(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<MailRecipientId>,
) -> Result<Answer<MailRecipientView>> {
    Ok(Answer(app.mail_recipient(&ctx, &id).await?))
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<MailRecipientId>,
) -> Result<StatusCode> {
    app.remove_mail_recipient(&ctx, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn test(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<MailRecipientId>,
) -> Result<Answer<MailView>> {
    Ok(Answer(app.test_mail(&ctx, &id).await?))
}

pub(super) async fn deliveries(
    State(app): State<Arc<App>>,
    Operator(ctx): Operator,
    Path(id): Path<MailRecipientId>,
    query: ListQuery,
) -> Result<Answer<Page<MailView>>> {
    Ok(Answer(app.mails(&ctx, &id, &query.page).await?))
}
