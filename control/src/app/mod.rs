//! What the control plane does: one function for each operation, shared by API and console.
//!
//! Each takes the caller's [`TenantContext`] first and answers with wire types or an [`Error`] that
//! carries a hint.

mod access;
mod alert_mail;
mod alerts;
mod assets;
mod audit;
mod bundles;
mod commands;
mod config;
mod deliveries;
mod devices;
mod enrolment;
mod error;
mod executor;
mod limiter;
mod looker;
mod mail;
mod monitoring;
mod overrides;
mod pairing;
mod passwords;
mod playback;
mod playlists;
mod prune;
mod rates;
mod releases;
mod resume;
mod rollouts;
mod schedules;
mod second_factor;
mod sessions;
mod support;
mod target;
pub mod tenants;
mod upload;
mod users;
mod venues;
mod wakeup;
mod webhooks;
mod why;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleet_protocol::device::Page;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, Notify, Semaphore, mpsc, watch};

use crate::clock::Clock;
use crate::domain::webhooks::target::Reach;
use crate::mail::{MailServer, Mailer};
use crate::media::{Limits, Looker};
use crate::metrics::Metrics;
use crate::outbound::Sender;
use crate::pki::Authority;
use crate::store::{Placed, Presence, Store, TenantContext, Turn};
use crate::tokens::Ring;

pub(crate) use access::is_unnamed;
pub use assets::Upload;
pub use bundles::{BundleFile, BundleStored};
pub use error::{Error, Kind, Refusal};
pub(crate) use error::{etag, no_such};
pub use limiter::Limiter;
pub use mail::Handing;
pub use playback::{Days, PlayerEvents};
pub use rates::{Rate, Rates, Standing};
pub use resume::Part;
pub(crate) use sessions::Credential;
pub(crate) use sessions::LIFETIME as SESSION_LIFETIME;
pub use sessions::Sessions;
pub use upload::BodyError;
pub use wakeup::{WakeupReason, Wakeups};

/// What an installation may be told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How devices reach this control plane: `https://host:port`.
    pub public_url: String,
    /// A device that was heard within this time is online; one that announced a longer pause gets
    /// three of those.
    pub online_after: SignedDuration,
    /// How long heartbeats, events and finished commands are kept.
    pub keep_history: SignedDuration,
    /// A bundle that no release refers to is deleted after this time.
    pub keep_unnamed_bundles: SignedDuration,
    pub max_bundle_bytes: u64,
    pub max_support_bundle_bytes: u64,
    /// Newest support bundles that are kept of one device.
    pub support_bundles_kept: usize,
    /// What of pictures and films can be played.
    pub media: Limits,
    /// Who looks at files.
    pub looker: Looker,
    /// How often players ask for their manifest.
    pub manifest_check_seconds: u32,
    /// Wrong credentials from one address within ten minutes before it has to wait.
    pub max_failures: u32,
    /// Whether askers are held to the rates of [`Rate`].
    pub rates: bool,
    /// With less free on the data folder's file system, the control plane is not ready.
    pub least_free_bytes: u64,
    /// Where webhooks may be.
    pub webhooks: Reach,
    /// Through which mail is sent; `None`: links are shown instead.
    pub mail: Option<MailServer>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: "https://127.0.0.1:8443".to_owned(),
            online_after: SignedDuration::from_mins(3),
            keep_history: SignedDuration::from_hours(7 * 24),
            keep_unnamed_bundles: SignedDuration::from_hours(7 * 24),
            max_bundle_bytes: 8 << 30,
            max_support_bundle_bytes: 64 << 20,
            support_bundles_kept: 10,
            media: Limits::default(),
            looker: Looker::default(),
            manifest_check_seconds: 60,
            max_failures: 20,
            rates: true,
            least_free_bytes: 256 << 20,
            webhooks: Reach::default(),
            mail: None,
        }
    }
}

/// Everything that operations need.
#[derive(Debug)]
pub struct App {
    pub store: Store,
    pub settings: Settings,
    pub limiter: Limiter,
    pub wakeups: Wakeups,
    pub sessions: Sessions,
    pub rates: Rates,
    passwords: passwords::Passwords,
    ring: Ring,
    pub metrics: Metrics,
    authority: Arc<Authority>,
    clock: Clock,
    data: PathBuf,
    uploads: resume::Writers,
    /// See [`Self::shelf`]. Async, as it spans queries; never a request's body.
    shelf: Mutex<()>,
    /// For the relay, which takes it when it begins.
    to_tell: Mutex<Option<mpsc::Receiver<wakeup::Wakeup>>>,
    plan_now: Notify,
    /// Something was uploaded.
    looks: Notify,
    outbound: Sender,
    mailer: Option<Mailer>,
    /// One for each letter to somebody who forgot their password.
    resets: Arc<Semaphore>,
    /// Something is to be told to webhooks.
    messages: Notify,
    /// Held by whoever does.
    delivering: Mutex<()>,
    /// Held by whoever mails.
    mailing: Mutex<()>,
    shutdown: watch::Sender<bool>,
}

