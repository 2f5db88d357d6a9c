//! Playlists: a draft is worked on under its version; what is published never changes.

use std::collections::{BTreeMap, BTreeSet};

use fleet_protocol::content::{
    AssetStatus, CreatePlaylist, Entry, MAX_ENTRIES, PlaylistSnapshot, PlaylistView, Reorder,
};
use fleet_protocol::device::Page;
use fleet_protocol::{PlaylistId, PlaylistItemId};

use super::enrolment::check_name;
use super::error::{Error, Kind, Refusal, no_such, stale};
use super::{App, PageRequest};
use crate::clock::random_id;
use crate::store::TenantContext;

pub(super) const PLAYLIST_LIST: &str = "`fleet playlist list` (GET /v1/library/playlists)";
const MAX_SECONDS: u32 = 86_400;
const MAX_TRANSITION_MS: u32 = 10_000;

impl App {
    pub async fn create_playlist(
        &self,
        ctx: &TenantContext,
        request: CreatePlaylist,
    ) -> Result<PlaylistView, Error> {
        check_name("name", &request.name)?;
        let items = self.checked(ctx, request.items).await?;
        let id = random_id("pl_");
        let now = self.now();
        self.store
            .add_playlist(ctx, &id, &request.name, &items, now)
            .await?;
        tracing::info!(playlist.id = %id, operator = ctx.actor_name(), "playlist made");
        self.playlist(ctx, &id).await
    }

