//! Links by which people choose a password, brought by mail; and whoever forgot theirs asking for one.
//!
//! A link's secret is kept as a hash alone, so a letter with one can't wait in the database: it is sent while somebody
//! waits for the answer, who gets the link instead if it can't be; or from memory, for whoever can ask again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fleet_protocol::DeliveryId;
use fleet_protocol::access::{AuditEntry, Invitation, UserStatus, UserView};

use super::error::{Error, Kind, Refusal};
use super::rates::{Rate, Standing};
use super::users::{Link, RESET_FOR, check_email, make_link};
use super::{App, limiter};
use crate::clock::random_id;
use crate::mail::{Letter, MailError, Mailer, Occasion, PATIENT, PROMPT, PasswordLink};
use crate::store::TenantContext;

/// Letters to those who forgot their password that are on their way.
pub(super) const RESETS_AT_ONCE: usize = 100;
/// Before each attempt.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(5),
];

/// What becomes of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handing {
    /// It is mailed to whom it is for, if this control plane sends mail.
    Mailed,
    /// Whoever asks hands it on.
    Shown,
}

impl App {
    /// Whether this control plane sends mail.
    pub fn sends_mail(&self) -> bool {
        self.mailer.is_some()
    }

    pub(super) fn mailer(&self) -> Result<&Mailer, Error> {
        self.mailer.as_ref().ok_or_else(|| {
            let detail = "this control plane sends no mail";
            let hint = "ask an administrator for a link (`fleet user reset`); whoever runs the control plane can let it \
                        send mail: `fleet-control serve --smtp-server`";
            Refusal::new(Kind::Conflict, "NO_MAIL", detail, hint).into()
        })
    }

    /// Mails the link, or says that it has to be handed on.
    pub(super) async fn hand_out(
        &self,
        ctx: &TenantContext,
        user: &UserView,
        link: Link,
        handing: Handing,
    ) -> Result<Invitation, Error> {
        let mailer = self.mailer.as_ref();
        let Some(mailer) = mailer.filter(|_| handing == Handing::Mailed) else {
            return Ok(link.shown(None));
        };
        let letter = self.password_letter(ctx, user, &link).await?;
        let sent = match letter {
            Ok(letter) => mailer.send(&letter, PROMPT).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => {
                tracing::info!(user.id = %user.user_id, "link mailed");
                Ok(link.mailed())
            }
            Err(error) => {
                tracing::warn!(user.id = %user.user_id, "a link was not mailed: {error}");
                Ok(link.shown(Some(error.to_string())))
            }
        }
    }

    async fn password_letter(
        &self,
        ctx: &TenantContext,
        user: &UserView,
        link: &Link,
    ) -> Result<Result<Letter, MailError>, Error> {
        let organisation = self.store.tenant_name(ctx).await?;
        let occasion = match user.status {
            UserStatus::Invited => Occasion::Invited,
            UserStatus::Active | UserStatus::Disabled => Occasion::Reset,
        };
        let about = PasswordLink {
            occasion,
            organisation: &organisation,
            name: &user.display_name,
            email: &user.email,
            link: &link.url,
            expires_at: link.expires_at,
        };
        let id: DeliveryId = random_id("msg_");
        Ok(about
            .letter(id.to_string(), self.now())
            .map_err(MailError::from))
    }

    /// Mails a link to whoever has this address, if anybody who logs in has. The answer says nothing of that, nor does
    /// the time that it takes: everything is looked up after it. `asked` is what is recorded then, at their tenant.
    ///
    /// # Errors
    /// 429 for an address, or on behalf of an account, that asks too often.
    pub fn forgot_password(
        self: &Arc<Self>,
        email: &str,
        from: IpAddr,
        asked: AuditEntry,
    ) -> Result<Option<Standing>, Error> {
        self.mailer()?;
        let network = limiter::key(from).to_string();
        let standing = self.rates.take(Rate::LoginOfAddress, &network)?;
        let email = check_email(email)?;
        self.rates.take(Rate::ResetOfAccount, &email)?;
        let turn = Arc::clone(&self.resets).try_acquire_owned();
        let turn = turn.map_err(|_| {
            let detail = "too many people have forgotten their passwords just now";
            let mut refusal = Refusal::new(
                Kind::TooMany,
                "RATE_LIMITED",
                detail,
                "try again in a minute",
            );
            refusal.retry_after_seconds = Some(60);
            refusal
        })?;
        let app = Arc::clone(self);
        tokio::spawn(async move {
            let _turn = turn;
            let mut shutdown = app.shutdown_signal();
            let mailed = tokio::select! {
                _ = shutdown.wait_for(|ended| *ended) => return,
                mailed = app.mail_reset(&email, asked) => mailed,
            };
            if let Err(error) = mailed {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a link to choose a new password was not made"
                );
            }
        });
        Ok(standing)
    }

    async fn mail_reset(&self, email: &str, mut asked: AuditEntry) -> Result<(), Error> {
        let Some(login) = self.account(email).await? else {
            return Ok(());
        };
        let (ctx, user) = (&login.ctx, &login.user);
        asked.at = self.now();
        asked.actor_id = ctx.actor_id();
        ctx.actor_name().clone_into(&mut asked.actor);
        self.append_audit(ctx, asked).await?;
        // Whoever was never let in asks an administrator.
        if user.status != UserStatus::Active {
            return Ok(());
        }
        let expires_at = self.now() + RESET_FOR;
        let url = &self.settings.public_url;
        let link = make_link(&self.store, url, ctx, &user.user_id, expires_at).await?;
        let (mailer, letter) = (self.mailer()?, self.password_letter(ctx, user, &link));
        let sent = match letter.await? {
            Ok(letter) => send_again(mailer, &letter).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => {
                tracing::info!(user.id = %user.user_id, "link to choose a new password mailed");
            }
            Err(error) => {
                tracing::warn!(user.id = %user.user_id, "a link to choose a new password was not mailed: {error}");
            }
        }
        Ok(())
    }
}

/// A few attempts within minutes.
async fn send_again(mailer: &Mailer, letter: &Letter) -> Result<(), MailError> {
    let mut last = Ok(());
    for pause in PAUSES {
        tokio::time::sleep(pause).await;
        last = mailer.send(letter, PATIENT).await;
        if !last.as_ref().is_err_and(|error| !error.is_final()) {
            break;
        }
    }
    last
}
