//! What systemd is told: ready, status, stopping, and that every loop is alive.
//!
//! systemd's watchdog watches the agent; the agent watches its loops. A loop that must not hang holds
//! a [`Stamp`] and touches it each time round; while one stamp is older than its own limit, no
//! keepalive is sent, and systemd kills and restarts the agent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_device::clock;
use sd_notify::NotifyState;

use crate::core::Monotonic;

/// Half of `WatchdogSec=`, as `sd_watchdog_enabled(3)` asks for; `None` when systemd does not watch.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

pub fn ready(text: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(text)]);
}

/// Shown by `systemctl status`.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!(error:%; "systemd could not be notified");
    }
}

/// When one loop was last seen alive.
#[derive(Debug, Clone)]
pub struct Stamp {
    seen_ms: Arc<AtomicU64>,
}

/// How often an idle loop shows that it is alive.
const IDLE_TOUCH: Duration = Duration::from_secs(15);

impl Stamp {
    /// Once each time round.
    pub fn touch(&self) {
        self.seen_ms.store(clock::monotonic().0, Ordering::Relaxed);
    }

    /// Waits for something that may take for ever by right, such as the next message, and stays alive
    /// meanwhile. Not for work, which is to be seen when it hangs.
    pub async fn idle<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut wait = std::pin::pin!(wait);
        loop {
            self.touch();
            if let Ok(value) = tokio::time::timeout(IDLE_TOUCH, &mut wait).await {
                self.touch();
                return value;
            }
        }
    }

    /// Sleeps, staying alive.
    pub async fn sleep(&self, duration: Duration) {
        self.idle(tokio::time::sleep(duration)).await;
    }
}

#[derive(Debug)]
struct Watched {
    name: &'static str,
    limit_ms: u64,
    stamp: Stamp,
}

/// The stamps of all loops.
#[derive(Debug, Clone, Default)]
pub struct Liveness {
    loops: Arc<Mutex<Vec<Watched>>>,
}

impl Liveness {
    /// Adds a loop that promises to touch its stamp at least every `limit`.
    pub fn register(&self, name: &'static str, limit: Duration) -> Stamp {
        let stamp = Stamp {
            seen_ms: Arc::new(AtomicU64::new(clock::monotonic().0)),
        };
        self.lock().push(Watched {
            name,
            limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            stamp: stamp.clone(),
        });
        stamp
    }

    /// The loops that have not been seen for longer than they promised.
    pub fn hung(&self, now: Monotonic) -> Vec<&'static str> {
        let loops = self.lock();
        loops
            .iter()
            .filter(|l| now.since(Monotonic(l.stamp.seen_ms.load(Ordering::Relaxed))) > l.limit_ms)
            .map(|l| l.name)
            .collect()
    }

    /// Sends the keepalive, unless a loop hangs.
    pub fn keepalive(&self) {
        let hung = self.hung(clock::monotonic());
        if hung.is_empty() {
            notify(&[NotifyState::Watchdog]);
        } else {
            log::error!(loops:? = hung; "a loop hangs: systemd is left to restart the agent");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Watched>> {
        // A panic in between leaves a list that is still right.
        self.loops
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stops_touching_its_stamp_is_named() {
        let liveness = Liveness::default();
        let update = liveness.register("update", Duration::from_secs(10));
        let _heartbeat = liveness.register("heartbeat", Duration::from_hours(1));
        update.touch();
        let now = clock::monotonic();
        assert!(liveness.hung(now).is_empty());
        assert_eq!(liveness.hung(now.plus_ms(10_500)), ["update"]);
    }
}
