//! A venue's schedule: a draft is worked on under its version; what is published never changes. What it means is for
//! `fleet-schedule` to say.

use std::collections::{BTreeSet, HashSet};

use fleet_protocol::content::{GroupView, MAX_SLOTS, ScheduleSet, ScheduleSnapshot};
use fleet_protocol::device::Page;
use fleet_protocol::schedule::ScheduleSlot;
use fleet_protocol::{DeviceId, SlotId, VenueId};
use fleet_schedule::{Fallbacks, Published, ScheduleFile, Snapshot, Zone};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::{Error, Kind, Refusal, no_such, stale};
use super::playlists::PLAYLIST_LIST;
use super::venues::VENUE_LIST;
use super::{App, PageRequest};
use crate::clock::random_id;
use crate::domain::playback::last_published;
use crate::domain::schedule_warnings::{Place, warnings};
use crate::store::{DeviceFilter, ScheduleRow, TenantContext};

impl App {
    pub async fn schedule_set(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
    ) -> Result<ScheduleSet, Error> {
        let row = self.schedule_row(ctx, venue).await?;
        let warnings = self.warnings(ctx, venue, &row.slots).await?;
        let published = row.published.as_ref();
        Ok(ScheduleSet {
            venue_id: venue.clone(),
            draft_version: row.draft_version,
            changed: published.map_or(!row.slots.is_empty(), |p| p.slots != row.slots),
            published_version: published.map(|p| p.published_version),
            published_at: published.map(|p| p.published_at),
            slots: row.slots,
            warnings,
        })
    }

    async fn schedule_row(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
    ) -> Result<ScheduleRow, Error> {
        let found = self.store.schedule(ctx, venue).await?;
        found.ok_or_else(|| no_such("venue", venue, VENUE_LIST))
    }

    /// Replaces the draft, if it is still at version `expected`.
    pub async fn set_slots(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        expected: u64,
        slots: Vec<Value>,
    ) -> Result<ScheduleSet, Error> {
        let before = self.schedule_row(ctx, venue).await?.slots;
        let slots = read_slots(slots, &before, self.now())?;
        self.put_slots(ctx, venue, expected, &slots).await
    }

    /// Adds a slot to the draft, or replaces the one that is called `replaced`.
    pub async fn put_slot(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        expected: u64,
        replaced: Option<&SlotId>,
        mut slot: Value,
    ) -> Result<ScheduleSet, Error> {
        let before = self.schedule_row(ctx, venue).await?.slots;
        let place = replaced.map(|id| {
            let place = before.iter().position(|slot| slot.slot_id == *id);
            place.ok_or_else(|| no_slot(id))
        });
        let place = place.transpose()?;
        if let (Some(id), Some(fields)) = (replaced, slot.as_object_mut()) {
            fields.insert("slotId".to_owned(), json!(id));
        }
        let read = read_slots(vec![slot], &before, self.now())?;
        let mut slots = before;
        match place {
            Some(place) => slots.splice(place..=place, read).for_each(drop),
            None => slots.extend(read),
        }
        self.put_slots(ctx, venue, expected, &slots).await
    }

    pub async fn remove_slot(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        expected: u64,
        id: &SlotId,
    ) -> Result<ScheduleSet, Error> {
        let mut slots = self.schedule_row(ctx, venue).await?.slots;
        let before = slots.len();
        slots.retain(|slot| slot.slot_id != *id);
        if slots.len() == before {
            return Err(no_slot(id));
        }
        self.put_slots(ctx, venue, expected, &slots).await
    }

    async fn put_slots(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        expected: u64,
        slots: &[ScheduleSlot],
    ) -> Result<ScheduleSet, Error> {
        check_slots(slots)?;
        let now = self.now();
        let put = self
            .store
            .put_slots(ctx, venue, expected, slots, now)
            .await?;
        if put {
            return self.schedule_set(ctx, venue).await;
        }
        let row = self.schedule_row(ctx, venue).await?;
        Err(stale("schedule", row.draft_version))
    }

    /// Lets screens follow the draft as it is now.
    ///
    /// # Errors
    /// 422 when the playlist of an enabled slot was never published.
    pub async fn publish_schedule(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
    ) -> Result<ScheduleSet, Error> {
        let slots = self.schedule_row(ctx, venue).await?.slots;
        self.publish_slots(ctx, venue, &slots).await
    }

    /// Publishes again what was published as `version`. The draft stays as it is.
    pub async fn roll_schedule_back(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        version: u64,
    ) -> Result<ScheduleSet, Error> {
        self.schedule_row(ctx, venue).await?;
        let found = self.store.schedule_snapshot(ctx, venue, version).await?;
        let snapshot = found.ok_or_else(|| {
            let history = "`fleet schedule history` (GET …/publishes)";
            no_such("published version", version, history)
        })?;
        self.publish_slots(ctx, venue, &snapshot.slots).await
    }

