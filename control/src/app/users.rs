//! Inviting people, and giving them what they need.

use std::collections::BTreeSet;

use fleet_protocol::access::{
    ApiKeyCreated, ApiKeyView, ChangeUser, CreateApiKey, CreateUser, Invitation, PutVenueRoles,
    Scope, UserCreated, UserStatus, UserView, VenueGrant,
};
use fleet_protocol::device::Page;
use fleet_protocol::{ApiKeyId, Sha256, UserId, VenueId};
use jiff::{SignedDuration, Timestamp};

use super::access::KEY_PREFIX;
use super::enrolment::check_name;
use super::error::{Error, Kind, Refusal, no_such, stale};
use super::mail::Handing;
use super::tenants::UNNAMED;
use super::venues::VENUE_LIST;
use super::{App, PageRequest};
use crate::clock::{random_id, random_secret};
use crate::store::{ChangedUser, NewApiKey, NewUser, Store, StoreError, TenantContext, UserFilter};

const USER_LIST: &str = "`fleet user list` (GET /v1/tenants/{tenantId}/users)";
const KEY_LIST: &str = "`fleet api-key list` (GET /v1/tenants/{tenantId}/api-keys)";
/// An invitation's link.
pub(super) const INVITED_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A link that resets a password: whoever finds it later must not get in.
pub(super) const RESET_FOR: SignedDuration = SignedDuration::from_hours(24);
const MAX_KEY_DAYS: u32 = 3_650;
/// Characters of an address (RFC 5321, §4.5.3.1).
pub(super) const LONGEST_EMAIL: usize = 254;

impl App {
    pub async fn create_user(
        &self,
        ctx: &TenantContext,
        request: CreateUser,
    ) -> Result<UserCreated, Error> {
        let email = check_email(&request.email)?;
        check_name("displayName", &request.display_name)?;
        self.check_venue_roles(ctx, &request.venue_roles).await?;
        let user_id: UserId = random_id("usr_");
        let user = NewUser {
            user_id: user_id.clone(),
            email,
            display_name: request.display_name,
            tenant_role: request.tenant_role,
            venue_roles: request.venue_roles,
            capabilities: request.capabilities,
        };
        if !self.store.add_user(ctx, &user, self.now()).await? {
            let message = "belongs to a user already, here or at another organisation";
            let hint = format!("take another address; see {USER_LIST}");
            let mut refusal = Refusal::field("email", message, hint);
            (refusal.kind, refusal.code) = (Kind::Conflict, "EMAIL_TAKEN");
            return Err(refusal.into());
        }
        tracing::info!(user.id = %user_id, operator = ctx.actor_name(), "user invited");
        Ok(UserCreated {
            invitation: self.invite(ctx, &user_id, Handing::Mailed).await?,
            user: self.user(ctx, &user_id).await?,
        })
    }

    pub async fn users(
        &self,
        ctx: &TenantContext,
        filter: &UserFilter,
        page: &PageRequest,
    ) -> Result<Page<UserView>, Error> {
        let (cursor, limit) = (page.cursor.as_deref(), page.with_one_more());
        let rows = self.store.users(ctx, filter, cursor, limit).await?;
        Ok(page.page(rows, |user| user.email.clone(), |user| user))
    }

    pub async fn user(&self, ctx: &TenantContext, id: &UserId) -> Result<UserView, Error> {
        let found = self.store.user(ctx, id).await?;
        let login = found.ok_or_else(|| no_such("user", id, USER_LIST))?;
        Ok(login.user)
    }

    /// A new link by which the user chooses a password; the one before is no longer good.
    pub async fn invite(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        handing: Handing,
    ) -> Result<Invitation, Error> {
        let user = self.user(ctx, id).await?;
        let lifetime = match user.status {
            UserStatus::Invited => INVITED_FOR,
            UserStatus::Active => RESET_FOR,
            UserStatus::Disabled => {
                let detail = format!("{} is disabled", user.email);
                let hint = "enable the user first: `fleet user enable`";
                return Err(Refusal::new(Kind::Conflict, "USER_DISABLED", detail, hint).into());
            }
        };
        let expires_at = self.now() + lifetime;
        let link = make_link(&self.store, &self.settings.public_url, ctx, id, expires_at).await?;
        self.hand_out(ctx, &user, link, handing).await
    }

