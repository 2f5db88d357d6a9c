//! What a screen is to show: the schedule's answer for an hour and the hours after it, as a manifest.
//!
//! A manifest is made for the whole hour that it is asked for in, so that a screen that asks again gets the same one
//! until something changes; which one it is follows from the venue's epoch, the hour, and the end of what plays. Each
//! device has hours of its own, or all screens would ask for another one at the same moment.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use fleet_protocol::content::{AssetKind, Entry};
use fleet_protocol::player::{
    Item, LookAhead, MAX_MANIFEST_BYTES, Manifest, OnWindow, Orientation, Playlist, ScreenPower,
    ScreenTimes, Settings,
};
use fleet_protocol::schedule::{ScheduleSlot, Segment, Target};
use fleet_protocol::{AssetId, DeviceId, OverrideId, PlaylistId, Sha256, TargetId, VenueId};
use fleet_schedule::{Fallbacks, ParseZoneError, Published, Schedule, Screen, Snapshot, Zone};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

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

/// "Now, for an hour, on these screens."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pub override_id: OverrideId,
    pub shows: Shown,
    /// Empty: every screen of the venue.
    pub targets: Vec<Target>,
    /// Goes before every other one, and before hours in which screens are off.
    pub emergency: bool,
    pub begins_at: Timestamp,
    pub ends_at: Timestamp,
}

