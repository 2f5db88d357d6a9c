//! Logging in, users, keys, and the record of what they did.

use fleet_protocol::access::UserView;

use super::{Audience, Route, Rows};
use crate::api::access as a;

#[rustfmt::skip]
pub(super) fn logging_in() -> Vec<Route> {
    let anyone = Rows { audience: Audience::Anyone, tag: "Logging in" };
    let me = Rows { audience: Audience::Operator, ..anyone };
    vec![
        anyone.post("/v1/auth/login", a::log_in, "Log in")
            .details("With the code of the authenticator, if the user has turned a second factor on. The access token \
                      is good for 15 minutes, the refresh token for 30 days.")
            .refuses(401, &["BAD_CREDENTIALS", "TOTP_REQUIRED", "BAD_CODE"]).refuses(429, &["RATE_LIMITED"])
            .conflicts(&["TOTP_BROKEN"]),
        anyone.post("/v1/auth/refresh", a::refresh, "Exchange a refresh token for new tokens")
            .details("A refresh token is good once. One that comes back ends its session.")
            .refuses(401, &["UNAUTHENTICATED"]).refuses(429, &["RATE_LIMITED", "TOO_MANY_FAILURES"]),
        anyone.post("/v1/auth/accept", a::accept, "Choose the password that a link is for")
            .refuses(401, &["UNAUTHENTICATED"]).refuses(429, &["TOO_MANY_FAILURES"]),
        anyone.post("/v1/auth/forgot", a::forgot, "Have a link mailed to choose a new password by")
            .details("The answer is the same whether or not anybody has this address.")
            .answers(&[202]).refuses(429, &["RATE_LIMITED"]).conflicts(&["NO_MAIL"]),
        me.get("/v1/me", a::me, "Who asks"),
        me.post("/v1/auth/logout", a::log_out, "End the session that asks").conflicts(&["NO_USER"]),
        me.get("/v1/auth/sessions", a::sessions, "List one's sessions, newest first").conflicts(&["NO_USER"]),
        me.delete("/v1/auth/sessions/{session_id}", a::end_session, "End one of one's sessions").conflicts(&["NO_USER"]),
        me.post("/v1/auth/password", a::change_password, "Change one's password")
            .details("Ends one's other sessions.").conflicts(&["NO_USER"]),
        me.post("/v1/auth/totp", a::begin_totp, "Begin a second factor")
            .details("It is asked for once a code of it was confirmed.").conflicts(&["NO_USER", "TOTP_ON", "TOTP_BROKEN"]),
        me.post("/v1/auth/totp/confirm", a::confirm_totp, "Turn the second factor on")
            .conflicts(&["NO_USER", "TOTP_NOT_BEGUN", "TOTP_BROKEN"]),
        me.post("/v1/auth/totp/remove", a::remove_totp, "Turn the second factor off")
            .refuses(401, &["BAD_CODE", "TOTP_REQUIRED"]).conflicts(&["NO_USER", "TOTP_BROKEN"]),
    ]
}

#[rustfmt::skip]
pub(super) fn users() -> Vec<Route> {
    let users = Rows { audience: Audience::Operator, tag: "Users and keys" };
    let audit = Rows { tag: "Audit log", ..users };
    vec![
        users.post("/v1/tenants/{tenant_id}/users", a::create_user, "Invite somebody")
            .details("The link by which they choose a password is mailed to them; if it can't be, it is in the answer.").conflicts(&["EMAIL_TAKEN"]),
        users.get("/v1/tenants/{tenant_id}/users", a::users, "List users"),
        users.get("/v1/tenants/{tenant_id}/users/{user_id}", a::user, "Show a user").versioned::<UserView>(),
        users.patch("/v1/tenants/{tenant_id}/users/{user_id}", a::change_user, "Change a user")
            .details("What is left out stays. A role that is taken away is gone with the next request.")
            .versioned::<UserView>().conflicts(&["LAST_ADMINISTRATOR", "NOT_ONESELF"]),
        users.put("/v1/tenants/{tenant_id}/users/{user_id}/venue-roles", a::put_venue_roles, "Replace a user's roles at venues")
            .versioned::<UserView>(),
        users.post("/v1/tenants/{tenant_id}/users/{user_id}/invitation", a::invite, "Make a new link for a user")
            .details("An invitation, or for whoever has a password: a reset. It is mailed as an invitation is. The link before \
                      it is no longer good.")
            .conflicts(&["USER_DISABLED"]),
        users.post("/v1/tenants/{tenant_id}/users/{user_id}/totp/remove", a::take_totp_off, "Take a lost second factor off"),
        users.post("/v1/tenants/{tenant_id}/api-keys", a::create_api_key, "Make a key for a program")
            .details("Its secret is shown this once."),
        users.get("/v1/tenants/{tenant_id}/api-keys", a::api_keys, "List keys of programs"),
        users.delete("/v1/tenants/{tenant_id}/api-keys/{api_key_id}", a::remove_api_key, "Revoke a key"),
        audit.get("/v1/audit", a::audit, "Who did what, newest first"),
        audit.get("/v1/audit/check", a::check_audit, "Read the whole chain of hashes"),
        audit.get("/v1/audit/export", a::export_audit, "Everything, oldest first, an entry a line")
            .stream().media("application/x-ndjson"),
    ]
}
