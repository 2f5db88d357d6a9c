//! What a screen is to show, and until when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ScreenPower;
use super::item::{Item, read_item};
use crate::config::MIN_BANDWIDTH_LIMIT_BYTES_PER_S;
use crate::{AssetId, PlaylistId};

/// A manifest of more than this is refused unread.
pub const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;
/// Items beyond this are left out.
pub const MAX_ITEMS: usize = 10_000;

/// Polling faster than this helps nobody, slower loses the screen.
const CHECK_SECONDS: std::ops::RangeInclusive<u32> = 5..=86_400;

/// How the screen is mounted; content is turned against it. The signage contract knows the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Orientation {
    #[default]
    Landscape,
    /// Turned clockwise by 90 degrees.
    Portrait,
    LandscapeFlipped,
    PortraitFlipped,
}

impl Orientation {
    /// Clockwise.
    pub const fn degrees(self) -> u16 {
        match self {
            Self::Landscape => 0,
            Self::Portrait => 90,
            Self::LandscapeFlipped => 180,
            Self::PortraitFlipped => 270,
        }
    }

    /// Higher than wide.
    pub const fn is_upright(self) -> bool {
        matches!(self, Self::Portrait | Self::PortraitFlipped)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunMode {
    #[default]
    Kiosk,
    Shared,
}

/// Unknown settings are ignored, absent ones have the contract's defaults for a kiosk.
#[expect(clippy::struct_excessive_bools, reason = "the contract's own fields")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    pub run_mode: RunMode,
    pub launch_on_boot: bool,
    pub auto_relaunch: bool,
    pub keep_awake: bool,
    pub watchdog_return_to_foreground: bool,
    pub orientation: Orientation,
    /// For the media on the device; its own configuration counts when this is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_budget_bytes: Option<u64>,
    /// Of all downloads of media together, 16,384 or more; 0: no limit. The device's own configuration counts when
    /// this is absent. Beyond the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_limit_bytes_per_s: Option<u64>,
    /// Without it the screen is always on. Beyond the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen_power: Option<ScreenPower>,
    /// Takes over as soon as its files are here, in the middle of whatever plays. Beyond the contract.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub urgent: bool,
    /// Of an override: never what is fallen back to later. Beyond the contract.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub temporary: bool,
}

impl Settings {
    /// What a kiosk has that was told nothing.
    pub const KIOSK: Self = Self {
        run_mode: RunMode::Kiosk,
        launch_on_boot: true,
        auto_relaunch: true,
        keep_awake: true,
        watchdog_return_to_foreground: true,
        orientation: Orientation::Landscape,
        cache_budget_bytes: None,
        bandwidth_limit_bytes_per_s: None,
        screen_power: None,
        urgent: false,
        temporary: false,
    };

    /// A limit below which nothing would ever arrive is raised.
    fn within_reason(self) -> Self {
        let least = |limit: u64| match limit {
            0 => 0,
            limit => limit.max(MIN_BANDWIDTH_LIMIT_BYTES_PER_S),
        };
        Self {
            bandwidth_limit_bytes_per_s: self.bandwidth_limit_bytes_per_s.map(least),
            ..self
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::KIOSK
    }
}

/// An item that this player can't show, whatever becomes of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedItem {
    /// From 0.
    pub index: usize,
    /// If it named one.
    pub asset_id: Option<AssetId>,
    pub reason: String,
}

/// A published playlist, in the order in which it plays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Playlist {
    pub playlist_id: PlaylistId,
    pub published_version: u64,
    pub items: Vec<Item>,
    #[serde(skip)]
    pub skipped: Vec<SkippedItem>,
}

/// What a screen is to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub manifest_etag: String,
    /// Another one is due before this instant; without one the player goes on with this.
    pub valid_to_utc: Timestamp,
    pub next_check_seconds: u32,
    pub settings: Settings,
    /// `None`: nothing is scheduled, and there is no fallback.
    pub playlist: Option<Playlist>,
    /// What comes after `valid_to_utc` when the control plane cannot be reached. Beyond the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look_ahead: Option<LookAhead>,
}

