//! What a screen is to show: the schedule's answer for an hour and the hours after it, as a manifest.
//!
//! A manifest is made for the whole hour that it is asked for in, so that a screen that asks again gets the same one
//! until something changes; which one it is follows from the venue's epoch, the hour, and the end of what plays. Each
//! device has hours of its own, or all screens would ask for another one at the same moment.

mod overrides;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use fleet_protocol::content::{AssetKind, Entry};
use fleet_protocol::player::{
    Item, LookAhead, MAX_MANIFEST_BYTES, Manifest, OnWindow, Orientation, Playlist, ScreenPower,
    ScreenTimes, Settings,
};
use fleet_protocol::schedule::{ScheduleSlot, Segment, Target};
use fleet_protocol::{AssetId, DeviceId, PlaylistId, Sha256, TargetId, VenueId};
use fleet_schedule::{Fallbacks, ParseZoneError, Published, Schedule, Screen, Snapshot, Zone};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

pub use overrides::{MessagePicture, Override, Shown};

/// From the beginning of its hour: a screen that is cut off knows for six more what to show.
const HORIZON: SignedDuration = SignedDuration::from_hours(7);
/// What comes later may take half of what a player takes in all.
const MAX_LOOK_AHEAD_BYTES: usize = MAX_MANIFEST_BYTES / 2;
const HOUR_S: i64 = 3_600;
/// How long a picture stays that nobody gave a time.
pub const PICTURE_SECONDS: u32 = 10;

/// A screen with its venue, as of one moment.
#[derive(Debug, Clone)]
pub struct ScreenFacts {
    pub venue_id: VenueId,
    pub epoch: u64,
    pub timezone: String,
    pub orientation: Orientation,
    pub groups: Vec<TargetId>,
    pub fallback: Option<PlaylistId>,
    /// When the screen is on; empty: always.
    pub screen_hours: Vec<OnWindow>,
    /// Those in force in the venue.
    pub overrides: Vec<Override>,
    /// As published; of every target.
    pub slots: Vec<ScheduleSlot>,
    /// Each published playlist with its version, and when that was published.
    pub playlists: Vec<(PlaylistId, u64, Timestamp)>,
}

impl ScreenFacts {
    /// What goes before the schedule on this screen: an emergency, else what was begun last.
    fn leading(&self, device: &DeviceId) -> Option<&Override> {
        let can_be_shown = |shown: &Shown| match shown {
            Shown::Playlist(id) => self.playlists.iter().any(|(known, ..)| known == id),
            Shown::Message(pictures) => !pictures.is_empty(),
        };
        let in_question = self
            .overrides
            .iter()
            .filter(|o| can_be_shown(&o.shows) && o.is_for(device, &self.groups));
        in_question.max_by(|a, b| {
            let rank = |o: &Override| (o.emergency, o.begins_at);
            // Of two, the one whose id comes first.
            rank(a)
                .cmp(&rank(b))
                .then_with(|| b.override_id.cmp(&a.override_id))
        })
    }

    /// What plays when neither schedule nor fallback say anything.
    pub fn last_published(&self) -> Option<&PlaylistId> {
        last_published(&self.playlists)
    }
}

/// The newest; of two, the one whose id comes first.
pub fn last_published(playlists: &[(PlaylistId, u64, Timestamp)]) -> Option<&PlaylistId> {
    let newest = playlists
        .iter()
        .max_by(|a, b| a.2.cmp(&b.2).then_with(|| b.0.cmp(&a.0)));
    newest.map(|(id, _, _)| id)
}

/// A published playlist, and what is known of the assets in it.
#[derive(Debug, Clone)]
pub struct PlaylistFacts {
    pub version: u64,
    pub entries: Vec<Entry>,
    pub assets: BTreeMap<AssetId, PlayableAsset>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayableAsset {
    pub kind: AssetKind,
    pub width_px: u32,
    pub height_px: u32,
    /// Of a video.
    pub duration_ms: Option<u64>,
    pub sha256: Sha256,
    pub size_bytes: u64,
}

/// What a screen shows in the hour of `now`, and what comes after it.
#[derive(Debug)]
pub struct Programme<'a> {
    device: &'a DeviceId,
    facts: &'a ScreenFacts,
    hour: Hour,
    now_on: Segment,
    segments: Vec<Segment>,
    overridden: Option<&'a Override>,
}

