//! The cache with a real disk and a real, if small, server.

mod disk;
mod network;
mod server;

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fleet_protocol::Sha256;
use fleet_protocol::backoff::Backoff;
use serde_json::json;

use super::*;
use server::{Answer, Server};

/// For anything that is to happen at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// As long as asked for, and its own.
fn content(name: &str, length: usize) -> Vec<u8> {
    name.bytes().cycle().take(length).collect()
}

fn settings() -> Settings {
    let config = ureq::Agent::config_builder().proxy(None).build();
    let mut settings = Settings::new(config.new_agent());
    settings.limits.retry = Backoff {
        base_ms: 10,
        max_ms: 50,
    };
    settings.timeouts.stall = PATIENCE;
    settings
}

struct Bench {
    cache: Cache,
    events: Receiver<CacheEvent>,
    server: Server,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(settings())
    }

    /// Gives up soon on a server that says nothing more.
    fn impatient() -> Self {
        let mut settings = settings();
        settings.limits.max_downloads = 1;
        settings.timeouts.stall = Duration::from_millis(500);
        Self::with(settings)
    }

    fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sender, events) = channel();
        let cache = Cache::open(folder.path(), settings, sender).unwrap();
        let bench = Self {
            cache,
            events,
            server: Server::start(),
            folder,
        };
        assert_eq!(bench.next(), CacheEvent::Present(Vec::new()));
        bench
    }

    /// The player starts anew, after `meanwhile` happened to its folder. What is present is returned.
    fn restart(self, settings: Settings, meanwhile: impl FnOnce(&Path)) -> (Self, Vec<AssetRef>) {
        let Self {
            cache,
            server,
            folder,
            ..
        } = self;
        drop(cache);
        meanwhile(folder.path());
        let (sender, events) = channel();
        let cache = Cache::open(folder.path(), settings, sender).unwrap();
        let bench = Self {
            cache,
            events,
            server,
            folder,
        };
        let CacheEvent::Present(present) = bench.next() else {
            panic!("something came before")
        };
        (bench, present)
    }

    fn next(&self) -> CacheEvent {
        self.events.recv_timeout(PATIENCE).expect("nothing happens")
    }

    /// The events up to this one, in short.
    fn until(&self, last: &str) -> Vec<String> {
        let mut said = Vec::new();
        while said.last().is_none_or(|said| said != last) {
            said.push(short(&self.next()));
        }
        said
    }

    /// An item of this content, which the server has under its name.
    fn item(&self, name: &str, content: &[u8]) -> Item {
        serde_json::from_value(json!({
            "assetId": name, "type": "IMAGE", "url": self.server.url(&format!("/{name}")),
            "checksumSha256": Sha256::of(content), "durationSeconds": 10,
            "widthPx": 640, "heightPx": 360, "fileSizeBytes": content.len()
        }))
        .unwrap()
    }

    fn want(&self, items: &[&Item]) {
        let items: Vec<Item> = items.iter().map(|item| (*item).clone()).collect();
        self.cache.want(items, []);
    }

    /// Fetches a file of its own content.
    fn stock(&self, name: &str, length: usize) -> Item {
        let content = content(name, length);
        let item = self.item(name, &content);
        self.server
            .answer(&format!("/{name}"), [Answer::Whole(content)]);
        self.want(&[&item]);
        assert_eq!(self.until(&format!("ready {name}")).len(), 1);
        item
    }

    fn read(&self, item: &Item) -> Option<Vec<u8>> {
        let path = self.cache.path(&AssetRef::from(item))?;
        Some(fs::read(path).unwrap())
    }

    fn files(&self, folder: &str) -> usize {
        let folder = self.folder.path().join(folder);
        fs::read_dir(folder).unwrap().count()
    }
}

fn short(event: &CacheEvent) -> String {
    match event {
        CacheEvent::Present(present) => format!("present {}", present.len()),
        CacheEvent::Ready(asset) => format!("ready {}", asset.asset_id),
        CacheEvent::Lost(asset) => format!("lost {}", asset.asset_id),
        CacheEvent::Tell(PlayerEventKind::DownloadFailed {
            asset_id,
            http_status,
            ..
        }) => match http_status {
            Some(status) => format!("failed {asset_id} {status}"),
            None => format!("failed {asset_id}"),
        },
        CacheEvent::Tell(PlayerEventKind::CacheEviction { asset_id, .. }) => {
            format!("evicted {asset_id}")
        }
        CacheEvent::Tell(other) => format!("{other:?}"),
    }
}
