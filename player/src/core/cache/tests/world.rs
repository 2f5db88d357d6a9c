//! A medium and a network that do what the policy asks, and watch that it keeps its promises.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde_json::json;

use super::super::*;

pub(super) const LIMITS: Limits = Limits {
    budget_bytes: 1_000,
    max_downloads: 2,
    retry: Backoff {
        base_ms: 1_000,
        max_ms: 60_000,
    },
};

/// Of so many bytes; its content is its name's alone.
pub(super) fn item(name: &str, size_bytes: u64) -> Item {
    serde_json::from_value(json!({
        "assetId": name, "type": "IMAGE", "url": format!("https://cdn.example/{name}?secret"),
        "checksumSha256": sha(name), "durationSeconds": 10,
        "widthPx": 640, "heightPx": 360, "fileSizeBytes": size_bytes
    }))
    .unwrap()
}

pub(super) fn sha(name: &str) -> Sha256 {
    Sha256::of(name)
}

pub(super) fn asset(name: &str) -> AssetRef {
    AssetRef {
        asset_id: name.parse().unwrap(),
        checksum_sha256: sha(name),
    }
}

/// Why the policy may remove what it should keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    None,
    Damaged,
    ClearAll,
}

pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) now_s: u64,
    /// Whole files.
    pub(super) files: BTreeMap<Sha256, u64>,
    pub(super) partials: BTreeMap<Sha256, u64>,
    pub(super) under_way: BTreeMap<Sha256, Item>,
    pub(super) cancelled: BTreeSet<Sha256>,
    pub(super) checking: Option<Sha256>,
    /// What the screen thinks is here.
    pub(super) ready: BTreeSet<AssetRef>,
    /// Removing does not work.
    pub(super) sticky: bool,
    /// What ought to be gone.
    pub(super) stuck: BTreeMap<Sha256, u64>,
    pub(super) said: Vec<String>,
    wanted: Vec<Item>,
    /// `None` before anybody said so.
    kept: Option<BTreeSet<Sha256>>,
    on_glass: Option<Sha256>,
    budget_bytes: u64,
    leave: Leave,
}

impl World {
    /// Played in this order before.
    pub(super) fn with(files: &[(&str, u64)]) -> Self {
        let mut found = Found::default();
        for (turn, (name, size_bytes)) in (1..).zip(files) {
            let file = StoredFile {
                size_bytes: *size_bytes,
                last_played: turn,
                names: [name.parse().unwrap()].into(),
            };
            found.files.insert(sha(name), file);
        }
        let mut world = Self {
            policy: Policy::default(),
            now_s: 0,
            files: files.iter().map(|(n, size)| (sha(n), *size)).collect(),
            partials: BTreeMap::new(),
            under_way: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            checking: None,
            ready: files.iter().map(|(name, _)| asset(name)).collect(),
            sticky: false,
            stuck: BTreeMap::new(),
            said: Vec::new(),
            wanted: Vec::new(),
            kept: None,
            on_glass: None,
            budget_bytes: LIMITS.budget_bytes,
            leave: Leave::None,
        };
        let (policy, effects) = Policy::start(LIMITS, found, world.now());
        world.settle(policy, effects);
        world
    }

    pub(super) fn now(&self) -> Now {
        Now {
            wall: Timestamp::UNIX_EPOCH,
            mono: Monotonic::from_secs(self.now_s),
        }
    }

    pub(super) fn step(&mut self, event: Event) {
        self.leave = match &event {
            Event::ClearAll => Leave::ClearAll,
            Event::Checked { .. } | Event::FoundDamaged(_) => Leave::Damaged,
            _ => Leave::None,
        };
        match &event {
            Event::Wanted { items, protected } => {
                let all = items.iter().map(AssetRef::from).chain(protected.clone());
                self.kept = Some(all.map(|asset| asset.checksum_sha256).collect());
                self.wanted.clone_from(items);
            }
            Event::Played(asset) => self.on_glass = Some(asset.checksum_sha256),
            Event::BudgetChanged { budget_bytes } => self.budget_bytes = *budget_bytes,
            _ => {}
        }
        let (policy, effects) = std::mem::take(&mut self.policy).step(event, self.now());
        self.settle(policy, effects);
    }

    fn settle(&mut self, policy: Policy, effects: Vec<Effect>) {
        self.policy = policy;
        let mut effects = VecDeque::from(effects);
        let mut failed = VecDeque::new();
        loop {
            if let Some(effect) = effects.pop_front() {
                failed.extend(self.perform(effect));
            } else if let Some(event) = failed.pop_front() {
                self.leave = Leave::None;
                let (policy, more) = std::mem::take(&mut self.policy).step(event, self.now());
                self.policy = policy;
                effects.extend(more);
            } else {
                break;
            }
        }
        self.watch();
    }

