//! Logging in and staying so: credentials become a [`TenantContext`], here and nowhere else.

use std::net::IpAddr;

use fleet_protocol::access::{
    AcceptInvitation, ChangePassword, LogIn, LoggedInUser, Me, SessionView, Tokens, UserStatus,
    UserView,
};
use fleet_protocol::{SessionId, Sha256, UserId};
use jiff::{SignedDuration, Timestamp};

use super::enrolment::check_name;
use super::error::{Error, Kind, Refusal, no_such};
use super::rates::{Rate, Standing};
use super::sessions::Credential;
use super::tenants::UNNAMED;
use super::users::{LONGEST_EMAIL, check_email};
use super::{App, limiter};
use crate::clock::{random_id, random_secret};
use crate::store::{Accept, Accepted, Client, Login, NewSession, Rotated, Rotation, TenantContext};
use crate::tokens::Subject;

/// Of a refresh token; each use begins it anew.
pub(super) const REFRESH_LIFETIME: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Every API key begins with this, so that one that leaks is found by those who look for such.
pub(super) const KEY_PREFIX: &str = "fleet_key_";

impl App {
    /// Whoever shows this bearer token: an access token, a program's key, or the token of the installation.
    pub async fn operator(&self, token: &str, from: IpAddr) -> Result<TenantContext, Error> {
        let found = match self.credential(token) {
            Some(credential) => self.known(&credential).await?,
            None => None,
        };
        if let Some(ctx) = found {
            return Ok(ctx);
        }
        // An access token that has expired is nobody's guess.
        if !token.contains('.') {
            self.limiter.admit(from, self.now())?;
            self.limiter.failed(from, self.now());
        }
        Err(unauthenticated(
            "this token is unknown, has expired or was revoked",
            "log in again (`fleet login`, POST /v1/auth/login), or send a key that is good",
        ))
    }

    /// What a bearer token is; `None`: an access token that is not good.
    pub(crate) fn credential(&self, token: &str) -> Option<Credential> {
        if token.starts_with(KEY_PREFIX) {
            Some(Credential::Key(Sha256::of(token)))
        } else if token.contains('.') {
            let claims = self.ring.check(token, self.now())?;
            Some(Credential::Session(claims.sid))
        } else {
            Some(Credential::Operator(Sha256::of(token)))
        }
    }

