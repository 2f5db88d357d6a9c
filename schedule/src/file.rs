//! `schedule.json`: a venue's schedule with its devices, to be asked about without a control plane.

use std::collections::HashMap;

use fleet_protocol::schedule::ScheduleSlot;
use fleet_protocol::{PlaylistId, SlotId, TargetId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schedule::{Fallbacks, Published, Schedule, Snapshot};
use crate::screen::Screen;
use crate::zone::Zone;

const FILE_FIELDS: &[&str] = &[
    "timezone",
    "devices",
    "slots",
    "fallbackPlaylistId",
    "defaultPlaylistId",
    "lastPublishedPlaylistId",
    "publishedPlaylistIds",
];
const DEVICE_FIELDS: &[&str] = &["deviceId", "groupIds", "timezone"];
const SLOT_FIELDS: &[&str] = &[
    "slotId",
    "targetType",
    "targetId",
    "playlistId",
    "daysOfWeekMask",
    "startMinutes",
    "endMinutes",
    "validFromDate",
    "validToDate",
    "priority",
    "enabled",
    "updatedAt",
];

/// A venue's schedule. Every `slot_id` and every `device_id` occurs once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleFile {
    /// The venue's.
    timezone: Zone,
    devices: Vec<Device>,
    slots: Vec<ScheduleSlot>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fallback_playlist_id: Option<PlaylistId>,
    /// The tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default_playlist_id: Option<PlaylistId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_published_playlist_id: Option<PlaylistId>,
    /// Left out: all of them are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    published_playlist_ids: Option<Vec<PlaylistId>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    pub device_id: TargetId,
    #[serde(default)]
    pub group_ids: Vec<TargetId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Zone>,
}

/// A file, and what in it nobody reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedFile {
    pub file: ScheduleFile,
    /// Paths of fields that have no meaning here, such as `slots[3].priorty`.
    pub ignored: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ParseFileError {
    #[error("{}{source}", prefix(path))]
    Field {
        /// Empty: the whole document.
        path: String,
        source: serde_json::Error,
    },
    #[error("slots[{second}].slotId: {slot_id} is the id of slots[{first}] too")]
    SameSlot {
        slot_id: SlotId,
        first: usize,
        second: usize,
    },
    #[error("devices[{second}].deviceId: {device_id} is the id of devices[{first}] too")]
    SameDevice {
        device_id: TargetId,
        first: usize,
        second: usize,
    },
}

fn prefix(path: &str) -> String {
    if path.is_empty() || path == "." {
        String::new()
    } else {
        format!("{path}: ")
    }
}

impl ParseFileError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Field { .. } => {
                "a schedule is {\"timezone\": \"Europe/London\", \"devices\": […], \"slots\": […]}; see docs/cli.md"
            }
            Self::SameSlot { .. } => "give each slot an id of its own",
            Self::SameDevice { .. } => "name each device once, with all of its groups",
        }
    }
}

impl ScheduleFile {
    /// # Errors
    /// Names the field that is wrong, and what would be right.
    pub fn parse(bytes: &[u8]) -> Result<ParsedFile, ParseFileError> {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let file: Self =
            serde_path_to_error::deserialize(&mut json).map_err(|error| ParseFileError::Field {
                path: error.path().to_string(),
                source: error.into_inner(),
            })?;
        let whole = |source| ParseFileError::Field {
            path: String::new(),
            source,
        };
        json.end().map_err(whole)?;
        if let Some((slot_id, first, second)) = same(file.slots.iter().map(|s| &s.slot_id)) {
            return Err(ParseFileError::SameSlot {
                slot_id,
                first,
                second,
            });
        }
        if let Some((device_id, first, second)) = same(file.devices.iter().map(|d| &d.device_id)) {
            return Err(ParseFileError::SameDevice {
                device_id,
                first,
                second,
            });
        }
        let ignored = ignored(&serde_json::from_slice(bytes).map_err(whole)?);
        Ok(ParsedFile { file, ignored })
    }

    pub fn slots(&self) -> &[ScheduleSlot] {
        &self.slots
    }

    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The device with its effective time zone. A file always has a venue's, so no tenant is asked.
    pub fn screen(&self, device: &Device) -> Screen {
        let zone = Zone::effective(device.timezone.as_ref(), None, &self.timezone);
        let groups = device.group_ids.iter().cloned();
        Screen::new(device.device_id.clone(), groups, zone.clone())
    }

    pub fn into_schedule(self) -> Schedule {
        Schedule::new(Snapshot {
            slots: self.slots,
            fallbacks: Fallbacks {
                venue: self.fallback_playlist_id,
                tenant: self.default_playlist_id,
                last_published: self.last_published_playlist_id,
            },
            published: self.published_playlist_ids.map_or(Published::All, |ids| {
                Published::Only(ids.into_iter().collect())
            }),
        })
    }
}

