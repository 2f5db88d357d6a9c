//! What the schedule says when the control plane is away: which playlist takes over, and when.
//!
//! The control plane's word holds until its manifest ends (`validToUtc`). From then on, and until the
//! look-ahead ends, the schedule in it is asked; what it decides becomes a manifest that differs in its
//! playlist alone, and is staged like any other. So an override that the control plane gave is never
//! overruled, and both sides switch at the same instants: they ask the same resolver.

use std::collections::BTreeMap;

use fleet_protocol::PlaylistId;
use fleet_protocol::player::{LookAhead, Manifest, Playlist};
use fleet_schedule::{Schedule, ScheduleFile, Screen};
use jiff::Timestamp;

/// A manifest's schedule, read once.
#[derive(Debug)]
pub struct Plan {
    ahead: LookAhead,
    screen: Screen,
    schedule: Schedule,
    playlists: BTreeMap<PlaylistId, Playlist>,
}

/// Why a look-ahead is no use. The manifest plays on without it.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("the manifest's `lookAhead.schedule` is not understood: {0}")]
    Schedule(String),
    #[error(
        "the manifest's `lookAhead.schedule.devices` is empty: nobody knows which screen this is"
    )]
    NoScreen,
}

impl Plan {
    /// `None` for a manifest without a look-ahead.
    pub fn of(manifest: &Manifest) -> Result<Option<Self>, PlanError> {
        let Some(ahead) = manifest.look_ahead.clone() else {
            return Ok(None);
        };
        let parsed = ScheduleFile::parse(ahead.schedule.to_string().as_bytes())
            .map_err(|error| PlanError::Schedule(error.to_string()))?;
        let device = parsed.file.devices().first().ok_or(PlanError::NoScreen)?;
        let screen = parsed.file.screen(device);
        let playlists = ahead.playlists.iter().chain(&manifest.playlist);
        let playlists = playlists.map(|playlist| (playlist.playlist_id.clone(), playlist.clone()));
        Ok(Some(Self {
            screen,
            playlists: playlists.collect(),
            schedule: parsed.file.into_schedule(),
            ahead,
        }))
    }

    /// What is to be shown at `now` in the place of `current`; `None` if nothing else is.
    pub fn successor(&self, current: &Manifest, now: Timestamp) -> Option<Manifest> {
        if now < current.valid_to_utc || now >= self.ahead.until_utc {
            return None;
        }
        let winner = self.schedule.winner(&self.screen, now);
        let shown = current
            .playlist
            .as_ref()
            .map(|playlist| &playlist.playlist_id);
        if winner.playlist_id() == shown {
            return None;
        }
        let playlist = match winner.playlist_id() {
            // A playlist that did not come along cannot be shown; what is there stays.
            Some(id) => Some(self.playlists.get(id)?.clone()),
            None => None,
        };
        let mut ahead = self.ahead.clone();
        // Its files are needed again.
        ahead.playlists = self.playlists.values().cloned().collect();
        let mut settings = current.settings.clone();
        // What comes after an emergency can wait for the end of an item.
        settings.urgent = false;
        settings.temporary = false;
        Some(Manifest {
            playlist,
            settings,
            look_ahead: Some(ahead),
            ..current.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn playlist(id: &str) -> Value {
        json!({"playlistId": id, "publishedVersion": 1, "items": [{
            "assetId": format!("ast_{id}"), "type": "IMAGE", "url": "https://cdn.example/a",
            "checksumSha256": "a1".repeat(32), "durationSeconds": 10,
            "widthPx": 10, "heightPx": 10, "fileSizeBytes": 10
        }]})
    }

    /// Lunch from 12 to 14 in Berlin (10 to 12 UTC in summer), else the fallback; sent at 9, ends at 10 UTC.
    fn manifest(playlists: &[&str]) -> Manifest {
        let slot = json!({
            "slotId": "slot_1", "targetType": "DEVICE", "targetId": "screen", "playlistId": "pl_lunch",
            "daysOfWeekMask": 127, "startMinutes": 720, "endMinutes": 840
        });
        let document = json!({
            "manifestEtag": "e:1", "validToUtc": "2026-06-15T10:00:00Z", "nextCheckSeconds": 60,
            "playlist": playlist("pl_day"),
            "lookAhead": {
                "untilUtc": "2026-06-15T15:00:00Z",
                "schedule": {
                    "timezone": "Europe/Berlin",
                    "devices": [{"deviceId": "screen", "groupIds": []}],
                    "slots": [slot], "fallbackPlaylistId": "pl_day"
                },
                "playlists": playlists.iter().map(|id| playlist(id)).collect::<Vec<_>>()
            }
        });
        Manifest::parse(document.to_string().as_bytes()).unwrap()
    }

    fn shown(manifest: &Manifest) -> Option<&str> {
        manifest
            .playlist
            .as_ref()
            .map(|playlist| playlist.playlist_id.as_str())
    }

    #[test]
    fn a_screen_that_is_cut_off_goes_through_the_day_by_the_schedule() {
        let mut current = manifest(&["pl_lunch"]);
        let plan = Plan::of(&current).unwrap().unwrap();
        let mut check = |at: &str, expected: Option<&str>| {
            let successor = plan.successor(&current, at.parse().unwrap());
            assert_eq!(
                successor.as_ref().map(|m| shown(m).unwrap()),
                expected,
                "{at}"
            );
            if let Some(successor) = successor {
                current = successor;
            }
        };
        // Until its manifest ends the control plane's word holds.
        check("2026-06-15T09:59:59Z", None);
        check("2026-06-15T10:00:00Z", Some("pl_lunch"));
        check("2026-06-15T10:00:01Z", None);
        check("2026-06-15T12:00:00Z", Some("pl_day"));
        // Nobody knows what comes after the end of the look-ahead.
        check("2026-06-16T10:30:00Z", None);
    }

    #[test]
    fn after_a_restart_the_plan_is_made_of_what_was_kept() {
        let plan = Plan::of(&manifest(&["pl_lunch"])).unwrap().unwrap();
        let at = "2026-06-15T11:00:00Z".parse().unwrap();
        let lunch = plan.successor(&manifest(&["pl_lunch"]), at).unwrap();
        let kept = Manifest::parse(&serde_json::to_vec(&lunch).unwrap()).unwrap();
        let plan = Plan::of(&kept).unwrap().unwrap();
        assert_eq!(plan.successor(&kept, at), None);
        let later = "2026-06-15T12:30:00Z".parse().unwrap();
        assert_eq!(
            shown(&plan.successor(&kept, later).unwrap()),
            Some("pl_day")
        );
    }

    #[test]
    fn a_playlist_that_did_not_come_along_changes_nothing() {
        let current = manifest(&[]);
        let plan = Plan::of(&current).unwrap().unwrap();
        let at = "2026-06-15T11:00:00Z".parse().unwrap();
        assert_eq!(plan.successor(&current, at), None);
    }

    #[test]
    fn a_schedule_that_is_not_understood_is_named() {
        let mut current = manifest(&[]);
        let ahead = current.look_ahead.as_mut().unwrap();
        ahead.schedule["timezone"] = json!("Europe/Nowhere");
        let error = Plan::of(&current).unwrap_err();
        assert!(error.to_string().contains("lookAhead.schedule"), "{error}");
        let ahead = current.look_ahead.as_mut().unwrap();
        ahead.schedule = json!({"timezone": "UTC", "devices": [], "slots": []});
        assert!(matches!(Plan::of(&current), Err(PlanError::NoScreen)));
    }
}
