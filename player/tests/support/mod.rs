//! A player's conversation with the fake control plane: real requests, on a clock that the test moves.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program includes it and uses a part of it"
)]

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fleet_player::control_plane::{
    ControlPlane, Deadlines, DeviceToken, Identity, PlainHttp, Report, Worker,
};
use fleet_player::conversation::{Conversation, Happening, Wish};
use fleet_player::core::sync::{Known, Sync};
use fleet_player::journal::{Journal, Limits};
use fleet_protocol::heartbeat::{Network, NetworkType};
use fleet_protocol::instant::{Monotonic, Now};
use fleet_protocol::player::{CacheStatus, Playback, PlayerErrors, PlayerHeartbeat, PlayerState};
use fleet_tests::fake_control_plane::{FakeControlPlane, TOKEN};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const MANIFEST: &str = "/v1/player/manifest";
pub const NOON: i64 = 1_800_000_000;
/// Far more than any request to this very machine takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(NOON + second).unwrap()
}

pub fn manifest(etag: &str) -> Value {
    json!({
        "manifestEtag": etag, "validToUtc": at(86_400), "nextCheckSeconds": 60,
        "settings": {}, "playlist": null,
    })
}

pub fn server() -> (FakeControlPlane, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeControlPlane::start(folder.path()).unwrap();
    server.set_manifest(manifest("one"));
    (server, folder)
}

pub fn control_plane(server: &FakeControlPlane, deadlines: Deadlines) -> ControlPlane {
    let token = DeviceToken::parse(TOKEN).unwrap();
    let identity = Identity::plain(&server.url(), token);
    ControlPlane::new(&identity, PlainHttp::LoopbackOnly, deadlines).unwrap()
}

pub fn heartbeat(sync: &Sync, now: Now) -> PlayerHeartbeat {
    PlayerHeartbeat {
        device_time: now.wall,
        app_version: "1.0.0".parse().unwrap(),
        state: PlayerState::ErrorScreen,
        manifest_etag: None,
        playback: Playback::default(),
        cache: CacheStatus::default(),
        network: Network {
            connected: sync.is_online(),
            network_type: NetworkType::Ethernet,
            last_sync_at_utc: sync.last_success_at(),
            addresses: Vec::new(),
        },
        errors: PlayerErrors {
            manifest_fetch_failures: sync.manifest_fetch_failures(),
            ..PlayerErrors::default()
        },
        frames: None,
        screen_power: None,
    }
}

/// One life of a player.
pub struct Player {
    pub conversation: Conversation,
    reports: Receiver<Report>,
    pub now_ms: u64,
    pub wishes: Vec<Wish>,
}

impl Player {
    pub fn start(server: &FakeControlPlane, journal: &Path) -> Self {
        Self::start_at(server, journal, 0, None)
    }

    pub fn start_at(
        server: &FakeControlPlane,
        journal: &Path,
        now_ms: u64,
        known: Option<Known>,
    ) -> Self {
        let journal = Journal::open(journal, Limits::default()).unwrap();
        let (sender, reports) = channel();
        let worker = Worker::spawn(control_plane(server, Deadlines::default()), sender).unwrap();
        let mut player = Self {
            conversation: Conversation::new(journal, worker),
            reports,
            now_ms,
            wishes: Vec::new(),
        };
        player.take(Happening::Started { known, dice: 7 });
        player
    }

    pub fn now(&self) -> Now {
        let ms = i64::try_from(self.now_ms).unwrap();
        Now {
            wall: Timestamp::from_millisecond(NOON * 1_000 + ms).unwrap(),
            mono: Monotonic(self.now_ms),
        }
    }

    pub fn take(&mut self, happening: Happening) {
        let now = self.now();
        let wishes = self
            .conversation
            .take(happening, &|sync| heartbeat(sync, now), now);
        self.wishes.extend(wishes);
    }

    /// The next report, or the next instant at which something is due.
    pub fn go_on(&mut self) {
        if let Some(due) = self.conversation.sync().due() {
            self.now_ms = self.now_ms.max(due.0);
            self.take(Happening::Tick);
        } else {
            let report = self.reports.recv_timeout(PATIENCE).expect("an answer");
            self.take(Happening::Report(report));
        }
    }

    /// Goes on until something holds.
    pub fn go_on_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..400 {
            if holds(self) {
                return;
            }
            self.go_on();
        }
        panic!("not seen: {what}");
    }

    pub fn has(&self, wish: &Wish) -> bool {
        self.wishes.contains(wish)
    }

    pub fn received(&self) -> usize {
        let received = |wish: &&Wish| matches!(wish, Wish::Received(_));
        self.wishes.iter().filter(received).count()
    }
}

/// How often events of this type came.
pub fn events(server: &FakeControlPlane, kind: &str) -> Vec<Value> {
    let events = server.events().into_iter();
    events.filter(|event| event["eventType"] == kind).collect()
}
