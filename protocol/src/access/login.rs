//! Logging in, staying so, and the second factor.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{SessionId, TenantId, UserId};

/// `POST /v1/auth/login`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogIn {
    pub email: String,
    pub password: String,
    /// Six digits of the authenticator, or one of the recovery codes; asked for by `TOTP_REQUIRED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// The answer to a login and to a refresh.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// A JWT (RFC 7519), signed with Ed25519 (RFC 8037): `Authorization: Bearer <accessToken>`.
    pub access_token: String,
    /// Of the access token.
    pub expires_at: Timestamp,
    /// Good for one [`Refresh`]; using it a second time ends the session.
    pub refresh_token: String,
    pub refresh_expires_at: Timestamp,
    pub user: LoggedInUser,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LoggedInUser {
    pub user_id: UserId,
    pub tenant_id: TenantId,
    pub email: String,
    pub display_name: String,
}

/// `POST /v1/auth/refresh`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refresh {
    pub refresh_token: String,
}

/// `POST /v1/auth/password`; ends all other sessions.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangePassword {
    pub current_password: String,
    pub new_password: String,
}

/// `POST /v1/auth/forgot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForgotPassword {
    /// With which the user logs in.
    pub email: String,
}

/// `POST /v1/auth/accept`: what an invitation's or a reset's link leads to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptInvitation {
    pub token: String,
    pub password: String,
    /// Asked of a tenant's first administrator, whom nobody knew when the link was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// One row of `GET /v1/auth/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    pub session_id: SessionId,
    pub created_at: Timestamp,
    pub last_refreshed_at: Timestamp,
    pub expires_at: Timestamp,
    /// Where it was last refreshed from.
    pub address: String,
    pub user_agent: String,
    /// The one that asks.
    pub current: bool,
}

/// The answer to `POST /v1/auth/totp`: a second factor (RFC 6238) that [`TotpCode`] turns on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TotpBegun {
    /// Base32, for typing.
    pub secret: String,
    /// For a QR code.
    pub uri: String,
}

/// `POST /v1/auth/totp/confirm` and `POST /v1/auth/totp/remove`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TotpCode {
    pub code: String,
}

/// The answer to the first [`TotpCode`]: shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TotpConfirmed {
    /// Each is good for one login without the authenticator.
    pub recovery_codes: Vec<String>,
}

/// Secrets are left out of logs by having no way into them.
macro_rules! without_secrets {
    ($($name:ident),*) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })*
    };
}
without_secrets!(
    LogIn,
    Tokens,
    Refresh,
    ChangePassword,
    AcceptInvitation,
    TotpBegun,
    TotpCode,
    TotpConfirmed
);