impl App {
    pub fn new(
        store: Store,
        authority: Arc<Authority>,
        ring: Ring,
        data: &Path,
        settings: Settings,
        clock: Clock,
    ) -> Arc<Self> {
        let (wakeups, to_tell) = if store.is_shared() {
            let (wakeups, to_tell) = Wakeups::shared();
            (wakeups, Some(to_tell))
        } else {
            (Wakeups::default(), None)
        };
        let outbound = Sender::new(settings.webhooks);
        let mailer = settings.mail.clone();
        let mailer = mailer.map(|server| Mailer::new(server, host(&settings.public_url)));
        Arc::new(Self {
            limiter: Limiter::new(settings.max_failures),
            metrics: Metrics::new(clock.now()),
            store,
            rates: Rates::new(&clock, settings.rates),
            passwords: passwords::Passwords::default(),
            ring,
            settings,
            authority,
            clock,
            wakeups,
            to_tell: Mutex::new(to_tell),
            sessions: Sessions::default(),
            data: data.to_owned(),
            uploads: resume::Writers::default(),
            shelf: Mutex::default(),
            plan_now: Notify::new(),
            looks: Notify::new(),
            outbound,
            mailer,
            resets: Arc::new(Semaphore::new(mail::RESETS_AT_ONCE)),
            messages: Notify::new(),
            delivering: Mutex::default(),
            mailing: Mutex::default(),
            shutdown: watch::Sender::new(false),
        })
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    fn presence(&self) -> Presence {
        Presence {
            now: self.now(),
            at_least: self.settings.online_after,
        }
    }

    /// Ends streams and background work.
    pub fn shut_down(&self) {
        self.shutdown.send_replace(true);
    }

    /// Becomes true when the control plane is asked to end.
    pub fn shutdown_signal(&self) -> watch::Receiver<bool> {
        self.shutdown.subscribe()
    }

    /// Held while a file comes to the shelf, leaves it, or is tied to what names it: what is checked of one then still
    /// holds when it is acted upon, whichever control plane acts.
    async fn shelf(&self) -> Result<Shelf<'_>, Error> {
        // Those of one control plane wait here, so that they take one connection and not all.
        let here = self.shelf.lock().await;
        Ok(Shelf {
            _everywhere: self.store.turn("shelf").await?,
            _here: here,
        })
    }

    fn tenant_folder(&self, ctx: &TenantContext, kind: &str) -> PathBuf {
        self.data.join(kind).join(ctx.tenant().as_str())
    }
}

/// The host of `https://host[:port]`.
fn host(public_url: &str) -> &str {
    let rest = public_url.trim_start_matches("https://");
    let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
    host.trim_matches(['[', ']'])
}

#[derive(Debug)]
struct Shelf<'a> {
    _everywhere: Turn,
    _here: tokio::sync::MutexGuard<'a, ()>,
}

/// Which page of a list is asked for.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    pub cursor: Option<String>,
    pub limit: u32,
}

impl PageRequest {
    pub const MAX: u32 = 200;

    /// The cursor as the number that it is in lists ordered by one.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&self) -> Result<Option<i64>, Error> {
        let number = self.cursor.as_deref().map(str::parse).transpose();
        number.map_err(|_| {
            Refusal::field(
                "cursor",
                "is none that a list gave out",
                "take `nextCursor` of the page before, or leave it out to begin at the start",
            )
            .into()
        })
    }

    /// A page of rows that were asked for with one more than the limit.
    fn page<R, T>(
        &self,
        mut rows: Vec<R>,
        cursor: impl Fn(&R) -> String,
        item: impl Fn(R) -> T,
    ) -> Page<T> {
        let more = rows.len() > self.limit as usize;
        rows.truncate(self.limit as usize);
        Page {
            next_cursor: rows.last().filter(|_| more).map(cursor),
            items: rows.into_iter().map(item).collect(),
        }
    }

    /// The same of rows whose cursor is their place.
    fn placed<T>(&self, rows: Vec<Placed<T>>) -> Page<T> {
        self.page(rows, |row| row.position.to_string(), |row| row.item)
    }

    fn with_one_more(&self) -> u32 {
        self.limit + 1
    }
}
