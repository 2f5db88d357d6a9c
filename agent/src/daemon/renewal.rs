//! Keeps the device's certificate fresh: [`crate::core::certificate`] says when, [`identity::renewed`]
//! keeps what is on the way through power cuts.
//!
//! The time is the control plane's own word, since it is the one to judge the certificate; until it has
//! spoken nothing can be renewed anyway.

use std::time::Duration;

use fleet_device::request::RequestError;
use fleet_protocol::backoff::Backoff;
use fleet_protocol::enrolment::RenewCertificate;
use fleet_protocol::event::{EventKind, Severity};
use jiff::Timestamp;

use super::context::{CallError, Ctx, dice};
use super::enrol::{self, linked};
use super::identity::{self, IdentityError, renewed};
use crate::core::certificate::{NoCertificate, Validity};

const DEADLINE: Duration = Duration::from_mins(10);
/// While the control plane has not said yet what time it is.
const UNTIL_TOLD: Duration = Duration::from_secs(5);
/// While the control plane does not accept the device.
const UNTIL_ACCEPTED: Duration = Duration::from_mins(1);
/// The longest pause: the clock may have been corrected meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_hours(1);
const BACKOFF: Backoff = Backoff {
    base_ms: 60_000,
    max_ms: 6 * 3_600_000,
};

#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the new certificate is not taken: {0}")]
    Implausible(&'static str),
    #[error("the new certificate is not taken: {0}")]
    Damaged(#[from] NoCertificate),
    #[error("the new certificate does not work: {0}")]
    Unproved(RequestError),
    #[error("the renewal was cut short")]
    Cut,
}

impl RenewalError {
    fn hint(&self) -> String {
        match self {
            Self::Identity(_) => {
                "check the data partition; if a file of the identity is lost, enrol \
                                  the device again"
                    .to_owned()
            }
            Self::Call(CallError::Client(error)) | Self::Unproved(error) => error.hint(),
            Self::Implausible(_) => "check the control plane's clock".to_owned(),
            Self::Damaged(_) => "see the control plane's log for this request".to_owned(),
            Self::Call(_) | Self::Cut => "nothing: it is tried again".to_owned(),
        }
    }
}

pub(super) async fn run(ctx: Ctx) {
    let stamp = ctx.liveness.register("renewal", DEADLINE);
    stamp.idle(linked(&ctx)).await;
    // The same for all looks at one certificate.
    let spread = dice();
    let mut failures = 0;
    loop {
        stamp.touch();
        let pause = match look(&ctx, spread).await {
            Ok(pause) => {
                failures = 0;
                pause
            }
            Err(error) => {
                failures += 1;
                tell_failure(&ctx, &error, failures);
                Duration::from_millis(BACKOFF.pause_ms(failures, dice()))
            }
        };
        stamp.sleep(pause).await;
    }
}

/// Renews if it is time; for how long there is nothing to do.
async fn look(ctx: &Ctx, spread: u64) -> Result<Duration, RenewalError> {
    let Some(now) = ctx.clock.told() else {
        return Ok(UNTIL_TOLD);
    };
    if ctx.refused_since().is_some() {
        return Ok(UNTIL_ACCEPTED);
    }
    let paths = &ctx.device.paths;
    // Left by a power cut, or by a control plane that went away in between.
    if let Some(waiting) = renewed::waiting(paths) {
        resume(ctx, waiting, now).await?;
    }
    let present = identity::validity(paths)?;
    let due = present.renewal_due(spread);
    if now < due {
        let pause = Duration::try_from(due.duration_since(now)).unwrap_or_default();
        return Ok(pause.min(LOOK_INTERVAL));
    }
    let new = ask(ctx, &present, now).await?;
    renewed::keep(paths, &new)?;
    prove(ctx, new).await?;
    Ok(LOOK_INTERVAL)
}

/// What waits may be no better than the one in use, which enrolment can have replaced since.
async fn resume(ctx: &Ctx, waiting: String, now: Timestamp) -> Result<(), RenewalError> {
    let paths = &ctx.device.paths;
    let better = Validity::of_pem(&waiting).is_ok_and(|new| {
        identity::validity(paths).map_or(true, |present| present.refuses(&new, now).is_none())
    });
    if better {
        prove(ctx, waiting).await
    } else {
        Ok(renewed::drop_waiting(paths)?)
    }
}

async fn ask(ctx: &Ctx, present: &Validity, now: Timestamp) -> Result<String, RenewalError> {
    let csr_pem = renewed::request(&ctx.device.paths)?;
    let request = RenewCertificate { csr_pem };
    let answer = ctx
        .call(move |client| client.renew_certificate(&request))
        .await?;
    let new = Validity::of_pem(&answer.certificate_pem)?;
    match present.refuses(&new, now) {
        None => Ok(answer.certificate_pem),
        Some(reason) => Err(RenewalError::Implausible(reason)),
    }
}

/// Uses the certificate once, and from then on if that worked.
async fn prove(ctx: &Ctx, certificate_pem: String) -> Result<(), RenewalError> {
    let (on_thread, certificate) = (ctx.clone(), certificate_pem.clone());
    let proof = tokio::task::spawn_blocking(move || use_once(&on_thread, certificate)).await;
    let paths = &ctx.device.paths;
    match proof.map_err(|_| RenewalError::Cut)? {
        Ok(()) => {}
        Err(RenewalError::Unproved(error)) if shows_it_works(&error) => {}
        // It may work as soon as the control plane is back.
        Err(RenewalError::Unproved(error)) if !is_about_it(&error) => {
            return Err(RenewalError::Unproved(error));
        }
        Err(error) => {
            renewed::drop_waiting(paths)?;
            return Err(error);
        }
    }
    renewed::take_over(paths, &certificate_pem)?;
    enrol::reconnect(ctx);
    let not_after = Validity::of_pem(&certificate_pem)?.not_after;
    log::info!("certificate.not_after":% = not_after; "the device's certificate was renewed");
    let payload = serde_json::json!({ "notAfter": not_after });
    ctx.events
        .raise(EventKind::CertificateRenewed, Severity::Info, payload);
    Ok(())
}

fn use_once(ctx: &Ctx, certificate_pem: String) -> Result<(), RenewalError> {
    let paths = &ctx.device.paths;
    let Some(identity) = identity::load(paths) else {
        return Err(CallError::NotEnrolled.into());
    };
    let timeout = ctx.request_timeout();
    let client = identity::connect_with(paths, &identity, &ctx.floor, timeout, certificate_pem)?;
    client.target(None).map_err(RenewalError::Unproved)?;
    Ok(())
}

/// The control plane does not accept the certificate.
fn is_about_it(error: &RequestError) -> bool {
    matches!(error, RequestError::Tls { .. }) || error.is_refused_identity()
}

/// It was accepted; what went wrong came after.
fn shows_it_works(error: &RequestError) -> bool {
    error.status().is_some() && !is_about_it(error) && !error.is_passing()
}

fn tell_failure(ctx: &Ctx, error: &RenewalError, failures: u32) {
    let hint = error.hint();
    log::warn!(error:%, hint:%; "the device's certificate could not be renewed");
    if failures == 1 {
        let ends = *ctx.certificate_ends.borrow();
        let payload = serde_json::json!({
            "reason": error.to_string(), "hint": hint, "notAfter": ends,
        });
        let kind = EventKind::CertificateRenewalFailed;
        ctx.events.raise(kind, Severity::Warning, payload);
    }
}
