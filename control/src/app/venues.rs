//! Places with screens, and the groups of screens there.

use std::collections::BTreeSet;

use fleet_protocol::content::{CreateGroup, CreateVenue, GroupView, VenueView};
use fleet_protocol::device::{ChangeDevice, DeviceView, Page};
use fleet_protocol::player::ScreenTimes;
use fleet_protocol::{DeviceId, TargetId, VenueId};
use fleet_schedule::Zone;

use super::enrolment::check_name;
use super::error::{Error, Refusal, no_such, stale};
use super::playlists::PLAYLIST_LIST;
use super::{App, PageRequest};
use crate::clock::random_id;
use crate::domain::access::Right;
use crate::store::{DeviceFilter, TenantContext, VenueFilter};

pub(super) const VENUE_LIST: &str = "`fleet venue list` (GET /v1/me/venues)";
/// In one group.
const MAX_DEVICES: usize = 10_000;

impl App {
    pub async fn create_venue(
        &self,
        ctx: &TenantContext,
        settings: &CreateVenue,
    ) -> Result<VenueView, Error> {
        self.check_venue(ctx, settings).await?;
        let id = random_id("ven_");
        self.store.add_venue(ctx, &id, settings, self.now()).await?;
        tracing::info!(venue.id = %id, operator = ctx.actor_name(), "venue made");
        self.venue(ctx, &id).await
    }