/// The first id that occurs twice, with its two places.
fn same<'a, T>(ids: impl Iterator<Item = &'a T>) -> Option<(T, usize, usize)>
where
    T: std::hash::Hash + Eq + Clone + 'a,
{
    let mut seen = HashMap::new();
    for (place, id) in ids.enumerate() {
        if let Some(first) = seen.insert(id, place) {
            return Some((id.clone(), first, place));
        }
    }
    None
}

/// A misspelt `priority` must not pass in silence, but an export of a control plane may have more fields
/// than a resolver needs.
fn ignored(document: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    let mut look = |value: &Value, known: &[&str], prefix: &str| {
        for name in value.as_object().into_iter().flat_map(|map| map.keys()) {
            if !known.contains(&name.as_str()) {
                paths.push(format!("{prefix}{name}"));
            }
        }
    };
    look(document, FILE_FIELDS, "");
    for (list, known) in [("devices", DEVICE_FIELDS), ("slots", SLOT_FIELDS)] {
        let entries = document[list].as_array().into_iter().flatten();
        for (index, entry) in entries.enumerate() {
            look(entry, known, &format!("{list}[{index}]."));
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Value {
        json!({
            "timezone": "Europe/London",
            "devices": [{"deviceId": "lobby", "groupIds": ["g1"]}, {"deviceId": "bar", "timezone": "Asia/Tokyo"}],
            "slots": [{
                "slotId": "s1", "targetType": "GROUP", "targetId": "g1", "playlistId": "p1",
                "daysOfWeekMask": 127, "startMinutes": 540, "endMinutes": 600,
            }],
        })
    }

    fn error(change: impl FnOnce(&mut Value)) -> String {
        let mut document = document();
        change(&mut document);
        let error = ScheduleFile::parse(document.to_string().as_bytes()).unwrap_err();
        assert!(!error.hint().is_empty());
        error.to_string()
    }

    #[test]
    fn the_nearest_zone_is_the_screens() {
        let parsed = ScheduleFile::parse(document().to_string().as_bytes()).unwrap();
        let zones = parsed.file.devices().iter();
        let zones: Vec<String> = zones
            .map(|device| parsed.file.screen(device).zone().name().to_owned())
            .collect();
        assert_eq!(zones, ["Europe/London", "Asia/Tokyo"]);
        assert!(parsed.ignored.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let check = |error: String, says: &[&str]| {
            for part in says {
                assert!(error.contains(part), "no `{part}` in `{error}`");
            }
        };
        check(
            error(|d| d["timezone"] = json!("London")),
            &["timezone: ", "perhaps `Europe/London`?"],
        );
        check(
            error(|d| d["devices"][1]["timezone"] = json!("Japan/Tokyo")),
            &["devices[1].timezone: "],
        );
        check(
            error(|d| d["slots"][0]["startMinutes"] = json!(1440)),
            &["slots[0].startMinutes: 1440", "0 to 1439"],
        );
        check(
            error(|d| d["slots"][0]["validFromDate"] = json!("2026-13-01")),
            &["slots[0].validFromDate: "],
        );
        check(
            error(|d| {
                d["slots"][0]["validFromDate"] = json!("2026-02-01");
                d["slots"][0]["validToDate"] = json!("2026-01-01");
            }),
            &["slots[0]: `validToDate` 2026-01-01 is before"],
        );
        check(
            error(|d| d["slots"][0].as_object_mut().unwrap().clear()),
            &["slots[0]: missing field `slotId`"],
        );
    }

    #[test]
    fn an_id_that_occurs_twice_is_refused() {
        let twice = |list: &'static str| {
            error(move |document| {
                let entry = document[list][0].clone();
                document[list].as_array_mut().unwrap().push(entry);
            })
        };
        assert_eq!(
            twice("slots"),
            "slots[1].slotId: s1 is the id of slots[0] too"
        );
        assert_eq!(
            twice("devices"),
            "devices[2].deviceId: lobby is the id of devices[0] too"
        );
    }

    #[test]
    fn more_than_one_document_is_refused() {
        assert!(ScheduleFile::parse(format!("{} {{}}", document()).as_bytes()).is_err());
        assert!(ScheduleFile::parse(b"").is_err());
    }

    #[test]
    fn a_misspelt_field_is_told() {
        let mut document = document();
        document["slots"][0]["priorty"] = json!(5);
        document["venueId"] = json!("v1");
        let parsed = ScheduleFile::parse(document.to_string().as_bytes()).unwrap();
        assert_eq!(parsed.ignored, ["venueId", "slots[0].priorty"]);
    }
}
