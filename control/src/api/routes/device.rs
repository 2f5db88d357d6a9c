//! What devices call: their agents and their players.

use fleet_protocol::command::{Command, CommandKind};
use fleet_protocol::player::{Manifest, PlayerCommandKind};
use fleet_protocol::target::Target;

use super::{Audience, Route, Rows};
use crate::api::{device as d, openapi, pairing, player as p};

#[rustfmt::skip]
pub(super) fn agents() -> Vec<Route> {
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
        device.get("/v1/device/commands", d::commands::<CommandKind>, "Commands that wait for the agent")
            .details("In the order in which they are to be run. A command is listed until it is answered or expires."),
        device.post("/v1/device/commands/{command_id}/result", d::command_result::<CommandKind>, "Answer a command")
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
pub(super) fn players() -> Vec<Route> {
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
        device.get("/v1/player/commands", d::commands::<PlayerCommandKind>, "Commands that wait for the player")
            .returns::<openapi::Items<Command<PlayerCommandKind>>>(),
        device.post("/v1/player/commands/{command_id}/result", d::command_result::<PlayerCommandKind>, "Answer a command")
            .details("The first answer counts; another one for the same command changes nothing."),
        certificate.get("/v1/player/media/{asset_id}", p::media, "Fetch a picture or film, or a range of it")
            .details("The client certificate is enough: a player sends its token to no address that stands in a manifest.")
            .file(openapi::MEDIA),
    ]
}