impl<'a> Programme<'a> {
    /// # Errors
    /// When the venue's time zone is none.
    pub fn new(
        device: &'a DeviceId,
        facts: &'a ScreenFacts,
        now: Timestamp,
    ) -> Result<Self, ParseZoneError> {
        let zone: Zone = facts.timezone.parse()?;
        let screen = Screen::new(device.clone(), facts.groups.iter().cloned(), zone);
        let published: HashSet<_> = facts.playlists.iter().map(|(id, ..)| id.clone()).collect();
        let schedule = Schedule::new(Snapshot {
            slots: facts.slots.clone(),
            fallbacks: Fallbacks {
                venue: facts.fallback.clone(),
                tenant: None,
                last_published: facts.last_published().cloned(),
            },
            published: Published::Only(published),
        });
        let hour = Hour::of(device, now);
        let begin = Timestamp::from_second(hour.begin_s).unwrap_or(now);
        let end = begin.saturating_add(HORIZON).unwrap_or(Timestamp::MAX);
        let segments = schedule.timeline(&screen, begin, end);
        let overridden = facts.leading(device).filter(|o| now < o.ends_at);
        let scheduled = segments.iter().find(|segment| now < segment.to_utc);
        let mut now_on = scheduled.cloned().unwrap_or(Segment {
            from_utc: begin,
            to_utc: end,
            playlist_id: None,
            slot_id: None,
        });
        if let Some(overridden) = overridden {
            now_on = Segment {
                from_utc: begin,
                to_utc: overridden.ends_at.min(end),
                playlist_id: overridden.playlist_id().cloned(),
                slot_id: None,
            };
        }
        Ok(Self {
            device,
            facts,
            hour,
            now_on,
            segments,
            overridden,
        })
    }

    /// The playlists that its manifest needs.
    pub fn playlists(&self) -> BTreeSet<&PlaylistId> {
        let segments = self
            .segments
            .iter()
            .filter(|s| s.to_utc >= self.now_on.to_utc);
        let segments = segments.chain([&self.now_on]);
        segments.filter_map(|s| s.playlist_id.as_ref()).collect()
    }

    /// The manifest, with `playlists` for [`Self::playlists`]. A file's address is `media` and its asset's id.
    pub fn manifest(
        &self,
        playlists: &BTreeMap<PlaylistId, PlaylistFacts>,
        media: &str,
        next_check_seconds: u32,
    ) -> Manifest {
        let playlist = |id: &PlaylistId| Some(playlist(id, playlists.get(id)?, media));
        let orientation = self.facts.orientation;
        let message = self.overridden.and_then(|o| o.message(orientation, media));
        Manifest {
            manifest_etag: self.etag(),
            valid_to_utc: self.now_on.to_utc,
            next_check_seconds,
            settings: Settings {
                orientation,
                screen_power: self.screen_power(),
                urgent: self.is_emergency(),
                temporary: self.overridden.is_some(),
                ..Settings::KIOSK
            },
            playlist: message.or_else(|| self.now_on.playlist_id.as_ref().and_then(playlist)),
            look_ahead: self.look_ahead(&playlist),
        }
    }

    fn is_emergency(&self) -> bool {
        self.overridden.is_some_and(|o| o.emergency)
    }

    /// Nobody sleeps through an emergency.
    fn screen_power(&self) -> Option<ScreenPower> {
        if self.is_emergency() {
            return None;
        }
        let times = ScreenTimes {
            timezone: Some(self.facts.timezone.clone()),
            on: self.facts.screen_hours.clone(),
        };
        (!times.on.is_empty()).then_some(ScreenPower::Times(times))
    }