/// The venue's schedule and the playlists that it may lead to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LookAhead {
    /// Beyond it the schedule says nothing.
    pub until_utc: Timestamp,
    /// A schedule file with this screen as its first device; `fleet-schedule` reads it.
    pub schedule: Value,
    pub playlists: Vec<Playlist>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestShape {
    manifest_etag: String,
    valid_to_utc: Timestamp,
    next_check_seconds: u32,
    #[serde(default)]
    settings: Settings,
    playlist: Option<PlaylistShape>,
    #[serde(default)]
    look_ahead: Option<LookAheadShape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LookAheadShape {
    until_utc: Timestamp,
    schedule: Value,
    playlists: Vec<PlaylistShape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlaylistShape {
    playlist_id: PlaylistId,
    published_version: u64,
    items: Vec<Value>,
}

/// Why a document is no manifest. The one in force stays.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest has {size} bytes, more than {MAX_MANIFEST_BYTES}")]
    TooLarge { size: usize },
    /// `field` is a path such as `playlist.items`.
    #[error("the manifest's `{field}`: {source}")]
    Field {
        field: String,
        source: serde_json::Error,
    },
}

impl Manifest {
    /// Reads a manifest as the control plane sent it, or as it was kept. Items that are not understood
    /// are left out and named; intervals and limits are brought within reason.
    ///
    /// # Errors
    /// When it is too large, no JSON, or lacks what every manifest has; the field is named.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge { size: bytes.len() });
        }
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let shape: ManifestShape =
            serde_path_to_error::deserialize(&mut reader).map_err(|error| {
                ManifestError::Field {
                    field: error.path().to_string(),
                    source: error.into_inner(),
                }
            })?;
        reader.end().map_err(|source| ManifestError::Field {
            field: "end".to_owned(),
            source,
        })?;
        let interval = shape.next_check_seconds;
        Ok(Self {
            manifest_etag: shape.manifest_etag,
            valid_to_utc: shape.valid_to_utc,
            next_check_seconds: interval.clamp(*CHECK_SECONDS.start(), *CHECK_SECONDS.end()),
            settings: shape.settings.within_reason(),
            playlist: shape.playlist.map(Playlist::from),
            look_ahead: shape.look_ahead.map(|ahead| LookAhead {
                until_utc: ahead.until_utc,
                schedule: ahead.schedule,
                playlists: ahead.playlists.into_iter().map(Playlist::from).collect(),
            }),
        })
    }

    /// The items in their order; none without a playlist.
    pub fn items(&self) -> &[Item] {
        self.playlist
            .as_ref()
            .map_or(&[], |playlist| &playlist.items)
    }

    /// What may be shown later, without the control plane.
    pub fn upcoming(&self) -> impl Iterator<Item = &Item> {
        let playlists = self.look_ahead.iter().flat_map(|ahead| &ahead.playlists);
        playlists.flat_map(|playlist| &playlist.items)
    }
}

