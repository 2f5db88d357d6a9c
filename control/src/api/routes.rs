//! All routes in one table, with who may call them and what they do. The document at `/v1/openapi.json` is made of it.

use axum::http::Method;
use axum::routing::{get, post};
use fleet_protocol::access::UserView;
use fleet_protocol::alert::AlertRulesView;
use fleet_protocol::command::Command;
use fleet_protocol::config::DeviceConfig;
use fleet_protocol::content::{PlaylistView, ScheduleSet, VenueView};
use fleet_protocol::device::{ConfigView, Page};
use fleet_protocol::player::{Manifest, PlayerCommandKind, PlaysOfDay};
use fleet_protocol::schedule::SlotDraft;
use fleet_protocol::target::Target;
use fleet_protocol::webhook::WebhookView;
use serde_json::{Map, Value};

use super::route::Rows;
pub use super::route::{Audience, Route};
use super::{
    access, alerts, content, device, monitoring, openapi, operator, overrides, pairing, player,
    report, webhooks,
};
use crate::console;

/// Every route that there is.
pub fn routes() -> Vec<Route> {
    let tables = [
        login_routes(),
        user_routes(),
        library_routes(),
        venue_routes(),
        schedule_routes(),
        fleet_routes(),
        alert_routes(),
        webhook_routes(),
        release_routes(),
        device_routes(),
        player_routes(),
        open_routes(),
    ];
    tables.into_iter().flatten().collect()
}

