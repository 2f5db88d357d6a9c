//! Who may call which operator's route: one page to read, and nothing is open that is not on it.

use axum::http::Method;

use crate::app::Rate;
use crate::domain::access::Right;

/// What an operator's route takes; `None`: it is not on the page, so nobody may call it.
#[rustfmt::skip]
#[expect(clippy::match_same_arms, reason = "read from top to bottom, by what it is about")]
pub(super) fn right(method: &Method, path: &str) -> Option<Right> {
    use Right::{Administer, EditLibrary, EditVenue, ManageReleases, ManageVenue, Myself, ReadLibrary, ReadTenant,
                ReadVenue};
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let of_venue = path.strip_prefix("/v1/venues/{venue_id}");
    let right = match path {
        "/v1/me" | "/v1/me/venues" => Myself,
        _ if path.starts_with("/v1/auth/") => Myself,

        _ if path.starts_with("/v1/tenants/{tenant_id}/users") => Administer,
        _ if path.starts_with("/v1/tenants/{tenant_id}/api-keys") => Administer,
        "/v1/tenants/{tenant_id}/venues" if reads => ReadTenant,
        "/v1/tenants/{tenant_id}/venues" => Administer,
        "/v1/tenants/{tenant_id}/venues/{venue_id}" if reads => ReadVenue,
        "/v1/tenants/{tenant_id}/venues/{venue_id}" => Administer,
        "/v1/audit" | "/v1/audit/check" | "/v1/audit/export" => Administer,

        _ if path.starts_with("/v1/library/") && reads => ReadLibrary,
        _ if path.starts_with("/v1/library/") => EditLibrary,

        _ if of_venue.is_some() && reads => ReadVenue,
        _ if of_venue.is_some_and(|rest| rest.starts_with("/scheduleset/slots")) => EditVenue,
        _ if of_venue.is_some() => ManageVenue,

        "/v1/alerts" | "/v1/alerts/{alert_id}" => ReadTenant,
        "/v1/alerts/{alert_id}/acknowledge" => ManageReleases,
        _ if path.starts_with("/v1/webhooks") => Administer,
        _ if path.starts_with("/v1/mail-recipients") => Administer,
        "/v1/alert-rules" => if reads { ReadTenant } else { ManageReleases },

        "/v1/overview" | "/v1/proof-of-play" | "/v1/pairing-file" | "/metrics" => ReadTenant,
        "/v1/enrolment-tokens" | "/v1/enrolment-tokens/{token_id}" => Administer,
        _ if path.starts_with("/v1/devices") && reads => ReadTenant,
        "/v1/devices/{id}/commands" | "/v1/devices/{id}/commands/{command_id}/cancel" => ManageReleases,
        _ if path.starts_with("/v1/devices") => Administer,
        "/v1/keysets" if !reads => Administer,
        _ if ["/v1/bundles", "/v1/releases", "/v1/rollouts", "/v1/config/", "/v1/keysets"]
            .iter().any(|prefix| path.starts_with(prefix)) => if reads { ReadTenant } else { ManageReleases },
        _ => return None,
    };
    Some(right)
}

/// With what a request is counted (seed 003, §27.1).
pub(super) fn rate(method: &Method, path: &str) -> Option<Rate> {
    match (method, path) {
        (_, "/v1/player/manifest") => Some(Rate::Manifest),
        (_, "/v1/player/heartbeat") => Some(Rate::PlayerHeartbeat),
        (_, "/v1/player/events") => Some(Rate::PlayerEvents),
        (&Method::GET, "/v1/player/commands") => Some(Rate::PlayerCommands),
        (&Method::GET | &Method::HEAD, _) => None,
        (_, path) if path.starts_with("/v1/device") || path.starts_with("/v1/player") => None,
        (_, path) if path.ends_with("/publish") => Some(Rate::Publish),
        (_, path) if path.ends_with("/uploads") => Some(Rate::Upload),
        _ => Some(Rate::Mutation),
    }
}
