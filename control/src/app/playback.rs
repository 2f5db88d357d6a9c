//! What players ask for and tell.

use std::collections::BTreeMap;

use fleet_protocol::event::{Event, EventKind, MAX_EVENTS_PER_BATCH, Severity};
use fleet_protocol::player::{
    MAX_PROOFS_PER_BATCH, Manifest, PlayerHeartbeat, PlaysOfDay, ProofOfPlayBatch,
};
use fleet_protocol::{AssetId, BatchId, DeviceId, Sha256, VenueId};
use fleet_schedule::Zone;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::App;
use super::devices::DEVICE_LIST;
use super::error::{Error, Refusal, no_such};
use crate::domain::playback::{Programme, is_current};
use crate::metrics::Program;
use crate::store::{TenantContext, VenueEpoch};

const MAX_REPORT_DAYS: i32 = 366;

/// A player's events as they are kept: a type that is not known here is kept by its name.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "PlayerEventBatch", with = "Told")]
pub struct PlayerEvents {
    events: Vec<PlayerEvent>,
}

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "OtherPlayerEvent")]
struct PlayerEvent {
    event_type: EventKind,
    event_time_utc: Timestamp,
    severity: Severity,
    #[serde(default)]
    payload: serde_json::Value,
}

/// The batch as the API describes it: payloads are known for the types of today's players alone.
#[derive(schemars::JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "only ever described")]
struct Told {
    /// The clock when the batch was sent.
    device_time: Timestamp,
    #[schemars(length(max = 100))]
    events: Vec<AnyPlayerEvent>,
}

#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only ever described")]
enum AnyPlayerEvent {
    Known(fleet_protocol::player::PlayerEvent),
    /// Of a type that is not known here: kept by its name.
    Other(PlayerEvent),
}

impl App {
    /// The manifest of this device's screen; `None` if it has that one already, as `known` says, which takes no more than
    /// the gate knew: where the `screen` is.
    pub async fn manifest(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        screen: Option<&VenueEpoch>,
        known: Option<&str>,
    ) -> Result<Option<Manifest>, Error> {
        let now = self.now();
        if let (Some(known), Some(screen)) = (known, screen)
            && is_current(known, id, &screen.venue_id, screen.epoch, now)
        {
            return Ok(None);
        }
        let facts = self.store.screen_facts(ctx, id, now).await?;
        let facts = facts.ok_or_else(|| no_such("device", id, DEVICE_LIST))?;
        let programme = Programme::new(id, &facts, now).map_err(|error| {
            let hint = "give the venue another time zone: `fleet venue set`";
            Refusal::field("timezone", error.to_string(), hint)
        })?;
        let mut playlists = BTreeMap::new();
        for playlist in programme.playlists() {
            if let Some(facts) = self.store.published_playlist(ctx, playlist).await? {
                playlists.insert(playlist.clone(), facts);
            }
        }
        let media = format!("{}/v1/player/media/", self.settings.public_url);
        let seconds = self.settings.manifest_check_seconds;
        Ok(Some(programme.manifest(&playlists, &media, seconds)))
    }

    pub async fn player_heartbeat(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        heartbeat: &PlayerHeartbeat,
    ) -> Result<(), Error> {
        let now = self.now();
        self.store
            .put_player_heartbeat(ctx, id, heartbeat, now)
            .await?;
        self.metrics.heartbeat(Program::Player);
        Ok(())
    }

    /// Keeps the events of a batch once.
    pub async fn player_events(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        batch: &BatchId,
        events: PlayerEvents,
    ) -> Result<(), Error> {
        at_most("events", events.events.len(), MAX_EVENTS_PER_BATCH)?;
        let kept = events
            .events
            .into_iter()
            .enumerate()
            .map(|(index, event)| Event {
                event_id: event_id(batch, index),
                event_type: event.event_type,
                event_time_utc: event.event_time_utc,
                severity: event.severity,
                payload: event.payload,
            });
        let kept: Vec<Event> = kept.collect();
        Ok(self
            .store
            .add_player_events(ctx, id, batch, &kept, self.now())
            .await?)
    }

