//! `fleet device show`: what a device is, what it runs and plays, and how it is.

use fleet_protocol::device::DeviceDetail;
use fleet_protocol::heartbeat::{HealthCheck, Heartbeat};
use fleet_protocol::player::{PlayerHeartbeat, PlayerState};

use super::{ago, lifecycle, presence, resolve};
use crate::client::Client;
use crate::clock;
use crate::error::Result;
use crate::output::{Output, Tone, human_bytes, printable};
use crate::rollout::picture::progress;
use crate::text::human_duration;

pub(super) fn run(device: &str, client: &Client, output: Output) -> Result<()> {
    let id = resolve(client, device)?;
    let detail: DeviceDetail = client.get(&format!("/v1/devices/{id}"))?;
    output.result(&detail, |d| detail_text(d, output));
    Ok(())
}

fn detail_text(detail: &DeviceDetail, output: Output) -> String {
    let d = &detail.device;
    let now = clock::now();
    let mut fields = vec![
        ("device", d.device_id.to_string()),
        ("name", printable(&d.name)),
        ("state", presence(d, output)),
        (
            "seen",
            d.last_seen_at.map_or("never".to_owned(), |at| ago(at, now)),
        ),
        ("enrolled", d.enrolled_at.to_string()),
        ("version", d.version.to_string()),
        (
            "wanted",
            detail
                .target_version
                .as_ref()
                .map_or("nothing".to_owned(), ToString::to_string),
        ),
        ("compatible", d.compatible.to_string()),
        ("hardware", printable(&d.hardware)),
        ("venue", d.venue_id.to_string()),
        (
            "screen",
            lifecycle::orientation_name(d.orientation).to_owned(),
        ),
    ];
    if let Some(rollout) = &detail.rollout_id {
        fields.push(("rollout", rollout.to_string()));
    }
    if let Some(player) = &detail.player {
        fields.extend(played(player));
    }
    let beat = detail.heartbeat.as_ref();
    fields.extend(beat.map(said_of_itself).unwrap_or_default());
    let mut text = output.fields(&fields);
    if let Some(checks) = beat
        .map(|beat| &beat.health)
        .filter(|checks| !checks.is_empty())
    {
        text += "\nHealth\n";
        text.extend(checks.iter().map(|check| health_line(check, output)));
    }
    text
}

/// From the player's last heartbeat.
fn played(player: &PlayerHeartbeat) -> Vec<(&'static str, String)> {
    let state = match player.state {
        PlayerState::Playing => "playing",
        PlayerState::ErrorScreen => "shows an error",
        PlayerState::Pairing => "not let in",
        PlayerState::Booting => "starting",
    };
    let mut fields = vec![("player", state.to_owned())];
    let playback = &player.playback;
    if let Some(playlist) = &playback.playlist_id {
        let version = playback
            .published_version
            .map_or(String::new(), |version| format!(" version {version}"));
        fields.push(("playlist", format!("{playlist}{version}")));
    }
    if let Some(asset) = &playback.current_asset_id {
        let place = playback.current_item_index.map_or(String::new(), |index| {
            format!(", item {}", u64::from(index) + 1)
        });
        fields.push(("asset", format!("{asset}{place}")));
    }
    if let Some(frames) = &player.frames {
        fields.push(("blank", format!("{} ms since it started", frames.blank_ms)));
    }
    fields
}

/// From the device's last heartbeat.
fn said_of_itself(beat: &Heartbeat) -> Vec<(&'static str, String)> {
    let up = std::time::Duration::from_secs(beat.uptime_seconds);
    let m = &beat.metrics;
    let mut fields = vec![
        ("slot", beat.booted.slot.to_string()),
        ("role", beat.role.to_string()),
        ("mode", format!("{:?}", beat.mode).to_lowercase()),
        ("update", printable(&progress(&beat.update))),
        (
            "up",
            format!(
                "{} (last reset: {:?})",
                human_duration(up),
                beat.reset_reason
            ),
        ),
        (
            "load",
            format!(
                "cpu {:.0} %, memory {:.0} %, {} free{}",
                m.cpu_percent,
                m.mem_percent,
                human_bytes(m.disk_free_bytes),
                m.temperature_c
                    .map_or(String::new(), |t| format!(", {t:.0} °C"))
            ),
        ),
    ];
    if let Some(status) = &beat.status {
        let facts = serde_json::Value::Object(status.facts.clone());
        let level = status.degradation_level;
        let text = printable(&format!("degradation level {level} {facts}"));
        fields.push(("status", text));
    }
    fields.push(("addresses", printable(&beat.network.addresses.join(", "))));
    fields
}

fn health_line(check: &HealthCheck, output: Output) -> String {
    let (sign, tone) = if check.ok {
        ("✓", Tone::Good)
    } else {
        ("✗", Tone::Bad)
    };
    format!(
        "  {} {}: {}\n",
        output.paint(tone, sign),
        printable(&check.name),
        printable(&check.detail)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_player_says_what_it_plays_and_for_how_long_there_was_nothing() {
        let mut beat = json!({
            "deviceTime": "2026-06-15T13:45:12Z", "appVersion": "1.2.0", "state": "PLAYING",
            "manifestEtag": "e:ven_01:47",
            "playback": {"playlistId": "pl_042", "publishedVersion": 3, "currentAssetId": "ast_101",
                "currentItemIndex": 0, "loopCount": 14},
            "cache": {"totalBytes": 1, "usedBytes": 1, "assetCount": 1, "pendingDownloads": 0},
            "network": {"connected": true, "type": "ETHERNET"},
            "errors": {"playbackFailures": 0, "downloadFailures": 0, "manifestFetchFailures": 0},
            "frames": {"presented": 100, "late": 0, "blankMs": 40},
        });
        let shown = |beat: &serde_json::Value| {
            let beat: PlayerHeartbeat = serde_json::from_value(beat.clone()).unwrap();
            played(&beat)
                .into_iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .collect::<Vec<String>>()
        };
        let expected = [
            "player: playing",
            "playlist: pl_042 version 3",
            "asset: ast_101, item 1",
            "blank: 40 ms since it started",
        ];
        assert_eq!(shown(&beat), expected);
        beat["state"] = json!("PAIRING");
        beat["playback"] = json!({"loopCount": 0});
        beat["frames"] = json!(null);
        assert_eq!(shown(&beat), ["player: not let in"]);
    }
}
