//! One installation, from the call to its end, whatever becomes of RAUC meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use fleet_protocol::Sha256;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use zbus::Variant;

use super::proxy::InstallerProxy;
use super::{CALL_DEADLINE, FailureKind, Rauc, RaucError, classify, within};

const OPERATION: &str = "install";
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// RAUC's own progress stands still while one image is written; [`Args::still_moving`] tells more.
const STALL_LIMIT: Duration = Duration::from_mins(20);

/// How a RAUC without that option (1.13) refuses it.
const HASH_UNKNOWN: &str = "Unsupported key: require-manifest-hash";

/// What is installed, and how.
pub struct Args {
    /// A path or an `http://` URL.
    pub source: String,
    /// Any other manifest than this one is refused.
    pub manifest_hash: Option<Sha256>,
    /// Kept by RAUC with the slot (1.12 and later).
    pub transaction: String,
    /// Counts up while bytes arrive, so that a slow link is not taken for a stall.
    pub still_moving: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The source carries the proxy's secret path.
        f.debug_struct("Args")
            .field("transaction", &self.transaction)
            .finish_non_exhaustive()
    }
}

/// How far RAUC is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    pub percent: u8,
    pub message: String,
}

impl Rauc {
    /// Installs; returns when RAUC is done. Progress goes to `progress`, of which the receiver may
    /// miss some.
    ///
    /// # Errors
    /// With RAUC's last error, classified; [`FailureKind::Absent`] when RAUC went away in the middle
    /// (the other slot is then half-written, which RAUC's own order keeps from being booted).
    pub async fn install(
        &self,
        args: Args,
        progress: mpsc::Sender<Progress>,
    ) -> Result<(), RaucError> {
        let proxy = self.proxy(OPERATION).await?;
        // Both before the call: the end of a short installation must not be missed.
        let completed = within(OPERATION, CALL_DEADLINE, proxy.receive_completed()).await?;
        let owner = proxy.inner().receive_owner_changed();
        let owner = within(OPERATION, CALL_DEADLINE, owner).await?;
        let manifest_hash = args.manifest_hash.map(|hash| hash.to_string());
        let mut options: HashMap<&str, Variant<'_>> = HashMap::new();
        options.insert("transaction-id", Variant::from(args.transaction.as_str()));
        if let Some(hash) = &manifest_hash {
            options.insert("require-manifest-hash", Variant::from(hash.as_str()));
        }
        let call = proxy.install_bundle(&args.source, options.clone());
        match within(OPERATION, CALL_DEADLINE, call).await {
            Err(error) if error.detail.contains(HASH_UNKNOWN) => {
                self.insist_on(&args).await?;
                options.remove("require-manifest-hash");
                let call = proxy.install_bundle(&args.source, options);
                within(OPERATION, CALL_DEADLINE, call).await?;
            }
            called => called?,
        }
        Watch {
            proxy: &proxy,
            progress,
            still_moving: args.still_moving,
            seen: (Progress::default(), 0),
            moved_at: Instant::now(),
            idle_polls: 0,
        }
        .until_done(completed, owner)
        .await
    }

    /// What `require-manifest-hash` does, for a RAUC that lacks it: the manifest is read once more, beforehand. A
    /// server that hands out another bundle in between is caught by the root hash of the trial's boot.
    async fn insist_on(&self, args: &Args) -> Result<(), RaucError> {
        let Some(expected) = args.manifest_hash.map(|hash| hash.to_string()) else {
            return Ok(());
        };
        let found = self.inspect(&args.source).await?.manifest_hash;
        if found.as_ref() == Some(&expected) {
            return Ok(());
        }
        let found = found.as_deref().unwrap_or("none");
        let detail = format!("bundle with unexpected hash (expected {expected}, got {found})");
        Err(RaucError::new(OPERATION, FailureKind::Mismatch, detail))
    }
}

struct Watch<'a> {
    proxy: &'a InstallerProxy<'a>,
    progress: mpsc::Sender<Progress>,
    still_moving: Box<dyn Fn() -> u64 + Send + Sync>,
    seen: (Progress, u64),
    moved_at: Instant,
    idle_polls: u8,
}

impl Watch<'_> {
    async fn until_done(
        mut self,
        mut completed: super::proxy::CompletedStream,
        mut owner: zbus::proxy::OwnerChangedStream<'_>,
    ) -> Result<(), RaucError> {
        let mut poll = interval(POLL_INTERVAL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let gone = || RaucError::new(OPERATION, FailureKind::Absent, "RAUC stopped in the middle");
        loop {
            tokio::select! {
                biased;
                signal = completed.next() => {
                    let result = signal.as_ref().and_then(|s| s.args().ok()).map(|a| a.result);
                    return match result {
                        Some(0) => Ok(()),
                        Some(_) => Err(self.last_error().await),
                        None => Err(gone()),
                    };
                }
                change = owner.next() => match change {
                    Some(Some(_)) => {}
                    Some(None) | None => return Err(gone()),
                },
                _ = poll.tick() => {
                    if let Some(end) = self.poll().await {
                        return end;
                    }
                }
            }
        }
    }

    /// `Some` when the installation is over without a signal having come, or stands still.
    async fn poll(&mut self) -> Option<Result<(), RaucError>> {
        if let Ok((percent, message, _)) =
            within(OPERATION, CALL_DEADLINE, self.proxy.progress()).await
        {
            let percent = u8::try_from(percent.clamp(0, 100)).unwrap_or(0);
            let seen = (Progress { percent, message }, (self.still_moving)());
            if seen != self.seen {
                self.moved_at = Instant::now();
                // A full channel only means that the receiver is behind.
                let _ = self.progress.try_send(seen.0.clone());
                self.seen = seen;
            }
        }
        if self.moved_at.elapsed() > STALL_LIMIT {
            let detail = format!("nothing moved for {} s", STALL_LIMIT.as_secs());
            return Some(Err(RaucError::new(OPERATION, FailureKind::Stalled, detail)));
        }
        let operation = within(OPERATION, CALL_DEADLINE, self.proxy.operation()).await;
        // Idle three times in a row: the signal is not under way any more.
        let is_idle = operation.is_ok_and(|text| text == "idle");
        self.idle_polls = if is_idle { self.idle_polls + 1 } else { 0 };
        if self.idle_polls < 3 {
            return None;
        }
        let error = self.last_error().await;
        Some(if error.detail.is_empty() {
            Ok(())
        } else {
            Err(error)
        })
    }

    async fn last_error(&self) -> RaucError {
        match within(OPERATION, CALL_DEADLINE, self.proxy.last_error()).await {
            Ok(text) => RaucError::new(OPERATION, classify(&text), text),
            Err(error) => error,
        }
    }
}
