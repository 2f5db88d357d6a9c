//! What goes before the schedule for a while.

use std::collections::BTreeMap;

use fleet_protocol::content::{AssetKind, Entry};
use fleet_protocol::player::{Orientation, Playlist};
use fleet_protocol::schedule::Target;
use fleet_protocol::{AssetId, DeviceId, OverrideId, PlaylistId, Sha256, TargetId};
use jiff::Timestamp;

use super::{PlayableAsset, PlaylistFacts, playlist};

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
    pub(super) fn playlist_id(&self) -> Option<&PlaylistId> {
        match &self.shows {
            Shown::Playlist(id) => Some(id),
            Shown::Message(_) => None,
        }
    }

    /// Its message as a playlist of one picture, which stays.
    pub(super) fn message(&self, orientation: Orientation, media: &str) -> Option<Playlist> {
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

    pub(super) fn is_for(&self, device: &DeviceId, groups: &[TargetId]) -> bool {
        let device = TargetId::from(device.clone());
        self.targets.is_empty()
            || self.targets.iter().any(|target| match target {
                Target::Device(id) => *id == device,
                Target::Group(id) => groups.contains(id),
            })
    }
}