/// What an override shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    Playlist(PlaylistId),
    /// Words, drawn for screens that lie and for those that stand.
    Message(Vec<MessagePicture>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagePicture {
    pub asset_id: AssetId,
    pub width_px: u32,
    pub height_px: u32,
    pub sha256: Sha256,
    pub size_bytes: u64,
}

impl Override {
    fn playlist_id(&self) -> Option<&PlaylistId> {
        match &self.shows {
            Shown::Playlist(id) => Some(id),
            Shown::Message(_) => None,
        }
    }

    /// Its message as a playlist of one picture, which stays.
    fn message(&self, orientation: Orientation, media: &str) -> Option<Playlist> {
        let Shown::Message(pictures) = &self.shows else {
            return None;
        };
        let fits = |picture: &&MessagePicture| {
            (picture.height_px > picture.width_px) == orientation.is_upright()
        };
        let picture = pictures.iter().find(fits).or(pictures.first())?;
        let entry = Entry::new(picture.asset_id.clone());
        let asset = PlayableAsset {
            kind: AssetKind::Image,
            width_px: picture.width_px,
            height_px: picture.height_px,
            duration_ms: None,
            sha256: picture.sha256,
            size_bytes: picture.size_bytes,
        };
        let facts = PlaylistFacts {
            version: 1,
            assets: BTreeMap::from([(picture.asset_id.clone(), asset)]),
            entries: vec![entry],
        };
        let id = PlaylistId::from(self.override_id.clone());
        Some(playlist(&id, &facts, media))
    }

    fn is_for(&self, device: &DeviceId, groups: &[TargetId]) -> bool {
        let device = TargetId::from(device.clone());
        self.targets.is_empty()
            || self.targets.iter().any(|target| match target {
                Target::Device(id) => *id == device,
                Target::Group(id) => groups.contains(id),
            })
    }
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
mod tests {
    use super::*;

    const MEDIA: &str = "https://fleet.example/v1/player/media/";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn slot(id: &str, target: (&str, &str), playlist: &str, hours: (i64, i64)) -> ScheduleSlot {
        serde_json::from_value(json!({
            "slotId": id, "targetType": target.0, "targetId": target.1, "playlistId": playlist,
            "daysOfWeekMask": 127, "startMinutes": hours.0 * 60, "endMinutes": hours.1 * 60,
        }))
        .unwrap()
    }

    /// In Berlin (UTC+2 in summer): lunch from 12 to 14 for everyone in the group, else the newest playlist.
    fn facts() -> ScreenFacts {
        let published = |id: &str, when: &str| (id.parse().unwrap(), 3, at(when));
        ScreenFacts {
            venue_id: "ven_1".parse().unwrap(),
            epoch: 47,
            timezone: "Europe/Berlin".to_owned(),
            orientation: Orientation::Portrait,
            groups: vec!["grp_1".parse().unwrap()],
            fallback: None,
            screen_hours: Vec::new(),
            overrides: Vec::new(),
            slots: vec![
                slot("s1", ("GROUP", "grp_1"), "pl_lunch", (12, 14)),
                slot("s2", ("GROUP", "grp_2"), "pl_other", (0, 23)),
            ],
            playlists: vec![
                published("pl_lunch", "2026-06-01T00:00:00Z"),
                published("pl_day", "2026-06-02T00:00:00Z"),
                published("pl_other", "2026-06-01T00:00:00Z"),
            ],
        }
    }

    fn playlists(programme: &Programme<'_>) -> BTreeMap<PlaylistId, PlaylistFacts> {
        let with_one = |id: &PlaylistId| {
            let asset_id: AssetId = format!("ast_{id}").parse().unwrap();
            let asset = PlayableAsset {
                kind: AssetKind::Image,
                width_px: 4,
                height_px: 3,
                duration_ms: None,
                sha256: Sha256::of("x"),
                size_bytes: 1,
            };
            PlaylistFacts {
                version: 3,
                entries: vec![
                    Entry::new(asset_id.clone()),
                    Entry::new("ast_gone".parse().unwrap()),
                ],
                assets: BTreeMap::from([(asset_id, asset)]),
            }
        };
        let ids = programme.playlists().into_iter();
        ids.map(|id| (id.clone(), with_one(id))).collect()
    }

    fn manifest(facts: &ScreenFacts, now: &str) -> Manifest {
        let device = "dev_1".parse().unwrap();
        let programme = Programme::new(&device, facts, at(now)).unwrap();
        programme.manifest(&playlists(&programme), MEDIA, 30)
    }

    fn shown(manifest: &Manifest) -> Option<&str> {
        manifest.playlist.as_ref().map(|p| p.playlist_id.as_str())
    }

    #[test]
    fn a_screen_shows_what_its_groups_slot_says_and_else_what_was_published_last() {
        let facts = facts();
        let check = |now: &str, expected: &str, until: &str| {
            let manifest = manifest(&facts, now);
            assert_eq!(shown(&manifest), Some(expected), "{now}");
            assert_eq!(manifest.valid_to_utc, at(until), "{now}");
        };
        check("2026-06-15T09:30:00Z", "pl_day", "2026-06-15T10:00:00Z");
        check("2026-06-15T10:00:00Z", "pl_lunch", "2026-06-15T12:00:00Z");
        check("2026-06-15T11:59:59Z", "pl_lunch", "2026-06-15T12:00:00Z");
        // Nothing changes within what is looked at.
        let long = manifest(&facts, "2026-06-15T12:10:00Z");
        let after = long.valid_to_utc.duration_since(at("2026-06-15T12:10:00Z"));
        assert!((6..=7).contains(&after.as_hours()), "{after}");
    }

    #[test]
    fn screens_are_told_the_hours_of_their_venue() {
        let mut facts = facts();
        let told = |facts: &ScreenFacts| {
            let manifest = manifest(facts, "2026-06-15T09:30:00Z");
            serde_json::to_value(manifest.settings).unwrap()["screenPower"].clone()
        };
        assert_eq!(told(&facts), json!(null));
        let hours = json!([{"daysOfWeekMask": 31, "startMinutes": 480, "endMinutes": 1320}]);
        facts.screen_hours = serde_json::from_value(hours.clone()).unwrap();
        assert_eq!(
            told(&facts),
            json!({"timezone": "Europe/Berlin", "on": hours})
        );
    }

    #[test]
    fn an_override_goes_before_the_schedule_until_it_ends_and_an_emergency_before_all() {
        let mut facts = facts();
        let hours = json!([{"daysOfWeekMask": 1, "startMinutes": 480, "endMinutes": 1320}]);
        facts.screen_hours = serde_json::from_value(hours).unwrap();
        let begun = |id: &str, playlist: &str, target: Option<Target>, ends: &str| Override {
            override_id: id.parse().unwrap(),
            shows: Shown::Playlist(playlist.parse().unwrap()),
            targets: target.into_iter().collect(),
            emergency: false,
            begins_at: at("2026-06-15T09:00:00Z"),
            ends_at: at(ends),
        };
        let other_group = Some(Target::Group("grp_2".parse().unwrap()));
        let group = Some(Target::Group("grp_1".parse().unwrap()));
        let device = Some(Target::Device("dev_1".parse().unwrap()));
        let shows = |facts: &ScreenFacts, now: &str| {
            let manifest = manifest(facts, now);
            let power = manifest.settings.screen_power.is_some();
            (
                shown(&manifest).unwrap().to_owned(),
                manifest.valid_to_utc,
                power,
            )
        };
        let now = "2026-06-15T09:30:00Z";
        let check = |facts: &ScreenFacts, now: &str, playlist: &str, until: &str, power: bool| {
            let expected = (playlist.to_owned(), at(until), power);
            assert_eq!(shows(facts, now), expected, "at {now}");
        };
        let noon = "2026-06-15T10:00:00Z";
        facts.overrides = vec![begun(
            "ovr_b",
            "pl_other",
            other_group,
            "2026-06-15T09:40:00Z",
        )];
        check(&facts, now, "pl_day", noon, true);
        facts
            .overrides
            .push(begun("ovr_c", "pl_other", group, "2026-06-15T09:40:00Z"));
        check(&facts, now, "pl_other", "2026-06-15T09:40:00Z", true);
        check(&facts, "2026-06-15T09:40:00Z", "pl_day", noon, true);
        // Begun at the same moment: the first by its id. One that is not published shows nothing.
        facts
            .overrides
            .push(begun("ovr_a", "pl_lunch", device, "2026-06-15T09:50:00Z"));
        facts
            .overrides
            .push(begun("ovr_0", "pl_draft", None, "2026-06-15T09:50:00Z"));
        check(&facts, now, "pl_lunch", "2026-06-15T09:50:00Z", true);
        // An emergency goes before what began later, and nobody sleeps through it.
        facts.overrides[1].emergency = true;
        facts.overrides[1].begins_at = at("2026-06-15T08:00:00Z");
        check(&facts, now, "pl_other", "2026-06-15T09:40:00Z", false);
        // The schedule comes along for afterwards.
        let manifest = manifest(&facts, now);
        let ahead = manifest.look_ahead.unwrap();
        let ids: Vec<_> = ahead
            .playlists
            .iter()
            .map(|p| p.playlist_id.as_str())
            .collect();
        assert_eq!(ids, ["pl_day", "pl_lunch"]);
    }

    #[test]
    fn a_message_is_a_picture_that_stands_as_the_screen_does() {
        let mut facts = facts();
        let picture = |id: &str, width_px, height_px| MessagePicture {
            asset_id: id.parse().unwrap(),
            width_px,
            height_px,
            sha256: Sha256::of(id),
            size_bytes: 9,
        };
        let pictures = vec![picture("msg_a", 1920, 1080), picture("msg_b", 1080, 1920)];
        facts.overrides = vec![Override {
            override_id: "ovr_1".parse().unwrap(),
            shows: Shown::Message(pictures),
            targets: Vec::new(),
            emergency: true,
            begins_at: at("2026-06-15T09:00:00Z"),
            ends_at: at("2026-06-15T11:00:00Z"),
        }];
        let mut check = |orientation, asset: &str| {
            facts.orientation = orientation;
            let manifest = manifest(&facts, "2026-06-15T09:30:00Z");
            assert_eq!(shown(&manifest), Some("ovr_1"));
            assert_eq!(manifest.items()[0].asset_id.as_str(), asset);
            assert_eq!(manifest.items()[0].url, format!("{MEDIA}{asset}"));
            // What plays afterwards comes along.
            let ahead = manifest.look_ahead.unwrap();
            assert_eq!(ahead.playlists.len(), 2);
        };
        check(Orientation::Portrait, "msg_b");
        check(Orientation::Landscape, "msg_a");
    }

    #[test]
    fn what_comes_later_comes_along_and_a_player_can_read_it() {
        let now = at("2026-06-15T09:30:00Z");
        let manifest = manifest(&facts(), &now.to_string());
        let read = Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap();
        assert_eq!(read, manifest);
        assert_eq!(read.settings.orientation, Orientation::Portrait);
        let item = &read.items()[0];
        assert_eq!(item.url, format!("{MEDIA}ast_pl_day"));
        assert_eq!(item.duration_seconds, PICTURE_SECONDS);
        assert_eq!(read.items().len(), 1, "an asset that is gone is left out");
        let ahead = read.look_ahead.unwrap();
        assert!(ahead.until_utc.duration_since(now) >= SignedDuration::from_hours(6));
        assert_eq!(
            ahead.playlists.len(),
            1,
            "of other groups nothing comes along"
        );
        assert_eq!(
            ahead.schedule["publishedPlaylistIds"],
            json!(["pl_lunch", "pl_day"])
        );
        let file = fleet_schedule::ScheduleFile::parse(ahead.schedule.to_string().as_bytes());
        let file = file.unwrap();
        assert_eq!(file.ignored, Vec::<String>::new());
        let screen = file.file.screen(&file.file.devices()[0]);
        let schedule = file.file.into_schedule();
        let winner = |now| schedule.winner(&screen, at(now)).playlist_id().cloned();
        let id = |id: &str| Some(id.parse().unwrap());
        assert_eq!(winner("2026-06-15T10:30:00Z"), id("pl_lunch"));
        assert_eq!(winner("2026-06-15T12:30:00Z"), id("pl_day"));
    }

    #[test]
    fn a_manifest_is_the_same_until_something_changes() {
        let facts = facts();
        let (venue, device): (_, DeviceId) = (&facts.venue_id, "dev_1".parse().unwrap());
        let first = at("2026-06-15T06:00:00Z");
        let begin = Timestamp::from_second(Hour::of(&device, first).begin_s).unwrap();
        let later = |minutes: i64| begin + SignedDuration::from_mins(minutes);
        let etag = |at: Timestamp| manifest(&facts, &at.to_string()).manifest_etag;
        let known = etag(later(0));
        assert_eq!(etag(later(59)), known);
        assert_ne!(etag(later(60)), known);
        let check = |venue: &VenueId, epoch: u64, minutes: i64, expected: bool| {
            let found = is_current(&known, &device, venue, epoch, later(minutes));
            assert_eq!(found, expected, "{venue} {epoch} {minutes}");
        };
        check(venue, 47, 59, true);
        check(venue, 47, 60, false);
        check(venue, 48, 1, false);
        check(&"ven_2".parse().unwrap(), 47, 1, false);
        assert!(!is_current("", &device, venue, 47, later(1)));
        // Not before what plays has come to its end, nor after.
        let lunch = etag(at("2026-06-15T09:59:59Z"));
        assert!(!is_current(
            &lunch,
            &device,
            venue,
            47,
            at("2026-06-15T10:00:00Z")
        ));
    }

    #[test]
    fn devices_ask_for_their_next_hour_at_different_moments() {
        let now = at("2026-06-15T06:00:00Z");
        let devices = (0..200).map(|n| format!("dev_{n}").parse().unwrap());
        let begins: BTreeSet<_> = devices
            .map(|device| Hour::of(&device, now).begin_s)
            .collect();
        assert!(begins.len() > 150, "{}", begins.len());
        assert!(
            begins
                .iter()
                .all(|begin| (0..HOUR_S).contains(&(now.as_second() - begin)))
        );
    }

    #[test]
    fn a_screen_for_which_there_is_nothing_gets_an_empty_manifest() {
        let mut facts = facts();
        facts.playlists.clear();
        assert_eq!(shown(&manifest(&facts, "2026-06-15T10:30:00Z")), None);
    }
}
