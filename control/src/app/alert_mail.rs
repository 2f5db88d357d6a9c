//! Tells people of alerts by mail. What is to be told was written down together with what it tells of; what happens within
//! a minute goes as one message. A control plane that ends while it sends costs a recipient the same message twice at
//! most, under the same Message-ID.

use std::sync::Arc;
use std::time::Duration;

use fleet_protocol::MailRecipientId;
use fleet_protocol::backoff::Backoff;
use fleet_protocol::device::Page;
use fleet_protocol::mail::{AddMailRecipient, MailRecipientView, MailView};
use futures_util::StreamExt as _;
use jiff::SignedDuration;

use super::error::{Error, Kind, Refusal, no_such};
use super::users::check_email;
use super::{App, PageRequest};
use crate::clock::{random_id, random_number};
use crate::domain::webhooks::{Attempt, next_after};
use crate::mail::{AlertMail, MailError, Mailer, PATIENT, PROMPT, address};
use crate::metrics::Task;
use crate::store::{Placed, TenantContext, ToMail};

const RECIPIENT_LIST: &str = "`fleet alert mail list` (GET /v1/mail-recipients)";
/// Each is told of every alert.
const MOST: u32 = 20;
const TICK: Duration = Duration::from_secs(5);
/// Recipients that are mailed to at the same time: each holds a turn and a connection.
const AT_ONCE: usize = 4;
/// To one recipient, before others have their turn.
const IN_A_ROW: u32 = 10;
/// While its recipient takes none: what happens meanwhile comes with the next, so that it waits no longer than these.
const PAUSES: Backoff = Backoff {
    base_ms: 15_000,
    max_ms: 15 * 60 * 1_000,
};
/// With these pauses, about a day.
const MAX_ATTEMPTS: u32 = 200;
/// After that messages are forgotten, whatever became of them.
const MAILS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

impl App {
    pub async fn add_mail_recipient(
        &self,
        ctx: &TenantContext,
        mut given: AddMailRecipient,
    ) -> Result<MailRecipientView, Error> {
        self.mailer()?;
        given.email = check_email(&given.email)?;
        address(&given.email).map_err(|wrong| {
            let hint = "give one address, such as ops@example.com";
            Refusal::field("email", wrong.to_string(), hint)
        })?;
        let id: MailRecipientId = random_id("mrc_");
        let added = self
            .store
            .add_mail_recipient(ctx, &id, &given, MOST, self.now());
        if !added.await? {
            let all = self.store.mail_recipients(ctx).await?;
            let there = all.iter().any(|recipient| recipient.email == given.email);
            let (code, detail, hint) = if there {
                let hint = "to change what it is told, remove it first: `fleet alert mail remove`";
                (
                    "ALREADY_TOLD",
                    format!("{} is told already", given.email),
                    hint,
                )
            } else {
                let hint = "take one off, or name a list that your mail server spreads";
                (
                    "TOO_MANY_RECIPIENTS",
                    format!("there are {MOST} already"),
                    hint,
                )
            };
            return Err(Refusal::new(Kind::Conflict, code, detail, hint).into());
        }
        tracing::info!(recipient.id = %id, operator = ctx.actor_name(), "mail recipient added");
        self.mail_recipient(ctx, &id).await
    }

    pub async fn mail_recipients(
        &self,
        ctx: &TenantContext,
    ) -> Result<Vec<MailRecipientView>, Error> {
        Ok(self.store.mail_recipients(ctx).await?)
    }

    pub async fn mail_recipient(
        &self,
        ctx: &TenantContext,
        id: &MailRecipientId,
    ) -> Result<MailRecipientView, Error> {
        let found = self.store.mail_recipient(ctx, id).await?;
        found.ok_or_else(|| no_such("mail recipient", id, RECIPIENT_LIST))
    }

    /// With what was or was to be sent there.
    pub async fn remove_mail_recipient(
        &self,
        ctx: &TenantContext,
        id: &MailRecipientId,
    ) -> Result<(), Error> {
        if !self.store.remove_mail_recipient(ctx, id).await? {
            return Err(no_such("mail recipient", id, RECIPIENT_LIST));
        }
        tracing::info!(recipient.id = %id, operator = ctx.actor_name(), "mail recipient removed");
        Ok(())
    }

    /// Sends a message that says nothing, once, and says how that went.
    pub async fn test_mail(
        &self,
        ctx: &TenantContext,
        id: &MailRecipientId,
    ) -> Result<MailView, Error> {
        self.mail_recipient(ctx, id).await?;
        let mailer = self.mailer()?;
        let gone = || no_such("mail recipient", id, RECIPIENT_LIST);
        let mail = self.store.add_test_mail(ctx, id, self.now()).await?;
        let mail = mail.ok_or_else(gone)?;
        self.send_mail(mailer, ctx, &mail, 1, PROMPT).await?;
        let tried = self.store.mail(ctx, &mail.delivery_id).await?;
        // They may have been removed while it was tried.
        tried.ok_or_else(gone)
    }