    fn keeps(&self, sha256: &Sha256) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.contains(sha256))
    }

    fn in_use(&self) -> u64 {
        let whole: u64 = self.files.values().sum();
        let reserved: u64 = self.under_way.values().map(|i| i.file_size_bytes).sum();
        whole + reserved + self.partials.values().sum::<u64>()
    }

    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Begin(item) => {
                let sha256 = item.checksum_sha256;
                assert!(!self.files.contains_key(&sha256), "it is here");
                assert!(self.wanted.contains(&item), "nobody wants it");
                self.partials.remove(&sha256);
                self.said.push(format!("begin {}", item.asset_id));
                assert!(self.under_way.insert(sha256, *item).is_none(), "twice");
                assert!(self.under_way.len() <= LIMITS.max_downloads, "too many");
                assert!(self.in_use() <= self.budget_bytes, "it does not fit");
            }
            Effect::Cancel(sha256) => {
                assert!(self.under_way.contains_key(&sha256), "not under way");
                assert!(self.cancelled.insert(sha256), "cancelled twice");
            }
            Effect::Remove { sha256, size_bytes } => {
                let may = match self.leave {
                    Leave::None => !self.keeps(&sha256),
                    Leave::Damaged => true,
                    // Beyond the command itself, what no manifest needs may have to make room.
                    Leave::ClearAll => self.on_glass != Some(sha256) || !self.keeps(&sha256),
                };
                let again = self.stuck.remove(&sha256).is_some();
                assert!(may || again, "it is protected");
                let gone = again || self.files.remove(&sha256) == Some(size_bytes);
                assert!(gone, "no such file");
                if self.sticky {
                    self.stuck.insert(sha256, size_bytes);
                    return Some(Event::RemoveFailed { sha256, size_bytes });
                }
            }
            Effect::DropPartial(sha256) => {
                assert!(self.partials.remove(&sha256).is_some(), "no such partial");
            }
            Effect::Check { sha256, .. } => {
                assert!(self.checking.replace(sha256).is_none(), "two at once");
            }
            Effect::Ready(asset) => {
                assert!(self.files.contains_key(&asset.checksum_sha256));
                self.said.push(format!("ready {}", asset.asset_id));
                self.ready.insert(asset);
            }
            Effect::Lost(asset) => {
                assert!(self.ready.remove(&asset), "nobody had it");
                self.said.push(format!("lost {}", asset.asset_id));
            }
            Effect::Refuse { asset, .. } => self.said.push(format!("refuse {}", asset.asset_id)),
            Effect::Tell(kind) => self.said.push(told(&kind)),
        }
        None
    }

    /// What holds between any two events.
    fn watch(&self) {
        let present: BTreeSet<AssetRef> = self.policy.present().into_iter().collect();
        assert_eq!(present, self.ready, "the screen knows what is here");
        let useless = |sha256: &Sha256| !self.policy.wants(sha256);
        let mut useless = self.under_way.keys().filter(|sha256| useless(sha256));
        assert!(useless.all(|sha256| self.cancelled.contains(sha256)));
        let stuck: u64 = self.stuck.values().sum();
        assert_eq!(self.policy.status().used_bytes, self.in_use() + stuck);
        if self.policy.paused_until.is_some() || self.kept.is_none() {
            return;
        }
        let kept = self.files.iter().filter(|(sha256, _)| self.keeps(sha256));
        let kept: u64 = kept.map(|(_, size)| size).sum();
        let reserved: u64 = self.under_way.values().map(|i| i.file_size_bytes).sum();
        let allowed = self.budget_bytes.max(kept + reserved);
        assert!(self.in_use() <= allowed, "{} of {allowed}", self.in_use());
        let orphan = self.partials.keys().find(|p| !self.policy.wants(p));
        assert_eq!(orphan, None, "a partial file that nobody wants");
    }

    pub(super) fn want(&mut self, items: &[(&str, u64)], protected: &[&str]) {
        self.step(Event::Wanted {
            items: items.iter().map(|(name, size)| item(name, *size)).collect(),
            protected: protected.iter().map(|name| asset(name)).collect(),
        });
    }

    pub(super) fn finish(&mut self, sha256: Sha256) {
        let item = self.under_way.remove(&sha256).expect("is under way");
        self.cancelled.remove(&sha256);
        let size_bytes = item.file_size_bytes;
        self.files.insert(sha256, size_bytes);
        // It took the other one's place.
        self.stuck.remove(&sha256);
        self.step(Event::Finished { sha256, size_bytes });
    }

    pub(super) fn fail(&mut self, sha256: Sha256, kept_bytes: u64, fault: Fault, dice: u64) {
        let item = self.under_way.remove(&sha256).expect("is under way");
        self.cancelled.remove(&sha256);
        let kept_bytes = kept_bytes.min(item.file_size_bytes);
        if kept_bytes > 0 {
            self.partials.insert(sha256, kept_bytes);
        }
        self.step(Event::Failed {
            sha256,
            kept_bytes,
            fault,
            dice,
        });
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now_s += seconds;
        self.step(Event::Tick);
    }

    pub(super) fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }

    /// The faults are over, and time passes.
    pub(super) fn calm_down(&mut self) {
        self.sticky = false;
        for _ in 0..200 {
            if let Some(sha256) = self.checking.take() {
                let verdict = Verdict::Whole;
                self.step(Event::Checked { sha256, verdict });
            } else if let Some(sha256) = self.cancelled.first().copied() {
                self.fail(sha256, 0, Fault::Cancelled, 0);
            } else if let Some(sha256) = self.under_way.keys().next().copied() {
                self.finish(sha256);
            } else if let Some(next) = self.policy.next_tick() {
                self.pass(next.0.div_ceil(1_000).saturating_sub(self.now_s));
            } else {
                return;
            }
        }
        panic!("it never comes to rest");
    }
}

fn told(kind: &PlayerEventKind) -> String {
    match kind {
        PlayerEventKind::DownloadFailed {
            asset_id,
            url,
            http_status,
            retry_count,
        } => {
            assert!(!url.contains("secret"));
            format!("failed {asset_id} {http_status:?} {retry_count}")
        }
        PlayerEventKind::CacheEviction {
            asset_id,
            freed_bytes,
            ..
        } => format!("evicted {asset_id} {freed_bytes}"),
        other => panic!("not the cache's to tell: {other:?}"),
    }
}
