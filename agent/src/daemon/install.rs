//! One installation: the proxy, RAUC, and what its end means.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleet_protocol::Version;
use fleet_protocol::update::RefuseReason;
use tokio::sync::{Notify, mpsc};

use super::context::Ctx;
use super::update::Message;
use crate::client::bundle_proxy::{BundleProxy, BundleSource, Place, SourceError};
use crate::core::update::{InstallError, InstallOrder};
use crate::platform::rauc::{Args, FailureKind, Progress, RaucError};

/// Writing one version to the slot fails so often in a row before it is given up.
const MAX_WRITE_FAILURES: u32 = 3;
/// How long RAUC may take to end after its source was taken away.
const CANCEL_DEADLINE: Duration = Duration::from_mins(2);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

static WRITE_FAILURES: Mutex<WriteFailures> = Mutex::new(WriteFailures { of: None, count: 0 });

/// In a row, of one version: what came before another one is not its fault.
#[derive(Debug, Default)]
struct WriteFailures {
    of: Option<Version>,
    count: u32,
}

impl WriteFailures {
    /// Whether that was one too many.
    fn add(&mut self, version: &Version) -> bool {
        if self.of.as_ref() != Some(version) {
            *self = Self {
                of: Some(version.clone()),
                count: 0,
            };
        }
        self.count += 1;
        let too_many = self.count >= MAX_WRITE_FAILURES;
        if too_many {
            *self = Self::default();
        }
        too_many
    }
}

fn write_failures() -> MutexGuard<'static, WriteFailures> {
    WRITE_FAILURES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// An installation that runs.
#[derive(Debug)]
pub(super) struct Installation {
    pub(super) transaction_id: String,
    cancel: Arc<Notify>,
}

impl Installation {
    /// RAUC has no way to stop; without its source it fails within seconds.
    pub(super) fn cancel(&self) {
        self.cancel.notify_one();
    }
}

/// Starts it; its progress and its end are told to `engine`.
pub(super) fn start(ctx: &Ctx, order: InstallOrder, engine: mpsc::Sender<Message>) -> Installation {
    let cancel = Arc::new(Notify::new());
    let installation = Installation {
        transaction_id: order.transaction_id.clone(),
        cancel: cancel.clone(),
    };
    let ctx = ctx.clone();
    tokio::spawn(async move {
        let result = install(&ctx, &order, &engine, &cancel).await;
        let finished = Message::Installed {
            transaction_id: order.transaction_id,
            result,
        };
        // The engine lives as long as the process.
        let _ = engine.send(finished).await;
    });
    installation
}

async fn install(
    ctx: &Ctx,
    order: &InstallOrder,
    engine: &mpsc::Sender<Message>,
    cancel: &Notify,
) -> Result<(), InstallError> {
    let transient = |detail: String| InstallError::Transient { detail };
    let proxy = BundleProxy::start(source(ctx, order)?, ctx.limiter.clone())
        .map_err(|e| transient(format!("the local proxy does not start: {e}")))?;
    let rauc = ctx.bus.rauc().await.map_err(|e| transient(e.to_string()))?;
    let (progress_in, progress_out) = mpsc::channel(8);
    let args = Args {
        source: proxy.url(),
        manifest_hash: Some(order.manifest_sha256),
        transaction: order.transaction_id.clone(),
        still_moving: proxy.download_counter(),
    };
    let relay = relay(order, engine, proxy.download_counter(), progress_out);
    let installing = rauc.install(args, progress_in);
    tokio::pin!(installing, relay);
    let result = tokio::select! {
        result = &mut installing => result,
        // Ends only when RAUC's side of the channel is dropped.
        () = &mut relay => installing.await,
        () = cancel.notified() => {
            drop(proxy);
            // It may have had all that it needed: then the slot is primary now, and the engine must know.
            let in_time = tokio::time::timeout(CANCEL_DEADLINE, &mut installing).await;
            let ended = if let Ok(ended) = in_time {
                ended
            } else {
                stop_rauc(ctx).await;
                installing.await
            };
            return ended.map_err(|_| transient("cancelled".to_owned()));
        }
    };
    if matches!(&result, Err(error) if error.kind == FailureKind::Stalled) {
        // What is given up here must not end well behind the engine's back.
        stop_rauc(ctx).await;
    }
    log::info!("bundle.downloaded_bytes" = proxy.downloaded_bytes(),
        "bundle.size_bytes" = order.size_bytes, ok = result.is_ok(); "RAUC is done");
    let trouble = proxy.trouble();
    if result.is_ok() {
        *write_failures() = WriteFailures::default();
        let last = Progress {
            percent: 100,
            message: "installed".to_owned(),
        };
        let _ = engine.try_send(progress(order, last, proxy.downloaded_bytes()));
    }
    result.map_err(|error| meaning(&error, trouble, || write_failures().add(&order.version)))
}

