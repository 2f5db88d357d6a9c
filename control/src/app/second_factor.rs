//! The second factor: codes of an authenticator (RFC 6238), each good once, and recovery codes for when it is lost.

use fleet_protocol::Sha256;
use fleet_protocol::access::{TotpBegun, TotpConfirmed};
use totp_rs::{Builder, Secret, Totp};

use super::App;
use super::error::{Error, Kind, Refusal};
use super::rates::Rate;
use crate::clock::random_secret;
use crate::store::{Login, TenantContext};

const RECOVERY_CODES: usize = 10;

impl App {
    /// Shows a new secret; it is asked for once a code of it was confirmed.
    pub async fn begin_totp(&self, ctx: &TenantContext) -> Result<TotpBegun, Error> {
        let login = self.login_of(ctx).await?;
        let bytes = hex::decode(&random_secret()[..40]).expect("hex digits");
        let secret = Secret::from(bytes).to_base32();
        let user = &login.user.user_id;
        if !self.store.begin_totp(ctx, user, &secret).await? {
            return Err(Refusal::new(
                Kind::Conflict,
                "TOTP_ON",
                "a second factor is on already",
                "turn it off first: `fleet totp disable` (POST /v1/auth/totp/remove)",
            )
            .into());
        }
        let totp = totp(&secret, &login.user.email)?;
        let uri = totp.to_url().map_err(|_| broken())?;
        Ok(TotpBegun { secret, uri })
    }

    /// Turns it on.
    pub async fn confirm_totp(
        &self,
        ctx: &TenantContext,
        code: &str,
    ) -> Result<TotpConfirmed, Error> {
        let login = self.login_of(ctx).await?;
        let not_begun = || {
            Refusal::new(
                Kind::Conflict,
                "TOTP_NOT_BEGUN",
                "there is no second factor to confirm",
                "begin one: `fleet totp enable` (POST /v1/auth/totp)",
            )
        };
        let secret = login.totp_secret.as_deref().filter(|_| !login.user.totp);
        let secret = secret.ok_or_else(not_begun)?;
        self.rates.take(Rate::LoginOfAccount, &login.user.email)?;
        let now = self.now();
        let step = totp(secret, &login.user.email)?.check(code.trim(), seconds(now));
        let step = step.ok_or_else(|| {
            let hint = "type the six digits that the authenticator shows now, and check its clock";
            Refusal::field("code", "is not the one of now", hint)
        })?;
        let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| recovery_code()).collect();
        let hashes: Vec<_> = codes.iter().map(Sha256::of).collect();
        let user = &login.user.user_id;
        let confirmed = self
            .store
            .confirm_totp(ctx, user, (secret, step), &hashes, now);
        if !confirmed.await? {
            return Err(not_begun().into());
        }
        tracing::info!(user.id = %user, "second factor turned on");
        Ok(TotpConfirmed {
            recovery_codes: codes,
        })
    }

    /// Turns it off, for whoever still has it.
    pub async fn remove_totp(&self, ctx: &TenantContext, code: &str) -> Result<(), Error> {
        let login = self.login_of(ctx).await?;
        if login.user.totp {
            self.rates.take(Rate::LoginOfAccount, &login.user.email)?;
            self.check_second_factor(&login, Some(code)).await?;
        }
        let user = &login.user.user_id;
        self.store.remove_totp(ctx, user, self.now()).await?;
        tracing::info!(user.id = %user, "second factor turned off");
        Ok(())
    }

    /// # Errors
    /// 401: `TOTP_REQUIRED` without a code, `BAD_CODE` with one that is wrong or was used.
    pub(super) async fn check_second_factor(
        &self,
        login: &Login,
        code: Option<&str>,
    ) -> Result<(), Error> {
        let Some(code) = code.map(str::trim).filter(|code| !code.is_empty()) else {
            return Err(refused(
                "TOTP_REQUIRED",
                "this login needs a code of the authenticator as well",
                "send it as `code`, with address and password",
            ));
        };
        let (ctx, user) = (&login.ctx, &login.user.user_id);
        let secret = login.totp_secret.as_deref().unwrap_or_default();
        let step = totp(secret, &login.user.email)?.check(code, seconds(self.now()));
        let accepted = match step {
            Some(step) => self.store.use_totp(ctx, user, step).await?,
            None => self.use_recovery(login, code).await?,
        };
        if accepted {
            return Ok(());
        }
        Err(refused(
            "BAD_CODE",
            "the code is wrong, or was used before",
            "wait for the authenticator's next one, or use a recovery code",
        ))
    }

    async fn use_recovery(&self, login: &Login, code: &str) -> Result<bool, Error> {
        let hash = Sha256::of(code.to_lowercase());
        let left: Vec<_> = login
            .recovery
            .iter()
            .filter(|h| **h != hash)
            .copied()
            .collect();
        if left.len() == login.recovery.len() {
            return Ok(false);
        }
        let (ctx, user) = (&login.ctx, &login.user.user_id);
        let accepted = self.store.use_recovery(ctx, user, &login.recovery, &left);
        Ok(accepted.await?)
    }
}

fn totp(secret: &str, email: &str) -> Result<Totp, Error> {
    let secret = Secret::try_from_base32(secret).map_err(|_| broken())?;
    Builder::new()
        .with_secret(secret)
        .with_issuer(Some("Fleet"))
        .with_account_name(email)
        .build()
        .map_err(|_| broken())
}

fn seconds(at: jiff::Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or(0)
}

/// Such as `3f9a0-c41d7`: forty bits.
fn recovery_code() -> String {
    let digits = random_secret();
    format!("{}-{}", &digits[..5], &digits[5..10])
}

fn refused(code: &'static str, detail: &str, hint: &str) -> Error {
    Refusal::new(Kind::Unauthenticated, code, detail, hint).into()
}

fn broken() -> Error {
    Refusal::new(
        Kind::Conflict,
        "TOTP_BROKEN",
        "what is kept of the second factor can't be used",
        "let an administrator take it off: `fleet user reset --second-factor`",
    )
    .into()
}
