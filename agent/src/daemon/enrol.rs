//! Joining the fleet: from a provisioning file to an identity, tried until it works.

use std::path::PathBuf;
use std::time::Duration;

use fleet_device::request::RequestError;
use fleet_protocol::Sha256;
use fleet_protocol::backoff::Backoff;
use fleet_protocol::enrolment::{
    EnrollRequest, PairingCode, PairingState, PairingStatus, ProvisionFile, StartPairing,
};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::config;
use super::context::{Ctx, Link, dice};
use super::identity::{self, Identity, Pairing, Provision};
use crate::client::{ControlPlane, Endpoint};

/// How often it is looked for a new provisioning file.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How often it is asked whether the code was claimed: somebody stands there and waits.
const CLAIM_INTERVAL: Duration = Duration::from_secs(5);
const BACKOFF: Backoff = Backoff {
    base_ms: 2_000,
    max_ms: 300_000,
};
const DEADLINE: Duration = Duration::from_mins(5);

/// Brings the link up, however long that takes; from then on looks for a new provisioning file, which has
/// the device enrol again.
pub(super) async fn run(ctx: Ctx, config: mpsc::Sender<config::Message>) {
    let stamp = ctx.liveness.register("enrolment", DEADLINE);
    let mut attempts = 0;
    let mut spent = None;
    loop {
        stamp.touch();
        let pause = match join(&ctx, &mut spent).await {
            Ok(joined) => {
                attempts = 0;
                if let Some(role) = joined.and_then(|identity| identity.role) {
                    // Its loop lives as long as the process.
                    let _ = config.send(config::Message::Role(role)).await;
                }
                if ctx.pairing_code.borrow().is_some() {
                    CLAIM_INTERVAL
                } else {
                    LOOK_INTERVAL
                }
            }
            Err(Failure { message, hint, .. }) => {
                attempts += 1;
                log::warn!(error:% = message, hint:%; "the device could not enrol");
                ctx.fail_enrolment(&message, &hint);
                Duration::from_millis(BACKOFF.pause_ms(attempts, dice()))
            }
        };
        stamp.sleep(pause).await;
    }
}

struct Failure {
    message: String,
    hint: String,
    /// The same may succeed later.
    is_passing: bool,
}

impl Failure {
    fn new(message: impl std::fmt::Display, hint: impl Into<String>) -> Self {
        Self {
            message: message.to_string(),
            hint: hint.into(),
            is_passing: true,
        }
    }

    /// Of a request to the control plane.
    fn of(error: &RequestError) -> Self {
        Self {
            is_passing: error.is_passing(),
            ..Self::new(error, error.hint())
        }
    }
}

/// The identity, if there is a new link. `spent`: of the token that was refused last.
async fn join(ctx: &Ctx, spent: &mut Option<Sha256>) -> Result<Option<Identity>, Failure> {
    let paths = &ctx.device.paths;
    let identity = identity::load(paths);
    if ctx.link().is_none()
        && let Some(identity) = &identity
    {
        match connect(ctx, identity) {
            Ok(()) => return Ok(Some(identity.clone())),
            Err(error) => log::error!(error:% = error.message; "the identity is unusable"),
        }
    }
    let linked = ctx.link().is_some();
    let provision = identity::provision(paths);
    let is_pairing = matches!(provision, Provision::Pairing(_)) && ctx.standing().may_pair(linked);
    if !is_pairing {
        show_code(ctx, None);
    }
    match provision {
        Provision::Ready { file, provision } => {
            let token = Some(Sha256::of(&provision.enrolment_token));
            let known = identity.and_then(|identity| identity.enrolled_with);
            // One that could not be taken out of its file, or that the control plane does not take.
            if linked && (token == known || token == *spent) {
                return Ok(None);
            }
            enter(ctx, file, *provision)
                .await
                .map(Some)
                .inspect_err(|failure| {
                    *spent = token.filter(|_| !failure.is_passing);
                })
        }
        Provision::Pairing(provision) if is_pairing => pair(ctx, *provision).await,
        _ if linked => Ok(None),
        Provision::None | Provision::Pairing(_) => Ok(None),
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
    }
}

/// On the screen; nobody is told that nothing has changed.
fn show_code(ctx: &Ctx, code: Option<PairingCode>) {
    ctx.pairing_code.send_if_modified(|shown| {
        let changed = *shown != code;
        *shown = code;
        changed
    });
}

/// Shows a code until somebody has claimed it; then enrols with what that has made an enrolment token.
async fn pair(ctx: &Ctx, mut provision: ProvisionFile) -> Result<Option<Identity>, Failure> {
    // Where the code is to be typed in.
    ctx.server_url
        .send_replace(Some(provision.server_url.clone()));
    let (asking, file) = (ctx.clone(), provision.clone());
    let work = tokio::task::spawn_blocking(move || ask_for_code(&asking, &file));
    let asked = work
        .await
        .map_err(|_| Failure::new("pairing was cut short", "nothing: it is tried again"))?;
    let (pairing, claim) = asked.inspect_err(|_| {
        // An old code on the screen would be typed in vain.
        show_code(ctx, None);
    })?;
    let Some(claim) = claim else {
        show_code(ctx, Some(pairing.code));
        return Ok(None);
    };
    provision.enrolment_token = pairing.token;
    provision.role = claim.role.or(provision.role);
    // It counts once, whatever comes of it.
    show_code(ctx, None);
    let identity = enrol(ctx, &provision).await.inspect_err(|failure| {
        if !failure.is_passing {
            identity::forget_pairing(&ctx.device.paths);
        }
    })?;
    begin(ctx, &identity)?;
    Ok(Some(identity))
}