/// RAUC has no call for it. The slot that it was writing is not primary before its last step.
async fn stop_rauc(ctx: &Ctx) {
    let unit = "rauc.service".parse().expect("it is a unit's name");
    let stopped = match ctx.bus.systemd().await {
        Ok(systemd) => systemd.restart(&unit).await.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = stopped {
        log::error!(error:%, hint = "reboot the device"; "RAUC stands still and cannot be restarted");
    }
}

fn source(ctx: &Ctx, order: &InstallOrder) -> Result<BundleSource, InstallError> {
    let link = ctx.link().ok_or_else(|| InstallError::Transient {
        detail: "the device is not enrolled".to_owned(),
    })?;
    Ok(BundleSource {
        size_bytes: order.size_bytes,
        place: Place::ControlPlane {
            client: link.client,
            path: order.bundle_path.clone(),
        },
    })
}

fn progress(order: &InstallOrder, progress: Progress, downloaded_bytes: u64) -> Message {
    Message::Progress {
        transaction_id: order.transaction_id.clone(),
        progress,
        downloaded_bytes,
    }
}

/// Passes RAUC's progress on, with the bytes that came meanwhile.
async fn relay(
    order: &InstallOrder,
    engine: &mpsc::Sender<Message>,
    downloaded: Box<dyn Fn() -> u64 + Send + Sync>,
    mut from_rauc: mpsc::Receiver<Progress>,
) {
    let mut seen = (Progress::default(), 0);
    loop {
        let step = tokio::time::timeout(PROGRESS_INTERVAL, from_rauc.recv()).await;
        let latest = match step {
            Ok(Some(latest)) => latest,
            Ok(None) => return,
            Err(_) => seen.0.clone(),
        };
        let next = (latest, downloaded());
        if next != seen {
            // The engine may be busy; a later step says more.
            let _ = engine.try_send(progress(order, next.0.clone(), next.1));
            seen = next;
        }
    }
}

/// What RAUC's failure means for the engine. The proxy knows more than RAUC does: RAUC sees a short
/// read where the proxy saw the network fail. `failed_too_often`: asked when the slot could not be written.
fn meaning(
    error: &RaucError,
    trouble: Option<SourceError>,
    failed_too_often: impl FnOnce() -> bool,
) -> InstallError {
    let detail = error.to_string();
    match trouble {
        Some(SourceError::Wrong(reason)) => {
            return InstallError::Refused(RefuseReason::BundleMismatch { detail: reason });
        }
        Some(SourceError::Missing(reason) | SourceError::Passing(reason)) => {
            return InstallError::Transient {
                detail: format!("{detail}; {reason}"),
            };
        }
        None => {}
    }
    match error.kind {
        FailureKind::Signature | FailureKind::Compatible | FailureKind::Format => {
            InstallError::Refused(RefuseReason::BundleRejected {
                detail: error.detail.clone(),
            })
        }
        FailureKind::Mismatch => InstallError::Refused(RefuseReason::BundleMismatch {
            detail: error.detail.clone(),
        }),
        FailureKind::SlotWrite if failed_too_often() => InstallError::Permanent { detail },
        FailureKind::SlotWrite
        | FailureKind::Network
        | FailureKind::Busy
        | FailureKind::Absent
        | FailureKind::Stalled
        | FailureKind::Other => InstallError::Transient { detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: FailureKind) -> RaucError {
        RaucError {
            operation: "install",
            kind,
            detail: "d".to_owned(),
        }
    }

    #[test]
    fn a_short_read_is_the_networks_fault_when_the_proxy_says_so() {
        let trouble = Some(SourceError::Passing("timed out".to_owned()));
        let meant = meaning(&failure(FailureKind::Format), trouble, || false);
        assert!(matches!(meant, InstallError::Transient { .. }));
    }

    #[test]
    fn a_bad_signature_refuses_the_bundle() {
        let meant = meaning(&failure(FailureKind::Signature), None, || false);
        let InstallError::Refused(RefuseReason::BundleRejected { .. }) = meant else {
            panic!("{meant:?}")
        };
    }

    #[test]
    fn a_version_that_cannot_be_written_is_given_up_after_some_tries_of_its_own() {
        let mut failures = WriteFailures::default();
        let mut given_up = |major| {
            let version = Version::new(major, 0, 0);
            let error = failure(FailureKind::SlotWrite);
            let meant = meaning(&error, None, || failures.add(&version));
            matches!(meant, InstallError::Permanent { .. })
        };
        assert_eq!(
            [2, 2, 3, 3, 3].map(&mut given_up),
            [false, false, false, false, true]
        );
        assert_eq!([3, 3, 3].map(&mut given_up), [false, false, true]);
    }
}