    pub async fn playlists(
        &self,
        ctx: &TenantContext,
        text: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<PlaylistView>, Error> {
        let (cursor, limit) = (page.cursor.as_deref(), page.with_one_more());
        let rows = self.store.playlists(ctx, text, cursor, limit).await?;
        Ok(page.page(rows, |p| p.playlist_id.to_string(), |p| p))
    }

    pub async fn playlist(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
    ) -> Result<PlaylistView, Error> {
        let found = self.store.playlist(ctx, id).await?;
        found.ok_or_else(|| no_such("playlist", id, PLAYLIST_LIST))
    }

    /// Replaces the draft, if it is still at version `expected`.
    pub async fn put_entries(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
        expected: u64,
        items: Vec<Entry>,
    ) -> Result<PlaylistView, Error> {
        self.playlist(ctx, id).await?;
        let items = self.checked(ctx, items).await?;
        self.put_draft(ctx, id, expected, &items).await
    }

    /// Brings the draft's items into another order.
    pub async fn reorder(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
        expected: u64,
        order: Reorder,
    ) -> Result<PlaylistView, Error> {
        let draft = self.playlist(ctx, id).await?;
        let mut items: BTreeMap<PlaylistItemId, Entry> = draft
            .items
            .into_iter()
            .filter_map(|entry| Some((entry.playlist_item_id.clone()?, entry)))
            .collect();
        let hint =
            "name each item of the playlist once, as GET …/playlists/{playlistId} lists them";
        let mut ordered = Vec::new();
        for (index, item) in order.playlist_item_ids.iter().enumerate() {
            let entry = items.remove(item).ok_or_else(|| {
                let field = format!("playlistItemIds[{index}]");
                let message = format!("`{item}` is no item of the playlist, or is named twice");
                Refusal::field(&field, message, hint)
            })?;
            ordered.push(entry);
        }
        if let Some(missing) = items.keys().next() {
            let message = format!("`{missing}` is missing");
            return Err(Refusal::field("playlistItemIds", message, hint).into());
        }
        self.put_draft(ctx, id, expected, &ordered).await
    }

    async fn put_draft(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
        expected: u64,
        items: &[Entry],
    ) -> Result<PlaylistView, Error> {
        let now = self.now();
        let put = self
            .store
            .put_playlist_items(ctx, id, expected, items, now)
            .await?;
        let view = self.playlist(ctx, id).await?;
        if put {
            Ok(view)
        } else {
            Err(stale("playlist", view.draft_version))
        }
    }

    /// Lets screens play the draft as it is now.
    ///
    /// # Errors
    /// 422 when nothing in it is enabled, or an asset can't be played.
    pub async fn publish_playlist(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
    ) -> Result<PlaylistView, Error> {
        let draft = self.playlist(ctx, id).await?;
        let enabled = draft.items.into_iter().filter(|entry| entry.enabled);
        self.publish_entries(ctx, id, &enabled.collect::<Vec<_>>())
            .await
    }

    /// Publishes again what was published as `version`. The draft stays as it is.
    pub async fn roll_playlist_back(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
        version: u64,
    ) -> Result<PlaylistView, Error> {
        self.playlist(ctx, id).await?;
        let found = self.store.playlist_snapshot(ctx, id, version).await?;
        let snapshot = found.ok_or_else(|| {
            let history = "`fleet playlist history` (GET …/publishes)";
            no_such("published version", version, history)
        })?;
        self.publish_entries(ctx, id, &snapshot.items).await
    }

    async fn publish_entries(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
        items: &[Entry],
    ) -> Result<PlaylistView, Error> {
        if items.is_empty() {
            let hint = "add an asset, or enable one: `fleet playlist set`";
            return Err(Refusal::field("items", "nothing in it is enabled", hint).into());
        }
        // An asset can't be deleted between the look and the publication.
        let _shelf = self.shelf().await?;
        self.check_assets(ctx, items, |status| status == AssetStatus::Ready)
            .await?;
        self.store
            .publish_playlist(ctx, id, items, self.now())
            .await?;
        tracing::info!(playlist.id = %id, operator = ctx.actor_name(), "playlist published");
        self.wake_screens(ctx, None).await;
        self.playlist(ctx, id).await
    }

    /// What was published of it, newest first.
    pub async fn playlist_history(
        &self,
        ctx: &TenantContext,
        id: &PlaylistId,
        page: &PageRequest,
    ) -> Result<Page<PlaylistSnapshot>, Error> {
        self.playlist(ctx, id).await?;
        let (before, limit) = (page.number()?, page.with_one_more());
        let rows = self
            .store
            .playlist_snapshots(ctx, id, before, limit)
            .await?;
        Ok(page.page(rows, |s| s.published_version.to_string(), |s| s))
    }

    /// # Errors
    /// 409 while a venue falls back on it or schedules it.
    pub async fn delete_playlist(&self, ctx: &TenantContext, id: &PlaylistId) -> Result<(), Error> {
        let mut venues = self.store.venues_with(ctx, id).await?;
        if venues.is_empty() {
            venues = self.store.overridden_with(ctx, id, self.now()).await?;
        }
        if !venues.is_empty() {
            let detail = format!("the playlist is what plays at {}", venues.join(", "));
            let hint = "give them another fallback (`fleet venue set`) and schedule, and cancel overrides, first";
            return Err(Refusal::new(Kind::Conflict, "PLAYLIST_IN_USE", detail, hint).into());
        }
        if !self.store.delete_playlist(ctx, id).await? {
            return Err(no_such("playlist", id, PLAYLIST_LIST));
        }
        tracing::info!(playlist.id = %id, operator = ctx.actor_name(), "playlist deleted");
        self.wake_screens(ctx, None).await;
        Ok(())
    }

    /// Items that make sense, each with an id of its own.
    async fn checked(
        &self,
        ctx: &TenantContext,
        mut items: Vec<Entry>,
    ) -> Result<Vec<Entry>, Error> {
        if items.len() > MAX_ENTRIES {
            let message = format!("holds {} items, more than {MAX_ENTRIES}", items.len());
            return Err(Refusal::field("items", message, "make several playlists of it").into());
        }
        let mut seen = BTreeSet::new();
        for (index, entry) in items.iter_mut().enumerate() {
            check_entry(index, entry)?;
            let id = entry
                .playlist_item_id
                .get_or_insert_with(|| random_id("pli_"));
            if !seen.insert(id.clone()) {
                let field = format!("items[{index}].playlistItemId");
                let message = format!("`{id}` is the id of another item too");
                let hint = "leave the id out for a new item";
                return Err(Refusal::field(&field, message, hint).into());
            }
        }
        self.check_assets(ctx, &items, |status| status != AssetStatus::Failed)
            .await?;
        Ok(items)
    }

    async fn check_assets(
        &self,
        ctx: &TenantContext,
        items: &[Entry],
        is_good: impl Fn(AssetStatus) -> bool,
    ) -> Result<(), Error> {
        let mut known = BTreeMap::new();
        for (index, entry) in items.iter().enumerate() {
            let id = &entry.asset_id;
            if !known.contains_key(id) {
                let found = self.store.asset(ctx, id).await?;
                known.insert(id.clone(), found.map(|row| row.view.status));
            }
            let message = match known[id] {
                Some(status) if is_good(status) => continue,
                Some(status) => format!("`{id}` is {}", status.name()),
                None => format!("there is no asset `{id}`"),
            };
            let field = format!("items[{index}].assetId");
            let hint =
                "take one that is READY: `fleet asset list` (GET /v1/library/assets?status=READY)";
            return Err(Refusal::field(&field, message, hint).into());
        }
        Ok(())
    }
}

fn check_entry(index: usize, entry: &Entry) -> Result<(), Error> {
    let within = |field: &str, value: u32, low: u32, high: u32| {
        if (low..=high).contains(&value) {
            return Ok(());
        }
        let field = format!("items[{index}].{field}");
        let message = format!("{value} is not within {low} and {high}");
        Err(Error::from(Refusal::field(
            &field,
            message,
            "correct it, or leave it out",
        )))
    };
    if let Some(seconds) = entry.duration_seconds {
        within("durationSeconds", seconds, 1, MAX_SECONDS)?;
    }
    within("volumePercent", entry.volume_percent.into(), 0, 100)?;
    within(
        "transition.durationMs",
        entry.transition.duration_ms,
        0,
        MAX_TRANSITION_MS,
    )
}
