//! The thread that owns the cache: takes events one by one, asks the policy, performs what it says.
//!
//! Downloads and checks run on threads of their own and report back. What the disk knows is written
//! before anybody is told of it.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use fleet_device::clock;
use fleet_device::limit::Limiter;
use fleet_protocol::Sha256;
use fleet_protocol::instant::Monotonic;
use fleet_protocol::player::Item;
use ureq::Agent;

use super::CacheEvent;
use super::download::{Download, DownloadError, Timeouts};
use super::files::{Files, means_damage};
use super::index::{Change, Index};
use crate::core::cache::{Effect, Event, Fault, Policy, Verdict};

/// The order of playing is for eviction only; a flash medium need not take every item's turn.
const PLAYED_EVERY_MS: u64 = 600_000;
/// Checking old files must not keep the picture from its own.
const CHECK_BYTES_PER_S: u64 = 16 * 1024 * 1024;

#[derive(Debug)]
pub(super) enum Input {
    Event(Event),
    Agent(Agent),
    Stop,
}

/// Read by the handle, written by the keeper alone.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Policy>);

impl Shared {
    pub(super) fn new(policy: Policy) -> Self {
        Self(Mutex::new(policy))
    }

    pub(super) fn policy(&self) -> MutexGuard<'_, Policy> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) files: Files,
    pub(super) index: Index,
    pub(super) agent: Agent,
    pub(super) timeouts: Timeouts,
    pub(super) limiter: Limiter,
    pub(super) input: SyncSender<Input>,
    pub(super) events: Sender<CacheEvent>,
    pub(super) work: Work,
}

/// What the keeper has under way.
#[derive(Debug)]
pub(super) struct Work {
    downloads: BTreeMap<Sha256, Arc<AtomicBool>>,
    check_pace: Limiter,
    played: bool,
    played_written: Monotonic,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            downloads: BTreeMap::new(),
            check_pace: Limiter::new(CHECK_BYTES_PER_S),
            played: false,
            played_written: clock::monotonic(),
        }
    }
}