    /// Whoever this lets in by now.
    pub(crate) async fn known(
        &self,
        credential: &Credential,
    ) -> Result<Option<TenantContext>, Error> {
        let now = self.now();
        let found = match credential {
            Credential::Session(session) => self.store.session_gate(session, now).await?,
            Credential::Key(secret) => self.store.key_gate(secret, now).await?,
            Credential::Operator(secret) => self.store.operator(secret).await?,
        };
        if let Some((ctx, id)) = found.as_ref().and_then(|ctx| Some((ctx, ctx.key_id()?)))
            && let Err(error) = self.store.note_key_use(ctx, id, now).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a key's use was not noted"
            );
        }
        Ok(found)
    }

    /// Counts one try of a login.
    ///
    /// # Errors
    /// 429 for an address or an account that tries too often.
    pub fn admit_login(&self, email: &str, from: IpAddr) -> Result<Option<Standing>, Error> {
        let network = limiter::key(from).to_string();
        let standing = self.rates.take(Rate::LoginOfAddress, &network)?;
        // What is no address at all is not counted as an account.
        if email.len() > LONGEST_EMAIL {
            return Err(bad_credentials());
        }
        self.rates.take(Rate::LoginOfAccount, &same_email(email))?;
        Ok(standing)
    }

    /// Whose address it is, if it is anybody's.
    pub async fn account(&self, email: &str) -> Result<Option<Login>, Error> {
        Ok(self.store.login_gate(&same_email(email)).await?)
    }

    /// Lets `account` in by its password, and by the second factor if there is one. The try was counted.
    pub async fn log_in(
        &self,
        account: Option<Login>,
        request: &LogIn,
        client: &Client,
    ) -> Result<Tokens, Error> {
        let (login, session_id, refresh) = self.begin_session(account, request, client).await?;
        Ok(self.tokens(&login, &session_id, refresh, self.now()))
    }

    /// The same, for a browser that keeps a cookie instead of tokens.
    pub(crate) async fn log_in_browser(
        &self,
        account: Option<Login>,
        request: &LogIn,
        client: &Client,
    ) -> Result<Credential, Error> {
        let (_, session_id, _) = self.begin_session(account, request, client).await?;
        Ok(Credential::Session(session_id))
    }

    async fn begin_session(
        &self,
        account: Option<Login>,
        request: &LogIn,
        client: &Client,
    ) -> Result<(Login, SessionId, String), Error> {
        let password = account.as_ref().and_then(|login| login.password.clone());
        let right = self.passwords.is(&request.password, password).await?;
        let active = |login: &Login| right && login.user.status == UserStatus::Active;
        let Some(login) = account.filter(active) else {
            tracing::info!(client.address = client.address, "login refused");
            return Err(bad_credentials());
        };
        if login.user.totp {
            self.check_second_factor(&login, request.code.as_deref())
                .await?;
        }
        let (session_id, refresh) = self.open_session(&login, client).await?;
        Ok((login, session_id, refresh))
    }

    async fn open_session(
        &self,
        login: &Login,
        client: &Client,
    ) -> Result<(SessionId, String), Error> {
        let (session_id, refresh) = (random_id("ses_"), random_secret());
        let session = NewSession {
            session_id: &session_id,
            user: &login.user.user_id,
            refresh: Sha256::of(&refresh),
            client,
            lifetime: REFRESH_LIFETIME,
        };
        let now = self.now();
        self.store.open_session(&login.ctx, &session, now).await?;
        tracing::info!(user.id = %login.user.user_id, session.id = %session_id, "logged in");
        Ok((session_id, refresh))
    }

    fn tokens(
        &self,
        login: &Login,
        session: &SessionId,
        refresh_token: String,
        now: Timestamp,
    ) -> Tokens {
        let user = &login.user;
        let subject = Subject {
            user: &user.user_id,
            tenant: &user.tenant_id,
            session,
            role: user.tenant_role,
            venues: &user.venue_roles,
            capabilities: &user.capabilities,
        };
        let (access_token, expires_at) = self.ring.sign(&subject, now);
        Tokens {
            access_token,
            expires_at,
            refresh_token,
            refresh_expires_at: now + REFRESH_LIFETIME,
            user: LoggedInUser {
                user_id: user.user_id.clone(),
                tenant_id: user.tenant_id.clone(),
                email: user.email.clone(),
                display_name: user.display_name.clone(),
            },
        }
    }

    /// Whose refresh token this is, or was.
    ///
    /// # Errors
    /// 401 when it is nobody's.
    pub async fn refresher(&self, token: &str, from: IpAddr) -> Result<TenantContext, Error> {
        let found = self.store.refresh_gate(&Sha256::of(token)).await?;
        if let Some(ctx) = found {
            return Ok(ctx);
        }
        self.limiter.admit(from, self.now())?;
        self.limiter.failed(from, self.now());
        Err(ended(
            "this refresh token is unknown, or its user can't log in any more",
        ))
    }

    /// New tokens for a refresh token of `ctx`, which is used up by it.
    ///
    /// # Errors
    /// 401 when it is not good; when it had been used before, its session has ended. 429 before it is touched: whoever
    /// has to wait still has it then.
    pub async fn refresh(
        &self,
        ctx: &TenantContext,
        token: &str,
        client: &Client,
    ) -> Result<(Tokens, Option<Standing>), Error> {
        let (user, session) = (a_user(ctx)?, ctx.session());
        let session = session.ok_or_else(|| ended("this session has ended"))?;
        let standing = self.rates.take(Rate::Refresh, user.as_str())?;
        let (now, new) = (self.now(), random_secret());
        let rotation = Rotation {
            session,
            old: Sha256::of(token),
            new: Sha256::of(&new),
            client,
            lifetime: REFRESH_LIFETIME,
        };
        match self.store.rotate(ctx, &rotation, now).await? {
            Rotated::Done => {}
            Rotated::Ended => return Err(ended("this session has ended")),
            Rotated::Replayed => {
                tracing::warn!(
                    session.id = %session, client.address = client.address, "a refresh token came back"
                );
                return Err(ended(
                    "this refresh token was used before, so its session has ended",
                ));
            }
        }
        let login = self.login_of(ctx).await?;
        Ok((self.tokens(&login, session, new, now), standing))
    }

    /// Ends the session that asks.
    pub async fn log_out(&self, ctx: &TenantContext) -> Result<(), Error> {
        let user = a_user(ctx)?;
        if let Some(session) = ctx.session() {
            let now = self.now();
            self.store.end_session(ctx, user, session, now).await?;
        }
        Ok(())
    }

    pub async fn sessions(&self, ctx: &TenantContext) -> Result<Vec<SessionView>, Error> {
        let user = a_user(ctx)?;
        Ok(self.store.sessions(ctx, user, self.now()).await?)
    }

    pub async fn end_session(&self, ctx: &TenantContext, session: &SessionId) -> Result<(), Error> {
        let user = a_user(ctx)?;
        let now = self.now();
        if self.store.end_session(ctx, user, session, now).await? {
            return Ok(());
        }
        Err(no_such(
            "session",
            session,
            "`fleet session list` (GET /v1/auth/sessions)",
        ))
    }

    pub async fn change_password(
        &self,
        ctx: &TenantContext,
        request: &ChangePassword,
    ) -> Result<(), Error> {
        let login = self.login_of(ctx).await?;
        self.rates.take(Rate::LoginOfAccount, &login.user.email)?;
        let known = login.password.clone();
        if !self.passwords.is(&request.current_password, known).await? {
            let hint = "type the password that you log in with now";
            let refusal = Refusal::field("currentPassword", "is not your password", hint);
            return Err(refusal.into());
        }
        let hash = self.passwords.hash("newPassword", &request.new_password);
        let hash = hash.await?;
        let (user, now) = (&login.user.user_id, self.now());
        self.store.set_password(ctx, user, &hash, now).await?;
        tracing::info!(user.id = %user, "password changed");
        Ok(())
    }

    /// Whom a link was made for.
    pub async fn invited(&self, token: &str, from: IpAddr) -> Result<Login, Error> {
        let now = self.now();
        let found = self.store.invitation_gate(&Sha256::of(token), now).await?;
        let found = found.filter(|login| login.user.status != UserStatus::Disabled);
        if found.is_none() {
            self.limiter.admit(from, now)?;
            self.limiter.failed(from, now);
        }
        found.ok_or_else(no_invitation)
    }

    /// Chooses the password that an invitation or a reset is for.
    pub async fn accept(
        &self,
        request: &AcceptInvitation,
        from: IpAddr,
    ) -> Result<TenantContext, Error> {
        let login = self.invited(&request.token, from).await?;
        let name = first_administrator(&login.user, request)?;
        let hash = self.passwords.hash("password", &request.password).await?;
        let accepted = Accepted {
            token: Sha256::of(&request.token),
            password: &hash,
            name: name.as_ref().map(|(email, name)| (email.as_str(), *name)),
        };
        let (user, now) = (&login.user.user_id, self.now());
        match self.store.accept(&login.ctx, user, &accepted, now).await? {
            Accept::Done => {}
            Accept::Gone => return Err(no_invitation()),
            Accept::EmailTaken => {
                let hint = "take another address, or log in with the one that you have";
                return Err(Refusal::field("email", "belongs to a user already", hint).into());
            }
        }
        tracing::info!(user.id = %user, "password chosen");
        Ok(login.ctx)
    }

    pub async fn me(&self, ctx: &TenantContext) -> Result<Me, Error> {
        let user = match ctx.user() {
            Some(id) => self.store.user(ctx, id).await?,
            None => None,
        };
        Ok(Me {
            tenant_id: ctx.tenant().clone(),
            name: ctx.actor_name().to_owned(),
            user: user.map(|login| login.user),
            administrator: ctx.is_administrator(),
        })
    }

    pub(super) async fn login_of(&self, ctx: &TenantContext) -> Result<Login, Error> {
        let user = a_user(ctx)?;
        let login = self.store.user(ctx, user).await?;
        login.ok_or_else(|| ended("this user is gone"))
    }
}

