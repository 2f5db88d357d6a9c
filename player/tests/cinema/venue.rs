//! A control plane that can misbehave, its files, and the folders of a device.

use std::time::Instant;

use fleet_tests::fake_control_plane::{FakeControlPlane, TOKEN};
use fleet_tests::media::{self, Film};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::player::Player;
use super::{DEADLINE, HEIGHT, WIDTH};

/// A second of it.
pub fn film(item: u16) -> Film {
    Film {
        item,
        frames: 25,
        frames_a_second: 25,
        width: WIDTH,
        height: HEIGHT,
        sound: true,
    }
}

/// A control plane with files, and the device's own folders.
pub struct Venue {
    pub server: FakeControlPlane,
    pub files: TempDir,
    pub device: TempDir,
}

impl Venue {
    pub fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let server = FakeControlPlane::start(files.path()).unwrap();
        Self {
            server,
            files,
            device: tempfile::tempdir().unwrap(),
        }
    }

    pub fn pair(&self) {
        let identity = self.device.path().join("identity");
        std::fs::create_dir_all(&identity).unwrap();
        let url = json!({"serverUrl": self.server.url()}).to_string();
        std::fs::write(identity.join("identity.json"), url).unwrap();
        std::fs::write(identity.join("token"), TOKEN).unwrap();
    }

    pub fn item(&self, name: &str, kind: &str) -> Value {
        let url = self.server.url();
        let item = self.server.item(&url, name, kind, 1, (WIDTH, HEIGHT));
        item.unwrap()
    }

    pub fn picture(&self, item: u16) -> Value {
        let name = format!("{item}.png");
        media::write_picture(&self.files.path().join(&name), item, WIDTH, HEIGHT).unwrap();
        self.item(&name, "IMAGE")
    }

    pub fn film(&self, item: u16) -> Value {
        self.film_of(&film(item))
    }

    pub fn film_of(&self, film: &Film) -> Value {
        let name = format!("{}.mp4", film.item);
        media::write_film(&self.files.path().join(&name), film).unwrap();
        self.item(&name, "VIDEO")
    }

    pub fn file(&self, name: &str, kind: &str, bytes: &[u8]) -> Value {
        std::fs::write(self.files.path().join(name), bytes).unwrap();
        self.item(name, kind)
    }

    pub fn publish(&self, etag: &str, items: &[Value]) {
        self.server.publish(etag, 5, items);
    }

    pub fn play(&self) -> Player {
        Player::start(self.device.path())
    }

    /// Asks until `what` gives something.
    pub fn wait<T>(&self, mut what: impl FnMut(&FakeControlPlane) -> Option<T>) -> T {
        let until = Instant::now() + DEADLINE;
        loop {
            let before = self.server.requests().len();
            if let Some(found) = what(&self.server) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                self.server.wait_for_requests(before + 1, left),
                "not seen; the events are {:?}",
                self.server.events()
            );
        }
    }

    pub fn wait_for_budget(&self, bytes: u64) {
        self.wait(|server| {
            let mut heartbeats = server.heartbeats().into_iter();
            heartbeats.find(|heartbeat| heartbeat["cache"]["totalBytes"] == bytes)
        });
    }

    pub fn wait_for_event(&self, kind: &str) -> Value {
        self.wait(|server| {
            let events = server.events();
            events.into_iter().find(|event| event["eventType"] == kind)
        })
    }
}