    /// Those at which the caller holds `right`; with `text`, those that have it in their name or id.
    pub async fn venues(
        &self,
        ctx: &TenantContext,
        right: Right,
        text: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<VenueView>, Error> {
        let filter = VenueFilter {
            text,
            among: ctx.access().venues_with(right),
        };
        let (cursor, limit) = (page.cursor.as_deref(), page.with_one_more());
        let rows = self.store.venues(ctx, &filter, cursor, limit).await?;
        Ok(page.page(rows, |v| v.venue_id.to_string(), |v| v))
    }

    pub async fn venue(&self, ctx: &TenantContext, id: &VenueId) -> Result<VenueView, Error> {
        let found = self.store.venue(ctx, id).await?;
        found.ok_or_else(|| no_such("venue", id, VENUE_LIST))
    }

    /// Replaces its settings, if they are still at version `expected`. Hours that are left out stay.
    pub async fn put_venue(
        &self,
        ctx: &TenantContext,
        id: &VenueId,
        expected: u64,
        settings: &CreateVenue,
    ) -> Result<VenueView, Error> {
        self.venue(ctx, id).await?;
        self.check_venue(ctx, settings).await?;
        let now = self.now();
        let put = self
            .store
            .put_venue(ctx, id, expected, settings, now)
            .await?;
        let view = self.venue(ctx, id).await?;
        if !put {
            return Err(stale("venue", view.version));
        }
        tracing::info!(venue.id = %id, operator = ctx.actor_name(), "venue changed");
        self.wake_screens(ctx, Some(id)).await;
        Ok(view)
    }

    async fn check_venue(&self, ctx: &TenantContext, settings: &CreateVenue) -> Result<(), Error> {
        check_name("name", &settings.name)?;
        if let Err(error) = settings.timezone.parse::<Zone>() {
            let hint = "take a name of the IANA database, such as Europe/London or UTC";
            return Err(Refusal::field("timezone", error.to_string(), hint).into());
        }
        if let Some(hours) = &settings.screen_hours
            && !hours.is_empty()
            && let Err(error) = ScreenTimes::check(hours)
        {
            let hint = "leave it empty for screens that are always on";
            return Err(Refusal::field("screenHours", error.to_string(), hint).into());
        }
        let Some(fallback) = &settings.fallback_playlist_id else {
            return Ok(());
        };
        if self.store.playlist(ctx, fallback).await?.is_none() {
            let message = format!("there is no playlist `{fallback}`");
            let hint = format!("take one of {PLAYLIST_LIST}, or leave it out");
            return Err(Refusal::field("fallbackPlaylistId", message, hint).into());
        }
        Ok(())
    }

    pub(super) async fn check_there(&self, ctx: &TenantContext, id: &VenueId) -> Result<(), Error> {
        if self.store.venue_exists(ctx, id).await? {
            return Ok(());
        }
        Err(no_such("venue", id, VENUE_LIST))
    }

    pub async fn groups(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
    ) -> Result<Vec<GroupView>, Error> {
        self.check_there(ctx, venue).await?;
        Ok(self.store.groups(ctx, venue).await?)
    }

    pub async fn create_group(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        request: CreateGroup,
    ) -> Result<GroupView, Error> {
        self.keep_group(ctx, venue, random_id("grp_"), request)
            .await
    }

    pub async fn put_group(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        group: TargetId,
        request: CreateGroup,
    ) -> Result<GroupView, Error> {
        let groups = self.groups(ctx, venue).await?;
        if groups.iter().all(|known| known.group_id != group) {
            return Err(no_group(&group));
        }
        self.keep_group(ctx, venue, group, request).await
    }

    async fn keep_group(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        group_id: TargetId,
        request: CreateGroup,
    ) -> Result<GroupView, Error> {
        self.check_there(ctx, venue).await?;
        check_name("name", &request.name)?;
        if request.device_ids.len() > MAX_DEVICES {
            let message = format!("names more than {MAX_DEVICES} devices");
            return Err(Refusal::field("deviceIds", message, "make several groups").into());
        }
        let devices: BTreeSet<_> = request.device_ids.into_iter().collect();
        let named = devices.iter().map(DeviceId::as_str);
        let there = self.store.devices_there(ctx, venue, named).await?;
        let mut named = devices.iter().enumerate();
        if let Some((index, id)) = named.find(|(_, id)| !there.contains(id.as_str())) {
            let field = format!("deviceIds[{index}]");
            let message = format!("`{id}` is no device of {venue}");
            let hint = "bring the device to the venue first: `fleet device move`";
            return Err(Refusal::field(&field, message, hint).into());
        }
        let group = GroupView {
            group_id,
            name: request.name,
            device_ids: devices.into_iter().collect(),
        };
        self.store.put_group(ctx, venue, &group).await?;
        tracing::info!(group.id = %group.group_id, operator = ctx.actor_name(), "group changed");
        self.wake_screens(ctx, Some(venue)).await;
        Ok(group)
    }

    pub async fn delete_group(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        group: &TargetId,
    ) -> Result<(), Error> {
        self.check_there(ctx, venue).await?;
        if !self.store.delete_group(ctx, venue, group).await? {
            return Err(no_group(group));
        }
        tracing::info!(group.id = %group, operator = ctx.actor_name(), "group deleted");
        self.wake_screens(ctx, Some(venue)).await;
        Ok(())
    }

    /// The device, if it is of this venue.
    pub async fn device_of(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        id: &DeviceId,
    ) -> Result<DeviceView, Error> {
        self.check_there(ctx, venue).await?;
        let row = self.store.device(ctx, id, self.presence()).await?;
        let row = row.filter(|row| row.view.venue_id == *venue);
        let list = "GET /v1/venues/{venueId}/devices";
        Ok(row.ok_or_else(|| no_such("device", id, list))?.view)
    }

    /// Changes a device of this venue; to bring it elsewhere takes an administrator.
    pub async fn change_device_of(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        id: &DeviceId,
        change: &ChangeDevice,
    ) -> Result<DeviceView, Error> {
        self.device_of(ctx, venue, id).await?;
        if change.venue_id.is_some() && !ctx.is_administrator() {
            let hint = "let an administrator bring it there: `fleet device move`";
            let refusal = Refusal::field("venueId", "is for administrators to change", hint);
            return Err(refusal.into());
        }
        self.change_device(ctx, id, change).await
    }

    /// The devices of a venue.
    pub async fn venue_devices(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        filter: DeviceFilter,
        page: &PageRequest,
    ) -> Result<Page<DeviceView>, Error> {
        self.check_there(ctx, venue).await?;
        let filter = DeviceFilter {
            venue: Some(venue.clone()),
            ..filter
        };
        self.devices(ctx, &filter, page).await
    }
}

fn no_group(group: &TargetId) -> Error {
    no_such(
        "group",
        group,
        "`fleet venue group list` (GET /v1/venues/{venueId}/groups)",
    )
}