/// The pairing under way, begun anew if need be, and how it was claimed.
fn ask_for_code(
    ctx: &Ctx,
    provision: &ProvisionFile,
) -> Result<(Pairing, Option<PairingStatus>), Failure> {
    let (device, paths) = (&ctx.device, &ctx.device.paths);
    let client = anonymous(ctx, provision)?;
    if let Some(pairing) = identity::pairing(paths, &provision.server_url) {
        let status = client.pairing_status(&pairing.token);
        ctx.note(status.as_ref().err());
        match status {
            Ok(status)
                if matches!(status.status, PairingState::Pending | PairingState::Claimed) =>
            {
                ctx.heard_time(status.server_time);
                let claim = Some(status).filter(|s| s.status == PairingState::Claimed);
                return Ok((pairing, claim));
            }
            Err(error) if error.is_passing() => return Err(Failure::of(&error)),
            // It is over, or forgotten.
            Ok(_) | Err(_) => identity::forget_pairing(paths),
        }
    }
    let request = StartPairing {
        tenant_id: provision.tenant_id.clone(),
        hardware: device.hardware.clone(),
        serial_number: device.serial_number.clone(),
    };
    let started = client.start_pairing(&request);
    ctx.note(started.as_ref().err());
    let started = started.map_err(|error| Failure::of(&error))?;
    ctx.heard_time(started.server_time);
    let pairing = Pairing {
        server_url: provision.server_url.clone(),
        code: started.pairing_code,
        token: started.pairing_token,
    };
    identity::keep_pairing(paths, &pairing).map_err(of_disk)?;
    log::info!("the device waits to be paired");
    Ok((pairing, None))
}

/// Enrols with a provisioning file, and speaks as what came of it from now on.
async fn enter(ctx: &Ctx, file: PathBuf, provision: ProvisionFile) -> Result<Identity, Failure> {
    let identity = enrol(ctx, &provision).await?;
    if let Err(error) = scrub(file, provision).await {
        log::warn!(error:% = error.message, hint:% = error.hint; "the used token stays");
    }
    begin(ctx, &identity)?;
    Ok(identity)
}

/// Speaks as a device that has just enrolled.
fn begin(ctx: &Ctx, identity: &Identity) -> Result<(), Failure> {
    // Of a file that has been replaced by one with a token.
    identity::forget_pairing(&ctx.device.paths);
    connect(ctx, identity)?;
    log::info!("device.id":% = identity.device_id; "the device has enrolled");
    // Whether it is accepted now is the first thing to know, and what is wanted of it the next.
    ctx.bells.heartbeat.notify_one();
    ctx.bells.target.notify_one();
    Ok(())
}

/// The control plane before the device has an identity.
fn anonymous(ctx: &Ctx, provision: &ProvisionFile) -> Result<ControlPlane, Failure> {
    let endpoint = Endpoint {
        server_url: provision.server_url.clone(),
        ca_pem: provision.ca_certificate_pem.clone(),
        floor: ctx.floor.clone(),
        request_timeout: ctx.request_timeout(),
    };
    ControlPlane::anonymous(&endpoint)
        .map_err(|e| Failure::new(e, "make the provisioning file again"))
}

fn of_disk(error: identity::IdentityError) -> Failure {
    let hint = "check the data partition: it must be mounted, writable and not full";
    Failure::new(error, hint)
}

async fn enrol(ctx: &Ctx, provision: &ProvisionFile) -> Result<Identity, Failure> {
    if ctx.link().is_none() {
        ctx.server_url
            .send_replace(Some(provision.server_url.clone()));
    }
    let (ctx, provision) = (ctx.clone(), provision.clone());
    let work = tokio::task::spawn_blocking(move || enrol_blocking(&ctx, &provision));
    work.await
        .map_err(|_| Failure::new("enrolment was cut short", "nothing: it is tried again"))?
}

fn enrol_blocking(ctx: &Ctx, provision: &ProvisionFile) -> Result<Identity, Failure> {
    let device = &ctx.device;
    let csr_pem = identity::certificate_request(&device.paths).map_err(of_disk)?;
    let client = anonymous(ctx, provision)?;
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
    let response = response.map_err(|error| Failure::of(&error))?;
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
    let link = identity::connect(
        &ctx.device.paths,
        identity,
        &ctx.floor,
        ctx.request_timeout(),
    )
    .and_then(|client| {
        Ok(Link {
            client,
            device_id: identity.device_id.clone(),
            fleet: identity::fleet(&ctx.device.paths, identity)?,
        })
    })
    .map_err(|e| Failure::new(e, "enrol the device again with a new provisioning file"))?;
    ctx.server_url
        .send_replace(Some(identity.server_url.clone()));
    let validity = identity::validity(&ctx.device.paths);
    ctx.certificate_ends
        .send_replace(validity.ok().map(|v| v.not_after));
    ctx.link.send_replace(Some(link));
    Ok(())
}

/// Goes on with the identity as it is on disk now; if that does not do, with the one in use.
pub(super) fn reconnect(ctx: &Ctx) {
    let Some(identity) = identity::load(&ctx.device.paths) else {
        return;
    };
    if let Err(Failure { message, hint, .. }) = connect(ctx, &identity) {
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