impl Keeper {
    /// Until it is told to stop. `begun` are the policy's effects of the start.
    pub(super) fn run(mut self, begun: Vec<Effect>, inputs: &Receiver<Input>) {
        self.perform_all(begun);
        loop {
            let event = match inputs.recv_timeout(self.until_due()) {
                Ok(Input::Event(event)) => event,
                Ok(Input::Agent(agent)) => {
                    self.agent = agent;
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => Event::Tick,
                Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            };
            self.work.played |= matches!(event, Event::Played(_));
            let effects = self.step(event);
            self.perform_all(effects);
            if self.work.played && self.played_due_ms() == 0 {
                self.write_played();
            }
        }
        self.limiter.close();
        self.work.check_pace.close();
        self.write_played();
    }

    fn step(&mut self, event: Event) -> Vec<Effect> {
        if let Event::Finished { sha256, .. } | Event::Failed { sha256, .. } = &event {
            self.work.downloads.remove(sha256);
        }
        let mut shared = self.shared.policy();
        let (policy, effects) = std::mem::take(&mut *shared).step(event, clock::now());
        *shared = policy;
        effects
    }

    fn until_due(&self) -> Duration {
        let next = self.shared.policy().next_tick();
        let now = clock::monotonic();
        let tick_ms = next.map_or(u64::MAX, |next| next.since(now).max(1));
        let played_ms = if self.work.played {
            self.played_due_ms().max(1)
        } else {
            u64::MAX
        };
        // The channel's clock stops in suspend; ours does not.
        Duration::from_millis(tick_ms.min(played_ms).min(60_000))
    }

    fn played_due_ms(&self) -> u64 {
        PLAYED_EVERY_MS.saturating_sub(clock::monotonic().since(self.work.played_written))
    }

    fn write_played(&mut self) {
        let changes: Vec<Change> = {
            let policy = self.shared.policy();
            let played = policy.files().map(|(sha256, file)| Change::Played {
                sha256: *sha256,
                last_played: file.last_played,
            });
            played.collect()
        };
        self.write_index(&changes);
        self.work.played = false;
        self.work.played_written = clock::monotonic();
    }

    /// Without the index the next start has to ask for the files' names again, no more.
    fn write_index(&mut self, changes: &[Change]) {
        if let Err(error) = self.index.write(changes) {
            log::warn!(error:%; "the cache's index was not written");
        }
    }

    fn perform_all(&mut self, effects: Vec<Effect>) {
        let mut batches = VecDeque::from([effects]);
        while let Some(effects) = batches.pop_front() {
            let mut changes = Vec::new();
            let mut news = Vec::new();
            let mut results = Vec::new();
            for effect in effects {
                results.extend(self.perform(effect, &mut changes, &mut news));
            }
            self.write_index(&changes);
            for event in news {
                // Nobody listens any more when the player ends.
                let _ = self.events.send(event);
            }
            for event in results {
                batches.push_back(self.step(event));
            }
        }
    }

    /// What is to be fed back at once.
    fn perform(
        &mut self,
        effect: Effect,
        changes: &mut Vec<Change>,
        news: &mut Vec<CacheEvent>,
    ) -> Option<Event> {
        match effect {
            Effect::Begin(item) => return self.begin(*item),
            Effect::Cancel(sha256) => {
                if let Some(cancelled) = self.work.downloads.get(&sha256) {
                    cancelled.store(true, Ordering::Relaxed);
                }
            }
            Effect::Remove { sha256, size_bytes } => {
                changes.push(Change::Remove(sha256));
                if let Err(error) = self.files.remove(&sha256) {
                    log::warn!(error:%, hint = error.hint(); "a file of the cache was not removed");
                    return Some(Event::RemoveFailed { sha256, size_bytes });
                }
            }
            Effect::DropPartial(sha256) => {
                if let Err(error) = self.files.drop_partial(&sha256) {
                    log::warn!(error:%, hint = error.hint(); "a partial file was not removed");
                }
            }
            Effect::Check { sha256, size_bytes } => return self.check(sha256, size_bytes),
            Effect::Ready(asset) => {
                if let Some(file) = self.shared.policy().file(&asset.checksum_sha256) {
                    changes.push(Change::Put {
                        asset: asset.clone(),
                        size_bytes: file.size_bytes,
                        last_played: file.last_played,
                    });
                }
                news.push(CacheEvent::Ready(asset));
            }
            Effect::Lost(asset) => news.push(CacheEvent::Lost(asset)),
            Effect::Refuse { asset, refusal } => {
                log::warn!(
                    "asset.id":% = asset.asset_id, error:% = refusal,
                    hint = "raise the cache's budget, or publish a smaller file";
                    "an asset has no room in the cache"
                );
            }
            Effect::Tell(kind) => news.push(CacheEvent::Tell(kind)),
        }
        None
    }

    fn begin(&mut self, item: Item) -> Option<Event> {
        let sha256 = item.checksum_sha256;
        let cancelled = Arc::new(AtomicBool::new(false));
        self.work.downloads.insert(sha256, cancelled.clone());
        let failed = Event::Failed {
            sha256,
            kept_bytes: self.files.partial_bytes(&sha256),
            fault: Fault::Medium,
            dice: dice(),
        };
        let download = Download {
            item,
            files: self.files.clone(),
            agent: self.agent.clone(),
            timeouts: self.timeouts,
            limiter: self.limiter.clone(),
            cancelled,
        };
        self.spawn("cache-download", failed, move || {
            outcome(&download, download.run())
        })
    }

    fn check(&self, sha256: Sha256, size_bytes: u64) -> Option<Event> {
        let files = self.files.clone();
        let pace = self.work.check_pace.clone();
        // Unchecked is as before; the next start checks again.
        let verdict = Verdict::Whole;
        let unchecked = Event::Checked { sha256, verdict };
        self.spawn("cache-check", unchecked, move || {
            let verdict = files
                .check(&sha256, size_bytes, &pace)
                .unwrap_or_else(|error| {
                    log::warn!(error:%, hint = error.hint(); "a file of the cache was not checked");
                    if means_damage(&error) {
                        Verdict::Damaged
                    } else {
                        Verdict::Whole
                    }
                });
            Event::Checked { sha256, verdict }
        })
    }

    /// Runs a job on a thread of its own. `otherwise` is reported if it ends early, and returned if the
    /// thread can't be started.
    fn spawn(
        &self,
        name: &str,
        otherwise: Event,
        job: impl FnOnce() -> Event + Send + 'static,
    ) -> Option<Event> {
        let input = self.input.clone();
        let event = otherwise.clone();
        let run = move || {
            let mut report = Report { input, event };
            report.event = job();
        };
        let started = thread::Builder::new().name(name.to_owned()).spawn(run);
        let error = started.err()?;
        log::warn!(error:%; "a thread of the cache could not be started");
        Some(otherwise)
    }
}

/// Sends its event when it is dropped, also by a panic.
struct Report {
    input: SyncSender<Input>,
    event: Event,
}

impl Drop for Report {
    fn drop(&mut self) {
        // The keeper does not wait for its threads when it ends.
        let _ = self.input.send(Input::Event(self.event.clone()));
    }
}

fn outcome(download: &Download, result: Result<u64, DownloadError>) -> Event {
    let sha256 = download.item.checksum_sha256;
    let error = match result {
        Ok(size_bytes) => return Event::Finished { sha256, size_bytes },
        Err(error) => error,
    };
    let fault = error.fault();
    if fault != Fault::Cancelled {
        log::warn!("asset.id":% = error.asset_id, error:% = error.cause; "a download failed");
    }
    let kept_bytes = download.files.partial_bytes(&sha256);
    if kept_bytes == 0 {
        // It was begun and nothing came. The policy counts bytes, not empty files.
        let _ = download.files.drop_partial(&sha256);
    }
    Event::Failed {
        sha256,
        kept_bytes,
        fault,
        dice: dice(),
    }
}

/// Any random number: what seeds the standard library's hash maps.
fn dice() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn a_job_that_panics_is_reported_all_the_same() {
        let (input, inputs) = sync_channel(1);
        let job = thread::spawn(move || {
            let event = Event::Tick;
            let _report = Report { input, event };
            panic!("as told");
        });
        assert!(job.join().is_err());
        let reported = inputs.try_recv();
        assert!(matches!(reported, Ok(Input::Event(Event::Tick))));
    }
}
