//! What is fetched next, and what a failure costs.

use std::collections::BTreeSet;

use fleet_protocol::Sha256;
use fleet_protocol::instant::Monotonic;
use fleet_protocol::player::{Item, PlayerEventKind};

use super::room::Room;
use super::{AssetRef, Effect, Fault, Policy, Step};

/// A medium that is full or read-only is left alone for so long.
pub(super) const MEDIUM_PAUSE_MS: u64 = 60_000;

/// A download in the driver's hands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct UnderWay {
    pub(super) item: Item,
    cancelled: bool,
}

/// An asset that could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// In a row, without getting further.
    pub(super) failures: u32,
    until: Monotonic,
    /// Another address is another chance.
    url: String,
    furthest_bytes: u64,
}

impl Policy {
    /// After a failure: until when it is left alone.
    pub(super) fn resting_until(&self, item: &Item) -> Option<Monotonic> {
        let trouble = self.troubles.get(&AssetRef::from(item))?;
        (trouble.url == item.url).then_some(trouble.until)
    }

    fn may_begin(&self, item: &Item, now: Monotonic) -> bool {
        let resting = self.resting_until(item).is_some_and(|until| now < until);
        self.lacks(item) && !self.under_way.contains_key(&item.checksum_sha256) && !resting
    }
}

impl Step {
    pub(super) fn wanted(&mut self, items: Vec<Item>, protected: &BTreeSet<AssetRef>) {
        let mut assets = BTreeSet::new();
        let policy = &mut self.policy;
        policy.wanted = items;
        let once = |item: &Item| assets.insert(AssetRef::from(item));
        policy.wanted.retain(once);
        let wanted: BTreeSet<Sha256> = assets.iter().map(|asset| asset.checksum_sha256).collect();
        let protected = protected.iter().map(|asset| asset.checksum_sha256);
        policy.kept = Some(protected.chain(wanted.iter().copied()).collect());
        policy.troubles.retain(|asset, _| assets.contains(asset));
        policy.refused.retain(|asset| assets.contains(asset));
        for (sha256, under_way) in &mut policy.under_way {
            if !wanted.contains(sha256) && !under_way.cancelled {
                under_way.cancelled = true;
                self.effects.push(Effect::Cancel(*sha256));
            }
        }
        let partials = policy.stock.partials();
        let useless = partials
            .filter(|sha256| !wanted.contains(*sha256) || policy.stock.stored(sha256).is_some());
        let useless: Vec<Sha256> = useless.copied().collect();
        for sha256 in useless {
            self.drop_partial(sha256);
        }
        for asset in assets {
            self.answer(asset);
        }
    }

    fn answer(&mut self, asset: AssetRef) {
        if self.policy.stock.stored(&asset.checksum_sha256).is_some() {
            self.policy.stock.name(&asset);
            self.effects.push(Effect::Ready(asset));
        }
    }

    pub(super) fn finished(&mut self, sha256: Sha256, size_bytes: u64) {
        let Some(under_way) = self.policy.under_way.remove(&sha256) else {
            return;
        };
        let policy = &mut self.policy;
        policy.stock.store(sha256, size_bytes);
        policy
            .troubles
            .retain(|asset, _| asset.checksum_sha256 != sha256);
        let same = policy
            .wanted
            .iter()
            .filter(|item| item.checksum_sha256 == sha256);
        let mut assets: BTreeSet<AssetRef> = same.map(AssetRef::from).collect();
        assets.insert(AssetRef::from(&under_way.item));
        for asset in assets {
            self.answer(asset);
        }
    }

    pub(super) fn failed(&mut self, sha256: Sha256, kept_bytes: u64, fault: Fault, dice: u64) {
        let Some(UnderWay { item, .. }) = self.policy.under_way.remove(&sha256) else {
            return;
        };
        self.policy.stock.keep_partial(sha256, kept_bytes);
        if !self.policy.wants(&sha256) {
            self.drop_partial(sha256);
        }
        if fault == Fault::Cancelled {
            return;
        }
        self.policy.failures += 1;
        match fault {
            Fault::Full => {
                self.pause_medium(&item);
                self.free_medium(item.file_size_bytes);
            }
            Fault::ReadOnly => self.pause_medium(&item),
            Fault::Http(status) => self.rest(item, kept_bytes, Some(status), dice),
            _ => self.rest(item, kept_bytes, None, dice),
        }
    }

    /// All downloads wait; the first to meet it tells.
    fn pause_medium(&mut self, item: &Item) {
        if self.policy.paused_until.is_none() {
            self.tell(failure(item, None, 0));
        }
        self.policy.paused_until = Some(self.now.plus_ms(MEDIUM_PAUSE_MS));
    }

    /// This asset waits, longer each time. Told are the first failure, the second, the fourth, and so on:
    /// a fleet that lost its server for a weekend must not fill its own record with that.
    fn rest(&mut self, item: Item, kept_bytes: u64, http_status: Option<u16>, dice: u64) {
        let asset = AssetRef::from(&item);
        let before = self.policy.troubles.get(&asset);
        let furthest_bytes = before.map_or(0, |trouble| trouble.furthest_bytes);
        let failures = match before {
            Some(trouble) if kept_bytes <= furthest_bytes => trouble.failures.saturating_add(1),
            _ => 1,
        };
        if failures.is_power_of_two() {
            self.tell(failure(&item, http_status, failures - 1));
        }
        let pause_ms = self.policy.limits.retry.pause_ms(failures, dice);
        let trouble = Trouble {
            failures,
            until: self.now.plus_ms(pause_ms),
            url: item.url,
            furthest_bytes: furthest_bytes.max(kept_bytes),
        };
        self.policy.troubles.insert(asset, trouble);
    }

    /// In the order of the list. One that has to wait for those under way holds back all after it: they
    /// would take its room.
    pub(super) fn begin_downloads(&mut self) {
        let at_once = self.policy.limits.max_downloads.max(1);
        // No download that begins changes it.
        let kept_bytes = self.policy.kept_bytes();
        let mut after = 0;
        while self.policy.under_way.len() < at_once {
            let mut rest = self.policy.wanted.iter().enumerate().skip(after);
            let next = rest.find(|(_, item)| self.policy.may_begin(item, self.now));
            let Some((index, item)) = next.map(|(index, item)| (index, item.clone())) else {
                return;
            };
            after = index + 1;
            match self.policy.room_for(&item, kept_bytes) {
                Room::Enough => self.begin(item),
                Room::Later => return,
                Room::Never(refusal) => self.refuse(&item, refusal),
            }
        }
    }

    fn begin(&mut self, item: Item) {
        let sha256 = item.checksum_sha256;
        // Part of what it needs is here already.
        self.policy.stock.take_partial(&sha256);
        self.make_room_for(item.file_size_bytes);
        self.policy.refused.remove(&AssetRef::from(&item));
        self.effects.push(Effect::Begin(Box::new(item.clone())));
        let cancelled = false;
        let under_way = UnderWay { item, cancelled };
        self.policy.under_way.insert(sha256, under_way);
    }
}

/// `retry_count`: tries before this one. What follows a `?` in an address may be a secret.
pub(super) fn failure(item: &Item, http_status: Option<u16>, retry_count: u32) -> PlayerEventKind {
    let url = item.url.split(['?', '#']).next().unwrap_or_default();
    PlayerEventKind::DownloadFailed {
        asset_id: item.asset_id.clone(),
        url: url.to_owned(),
        http_status,
        retry_count,
    }
}
