//! Joining the fleet: from a provisioning file to an identity, tried until it works.

use std::path::PathBuf;
use std::time::Duration;

use fleet_protocol::backoff::Backoff;
use fleet_protocol::enrolment::{EnrollRequest, ProvisionFile};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::config;
use super::context::{Ctx, Link, dice};
use super::identity::{self, Identity, Provision};
use crate::client::{ClientError, ControlPlane, Endpoint};

/// How often an unprovisioned device looks for a provisioning file.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
const BACKOFF: Backoff = Backoff {
    base_ms: 2_000,
    max_ms: 300_000,
};
const DEADLINE: Duration = Duration::from_mins(5);

/// Brings the link up, however long that takes, and ends then.
pub(super) async fn run(ctx: Ctx, config: mpsc::Sender<config::Message>) {
    let stamp = ctx.liveness.register("enrolment", DEADLINE);
    let mut attempts = 0;
    loop {
        stamp.touch();
        match try_once(&ctx).await {
            Ok(true) => {
                let identity = identity::load(&ctx.device.paths);
                if let Some(role) = identity.and_then(|identity| identity.role) {
                    // Its loop lives as long as the process.
                    let _ = config.send(config::Message::Role(role)).await;
                }
                break;
            }
            Ok(false) => {
                attempts = 0;
                stamp.sleep(LOOK_INTERVAL).await;
            }
            Err(Failure { message, hint }) => {
                attempts += 1;
                log::warn!(error:% = message, hint:%; "the device could not enrol");
                ctx.fail_enrolment(&message, &hint);
                let pause = Duration::from_millis(BACKOFF.pause_ms(attempts, dice()));
                stamp.sleep(pause).await;
            }
        }
    }
    // Nothing left to watch.
    stamp.idle(std::future::pending::<()>()).await;
}

struct Failure {
    message: String,
    hint: String,
}

impl Failure {
    fn new(message: impl std::fmt::Display, hint: impl Into<String>) -> Self {
        Self {
            message: message.to_string(),
            hint: hint.into(),
        }
    }
}

/// `false`: there is nothing to enrol with yet.
async fn try_once(ctx: &Ctx) -> Result<bool, Failure> {
    let paths = &ctx.device.paths;
    if let Some(identity) = identity::load(paths) {
        match connect(ctx, &identity) {
            Ok(()) => return Ok(true),
            Err(error) => log::error!(error:% = error.message; "the identity is unusable"),
        }
    }
    match identity::provision(paths) {
        Provision::None => Ok(false),
        Provision::Used(provision) => Err(Failure::new(
            format!(
                "the token for {} was used before, and the identity is lost",
                provision.server_url
            ),
            "make a new enrolment token and put its file on the boot partition",
        )),
        Provision::Unusable { file, reason } => Err(Failure::new(
            format!("{}: {reason}", file.display()),
            "make the file again with `fleet flash --provision`",
        )),
        Provision::Ready { file, provision } => {
            let identity = enrol(ctx, &provision).await?;
            if let Err(error) = scrub(file, *provision).await {
                log::warn!(error:% = error.message, hint:% = error.hint; "the used token stays");
            }
            connect(ctx, &identity)?;
            log::info!("device.id":% = identity.device_id; "the device has enrolled");
            Ok(true)
        }
    }
}

async fn enrol(ctx: &Ctx, provision: &ProvisionFile) -> Result<Identity, Failure> {
    ctx.server_url
        .send_replace(Some(provision.server_url.clone()));
    let (ctx, provision) = (ctx.clone(), provision.clone());
    let work = tokio::task::spawn_blocking(move || enrol_blocking(&ctx, &provision));
    work.await
        .map_err(|_| Failure::new("enrolment was cut short", "nothing: it is tried again"))?
}

fn enrol_blocking(ctx: &Ctx, provision: &ProvisionFile) -> Result<Identity, Failure> {
    let device = &ctx.device;
    let of_disk = |e: identity::IdentityError| {
        Failure::new(
            e,
            "check the data partition: it must be mounted, writable and not full",
        )
    };
    let csr_pem = identity::certificate_request(&device.paths).map_err(of_disk)?;
    let endpoint = Endpoint {
        server_url: provision.server_url.clone(),
        ca_pem: provision.ca_certificate_pem.clone(),
        floor: ctx.floor.clone(),
        request_timeout: ctx.request_timeout(),
    };
    let client = ControlPlane::anonymous(&endpoint)
        .map_err(|e| Failure::new(e, "make the provisioning file again"))?;
    let request = EnrollRequest {
        enrolment_token: provision.enrolment_token.clone(),
        csr_pem,
        compatible: device.release.compatible.clone(),
        version: device.release.version.clone(),
        hardware: device.hardware.clone(),
        serial_number: device.serial_number.clone(),
    };
    let response = client.enroll(&request);
    ctx.note(response.as_ref().err());
    let response = response.map_err(|e: ClientError| Failure::new(&e, e.hint()))?;
    ctx.heard_time(response.server_time);
    identity::keep(&device.paths, provision, &response).map_err(of_disk)
}

async fn scrub(file: PathBuf, provision: ProvisionFile) -> Result<(), Failure> {
    let work = tokio::task::spawn_blocking(move || {
        identity::scrub(&file, &provision).map_err(|e| Failure::new(&e, e.hint()))
    });
    work.await
        .map_err(|_| Failure::new("scrubbing was cut short", "make the partition writable"))?
}

fn connect(ctx: &Ctx, identity: &Identity) -> Result<(), Failure> {
    let client = identity::connect(
        &ctx.device.paths,
        identity,
        &ctx.floor,
        ctx.request_timeout(),
    )
    .map_err(|e| Failure::new(e, "enrol the device again with a new provisioning file"))?;
    ctx.server_url
        .send_replace(Some(identity.server_url.clone()));
    let validity = identity::validity(&ctx.device.paths);
    ctx.certificate_ends
        .send_replace(validity.ok().map(|v| v.not_after));
    ctx.link.send_replace(Some(Link {
        client,
        device_id: identity.device_id.clone(),
    }));
    Ok(())
}

/// Goes on with the identity as it is on disk now; if that does not do, with the one in use.
pub(super) fn reconnect(ctx: &Ctx) {
    let Some(identity) = identity::load(&ctx.device.paths) else {
        return;
    };
    if let Err(Failure { message, hint }) = connect(ctx, &identity) {
        log::warn!(error:% = message, hint:%; "the connection stays as it was");
    }
}

/// Waits until the device has a link.
pub(super) async fn linked(ctx: &Ctx) {
    let mut link = ctx.link.subscribe();
    // The sender lives as long as the context.
    if link.wait_for(Option::is_some).await.is_err() {
        sleep(Duration::MAX).await;
    }
}