    /// What comes later, unless it is more than a player takes.
    fn look_ahead(&self, playlist: &impl Fn(&PlaylistId) -> Option<Playlist>) -> Option<LookAhead> {
        let now_on = self.now_on.playlist_id.as_ref();
        let later = self
            .playlists()
            .into_iter()
            .filter(|id| Some(*id) != now_on);
        let ahead = LookAhead {
            until_utc: self
                .segments
                .last()
                .map_or(self.now_on.to_utc, |s| s.to_utc),
            schedule: self.schedule_file(),
            playlists: later.filter_map(playlist).collect(),
        };
        let size = serde_json::to_vec(&ahead).map_or(usize::MAX, |bytes| bytes.len());
        (size <= MAX_LOOK_AHEAD_BYTES).then_some(ahead)
    }

    /// The venue's schedule as far as this screen is concerned; `fleet-schedule` reads it.
    fn schedule_file(&self) -> serde_json::Value {
        let device = TargetId::from(self.device.clone());
        let is_for_us = |slot: &&ScheduleSlot| match &slot.target {
            Target::Device(id) => *id == device,
            Target::Group(id) => self.facts.groups.contains(id),
        };
        let slots = self.facts.slots.iter().filter(|slot| slot.enabled);
        let slots: Vec<_> = slots.filter(is_for_us).collect();
        // Only those that something here names: a tenant has many.
        let fallbacks = self
            .facts
            .fallback
            .iter()
            .chain(self.facts.last_published());
        let named: BTreeSet<_> = slots
            .iter()
            .map(|slot| &slot.playlist_id)
            .chain(fallbacks)
            .collect();
        let published = self.facts.playlists.iter().map(|(id, ..)| id);
        let published: Vec<_> = published.filter(|id| named.contains(id)).collect();
        json!({
            "timezone": self.facts.timezone,
            "devices": [{"deviceId": self.device, "groupIds": self.facts.groups}],
            "slots": slots,
            "fallbackPlaylistId": self.facts.fallback,
            "lastPublishedPlaylistId": self.facts.last_published(),
            "publishedPlaylistIds": published,
        })
    }

    fn etag(&self) -> String {
        let (venue, epoch) = (&self.facts.venue_id, self.facts.epoch);
        let until = self.now_on.to_utc.as_second();
        format!("e:{venue}:{epoch}:{}:{until}", self.hour.begin_s)
    }
}

/// An hour as one device counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hour {
    /// Since 1970.
    begin_s: i64,
}

impl Hour {
    fn of(device: &DeviceId, now: Timestamp) -> Self {
        let digest = Sha256::of(device.as_str());
        let [first, second, ..] = digest.as_bytes();
        let offset_s = i64::from(u16::from_be_bytes([*first, *second])) % HOUR_S;
        let hours = (now.as_second() + offset_s).div_euclid(HOUR_S);
        Self {
            begin_s: hours * HOUR_S - offset_s,
        }
    }
}

/// Whether a device that has the manifest `etag` would get the same one again.
pub fn is_current(
    etag: &str,
    device: &DeviceId,
    venue: &VenueId,
    epoch: u64,
    now: Timestamp,
) -> bool {
    let Some((manifest, until)) = etag.rsplit_once(':') else {
        return false;
    };
    let hour = Hour::of(device, now).begin_s;
    manifest == format!("e:{venue}:{epoch}:{hour}")
        && until
            .parse()
            .is_ok_and(|until: i64| now.as_second() < until)
}

fn playlist(id: &PlaylistId, facts: &PlaylistFacts, media: &str) -> Playlist {
    let items = facts.entries.iter().filter_map(|entry| {
        let asset = facts.assets.get(&entry.asset_id)?;
        let duration_seconds = match asset.duration_ms {
            Some(ms) => u32::try_from(ms.div_ceil(1000)).unwrap_or(u32::MAX),
            None => entry.duration_seconds.unwrap_or(PICTURE_SECONDS),
        };
        Some(Item {
            asset_id: entry.asset_id.clone(),
            kind: asset.kind,
            url: format!("{media}{}", entry.asset_id),
            checksum_sha256: asset.sha256,
            duration_seconds,
            width_px: asset.width_px,
            height_px: asset.height_px,
            file_size_bytes: asset.size_bytes,
            fit: entry.fit,
            transition: entry.transition,
            volume_percent: entry.volume_percent,
        })
    });
    Playlist {
        playlist_id: id.clone(),
        published_version: facts.version,
        items: items.collect(),
        skipped: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
