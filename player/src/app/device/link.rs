//! The device's identity and its conversation: from the moment that there is an identity.
//!
//! The agent enrols the device and renews its identity; the player reads what the agent left. Until there is
//! something to read, what there is to tell waits here, up to a bound.

use std::path::Path;
use std::sync::mpsc;
use std::time::SystemTime;

use fleet_device::clock;
use fleet_protocol::instant::Monotonic;
use fleet_protocol::player::PlayerHeartbeat;

use super::Setting;
use crate::control_plane::{ControlPlane, Deadlines, Identity, Report, Worker};
use crate::conversation::{Conversation, Happening, Wish};
use crate::core::screen::Screen;
use crate::core::sync::{Known, Sync};
use crate::journal::{self, Journal};

/// The identity is looked at so often.
const LOOKED_AT_EVERY_MS: u64 = 5_000;
/// What waits for an identity.
const MOST_WAITING: usize = 256;
/// What is looked at for a change: enrolment writes all of it, a renewal the certificate alone.
const WRITTEN: [&str; 3] = ["identity.json", "token", "device.cert.pem"];
const JOURNAL: &str = "journal.sqlite3";

#[derive(Debug)]
pub(super) struct Link {
    conversation: Option<Conversation>,
    /// Taken by the conversation when it begins.
    journal: Option<Journal>,
    reports: mpsc::Receiver<Report>,
    report: mpsc::Sender<Report>,
    queue: Vec<Happening>,
    known: Option<Known>,
    /// When the identity that is in use was written.
    identity_of: Option<Written>,
    /// Of a new identity, until the cache takes it.
    downloads: Option<ureq::Agent>,
    looked: Option<Monotonic>,
}

/// When each of [`WRITTEN`] was; `None` for what is not there.
type Written = [Option<SystemTime>; WRITTEN.len()];

impl Link {
    pub(super) fn open(setting: &Setting) -> Self {
        let path = setting.places.state.join(JOURNAL);
        let journal = Journal::open(&path, journal::Limits::default()).unwrap_or_else(|error| {
            let hint = error.hint();
            log::warn!("{error}; what there is to tell is kept in memory: {hint}");
            Journal::in_memory(journal::Limits::default())
        });
        let (report, reports) = mpsc::channel();
        Self {
            conversation: None,
            journal: Some(journal),
            reports,
            report,
            queue: Vec::new(),
            known: None,
            identity_of: None,
            downloads: None,
            looked: None,
        }
    }

    /// Looks for an identity for the first time. `known`: the manifest in force.
    pub(super) fn begin(&mut self, setting: &Setting, known: Option<Known>) {
        self.known = known;
        self.look_for_identity(setting);
    }

    pub(super) const fn is_paired(&self) -> bool {
        self.identity_of.is_some()
    }

    /// What media are fetched with from now on, once for each identity.
    pub(super) fn new_downloads(&mut self) -> Option<ureq::Agent> {
        self.downloads.take()
    }

    pub(super) fn is_online(&self) -> bool {
        let conversation = self.conversation.as_ref();
        conversation.is_some_and(|conversation| conversation.sync().is_online())
    }

    pub(super) fn queue(&mut self, happening: Happening) {
        if self.queue.len() < MOST_WAITING {
            self.queue.push(happening);
        }
    }

    /// Speaks and listens; gives what the conversation wants done.
    pub(super) fn turn(
        &mut self,
        setting: &Setting,
        screen: &Screen,
        heartbeat: &dyn Fn(&Sync) -> PlayerHeartbeat,
    ) -> Vec<Wish> {
        let mut wishes = Vec::new();
        if self.look_for_identity(setting) {
            wishes.push(Wish::Registered);
        }
        let Some(conversation) = &mut self.conversation else {
            return wishes;
        };
        let now = clock::now();
        let reports = self.reports.try_iter().map(Happening::Report);
        // While a card is shown, nothing is interrupted by anything.
        let idle = screen.on_glass().is_none().then_some(Happening::Boundary);
        let passing = idle.into_iter().chain([Happening::Tick]);
        let happenings = self.queue.drain(..).chain(reports).chain(passing);
        for happening in happenings {
            wishes.extend(conversation.take(happening, heartbeat, now));
        }
        wishes
    }

    /// Whether there is one that was not there before.
    fn look_for_identity(&mut self, setting: &Setting) -> bool {
        let now = clock::monotonic();
        let lately = |looked: Monotonic| now.since(looked) < LOOKED_AT_EVERY_MS;
        if self.looked.is_some_and(lately) {
            return false;
        }
        self.looked = Some(now);
        let folder = &setting.places.identity;
        let Some(written) = written(folder).filter(|w| Some(*w) != self.identity_of) else {
            return false;
        };
        let worker = match self.speaker(setting) {
            Ok(worker) => worker,
            Err(error) => {
                log::warn!("the identity in {} is no use: {error:#}", folder.display());
                return false;
            }
        };
        let is_first = self.identity_of.replace(written).is_none();
        self.speak(worker);
        is_first
    }

    fn speaker(&mut self, setting: &Setting) -> anyhow::Result<Worker> {
        let identity = Identity::read(&setting.places.identity)?;
        let control_plane = ControlPlane::new(&identity, setting.plain_http, Deadlines::default())?;
        let worker = Worker::spawn(control_plane, self.report.clone())?;
        self.downloads = Some(download_agent(&identity));
        Ok(worker)
    }

    fn speak(&mut self, worker: Worker) {
        if self.conversation.is_some() {
            self.queue(Happening::Registered(worker));
        } else if let Some(journal) = self.journal.take() {
            self.conversation = Some(Conversation::new(journal, worker));
            let started = Happening::Started {
                known: self.known.take(),
                dice: clock::monotonic().0,
            };
            self.queue.insert(0, started);
        }
    }
}

/// Media come over plain http, or from servers under the device's CA or a public one.
fn download_agent(identity: &Identity) -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    match identity.download_tls() {
        Ok(tls) => config.tls_config(tls).build().new_agent(),
        Err(error) => {
            log::info!(error:%; "media are fetched over plain http alone");
            config.build().new_agent()
        }
    }
}

/// `None`: there is no identity.
fn written(folder: &Path) -> Option<Written> {
    let written = |name| {
        let found = std::fs::metadata(folder.join(name)).ok()?;
        found.modified().ok()
    };
    let all = WRITTEN.map(written);
    let [_, token, _] = all;
    token.map(|_| all)
}