    /// Changes what is given, if the user is still at version `expected`.
    pub async fn change_user(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        expected: u64,
        change: &ChangeUser,
    ) -> Result<UserView, Error> {
        self.user(ctx, id).await?;
        if let Some(name) = &change.display_name {
            check_name("displayName", name)?;
        }
        let less = change.disabled == Some(true) || change.tenant_role.is_some();
        if ctx.user() == Some(id) && less {
            return Err(Refusal::new(
                Kind::Conflict,
                "NOT_ONESELF",
                "nobody takes their own role away, or disables themselves",
                "let another administrator do it, so that one is left",
            )
            .into());
        }
        let now = self.now();
        let changed = self.store.change_user(ctx, id, expected, change, now);
        match changed.await? {
            ChangedUser::Done => self.changed(ctx, id, true).await,
            ChangedUser::Stale => self.changed(ctx, id, false).await,
            ChangedUser::LastAdministrator => Err(Refusal::new(
                Kind::Conflict,
                "LAST_ADMINISTRATOR",
                "nobody would be left who may do everything",
                "make somebody else an administrator first, and wait until they have a password",
            )
            .into()),
        }
    }

    /// Replaces all roles at venues, if the user is still at version `expected`.
    pub async fn put_venue_roles(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        expected: u64,
        request: &PutVenueRoles,
    ) -> Result<UserView, Error> {
        self.user(ctx, id).await?;
        self.check_venue_roles(ctx, &request.venue_roles).await?;
        let (roles, now) = (&request.venue_roles, self.now());
        let changed = self
            .store
            .put_venue_roles(ctx, id, expected, roles, now)
            .await?;
        self.changed(ctx, id, changed).await
    }

    /// Takes a second factor off that its owner lost.
    pub async fn take_totp_off(&self, ctx: &TenantContext, id: &UserId) -> Result<(), Error> {
        self.user(ctx, id).await?;
        self.store.remove_totp(ctx, id, self.now()).await?;
        tracing::info!(user.id = %id, operator = ctx.actor_name(), "second factor taken off");
        Ok(())
    }

    async fn changed(
        &self,
        ctx: &TenantContext,
        id: &UserId,
        changed: bool,
    ) -> Result<UserView, Error> {
        let user = self.user(ctx, id).await?;
        if !changed {
            return Err(stale("user", user.version));
        }
        tracing::info!(user.id = %id, operator = ctx.actor_name(), "user changed");
        Ok(user)
    }

    async fn check_venue_roles(
        &self,
        ctx: &TenantContext,
        roles: &[VenueGrant],
    ) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for (index, grant) in roles.iter().enumerate() {
            let field = format!("venueRoles[{index}].venueId");
            if !seen.insert(&grant.venue_id) {
                let message = format!("`{}` has a role already", grant.venue_id);
                let hint = "give one role at each venue: it has the rights of those below it";
                return Err(Refusal::field(&field, message, hint).into());
            }
            self.check_venue_there(ctx, &field, &grant.venue_id).await?;
        }
        Ok(())
    }

    async fn check_venue_there(
        &self,
        ctx: &TenantContext,
        field: &str,
        venue: &VenueId,
    ) -> Result<(), Error> {
        if self.store.venue_exists(ctx, venue).await? {
            return Ok(());
        }
        let message = format!("there is no venue `{venue}`");
        Err(Refusal::field(field, message, format!("take one of {VENUE_LIST}")).into())
    }

    pub async fn create_api_key(
        &self,
        ctx: &TenantContext,
        request: CreateApiKey,
    ) -> Result<ApiKeyCreated, Error> {
        check_name("name", &request.name)?;
        if request.scopes.is_empty() {
            let hint = "name what the key is for, such as READ";
            return Err(Refusal::field("scopes", "names nothing", hint).into());
        }
        if !request.venue_ids.is_empty() && !request.scopes.contains(&Scope::ManageVenues) {
            let hint = "add the scope MANAGE_VENUES, or leave the venues out";
            return Err(Refusal::field("venueIds", "narrows nothing", hint).into());
        }
        for (index, venue) in request.venue_ids.iter().enumerate() {
            let field = format!("venueIds[{index}]");
            self.check_venue_there(ctx, &field, venue).await?;
        }
        let now = self.now();
        let expires_at = request
            .valid_days
            .map(|days| key_end(now, days))
            .transpose()?;
        let secret = format!("{KEY_PREFIX}{}", random_secret());
        let key = NewApiKey {
            api_key_id: random_id("key_"),
            name: request.name,
            secret: Sha256::of(&secret),
            scopes: request.scopes,
            venue_ids: request.venue_ids,
            expires_at,
        };
        self.store.add_api_key(ctx, &key, now).await?;
        tracing::info!(key.id = %key.api_key_id, operator = ctx.actor_name(), "API key made");
        let api_key = ApiKeyView {
            api_key_id: key.api_key_id,
            name: key.name,
            scopes: key.scopes,
            venue_ids: key.venue_ids,
            created_at: now,
            expires_at,
            last_used_at: None,
        };
        Ok(ApiKeyCreated { api_key, secret })
    }

    pub async fn api_keys(
        &self,
        ctx: &TenantContext,
        page: &PageRequest,
    ) -> Result<Page<ApiKeyView>, Error> {
        let (cursor, limit) = (page.cursor.as_deref(), page.with_one_more());
        let rows = self.store.api_keys(ctx, cursor, limit).await?;
        Ok(page.page(rows, |key| key.api_key_id.to_string(), |key| key))
    }

    pub async fn remove_api_key(&self, ctx: &TenantContext, id: &ApiKeyId) -> Result<(), Error> {
        if !self.store.remove_api_key(ctx, id).await? {
            return Err(no_such("API key", id, KEY_LIST));
        }
        tracing::info!(key.id = %id, operator = ctx.actor_name(), "API key revoked");
        Ok(())
    }
}