impl From<PlaylistShape> for Playlist {
    fn from(shape: PlaylistShape) -> Self {
        let mut items = Vec::new();
        let mut skipped = Vec::new();
        for (index, value) in shape.items.into_iter().enumerate() {
            let asset_id = value.get("assetId").and_then(Value::as_str);
            let asset_id = asset_id.and_then(|id| id.parse().ok());
            let read = if index < MAX_ITEMS {
                read_item(value)
            } else {
                Err(format!("a playlist has at most {MAX_ITEMS} items"))
            };
            match read {
                Ok(item) => items.push(item),
                Err(reason) => skipped.push(SkippedItem {
                    index,
                    asset_id,
                    reason,
                }),
            }
        }
        Self {
            playlist_id: shape.playlist_id,
            published_version: shape.published_version,
            items,
            skipped,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::ItemKind;
    use super::*;

    fn item(changes: &Value) -> Value {
        let mut item = json!({
            "assetId": "ast_101", "type": "IMAGE", "url": "https://cdn.example/a.jpg",
            "checksumSha256": "a1".repeat(32), "durationSeconds": 10,
            "widthPx": 1920, "heightPx": 1080, "fileSizeBytes": 245_000
        });
        for (key, value) in changes.as_object().unwrap() {
            item[key] = value.clone();
        }
        item
    }

    fn manifest(items: &[Value]) -> Value {
        json!({
            "manifestEtag": "e:ven_01:47",
            "validToUtc": "2026-06-15T14:00:00Z",
            "nextCheckSeconds": 60,
            "settings": {"runMode": "KIOSK", "orientation": "PORTRAIT", "somethingNew": 1},
            "playlist": {"playlistId": "pl_042", "publishedVersion": 3, "items": items},
        })
    }

    fn parse(value: &Value) -> Result<Manifest, ManifestError> {
        Manifest::parse(value.to_string().as_bytes())
    }

    #[test]
    fn a_manifest_of_the_contract_is_read_and_written_the_same() {
        let video = item(&json!({"assetId": "ast_202", "type": "VIDEO", "durationSeconds": 0}));
        let read = parse(&manifest(&[item(&json!({})), video])).unwrap();
        assert_eq!(read.items().len(), 2);
        assert_eq!(read.items()[1].kind, ItemKind::Video);
        assert_eq!(read.settings.orientation.degrees(), 90);
        assert!(read.settings.keep_awake);
        let written = serde_json::to_vec(&read).unwrap();
        assert_eq!(Manifest::parse(&written).unwrap(), read);
    }

    #[test]
    fn what_comes_later_is_read_with_its_items() {
        let mut with = manifest(&[]);
        let playlist = |id: &str| json!({"playlistId": id, "publishedVersion": 1, "items": [item(&json!({}))]});
        with["lookAhead"] = json!({
            "untilUtc": "2026-06-15T20:00:00Z", "schedule": {"timezone": "Europe/Berlin"},
            "playlists": [playlist("pl_1"), playlist("pl_2")]
        });
        let read = parse(&with).unwrap();
        assert_eq!(read.upcoming().count(), 2);
        let written = serde_json::to_vec(&read).unwrap();
        assert_eq!(Manifest::parse(&written).unwrap(), read);
    }

    #[test]
    fn times_that_are_not_understood_cost_themselves_alone() {
        let mut with = manifest(&[item(&json!({}))]);
        with["settings"]["screenPower"] = json!({"on": [{"daysOfWeekMask": 128}]});
        let read = parse(&with).unwrap();
        assert_eq!(read.items().len(), 1);
        let power = read.settings.screen_power;
        assert!(matches!(power, Some(ScreenPower::NotUnderstood { .. })));
    }

    #[test]
    fn nothing_scheduled_is_a_manifest_too() {
        let mut nothing = manifest(&[]);
        nothing["playlist"] = Value::Null;
        assert_eq!(parse(&nothing).unwrap().items(), []);
    }

    #[test]
    fn an_item_that_is_not_understood_costs_itself_alone() {
        let check = |changes: Value, expected: &str| {
            let read = parse(&manifest(&[item(&changes), item(&json!({}))])).unwrap();
            assert_eq!(read.items().len(), 1, "{expected}");
            let skipped = &read.playlist.unwrap().skipped[0];
            assert_eq!(skipped.index, 0);
            assert!(skipped.reason.contains(expected), "{}", skipped.reason);
        };
        check(json!({"type": "HOLOGRAM"}), "HOLOGRAM");
        check(json!({"url": "file:///etc/shadow"}), "`url`");
        check(json!({"durationSeconds": 0}), "`durationSeconds`");
        check(json!({"durationSeconds": -1}), "`durationSeconds`");
        check(json!({"widthPx": 0}), "`widthPx`");
        check(json!({"heightPx": 100_000}), "`heightPx`");
        check(json!({"fileSizeBytes": 0}), "`fileSizeBytes`");
        check(json!({"volumePercent": 101}), "`volumePercent`");
        check(json!({"checksumSha256": "short"}), "`checksumSha256`");
        check(json!({"assetId": "../../etc"}), "`assetId`");
    }

    #[test]
    fn what_every_manifest_has_is_asked_for_by_name() {
        let check = |field: &str, value: Value| {
            let mut broken = manifest(&[]);
            broken[field] = value;
            let error = parse(&broken).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        };
        check("validToUtc", json!("tomorrow"));
        check("nextCheckSeconds", json!("60"));
        check("manifestEtag", Value::Null);
        check(
            "playlist",
            json!({"playlistId": "pl_1", "publishedVersion": 1}),
        );
        assert!(Manifest::parse(b"{\"manifestEtag\"").is_err());
        assert!(Manifest::parse(&vec![b' '; MAX_MANIFEST_BYTES + 1]).is_err());
        let twice = format!("{0}{0}", manifest(&[]));
        assert!(Manifest::parse(twice.as_bytes()).is_err());
    }

    #[test]
    fn a_bandwidth_limit_is_none_or_one_that_files_get_through() {
        let check = |told: Value, taken: Option<u64>| {
            let mut value = manifest(&[]);
            value["settings"]["bandwidthLimitBytesPerS"] = told;
            let read = parse(&value).unwrap().settings;
            assert_eq!(read.bandwidth_limit_bytes_per_s, taken);
        };
        check(Value::Null, None);
        check(json!(0), Some(0));
        check(json!(1), Some(16_384));
        check(json!(250_000), Some(250_000));
    }

    #[test]
    fn an_interval_is_brought_within_reason() {
        let check = |told: u32, taken: u32| {
            let mut value = manifest(&[]);
            value["nextCheckSeconds"] = json!(told);
            assert_eq!(parse(&value).unwrap().next_check_seconds, taken);
        };
        check(0, 5);
        check(60, 60);
        check(u32::MAX, 86_400);
    }
}
