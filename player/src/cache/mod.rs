//! The media on the device: fetched before they are needed, kept within a budget, checked, played from here.
//!
//! ```text
//! player ─want, played, clear…─► keeper ─► policy (core::cache)
//!        ◄─Present, Ready, Lost─   │ └─► index.sqlite3: names and order of playing
//!                                  ├─► download threads ─► partial/SHA-256 ─rename─► assets/SHA-256
//!                                  └─► check thread: reads over what was there at the start
//! ```
//!
//! One thread owns it all; what is decided is decided in the policy. Asking for a path reads the policy
//! under a lock that nothing holds for longer than a step.
//!
//! Invariants:
//! - A file in `assets/` had its SHA-256 when it came there, and has been on the medium since.
//! - What is told as ready is in the index already; what is told as lost is gone.
//! - No failure of network or medium takes away what is here.

mod download;
mod files;
mod index;
mod keeper;
mod partial;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::{fs, io};

use fleet_device::clock;
use fleet_device::files::FileError;
use fleet_device::limit::Limiter;
use fleet_protocol::player::{CacheStatus, Item, PlayerEventKind};

pub use download::Timeouts;
pub use index::IndexError;

use crate::core::cache::{Event, Found, Limits, Policy};
use crate::core::screen::AssetRef;
use files::Files;
use index::{Change, Index};
use keeper::{Input, Keeper, Shared, Work};

const INDEX_FILE: &str = "index.sqlite3";
/// Events that may wait for the keeper; whoever brings one more waits with it.
const MAX_WAITING: usize = 256;

/// How to fetch and what to keep.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Carries which servers are trusted, and by which proxy. Deadlines and redirects are the cache's own.
    pub agent: ureq::Agent,
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// Of all downloads together; 0 is no limit.
    pub max_bytes_per_s: u64,
}

impl Settings {
    pub fn new(agent: ureq::Agent) -> Self {
        Self {
            agent,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            max_bytes_per_s: 0,
        }
    }
}

/// What the rest of the player learns.
#[derive(Debug, Clone, PartialEq)]
pub enum CacheEvent {
    /// Once, first of all.
    Present(Vec<AssetRef>),
    Ready(AssetRef),
    Lost(AssetRef),
    Tell(PlayerEventKind),
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("cannot start the cache's thread: {0}")]
    Thread(#[source] io::Error),
}

/// The cache's handle. Dropped, it ends what is under way; partial files stay.
#[derive(Debug)]
pub struct Cache {
    shared: Arc<Shared>,
    files: Files,
    limiter: Limiter,
    input: SyncSender<Input>,
    thread: Option<JoinHandle<()>>,
}

impl Cache {
    /// Opens the cache in `folder`, of which it is the only user. [`CacheEvent::Present`] is sent before
    /// this returns; no file has been read by then.
    ///
    /// # Errors
    /// When the folder can't be made or listed.
    pub fn open(
        folder: &Path,
        settings: Settings,
        events: Sender<CacheEvent>,
    ) -> Result<Self, OpenError> {
        let files = Files::open(folder)?;
        let mut index = Index::open(&folder.join(INDEX_FILE))?;
        let found = take_stock(&files, &mut index)?;
        let (policy, begun) = Policy::start(settings.limits, found, clock::now());
        // Nobody to tell is no reason not to keep the files.
        let _ = events.send(CacheEvent::Present(policy.present()));
        let (input, inputs) = sync_channel(MAX_WAITING);
        let shared = Arc::new(Shared::new(policy));
        let limiter = Limiter::new(settings.max_bytes_per_s);
        let keeper = Keeper {
            shared: shared.clone(),
            files: files.clone(),
            index,
            agent: settings.agent,
            timeouts: settings.timeouts,
            limiter: limiter.clone(),
            input: input.clone(),
            events,
            work: Work::default(),
        };
        let thread = thread::Builder::new()
            .name("cache".to_owned())
            .spawn(move || keeper.run(begun, &inputs))
            .map_err(OpenError::Thread)?;
        Ok(Self {
            shared,
            files,
            limiter,
            input,
            thread: Some(thread),
        })
    }

    /// What the player lacks, the most urgent first, and what must not be evicted: every item of the
    /// manifests. Replaces what was wanted before; what is here after all is [`CacheEvent::Ready`] at once.
    pub fn want(&self, items: Vec<Item>, protected: impl IntoIterator<Item = AssetRef>) {
        let protected: BTreeSet<AssetRef> = protected.into_iter().collect();
        self.send(Event::Wanted { items, protected });
    }

    /// Where its file is. One that is not there any more, or has another size, is lost and fetched again.
    pub fn path(&self, asset: &AssetRef) -> Option<PathBuf> {
        let sha256 = asset.checksum_sha256;
        let size_bytes = self.shared.policy().file(&sha256)?.size_bytes;
        let path = self.files.asset_path(&sha256);
        if fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() == size_bytes) {
            return Some(path);
        }
        self.send(Event::FoundDamaged(sha256));
        None
    }

    /// It is on the glass now.
    pub fn played(&self, asset: &AssetRef) {
        self.send(Event::Played(asset.clone()));
    }

    pub fn set_budget(&self, budget_bytes: u64) {
        self.send(Event::BudgetChanged { budget_bytes });
    }

    /// Of all downloads together; 0 is no limit. Counts at once.
    pub fn set_max_bytes_per_s(&self, bytes_per_s: u64) {
        self.limiter.set(bytes_per_s);
    }

    /// For every download that begins from now on.
    pub fn set_agent(&self, agent: ureq::Agent) {
        self.input(Input::Agent(agent));
    }

    /// Away with what no manifest needs.
    pub fn clear_unused(&self) {
        self.send(Event::ClearUnused);
    }

    /// Away with everything but what is on the glass; what is wanted is fetched anew.
    pub fn clear_all(&self) {
        self.send(Event::ClearAll);
    }

    /// For the heartbeat.
    pub fn status(&self) -> CacheStatus {
        self.shared.policy().status()
    }

    /// Downloads that failed since the start; not every one of them is told.
    pub fn download_failures(&self) -> u64 {
        self.shared.policy().failures()
    }

    fn send(&self, event: Event) {
        self.input(Input::Event(event));
    }

    fn input(&self, input: Input) {
        if self.input.send(input).is_err() {
            log::error!("the cache's thread has ended: nothing is fetched any more");
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let stopped = self.input.send(Input::Stop).is_ok();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && stopped
        {
            log::error!("the cache's thread ended with a panic");
        }
    }
}

/// Brings index and folder together after whatever happened. The folder is right about what is there;
/// a file of another size than it had is no good.
fn take_stock(files: &Files, index: &mut Index) -> Result<Found, OpenError> {
    let mut known = index.load()?;
    let mut found = Found {
        partials: files.partials()?,
        ..Found::default()
    };
    let mut changes = Vec::new();
    for (sha256, size_bytes) in files.assets()? {
        let mut file = known.remove(&sha256).unwrap_or_default();
        if !file.names.is_empty() && file.size_bytes != size_bytes {
            log::warn!("asset.sha256":% = sha256, size_bytes; "a file has changed its size; it is removed");
            changes.push(Change::Remove(sha256));
            files.remove(&sha256)?;
            continue;
        }
        file.size_bytes = size_bytes;
        found.files.insert(sha256, file);
    }
    changes.extend(known.into_keys().map(Change::Remove));
    if let Err(error) = index.write(&changes) {
        log::warn!(error:%; "the cache's index was not written");
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