/// A link by which somebody chooses a password, once.
#[expect(missing_debug_implementations, reason = "lets somebody in")]
pub struct Link {
    pub url: String,
    pub expires_at: Timestamp,
}

impl Link {
    /// For whoever asked, who hands it on; with the reason why it was not mailed, if it was to be.
    pub(super) fn shown(self, mail_failure: Option<String>) -> Invitation {
        Invitation {
            link: Some(self.url),
            expires_at: self.expires_at,
            mailed: false,
            mail_failure,
        }
    }

    /// It is on its way to whom it is for, and nobody else is to have it.
    pub(super) fn mailed(self) -> Invitation {
        Invitation {
            link: None,
            expires_at: self.expires_at,
            mailed: true,
            mail_failure: None,
        }
    }
}

/// A link by which the user chooses a password.
pub(super) async fn make_link(
    store: &Store,
    public_url: &str,
    ctx: &TenantContext,
    id: &UserId,
    expires_at: Timestamp,
) -> Result<Link, StoreError> {
    let token = random_secret();
    let hash = Sha256::of(&token);
    store.invite(ctx, id, &hash, expires_at).await?;
    let url = format!("{public_url}/join?token={token}");
    Ok(Link { url, expires_at })
}

fn key_end(now: Timestamp, days: u32) -> Result<Timestamp, Error> {
    if (1..=MAX_KEY_DAYS).contains(&days) {
        return Ok(now + SignedDuration::from_hours(i64::from(days) * 24));
    }
    let message = format!("{days} is not within 1 to {MAX_KEY_DAYS}");
    let hint = "give a number of days, or leave it out for a key without an end";
    Err(Refusal::field("validDays", message, hint).into())
}

/// In small letters: people type theirs in different ways.
pub(super) fn check_email(text: &str) -> Result<String, Error> {
    let text = text.trim().to_lowercase();
    let parts = text.split_once('@');
    let plain = |part: &str| {
        let odd = |c: char| c.is_whitespace() || c.is_control() || "@:,;<>()[]\"\\".contains(c);
        !part.is_empty() && !part.contains(odd)
    };
    let ours = text.ends_with(UNNAMED);
    if !ours
        && text.len() <= LONGEST_EMAIL
        && parts.is_some_and(|(name, host)| plain(name) && plain(host))
    {
        return Ok(text);
    }
    let hint = "give one address, such as anna@example.com";
    Err(Refusal::field("email", "is no e-mail address", hint).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_in_small_letters_and_nonsense_is_refused() {
        assert_eq!(
            check_email(" Anna@Example.COM ").unwrap(),
            "anna@example.com"
        );
        for bad in [
            "",
            "anna",
            "@example.com",
            "anna@",
            "a b@c",
            "a@b@c",
            "<a@b>",
            "a\n@b",
        ] {
            check_email(bad).unwrap_err();
        }
    }
}
