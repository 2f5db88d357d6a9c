//! Who may do what: users with their roles, programs with their keys, logins, and the record of what they did
//! (seed 003, §§5, 25, 26.3, 27.3, 27.4).

mod audit;
mod login;
mod user;

pub use audit::{AuditCheck, AuditEntry, AuditOutcome};
pub use login::{
    AcceptInvitation, ChangePassword, ForgotPassword, LogIn, LoggedInUser, Refresh, SessionView,
    Tokens, TotpBegun, TotpCode, TotpConfirmed,
};
pub use user::{
    ApiKeyCreated, ApiKeyView, Capability, ChangeUser, CreateApiKey, CreateUser, Invitation, Me,
    PutVenueRoles, Scope, TenantRole, UserCreated, UserStatus, UserView, VenueGrant, VenueRole,
};