#[rustfmt::skip]
fn login_routes() -> Vec<Route> {
    use access as a;
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
fn user_routes() -> Vec<Route> {
    use access as a;
    let users = Rows { audience: Audience::Operator, tag: "Users and keys" };
    let audit = Rows { tag: "Audit log", ..users };
    vec![
        users.post("/v1/tenants/{tenant_id}/users", a::create_user, "Invite somebody")
            .details("The answer has the link by which they choose a password.").conflicts(&["EMAIL_TAKEN"]),
        users.get("/v1/tenants/{tenant_id}/users", a::users, "List users"),
        users.get("/v1/tenants/{tenant_id}/users/{user_id}", a::user, "Show a user").versioned::<UserView>(),
        users.patch("/v1/tenants/{tenant_id}/users/{user_id}", a::change_user, "Change a user")
            .details("What is left out stays. A role that is taken away is gone with the next request.")
            .versioned::<UserView>().conflicts(&["LAST_ADMINISTRATOR", "NOT_ONESELF"]),
        users.put("/v1/tenants/{tenant_id}/users/{user_id}/venue-roles", a::put_venue_roles, "Replace a user's roles at venues")
            .versioned::<UserView>(),
        users.post("/v1/tenants/{tenant_id}/users/{user_id}/invitation", a::invite, "Make a new link for a user")
            .details("An invitation, or for whoever has a password: a reset. The link before it is no longer good.")
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

#[rustfmt::skip]
fn device_routes() -> Vec<Route> {
    use device as d;
    let device = Rows { audience: Audience::Device, tag: "Devices' agents" };
    let anyone = Rows { audience: Audience::Anyone, ..device };
    vec![
        anyone.post("/v1/enroll", d::enrol, "Enrol a device")
            .details("The device makes its key itself and sends a request for a certificate. Certificate and token \
                      come this once; the same key enrolled again is the same device with new ones.")
            .refuses(401, &["ENROLMENT_TOKEN_UNKNOWN"])
            .refuses(403, &["ENROLMENT_REFUSED"])
            .refuses(429, &["TOO_MANY_FAILURES"]),
        anyone.post("/v1/devices/pairing/start", pairing::start, "Ask for a code to show")
            .details("For a device that nobody knows. Once somebody has claimed the code, the device enrols with its \
                      pairing token as the enrolment token.")
            .answers(&[201]).refuses(429, &["TOO_MANY_FAILURES", "TOO_MANY_PAIRINGS"]),
        anyone.get("/v1/devices/pairing/status", pairing::status, "Whether the code was claimed")
            .header("Authorization", "`Bearer` and the pairing token.")
            .refuses(401, &["PAIRING_UNKNOWN"]).refuses(429, &["TOO_MANY_FAILURES"]),
        device.post("/v1/device/certificate", d::renew_certificate, "Renew the device's certificate")
            .details("For the same key. The present certificate stays valid until it expires."),
        device.post("/v1/device/heartbeat", d::heartbeat, "Give a sign of life"),
        device.get("/v1/device/target", d::target, "What the device is to run")
            .details("A signed release, a configuration, and the key sets that came after the image's own.")
            .returns::<Target>().unless_known(),
        device.get("/v1/device/commands", d::commands, "Commands that wait for the agent")
            .details("In the order in which they are to be run. A command is listed until it is answered or expires."),
        device.post("/v1/device/commands/{command_id}/result", d::command_result, "Answer a command")
            .details("The first answer counts; another one for the same command changes nothing."),
        device.post("/v1/device/events", d::events, "Report events")
            .details("At most 100 at a time. An event whose id is known already is dropped."),
        device.post("/v1/device/update-report", d::update_report, "Report the update engine's state")
            .details("Reports that are not newer than what is known, by their sequence, are ignored."),
        device.get("/v1/device/wakeup", d::wakeup, "Be told that it is worth asking")
            .details("Events called `wakeup` with `{\"reason\": …}`: `connected` at once, then `target`, `command`, `content`, … \
                      whenever there is something new. A comment every 20 seconds keeps the connection open.")
            .stream(),
        device.put("/v1/device/support-bundles/{name}", d::put_support_bundle, "Hand in a support bundle")
            .stream().answers(&[201]).checks(),
        device.get("/v1/device/bundles/{sha256}", d::bundle, "Fetch a bundle, or a range of it")
            .file(&["application/vnd.rauc.bundle"]),
    ]
}

#[rustfmt::skip]
fn player_routes() -> Vec<Route> {
    use player as p;
    let device = Rows { audience: Audience::Device, tag: "Players" };
    let certificate = Rows { audience: Audience::Certificate, ..device };
    vec![
        device.get("/v1/player/manifest", p::manifest, "What the screen is to show")
            .returns::<Manifest>().unless_known().refuses(404, &["NOT_FOUND"]).checks(),
        device.post("/v1/player/heartbeat", p::heartbeat, "Give a sign of life"),
        device.post("/v1/player/events", p::events, "Report events")
            .details("At most 100 at a time. A batch that is known already is dropped.")
            .header("Idempotency-Key", "`bat_` and up to 60 of a-z, 0-9, - and _: names the batch. Left out: what is in it names it.")
            .refuses(400, &["BAD_IDEMPOTENCY_KEY"]),
        device.post("/v1/player/proof-of-play", p::proofs_of_play, "Report what was on the glass")
            .details("At most 100 plays at a time. A batch that is known already is dropped, so each play counts once."),
        device.get("/v1/player/commands", p::commands, "Commands that wait for the player")
            .returns::<openapi::Items<Command<PlayerCommandKind>>>(),
        device.post("/v1/player/commands/{command_id}/result", p::command_result, "Answer a command")
            .details("The first answer counts; another one for the same command changes nothing."),
        certificate.get("/v1/player/media/{asset_id}", p::media, "Fetch a picture or film, or a range of it")
            .details("The client certificate is enough: a player sends its token to no address that stands in a manifest.")
            .file(openapi::MEDIA),
    ]
}

#[rustfmt::skip]
fn library_routes() -> Vec<Route> {
    use content as c;
    let library = Rows { audience: Audience::Operator, tag: "Library" };
    vec![
        library.get("/v1/library/assets", c::assets, "List pictures and films"),
        library.post("/v1/library/assets/uploads", c::create_upload, "Announce a file")
            .details("Then send it to `uploadUrl`, and say that it is complete. It is stored once for each content."),
        library.put("/v1/library/assets/uploads/{upload_id}/content", c::put_upload, "Send a file, or the next part of it")
            .resumable().answers(&[201, 202]).conflicts(&["UPLOAD_CLOSED"]).checks(),
        library.post("/v1/library/assets/uploads/{upload_id}/complete", c::complete_upload, "Say that all of a file was sent")
            .details("It is looked at as soon as there is time; then its asset is READY, or FAILED with the reason.")
            .answers(&[202]).conflicts(&["UPLOAD_CLOSED", "UPLOAD_INCOMPLETE"]).checks(),
        library.get("/v1/library/assets/{asset_id}", c::asset, "Show a picture or film"),
        library.delete("/v1/library/assets/{asset_id}", c::delete_asset, "Delete a picture or film")
            .conflicts(&["ASSET_IN_USE"]),
        library.get("/v1/library/assets/{asset_id}/content", c::asset_file, "Fetch the file, or a range of it")
            .file(openapi::MEDIA),
        library.get("/v1/library/assets/{asset_id}/thumbnail", c::thumbnail, "Fetch a small picture of it")
            .media("image/jpeg"),
        library.get("/v1/library/playlists", c::playlists, "List playlists"),
        library.post("/v1/library/playlists", c::create_playlist, "Make a playlist")
            .versioned::<PlaylistView>().answers(&[201]),
        library.get("/v1/library/playlists/{playlist_id}", c::playlist, "Show a playlist")
            .versioned::<PlaylistView>(),
        library.delete("/v1/library/playlists/{playlist_id}", c::delete_playlist, "Delete a playlist")
            .conflicts(&["PLAYLIST_IN_USE"]),
        library.put("/v1/library/playlists/{playlist_id}/items", c::put_entries, "Replace the draft")
            .details("Items without an id are new; those that keep theirs keep their identity.")
            .versioned::<PlaylistView>(),
        library.put("/v1/library/playlists/{playlist_id}/reorder", c::reorder, "Bring the draft into another order")
            .versioned::<PlaylistView>(),
        library.post("/v1/library/playlists/{playlist_id}/publish", c::publish_playlist, "Let screens play the draft")
            .details("Copies what is enabled into a version that never changes. 422 when nothing is enabled, or an asset is not READY.")
            .versioned::<PlaylistView>().checks(),
        library.post("/v1/library/playlists/{playlist_id}/rollback", c::roll_playlist_back, "Publish an earlier version again")
            .versioned::<PlaylistView>(),
        library.get("/v1/library/playlists/{playlist_id}/publishes", c::playlist_history, "What was published of it, newest first"),
    ]
}

#[rustfmt::skip]
fn venue_routes() -> Vec<Route> {
    use content as c;
    let venues = Rows { audience: Audience::Operator, tag: "Venues" };
    let device = "/v1/venues/{venue_id}/devices/{device_id}";
    let commands = "/v1/venues/{venue_id}/devices/{device_id}/commands";
    let cancel = "/v1/venues/{venue_id}/devices/{device_id}/commands/{command_id}/cancel";
    vec![
        venues.get("/v1/me/venues", c::my_venues, "List the venues of whoever asks"),
        venues.get("/v1/tenants/{tenant_id}/venues", c::venues, "List an organisation's venues"),
        venues.post("/v1/tenants/{tenant_id}/venues", c::create_venue, "Make a venue")
            .versioned::<VenueView>().answers(&[201]),
        venues.get("/v1/tenants/{tenant_id}/venues/{venue_id}", c::venue, "Show a venue")
            .versioned::<VenueView>(),
        venues.put("/v1/tenants/{tenant_id}/venues/{venue_id}", c::put_venue, "Replace a venue's settings")
            .versioned::<VenueView>(),
        venues.get("/v1/venues/{venue_id}/devices", c::venue_devices, "List a venue's devices"),
        venues.post("/v1/venues/{venue_id}/devices/pairing/claim", pairing::claim, "Let the device that shows this code in")
            .details("It joins within seconds. A code counts once, and for a quarter of an hour."),
        venues.get(device, c::venue_device, "Show a device of a venue"),
        venues.patch(device, c::change_venue_device, "Rename a device of a venue, or turn its screen")
            .details("To take it to another venue is for administrators."),
        venues.get(commands, c::player_commands, "List the commands to a player, newest first"),
        venues.post(commands, c::create_player_command, "Send a command to a player")
            .conflicts(&["QUEUE_FULL"]),
        venues.post(cancel, c::cancel_player_command, "Cancel a command that the player does not have yet")
            .conflicts(&["NOT_CANCELLABLE"]),
        venues.get("/v1/venues/{venue_id}/groups", c::groups, "List a venue's groups of screens"),
        venues.post("/v1/venues/{venue_id}/groups", c::create_group, "Make a group"),
        venues.put("/v1/venues/{venue_id}/groups/{group_id}", c::put_group, "Replace a group"),
        venues.delete("/v1/venues/{venue_id}/groups/{group_id}", c::delete_group, "Delete a group"),
        venues.get("/v1/proof-of-play", report::plays, "What was played, by day, venue and asset")
            .details("Days are the venue's. JSON, or CSV for whoever accepts `text/csv`.")
            .returns::<Page<PlaysOfDay>>().media("text/csv")
            .header("Accept", "`text/csv` for a table.").checks(),
    ]
}

#[rustfmt::skip]
fn schedule_routes() -> Vec<Route> {
    use content as c;
    let schedule = Rows { audience: Audience::Operator, tag: "Schedules" };
    let slots = "/v1/venues/{venue_id}/scheduleset/slots";
    let slot = "/v1/venues/{venue_id}/scheduleset/slots/{slot_id}";
    vec![
        schedule.get("/v1/venues/{venue_id}/scheduleset", c::schedule_set, "Show a venue's schedule")
            .versioned::<ScheduleSet>(),
        schedule.post(slots, c::add_slot, "Add a slot to the draft")
            .takes::<SlotDraft>().versioned::<ScheduleSet>().answers(&[201]).conflicts(&["SLOT_EXISTS"]),
        schedule.put(slots, c::set_slots, "Replace the draft")
            .versioned::<ScheduleSet>().conflicts(&["SLOT_EXISTS"]),
        schedule.put(slot, c::put_slot, "Replace a slot of the draft")
            .takes::<SlotDraft>().versioned::<ScheduleSet>().conflicts(&["SLOT_EXISTS"]),
        schedule.delete(slot, c::remove_slot, "Remove a slot from the draft")
            .versioned::<ScheduleSet>().conflicts(&["SLOT_EXISTS"]),
        schedule.post("/v1/venues/{venue_id}/scheduleset/publish", c::publish_schedule, "Let screens follow the draft")
            .details("422 when the playlist of an enabled slot was never published.")
            .versioned::<ScheduleSet>().checks(),
        schedule.post("/v1/venues/{venue_id}/scheduleset/rollback", c::roll_schedule_back, "Publish an earlier version again")
            .versioned::<ScheduleSet>(),
        schedule.get("/v1/venues/{venue_id}/publishes", c::schedule_history, "What was published of it, newest first"),
        schedule.get("/v1/venues/{venue_id}/overrides", overrides::overrides, "List what goes before the schedule, newest first")
            .details("`status` is `active` or `over`. Kept for 90 days."),
        schedule.post("/v1/venues/{venue_id}/overrides", overrides::create_override, "Show a playlist or a message now, whatever the schedule says")
            .details("It ends by itself. Of several on a screen an emergency goes first, then what was begun last.")
            .conflicts(&["TOO_MANY_OVERRIDES"]).checks(),
        schedule.post("/v1/venues/{venue_id}/overrides/{override_id}/cancel", overrides::cancel_override,
                      "End an override before its time").conflicts(&["OVERRIDE_OVER"]),
    ]
}

#[rustfmt::skip]
fn fleet_routes() -> Vec<Route> {
    use operator as o;
    let fleet = Rows { audience: Audience::Operator, tag: "Devices" };
    vec![
        fleet.get("/v1/overview", o::overview, "The fleet in a few numbers"),
        fleet.post("/v1/enrolment-tokens", o::create_enrolment_token, "Make an enrolment token")
            .details("The secret is shown this once, in a file for `fleet flash --provision`."),
        fleet.get("/v1/enrolment-tokens", o::enrolment_tokens, "List enrolment tokens"),
        fleet.get("/v1/pairing-file", pairing::file, "What devices need that are to be paired by a code")
            .details("For `fleet flash --provision`, on any number of cards: it holds no secret."),
        fleet.get("/v1/devices", o::devices, "List devices")
            .details("`status` is `online`, `offline`, or the name of an update state such as `committed`."),
        fleet.get("/v1/devices/{id}", o::device, "Show a device"),
        fleet.patch("/v1/devices/{id}", o::change_device, "Rename a device, move it, or turn its screen"),
        fleet.delete("/v1/devices/{id}", o::revoke_device, "Take a device's credentials away"),
        fleet.post("/v1/devices/{id}/restore", o::restore_device, "Let a revoked device in again"),
        fleet.get("/v1/devices/{id}/why", o::why, "What holds a device's update back"),
        fleet.get("/v1/devices/{id}/heartbeats", o::heartbeats, "A device's signs of life, newest first"),
        fleet.get("/v1/devices/{id}/events", o::events, "A device's events, newest first"),
        fleet.get("/v1/devices/{id}/commands", o::commands, "List the commands to a device's agent, newest first"),
        fleet.post("/v1/devices/{id}/commands", o::create_command, "Send a command to a device's agent")
            .conflicts(&["QUEUE_FULL"]),
        fleet.post("/v1/devices/{id}/commands/{command_id}/cancel", o::cancel_command, "Cancel a command that the device does not have yet")
            .conflicts(&["NOT_CANCELLABLE"]),
        fleet.get("/v1/devices/{id}/support-bundles", o::support_bundles, "List a device's support bundles"),
        fleet.get("/v1/devices/{id}/support-bundles/{name}", o::support_bundle, "Fetch a support bundle")
            .file(&["application/zstd"]),
        fleet.get("/v1/config/{scope}", o::config, "Show a configuration document")
            .details("The scope is `default` for all devices, or a device's id.")
            .versioned::<ConfigView>(),
        fleet.put("/v1/config/{scope}", o::put_config, "Replace a configuration document")
            .details("A part of a device's configuration, merged over what its image has; fields that no device knows are refused.")
            .takes::<DeviceConfig>()
            .versioned::<ConfigView>().may_match(),
    ]
}

#[rustfmt::skip]
fn alert_routes() -> Vec<Route> {
    use alerts as a;
    let alerts = Rows { audience: Audience::Operator, tag: "Alerts" };
    vec![
        alerts.get("/v1/alerts", a::alerts, "List alerts, last opened first")
            .details("Of one kind there is never more than one for a device, or a rollout, that is not over.").checks(),
        alerts.get("/v1/alerts/{alert_id}", a::alert, "Show an alert"),
        alerts.post("/v1/alerts/{alert_id}/acknowledge", a::acknowledge, "Say that you know of an alert")
            .details("Whoever said so first stays noted.").conflicts(&["ALERT_RESOLVED"]),
        alerts.get("/v1/venues/{venue_id}/alerts", a::venue_alerts, "List the alerts of a venue's devices").checks(),
        alerts.post("/v1/venues/{venue_id}/alerts/{alert_id}/acknowledge", a::acknowledge_of_venue,
                    "Say that you know of an alert of a venue's device").conflicts(&["ALERT_RESOLVED"]),
        alerts.get("/v1/alert-rules", a::rules, "Show the rules by which alerts open")
            .versioned::<AlertRulesView>(),
        alerts.put("/v1/alert-rules", a::put_rules, "Replace the rules")
            .details("A rule that is left out is as it is by default. The next look, a quarter of a minute away at \
                      most, goes by the new ones.")
            .versioned::<AlertRulesView>(),
    ]
}

#[rustfmt::skip]
fn webhook_routes() -> Vec<Route> {
    use webhooks as w;
    let webhooks = Rows { audience: Audience::Operator, tag: "Webhooks" };
    vec![
        webhooks.get("/v1/webhooks", w::webhooks, "List webhooks"),
        webhooks.post("/v1/webhooks", w::create, "Make a webhook")
            .details("It is sent what becomes of alerts, signed as the Standard Webhooks specification says. The secret \
                      is shown this once.").conflicts(&["TOO_MANY_WEBHOOKS"]),
        webhooks.get("/v1/webhooks/{webhook_id}", w::webhook, "Show a webhook").versioned::<WebhookView>(),
        webhooks.put("/v1/webhooks/{webhook_id}", w::put, "Replace a webhook's settings")
            .details("Its secret stays. Switching it on also forgets that it failed.").versioned::<WebhookView>(),
        webhooks.delete("/v1/webhooks/{webhook_id}", w::delete, "Delete a webhook")
            .details("With what was to be sent to it."),
        webhooks.post("/v1/webhooks/{webhook_id}/test", w::test, "Send a webhook a message that says nothing")
            .details("Once, and at once; the answer says how that went."),
        webhooks.get("/v1/webhooks/{webhook_id}/deliveries", w::deliveries, "What was sent to a webhook, newest first"),
    ]
}

#[rustfmt::skip]
fn release_routes() -> Vec<Route> {
    use operator as o;
    let releases = Rows { audience: Audience::Operator, tag: "Releases and rollouts" };
    vec![
        releases.put("/v1/bundles/{sha256}", o::put_bundle, "Store a bundle, or the next part of it")
            .resumable().answers(&[201, 202, 204]),
        releases.get("/v1/bundles/{sha256}", o::bundle, "Fetch a bundle, or a range of it")
            .file(&["application/vnd.rauc.bundle"]),
        releases.delete("/v1/bundles/{sha256}", o::delete_bundle, "Delete a bundle")
            .conflicts(&["BUNDLE_IN_USE"]),
        releases.get("/v1/bundles", o::bundles, "List bundles"),
        releases.post("/v1/bundles/prune", o::prune_bundles, "Delete the bundles that no release refers to"),
        releases.get("/v1/bundles/{sha256}/upload", o::bundle_upload, "How far an upload got"),
        releases.post("/v1/releases", o::create_release, "Publish a release")
            .details("Its bundle is sent first. The same document again changes nothing.")
            .conflicts(&["BUNDLE_MISSING", "RELEASE_EXISTS"]),
        releases.get("/v1/releases", o::releases, "List releases")
            .details("`status` is `draft`, `beta`, `stable` or `deprecated`."),
        releases.post("/v1/releases/{version}/status", o::set_release_status, "Say what a release may be used for")
            .conflicts(&["ROLLOUT_GOING_ON"]),
        releases.post("/v1/rollouts", o::create_rollout, "Start a rollout")
            .refuses(404, &["NOT_FOUND"])
            .conflicts(&["DEVICES_BUSY", "RELEASE_NOT_READY", "ROLLBACK_IMPOSSIBLE"]),
        releases.get("/v1/rollouts", o::rollouts, "List rollouts, newest first"),
        releases.get("/v1/rollouts/{id}", o::rollout, "Show a rollout with its devices"),
        releases.post("/v1/rollouts/{id}/pause", o::pause_rollout, "Pause a rollout").conflicts(&["WRONG_STATUS"]),
        releases.post("/v1/rollouts/{id}/resume", o::resume_rollout, "Go on with a rollout").conflicts(&["WRONG_STATUS"]),
        releases.post("/v1/rollouts/{id}/abort", o::abort_rollout, "End a rollout where it is").conflicts(&["WRONG_STATUS"]),
        releases.get("/v1/keysets", o::key_sets, "The chain of key sets, first to last"),
        releases.post("/v1/keysets", o::add_key_set, "Add the next key set")
            .details("Signed by a threshold of the keys before it and of its own.")
            .answers(&[201]).conflicts(&["KEY_SET_EXISTS"]),
    ]
}

#[rustfmt::skip]
fn open_routes() -> Vec<Route> {
    use console as c;
    let open = Rows { audience: Audience::Anyone, tag: "This document" };
    let browser = Rows { audience: Audience::Browser, ..open };
    let monitor = Rows { audience: Audience::Monitoring, ..open };
    vec![
        open.get("/v1/openapi.json", openapi::json, "The API as an OpenAPI 3.1 document").returns::<Map<String, Value>>(),
        open.get("/v1/docs", openapi::page, "The same as a page to read").media("text/html"),
        open.page(Method::GET, "/healthz", get(monitoring::healthz)),
        open.page(Method::GET, "/readyz", get(monitoring::readyz)),
        monitor.page(Method::GET, "/metrics", get(monitoring::metrics)),
        open.page(Method::GET, "/login", get(c::login)),
        open.page(Method::POST, "/login", post(c::submit_login)),
        open.page(Method::POST, "/logout", post(c::logout)),
        open.page(Method::GET, "/pair", get(c::pair)),
        open.page(Method::POST, "/pair", post(c::submit_pair)),
        open.page(Method::GET, "/join", get(c::join)),
        open.page(Method::POST, "/join", post(c::submit_join)),
        browser.page(Method::GET, "/", get(c::fleet)),
        browser.page(Method::GET, "/rollouts/{id}", get(c::rollout)),
        browser.page(Method::GET, "/devices/{id}", get(c::device)),
    ]
}
