//! What the control plane wants of this device: fetched, its signatures checked, and kept, so that a
//! restart without a network still knows it.

use std::path::PathBuf;
use std::time::Duration;

use fleet_device::files::{self, Access};
use fleet_protocol::Sha256;
use fleet_protocol::backoff::Backoff;
use fleet_protocol::target::{Target, TargetRelease};
use fleet_protocol::trust::{Envelope, VerifiedRelease, VerifyReleaseError};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::context::{Ctx, dice};
use super::enrol::linked;
use super::{config, identity, update};
use crate::client::TargetAnswer;
use crate::core::contact::Need;
use crate::core::interval::next_poll_ms;
use crate::core::update::{Candidate, Wanted};
use crate::platform::booted::read_state;
use crate::platform::key_chain::{KeyChain, KeyChainError};

const DEADLINE: Duration = Duration::from_mins(5);
/// Beside the heartbeat, which says when there is something new.
const POLL_MS: u64 = 15 * 60 * 1_000;
/// Bells in a row are one.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// `target.json`
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// Whose it is; older agents did not say.
    #[serde(default)]
    fleet: Option<Sha256>,
    etag: Option<String>,
    target: Target,
}

/// Who is told of it.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) update: mpsc::Sender<update::Message>,
    pub(super) config: mpsc::Sender<config::Message>,
}

pub(super) async fn run(ctx: Ctx, audience: Audience) {
    let stamp = ctx.liveness.register("target", DEADLINE);
    let mut keys = Keys::load(&ctx);
    let mut etag = None;
    // Of the ETag, so that no other fleet is shown it.
    let mut fleet = identity::load(&ctx.device.paths)
        .and_then(|identity| identity::fleet(&ctx.device.paths, &identity).ok());
    let kept: Option<Kept> = read_state(&kept_file(&ctx));
    if let Some(kept) = kept.filter(|kept| kept.fleet.is_none() || kept.fleet == fleet) {
        etag = kept.etag;
        announce(&ctx, &audience, &mut keys, fleet, kept.target).await;
    }
    stamp.idle(linked(&ctx)).await;
    let mut failures = 0;
    let mut config = ctx.config.subscribe();
    loop {
        stamp.touch();
        if ctx.fleet() != fleet {
            fleet = ctx.fleet();
            etag = None;
        }
        let known = etag.clone();
        let answer = ctx
            .call_for(Need::Target, move |client| client.target(known.as_deref()))
            .await;
        match answer {
            // The device has enrolled with another one meanwhile: its own answer counts.
            Ok(_) if ctx.fleet() != fleet => continue,
            Ok(TargetAnswer::NotModified) => failures = 0,
            Ok(TargetAnswer::New { target, etag: new }) => {
                failures = 0;
                etag = keep(&ctx, fleet, &target, new);
                announce(&ctx, &audience, &mut keys, fleet, *target).await;
            }
            Err(error) => {
                failures += 1;
                log::debug!(error:%; "the target could not be fetched");
            }
        }
        let pause = Duration::from_millis(pause_ms(&ctx, failures));
        let early = async {
            tokio::time::sleep(MIN_PAUSE).await;
            tokio::select! {
                () = ctx.bells.target.notified() => {}
                // Its trial waits for an answer.
                _ = config.changed() => {}
            }
        };
        let wait = async {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = early => {}
            }
        };
        stamp.idle(wait).await;
    }
}

fn pause_ms(ctx: &Ctx, failures: u32) -> u64 {
    let control = &ctx.config().config.control;
    if failures == 0 {
        return next_poll_ms(POLL_MS, control.jitter_percent, dice());
    }
    let backoff = Backoff {
        base_ms: 5_000,
        max_ms: u64::from(control.max_backoff_s) * 1_000,
    };
    backoff.pause_ms(failures, dice())
}

fn kept_file(ctx: &Ctx) -> PathBuf {
    ctx.device.paths.state().join("target.json")
}

/// Keeps the answer; its ETag counts only if that worked, so that it is fetched again after a start.
fn keep(ctx: &Ctx, fleet: Option<Sha256>, target: &Target, etag: Option<String>) -> Option<String> {
    let kept = Kept {
        fleet,
        etag: etag.clone(),
        target: target.clone(),
    };
    if let Err(error) = files::write_json(&kept_file(ctx), &kept, Access::Public) {
        log::warn!(error:%, hint = error.hint(); "the target could not be kept");
    }
    etag
}

async fn announce(
    ctx: &Ctx,
    audience: &Audience,
    keys: &mut Keys,
    fleet: Option<Sha256>,
    target: Target,
) {
    log::debug!("target.generation" = target.generation; "the target was fetched");
    keys.rotate(ctx, &target.key_sets);
    // First, and waited for: a window or a limit that comes with a release counts for this release already. Both loops
    // live as long as the process.
    let (taken, is_taken) = oneshot::channel();
    let delivered = config::Message::Delivered {
        fleet,
        target: target.config,
        taken,
    };
    let _ = audience.config.send(delivered).await;
    let _ = is_taken.await;
    let message = update::Message::Target {
        generation: target.generation,
        release: target.release.map(|release| keys.judge(release)),
    };
    let _ = audience.update.send(message).await;
}

/// The keys that this device trusts, if its image has any.
struct Keys(Option<KeyChain>);

impl Keys {
    fn load(ctx: &Ctx) -> Self {
        let chain = KeyChain::load(&ctx.device.paths)
            .inspect_err(|error| {
                log::error!(error:%, hint = KeyChainError::HINT; "no release can be trusted");
            })
            .ok();
        let keys = Self(chain);
        keys.publish(ctx);
        keys
    }

    fn rotate(&mut self, ctx: &Ctx, envelopes: &[Envelope]) {
        let Some(chain) = &mut self.0 else { return };
        if !chain.follow(envelopes) {
            return;
        }
        log::info!("key_set.version" = chain.version(); "a new key set is trusted");
        if let Err(error) = chain.store(&ctx.device.paths) {
            log::warn!(error:%, hint = error.hint(); "the key sets could not be kept");
        }
        self.publish(ctx);
    }

    fn publish(&self, ctx: &Ctx) {
        let version = self.0.as_ref().map_or(0, KeyChain::version);
        ctx.key_set_version.send_replace(version);
    }

    fn judge(&self, release: TargetRelease) -> Candidate {
        let verified = match &self.0 {
            Some(chain) => VerifiedRelease::verify(&release.metadata, chain.trusted()),
            None => Err(VerifyReleaseError::Foreign {
                valid: 0,
                threshold: 1,
            }),
        };
        match verified {
            Ok(verified) => Candidate::Verified(Box::new(Wanted {
                kind: release.kind,
                rollout_id: release.rollout_id,
                release: verified,
                bundle_path: release.bundle_path,
                attempt: release.attempt,
            })),
            Err(error) => Candidate::Unverified {
                version: Some(release.version),
                rollout_id: release.rollout_id,
                error,
            },
        }
    }
}
