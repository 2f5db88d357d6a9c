//! Looking after devices: what they are, what they run, and what is wrong with them.

use fleet_protocol::alert::AlertRulesView;
use fleet_protocol::config::DeviceConfig;
use fleet_protocol::device::ConfigView;
use fleet_protocol::webhook::WebhookView;

use super::{Audience, Route, Rows};
use crate::api::{alerts as a, mail as m, operator as o, pairing, webhooks as w};

#[rustfmt::skip]
pub(super) fn devices() -> Vec<Route> {
    let fleet = Rows { audience: Audience::Operator, tag: "Devices" };
    vec![
        fleet.get("/v1/overview", o::overview, "The fleet in a few numbers"),
        fleet.post("/v1/enrolment-tokens", o::create_enrolment_token, "Make an enrolment token")
            .details("The secret is shown this once, in a file for `fleet flash --provision`."),
        fleet.get("/v1/enrolment-tokens", o::enrolment_tokens, "List enrolment tokens"),
        fleet.delete("/v1/enrolment-tokens/{token_id}", o::revoke_enrolment_token, "Revoke an enrolment token")
            .details("No more devices join with it. Those that have are devices.").conflicts(&["TOKEN_USED_UP"]),
        fleet.get("/v1/pairing-file", pairing::file, "What devices need that are to be paired by a code")
            .details("For `fleet flash --provision`, on any number of cards: it holds no secret."),
        fleet.get("/v1/devices", o::devices, "List devices")
            .details("`status` is `online`, `offline`, or the name of an update state such as `committed`."),
        fleet.get("/v1/devices/{id}", o::device, "Show a device"),
        fleet.patch("/v1/devices/{id}", o::change_device, "Rename a device, move it, or turn its screen"),
        fleet.delete("/v1/devices/{id}", o::revoke_device, "Take a device's credentials away"),
        fleet.post("/v1/devices/{id}/restore", o::restore_device, "Let a revoked device in again"),
        fleet.post("/v1/devices/{id}/remove", o::remove_device, "Forget a revoked device")
            .details("With all that it said and showed, its proof of play too. Its key may enrol again, here or elsewhere.")
            .conflicts(&["NOT_REVOKED"]),
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
pub(super) fn alerts() -> Vec<Route> {
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
pub(super) fn webhooks() -> Vec<Route> {
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
pub(super) fn mail() -> Vec<Route> {
    let mail = Rows { audience: Audience::Operator, tag: "Mail about alerts" };
    vec![
        mail.get("/v1/mail-recipients", m::recipients, "List who is told of alerts by mail"),
        mail.post("/v1/mail-recipients", m::add, "Have somebody told of alerts by mail")
            .details("What happens within a minute comes in one message, tried again for a day until a mail server takes it.")
            .conflicts(&["ALREADY_TOLD", "NO_MAIL", "TOO_MANY_RECIPIENTS"]),
        mail.get("/v1/mail-recipients/{recipient_id}", m::recipient, "Show who is told of alerts by mail"),
        mail.delete("/v1/mail-recipients/{recipient_id}", m::remove, "Tell somebody of no more alerts by mail")
            .details("What was to be sent there is not."),
        mail.post("/v1/mail-recipients/{recipient_id}/test", m::test, "Send a mail that says nothing")
            .details("Once, and at once; the answer says how that went.").conflicts(&["NO_MAIL"]),
        mail.get("/v1/mail-recipients/{recipient_id}/deliveries", m::deliveries, "What was mailed to somebody, newest first"),
    ]
}

#[rustfmt::skip]
pub(super) fn releases() -> Vec<Route> {
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