    /// Newest first.
    pub async fn mails(
        &self,
        ctx: &TenantContext,
        id: &MailRecipientId,
        page: &PageRequest,
    ) -> Result<Page<MailView>, Error> {
        self.mail_recipient(ctx, id).await?;
        let (before, limit) = (page.number()?, page.with_one_more());
        let rows = self.store.mails(ctx, id, before, limit).await?;
        let cursor = |row: &Placed<MailView>| row.position.to_string();
        Ok(page.page(rows, cursor, |row| row.item))
    }

    /// Runs until the control plane is shut down, if it sends mail. A failure is logged and tried again.
    pub async fn run_mail(self: Arc<Self>) {
        let Some(mailer) = &self.mailer else { return };
        let mut shutdown = self.shutdown_signal();
        loop {
            let sent = tokio::select! {
                _ = shutdown.wait_for(|ended| *ended) => return,
                sent = self.measured(Task::Mail, self.mail_all(mailer)) => sent,
            };
            if let Err(error) = sent {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "finding mail to be sent failed"
                );
            }
            tokio::select! {
                _ = shutdown.wait_for(|ended| *ended) => return,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Everything that is due, if this control plane sends mail.
    pub async fn send_due_mail(&self) -> Result<(), Error> {
        match &self.mailer {
            Some(mailer) => self.mail_all(mailer).await,
            None => Ok(()),
        }
    }

    async fn mail_all(&self, mailer: &Mailer) -> Result<(), Error> {
        let _one_at_a_time = self.mailing.lock().await;
        let mut due: Vec<(TenantContext, MailRecipientId)> = Vec::new();
        for ctx in self.store.all_tenants().await? {
            let recipients = self.store.mail_due(&ctx, self.now()).await?;
            due.extend(recipients.into_iter().map(|id| (ctx.clone(), id)));
        }
        let each = |(ctx, id): (TenantContext, MailRecipientId)| async move {
            if let Err(error) = self.mail_to(mailer, &ctx, &id).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    recipient.id = %id, "mailing to a recipient failed"
                );
            }
        };
        futures_util::stream::iter(due)
            .for_each_concurrent(AT_ONCE, each)
            .await;
        Ok(())
    }

    /// What is due for one recipient, up to the first message that is not taken.
    async fn mail_to(
        &self,
        mailer: &Mailer,
        ctx: &TenantContext,
        id: &MailRecipientId,
    ) -> Result<(), Error> {
        let Some(_turn) = self.store.try_turn(&format!("mail to {id}")).await? else {
            return Ok(());
        };
        let mails = self.store.mails_due(ctx, id, self.now(), IN_A_ROW);
        for mail in mails.await? {
            let sent = self.send_mail(mailer, ctx, &mail, MAX_ATTEMPTS, PATIENT);
            if !sent.await? {
                break;
            }
        }
        Ok(())
    }

    /// One attempt of at most `most`, and what comes after it. Says whether the message was taken.
    async fn send_mail(
        &self,
        mailer: &Mailer,
        ctx: &TenantContext,
        mail: &ToMail,
        most: u32,
        deadline: Duration,
    ) -> Result<bool, Error> {
        let organisation = self.store.tenant_name(ctx).await?;
        let messages = self.store.mail_events(ctx, &mail.delivery_id).await?;
        let about = AlertMail {
            organisation: &organisation,
            public_url: &self.settings.public_url,
            email: &mail.email,
            messages: &messages,
            events: mail.events as usize,
        };
        let sent = match about.letter(mail.delivery_id.to_string(), mail.created_at) {
            Ok(letter) => mailer.send(&letter, deadline).await,
            Err(error) => Err(error.into()),
        };
        let (now, attempts) = (self.now(), mail.attempts + 1);
        let most = if sent.as_ref().is_err_and(MailError::is_final) {
            attempts
        } else {
            most
        };
        let attempt = Attempt {
            status: sent.as_ref().err().and_then(MailError::status),
            failure: sent.as_ref().err().map(ToString::to_string),
        };
        let after = next_after(PAUSES, &attempt, attempts, most, now, random_number());
        let noted = self.store.put_mail_attempt(ctx, mail, &attempt, after, now);
        noted.await?;
        let Some(failure) = &attempt.failure else {
            return Ok(true);
        };
        tracing::info!(
            recipient.id = %mail.recipient_id, delivery.id = %mail.delivery_id, delivery.attempts = attempts,
            "a mail was not taken: {failure}"
        );
        Ok(false)
    }

    /// Housekeeping.
    pub(super) async fn forget_mails(&self, ctx: &TenantContext) -> Result<(), Error> {
        let before = self.now() - MAILS_KEPT;
        Ok(self.store.forget_mails(ctx, before).await?)
    }
}
