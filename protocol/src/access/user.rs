//! People and programs, and what they were given.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ApiKeyId, TenantId, UserId, VenueId};

/// Over all of a tenant (§25.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum TenantRole {
    /// Sees everything.
    #[serde(rename = "TENANT_VIEWER")]
    Viewer,
    /// May do everything, at every venue.
    #[serde(rename = "TENANT_ADMIN")]
    Admin,
}

/// At one venue; each role may do what those before it may (§25.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum VenueRole {
    /// Sees the venue.
    #[serde(rename = "VENUE_VIEWER")]
    Viewer,
    /// Changes what is going to be on.
    #[serde(rename = "VENUE_EDITOR")]
    Editor,
    /// Publishes, and looks after devices.
    #[serde(rename = "VENUE_MANAGER")]
    Manager,
}

/// What somebody may do beyond the roles (§25.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Capability {
    /// Change the content that all venues share.
    EditSharedLibrary,
    /// Publish releases and roll them out, change configuration.
    ManageReleases,
}

/// What a program's key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scope {
    /// See everything.
    Read,
    /// Change the content that all venues share.
    EditLibrary,
    /// Change schedules, publish, look after devices, at the venues named by the key (all, if it names none).
    ManageVenues,
    /// Publish releases and roll them out, change configuration.
    ManageReleases,
    /// Everything, users and keys included.
    Administer,
}

/// A role at a venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VenueGrant {
    pub venue_id: VenueId,
    pub role: VenueRole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UserStatus {
    /// Has not chosen a password yet.
    Invited,
    Active,
    /// Can't log in; every session has ended.
    Disabled,
}

impl UserStatus {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invited => "INVITED",
            Self::Active => "ACTIVE",
            Self::Disabled => "DISABLED",
        }
    }
}

impl std::str::FromStr for UserStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Invited, Self::Active, Self::Disabled];
        let found = all.into_iter().find(|status| status.name() == text);
        found.ok_or_else(|| format!("`{text}` is none of INVITED, ACTIVE and DISABLED"))
    }
}

/// `POST /v1/tenants/{tenantId}/users`: invites somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateUser {
    pub email: String,
    pub display_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_role: Option<TenantRole>,
    #[serde(default)]
    pub venue_roles: Vec<VenueGrant>,
    #[serde(default)]
    pub capabilities: Vec<Capability>,
}

/// A link by which somebody chooses a password, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Invitation {
    /// For whoever asked to hand on; left out once it was mailed, as nobody else is to have it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    pub expires_at: Timestamp,
    /// Whether the user's mail server, or one on the way, has taken it.
    #[serde(default)]
    pub mailed: bool,
    /// Why it was not mailed although this control plane sends mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail_failure: Option<String>,
}

/// The answer to [`CreateUser`]: give the link to the person, unless it was mailed to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UserCreated {
    pub user: UserView,
    pub invitation: Invitation,
}

/// `GET /v1/tenants/{tenantId}/users/{userId}`; its version is its `ETag`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    pub user_id: UserId,
    pub tenant_id: TenantId,
    pub email: String,
    pub display_name: String,
    pub status: UserStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_role: Option<TenantRole>,
    #[serde(default)]
    pub venue_roles: Vec<VenueGrant>,
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// Whether a login needs a second factor.
    #[serde(default)]
    pub totp: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login_at: Option<Timestamp>,
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// `PATCH /v1/tenants/{tenantId}/users/{userId}`, with `If-Match`; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeUser {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// `null` takes the role away.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub tenant_role: Option<Option<TenantRole>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<Capability>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// Tells `null` from a field that is not there.
#[expect(clippy::option_option, reason = "not there, null, or a role")]
fn given<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<TenantRole>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// `PUT /v1/tenants/{tenantId}/users/{userId}/venue-roles`, with `If-Match`: all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutVenueRoles {
    pub venue_roles: Vec<VenueGrant>,
}

/// `POST /v1/tenants/{tenantId}/api-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateApiKey {
    pub name: String,
    pub scopes: Vec<Scope>,
    /// For `MANAGE_VENUES`: only these. Empty: all.
    #[serde(default)]
    pub venue_ids: Vec<VenueId>,
    /// Days; `None`: until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_days: Option<u32>,
}

/// One row of `GET /v1/tenants/{tenantId}/api-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyView {
    pub api_key_id: ApiKeyId,
    pub name: String,
    pub scopes: Vec<Scope>,
    #[serde(default)]
    pub venue_ids: Vec<VenueId>,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// To the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// The answer to [`CreateApiKey`]; the secret is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyCreated {
    pub api_key: ApiKeyView,
    /// `Authorization: Bearer <secret>`.
    pub secret: String,
}

/// `GET /v1/me`: whose credentials these are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Me {
    pub tenant_id: TenantId,
    /// A person's address, or the name of a key.
    pub name: String,
    /// `None`: a program's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserView>,
    /// May everything be done with them?
    pub administrator: bool,
}