    async fn publish_slots(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        slots: &[ScheduleSlot],
    ) -> Result<ScheduleSet, Error> {
        let published = self.store.published_playlists(ctx).await?;
        let published: HashSet<_> = published.into_iter().map(|(id, ..)| id).collect();
        let mut enabled = slots.iter().enumerate().filter(|(_, slot)| slot.enabled);
        if let Some((index, slot)) = enabled.find(|(_, s)| !published.contains(&s.playlist_id)) {
            let field = format!("slots[{index}].playlistId");
            let message = format!("`{}` was never published", slot.playlist_id);
            let hint = format!(
                "publish it first (`fleet playlist publish`), or take another of {PLAYLIST_LIST}"
            );
            return Err(Refusal::field(&field, message, hint).into());
        }
        self.store
            .publish_schedule(ctx, venue, slots, self.now())
            .await?;
        tracing::info!(venue.id = %venue, operator = ctx.actor_name(), "schedule published");
        self.wake_screens(ctx, Some(venue)).await;
        self.schedule_set(ctx, venue).await
    }

    /// What was published of it, newest first.
    pub async fn schedule_history(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        page: &PageRequest,
    ) -> Result<Page<ScheduleSnapshot>, Error> {
        self.schedule_row(ctx, venue).await?;
        let (before, limit) = (page.number()?, page.with_one_more());
        let rows = self
            .store
            .schedule_snapshots(ctx, venue, before, limit)
            .await?;
        Ok(page.page(rows, |s| s.published_version.to_string(), |s| s))
    }

    /// What in these slots nobody will have meant, each sentence once.
    async fn warnings(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        slots: &[ScheduleSlot],
    ) -> Result<Vec<String>, Error> {
        let settings = self.venue(ctx, venue).await?;
        let published = self.store.published_playlists(ctx).await?;
        let groups = self.store.groups(ctx, venue).await?;
        let filter = DeviceFilter {
            venue: Some(venue.clone()),
            ..DeviceFilter::default()
        };
        let most = PageRequest::MAX;
        let devices = self
            .store
            .devices(ctx, &filter, self.presence(), None, most)
            .await?;
        let fallbacks = Fallbacks {
            venue: settings.fallback_playlist_id,
            tenant: None,
            last_published: last_published(&published).cloned(),
        };
        let Ok(zone) = settings.timezone.parse::<Zone>() else {
            return Ok(Vec::new());
        };
        let snapshot = Snapshot {
            slots: slots.to_vec(),
            fallbacks,
            published: Published::Only(published.into_iter().map(|(id, ..)| id).collect()),
        };
        let places: Vec<Place> = devices
            .iter()
            .map(|d| place(&d.device_id, &groups))
            .collect();
        let groups = groups.into_iter().map(|group| group.group_id).collect();
        // Many dated slots take a while: not where requests are answered.
        let found = move || warnings(snapshot, &zone, &places, &groups);
        let found = tokio::task::spawn_blocking(found).await;
        Ok(found.expect("looking for warnings does not panic"))
    }
}

fn place(device: &DeviceId, groups: &[GroupView]) -> Place {
    let own = groups
        .iter()
        .filter(|group| group.device_ids.contains(device));
    Place {
        device: device.clone().into(),
        groups: own.map(|group| group.group_id.clone()).collect(),
    }
}

/// Reads slots as they are sent: without an id, a new one; unchanged, as old as before.
fn read_slots(
    mut slots: Vec<Value>,
    before: &[ScheduleSlot],
    now: Timestamp,
) -> Result<Vec<ScheduleSlot>, Error> {
    for slot in slots.iter_mut().filter_map(Value::as_object_mut) {
        slot.entry("slotId")
            .or_insert_with(|| json!(random_id::<SlotId>("slt_")));
        slot.insert("updatedAt".to_owned(), json!(now));
    }
    let document = json!({"timezone": "UTC", "devices": [], "slots": slots});
    let hint = "see the slots of schedule.json in docs/cli.md";
    let parsed = ScheduleFile::parse(document.to_string().as_bytes())
        .map_err(|error| Refusal::field("slots", error.to_string(), hint))?;
    if let Some(path) = parsed.ignored.first() {
        return Err(Refusal::field(path, "has no meaning here", hint).into());
    }
    let mut slots = parsed.file.slots().to_vec();
    for slot in &mut slots {
        let known = before.iter().find(|known| known.slot_id == slot.slot_id);
        if let Some(known) = known
            && *known
                == (ScheduleSlot {
                    updated_at: known.updated_at,
                    ..slot.clone()
                })
        {
            slot.updated_at = known.updated_at;
        }
    }
    Ok(slots)
}

fn check_slots(slots: &[ScheduleSlot]) -> Result<(), Error> {
    if slots.len() > MAX_SLOTS {
        let message = format!("holds {} slots, more than {MAX_SLOTS}", slots.len());
        return Err(Refusal::field("slots", message, "remove those that are over").into());
    }
    let mut seen = BTreeSet::new();
    let twice = slots.iter().find(|slot| !seen.insert(&slot.slot_id));
    twice.map_or(Ok(()), |slot| {
        let detail = format!("there is a slot `{}` already", slot.slot_id);
        let hint = "leave slotId out for a new slot, or replace the old one (PUT …/slots/{slotId})";
        Err(Refusal::new(Kind::Conflict, "SLOT_EXISTS", detail, hint).into())
    })
}

fn no_slot(id: &SlotId) -> Error {
    no_such(
        "slot",
        id,
        "`fleet schedule show` (GET /v1/venues/{venueId}/scheduleset)",
    )
}