/// Whether it is a tenant's first administrator, before they have said who they are.
pub(crate) fn is_unnamed(user: &UserView) -> bool {
    user.email.ends_with(UNNAMED)
}

/// What a tenant's first administrator says of themselves, checked; `None` for everybody else.
fn first_administrator<'a>(
    user: &UserView,
    request: &'a AcceptInvitation,
) -> Result<Option<(String, &'a str)>, Error> {
    match (is_unnamed(user), &request.email, &request.display_name) {
        (true, Some(email), Some(name)) => {
            check_name("displayName", name)?;
            Ok(Some((check_email(email)?, name)))
        }
        (true, ..) => {
            let hint = "give your address, with which you are going to log in, and your name";
            Err(Refusal::field("email", "is missing, or displayName is", hint).into())
        }
        (false, None, None) => Ok(None),
        (false, ..) => {
            let hint = "leave it out: the invitation was made for one address";
            Err(Refusal::field("email", "is known already", hint).into())
        }
    }
}

/// People type theirs in different ways.
fn same_email(email: &str) -> String {
    email.trim().to_lowercase()
}

fn no_invitation() -> Error {
    unauthenticated(
        "this link is unknown, has expired or was used",
        "ask an administrator for a new one (`fleet user reset`)",
    )
}

fn a_user(ctx: &TenantContext) -> Result<&UserId, Error> {
    ctx.user().ok_or_else(|| {
        Refusal::new(
            Kind::Conflict,
            "NO_USER",
            "these credentials are a program's, and this is about a person",
            "log in as a person: `fleet login`",
        )
        .into()
    })
}

fn bad_credentials() -> Error {
    Refusal::new(
        Kind::Unauthenticated,
        "BAD_CREDENTIALS",
        "address and password do not go together, or this user can't log in",
        "check both; for a forgotten password there is a link, from the login page or from an administrator (`fleet user reset`)",
    )
    .into()
}

fn ended(detail: &str) -> Error {
    unauthenticated(detail, "log in again: `fleet login` (POST /v1/auth/login)")
}

pub(super) fn unauthenticated(detail: &str, hint: &str) -> Error {
    Refusal::new(Kind::Unauthenticated, "UNAUTHENTICATED", detail, hint).into()
}