    /// Counts the plays of a batch once.
    pub async fn proofs_of_play(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        batch: &ProofOfPlayBatch,
    ) -> Result<(), Error> {
        at_most("proofs", batch.proofs.len(), MAX_PROOFS_PER_BATCH)?;
        let now = self.now();
        Ok(self
            .store
            .add_plays(ctx, id, &batch.batch_id, &batch.proofs, now)
            .await?)
    }
}

/// The days of a report, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    pub from: Date,
    pub to: Date,
}

impl Days {
    const HINT: &str = "give `from` and `to` as dates such as 2026-06-15, at most 366 days apart";

    /// From when to when it is one of these days somewhere: half a day more at either end would do.
    fn anywhere(self) -> Result<(Timestamp, Timestamp), Error> {
        let length = (self.to - self.from).get_days();
        if !(0..=MAX_REPORT_DAYS).contains(&length) {
            let message = format!("is {length} days after `from`");
            return Err(Refusal::field("to", message, Self::HINT).into());
        }
        let around = |day: Date, days: i64| {
            let midnight = day.at(0, 0, 0, 0).to_zoned(TimeZone::UTC)?.timestamp();
            midnight.checked_add(SignedDuration::from_hours(24 * days))
        };
        let both = around(self.from, -1).and_then(|from| Ok((from, around(self.to, 2)?)));
        both.map_err(|error| Refusal::field("from", error.to_string(), Self::HINT).into())
    }
}

impl App {
    /// What was played on these days, each by its venue's clock: by day, venue and asset.
    ///
    /// # Errors
    /// 422 when they are more than a year, or in the wrong order.
    pub async fn plays(&self, ctx: &TenantContext, days: Days) -> Result<Vec<PlaysOfDay>, Error> {
        let (from, to) = days.anywhere()?;
        let rows = self.store.plays(ctx, from, to).await?;
        let mut zones: BTreeMap<VenueId, Zone> = BTreeMap::new();
        for row in &rows {
            if !zones.contains_key(&row.venue_id) {
                let zone = self.zone_of(ctx, &row.venue_id).await?;
                zones.insert(row.venue_id.clone(), zone);
            }
        }
        let mut report: BTreeMap<(Date, VenueId, AssetId), PlaysOfDay> = BTreeMap::new();
        for row in rows {
            let day = zones[&row.venue_id].local(row.begin).date();
            if !(days.from..=days.to).contains(&day) {
                continue;
            }
            let key = (day, row.venue_id.clone(), row.asset_id.clone());
            let sum = report.entry(key).or_insert_with(|| PlaysOfDay {
                day,
                venue_id: row.venue_id,
                asset_id: row.asset_id,
                plays: 0,
                completed: 0,
                duration_ms: 0,
            });
            sum.plays = sum.plays.saturating_add(row.plays);
            sum.completed = sum.completed.saturating_add(row.completed);
            sum.duration_ms = sum.duration_ms.saturating_add(row.duration_ms);
        }
        Ok(report.into_values().collect())
    }

    async fn zone_of(&self, ctx: &TenantContext, venue: &VenueId) -> Result<Zone, Error> {
        let venue = self.store.venue(ctx, venue).await?;
        let zone = venue.and_then(|venue| venue.timezone.parse().ok());
        Ok(zone.unwrap_or_else(|| "UTC".parse().expect("UTC is a time zone")))
    }
}

fn at_most(field: &str, found: usize, most: usize) -> Result<(), Error> {
    if found <= most {
        return Ok(());
    }
    let message = format!("holds {found}, more than {most}");
    Err(Refusal::field(field, message, format!("send at most {most} at a time")).into())
}

/// The same for the same place in the same batch.
fn event_id(batch: &BatchId, index: usize) -> fleet_protocol::EventId {
    let digest = Sha256::of(format!("{batch}:{index}")).to_string();
    let id = format!("evt_{}", &digest[..20]);
    id.parse()
        .expect("a known prefix and 20 hex digits make an identifier")
}
