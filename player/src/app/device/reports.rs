//! What the heartbeat says.

use std::cell::Cell;
use std::fs;

use fleet_device::clock;
use fleet_protocol::heartbeat::{Network, NetworkType};
use fleet_protocol::player::{
    CacheStatus, Playback, PlayerErrors, PlayerEventKind, PlayerHeartbeat, ScreenPowerStatus,
};

use super::Facts;
use crate::app::show::Seen;
use crate::core::sync::Sync;

/// Errors since the player started, and how many of them the control plane knows of.
#[derive(Debug, Default)]
pub(super) struct Counted {
    all: PlayerErrors,
    told: PlayerErrors,
    /// In the heartbeat that is on its way.
    sent: Cell<PlayerErrors>,
}

impl Counted {
    pub(super) const fn count(&mut self, kind: &PlayerEventKind) {
        let counter = match kind {
            PlayerEventKind::PlaybackFailed { .. } => &mut self.all.playback_failures,
            PlayerEventKind::DownloadFailed { .. } => &mut self.all.download_failures,
            PlayerEventKind::ManifestFetchFailed { .. } => &mut self.all.manifest_fetch_failures,
            _ => return,
        };
        *counter = counter.saturating_add(1);
    }

    /// Since the last heartbeat that was acknowledged, for the one that is now sent.
    pub(super) fn send(&self) -> PlayerErrors {
        self.sent.set(self.all);
        PlayerErrors {
            playback_failures: self.all.playback_failures - self.told.playback_failures,
            download_failures: self.all.download_failures - self.told.download_failures,
            manifest_fetch_failures: self.all.manifest_fetch_failures
                - self.told.manifest_fetch_failures,
        }
    }

    pub(super) const fn acknowledged(&mut self) {
        self.told = self.sent.get();
    }
}

pub(super) fn heartbeat(
    seen: &Seen<'_>,
    sync: &Sync,
    facts: &Facts,
    cache: CacheStatus,
    errors: PlayerErrors,
    screen_power: Option<ScreenPowerStatus>,
) -> PlayerHeartbeat {
    let screen = seen.screen;
    let shown = screen.on_glass();
    let playlist = shown
        .and_then(|shown| screen.manifests().of(shown.position.source))
        .and_then(|manifest| manifest.playlist.as_ref());
    let current = screen.manifests().current();
    PlayerHeartbeat {
        device_time: clock::wall(),
        app_version: facts.app_version.clone(),
        state: screen.state(),
        manifest_etag: current.map(|manifest| manifest.manifest_etag.clone()),
        playback: Playback {
            playlist_id: playlist.map(|playlist| playlist.playlist_id.clone()),
            published_version: playlist.map(|playlist| playlist.published_version),
            current_asset_id: shown.map(|shown| shown.item.asset_id.clone()),
            current_item_index: shown.and_then(|shown| shown.position.index.try_into().ok()),
            loop_count: screen.loop_count(),
        },
        cache,
        network: Network {
            connected: sync.is_online(),
            network_type: network_type(),
            last_sync_at_utc: sync.last_success_at(),
            addresses: Vec::new(),
        },
        errors,
        frames: seen.frames(),
        screen_power,
    }
}

/// Of the interface with the default route (`/proc/net/route`).
fn network_type() -> NetworkType {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let default = routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (interface, destination) = (fields.next()?, fields.next()?);
        (destination == "00000000").then_some(interface)
    });
    match default {
        None => NetworkType::None,
        Some(name) if fs::exists(format!("/sys/class/net/{name}/wireless")).unwrap_or(false) => {
            NetworkType::Wifi
        }
        Some(_) => NetworkType::Ethernet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_until_a_heartbeat_with_them_has_arrived() {
        let mut counted = Counted::default();
        let failure = PlayerEventKind::ManifestFetchFailed {
            http_status: None,
            reason: String::new(),
        };
        counted.count(&failure);
        assert_eq!(counted.send().manifest_fetch_failures, 1);
        // It was lost on its way; one more comes meanwhile.
        counted.count(&failure);
        assert_eq!(counted.send().manifest_fetch_failures, 2);
        counted.count(&failure);
        counted.acknowledged();
        assert_eq!(counted.send().manifest_fetch_failures, 1);
    }
}
