//! "Now, for an hour, on these screens": a playlist, or words.
//!
//! Words are drawn here, once, and go to screens as a picture like any other: so they need nothing of a player, and are on
//! its disk when the network goes.

use fleet_cards::{Message, message_fits, render_message, undrawable};
use fleet_protocol::content::{
    CreateOverride, MAX_OVERRIDES, OVERRIDE_SECONDS, OverrideMessage, OverrideState,
    OverrideStatus, OverrideView,
};
use fleet_protocol::device::Page;
use fleet_protocol::schedule::Target;
use fleet_protocol::{AssetId, OverrideId, PlaylistId, Sha256, VenueId};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};
use jiff::SignedDuration;
use tokio::sync::Semaphore;

use super::enrolment::check_note;
use super::error::{Error, Kind, Refusal, no_such};
use super::playlists::PLAYLIST_LIST;
use super::{App, PageRequest};
use crate::clock::random_id;
use crate::domain::playback::MessagePicture;
use crate::store::{NewOverride, TenantContext};

const OVERRIDE_LIST: &str = "`fleet override list` (GET /v1/venues/{venueId}/overrides)";
/// Named by one.
const MAX_TARGETS: usize = 1_000;
/// Characters.
const LONGEST_TEXT: usize = 300;
const LONGEST_TITLE: usize = 60;
/// What the id of a message's picture begins with.
const PICTURE: &str = "msg_";
/// As large as most screens; others scale them.
const PICTURE_SIZES: [(u32, u32); 2] = [(1920, 1080), (1080, 1920)];
/// After they are over.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);
const PICTURES_KEPT: SignedDuration = SignedDuration::from_hours(24);

impl App {
    /// Lets a playlist go before the schedule, from now on.
    ///
    /// # Errors
    /// 422 that names the field; 409 when a hundred are in force at the venue.
    pub async fn create_override(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        request: CreateOverride,
    ) -> Result<OverrideView, Error> {
        self.check_there(ctx, venue).await?;
        check_shape(&request)?;
        let pictures = match (&request.playlist_id, &request.message) {
            (Some(playlist), None) => {
                self.check_published(ctx, playlist).await?;
                Vec::new()
            }
            (None, Some(message)) => drawn(message.clone(), request.emergency).await?,
            _ => {
                let message = "has to be there, or a `message` instead of it";
                let hint = "name what is to be shown: a published playlist, or words";
                return Err(Refusal::field("playlistId", message, hint).into());
            }
        };
        self.check_targets(ctx, venue, &request.targets).await?;
        let now = self.now();
        let id = random_id("ovr_");
        let new = NewOverride {
            override_id: &id,
            request: &request,
            pictures: &pictures,
            begins_at: now,
            ends_at: now + SignedDuration::from_secs(i64::from(request.duration_seconds)),
        };
        let store = &self.store;
        if !store.add_override(ctx, venue, &new, MAX_OVERRIDES).await? {
            let detail = format!("{MAX_OVERRIDES} overrides are in force at {venue} already");
            let hint = "cancel those that are no longer needed: `fleet override cancel`";
            return Err(Refusal::new(Kind::Conflict, "TOO_MANY_OVERRIDES", detail, hint).into());
        }
        tracing::info!(
            venue.id = %venue,
            override.id = %id,
            override.emergency = request.emergency,
            operator = ctx.actor_name(),
            "override begun"
        );
        self.wake_screens(ctx, Some(venue)).await;
        self.override_of(ctx, venue, &id).await
    }

    /// A message as a PNG file, by the id that a manifest has for it; `None` for every other id.
    pub async fn message_picture(
        &self,
        ctx: &TenantContext,
        id: &AssetId,
    ) -> Result<Option<Vec<u8>>, Error> {
        if !id.as_str().starts_with(PICTURE) {
            return Ok(None);
        }
        let found = self.store.message_picture(ctx, id).await?;
        found
            .map(Some)
            .ok_or_else(|| no_such("message", id, OVERRIDE_LIST))
    }

    async fn check_published(&self, ctx: &TenantContext, id: &PlaylistId) -> Result<(), Error> {
        let (message, hint) = match self.store.playlist(ctx, id).await? {
            None => (
                format!("there is no playlist `{id}`"),
                format!("take one of {PLAYLIST_LIST}"),
            ),
            Some(playlist) if playlist.published_version.is_none() => (
                format!("the playlist `{id}` was never published"),
                "publish it first: `fleet playlist publish`".to_owned(),
            ),
            Some(_) => return Ok(()),
        };
        Err(Refusal::field("playlistId", message, hint).into())
    }

    async fn check_targets(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        targets: &[Target],
    ) -> Result<(), Error> {
        let groups = self.store.groups(ctx, venue).await?;
        let named = targets.iter().filter_map(|target| match target {
            Target::Device(id) => Some(id.as_str()),
            Target::Group(_) => None,
        });
        let devices = self.store.devices_there(ctx, venue, named).await?;
        let is_there = |target: &Target| match target {
            Target::Group(id) => groups.iter().any(|group| group.group_id == *id),
            Target::Device(id) => devices.contains(id.as_str()),
        };
        if let Some(index) = targets.iter().position(|target| !is_there(target)) {
            let field = format!("targets[{index}]");
            let message = format!("there is no {} in {venue}", targets[index]);
            let hint = "take devices and groups of this venue: `fleet device list --venue`, `fleet venue group list`";
            return Err(Refusal::field(&field, message, hint).into());
        }
        Ok(())
    }

    pub async fn overrides(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        status: Option<OverrideStatus>,
        page: &PageRequest,
    ) -> Result<Page<OverrideView>, Error> {
        self.check_there(ctx, venue).await?;
        let part = (page.number()?, page.with_one_more());
        let rows = self
            .store
            .overrides(ctx, venue, status, part, self.now())
            .await?;
        Ok(page.placed(rows))
    }

    async fn override_of(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        id: &OverrideId,
    ) -> Result<OverrideView, Error> {
        let found = self.store.override_of(ctx, venue, id, self.now()).await?;
        found.ok_or_else(|| no_such("override", id, OVERRIDE_LIST))
    }

    /// Ends it before its time. Said again, nothing changes.
    ///
    /// # Errors
    /// 409 when its time is over.
    pub async fn cancel_override(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        id: &OverrideId,
    ) -> Result<OverrideView, Error> {
        let now = self.now();
        if self.store.cancel_override(ctx, venue, id, now).await? {
            tracing::info!(venue.id = %venue, override.id = %id, operator = ctx.actor_name(), "override cancelled");
            self.wake_screens(ctx, Some(venue)).await;
        }
        let view = self.override_of(ctx, venue, id).await?;
        if view.state == OverrideState::Ended {
            let detail = format!("the override ended at {}", view.ends_at);
            let hint = "nothing is left to be cancelled: `fleet override list`";
            return Err(Refusal::new(Kind::Conflict, "OVERRIDE_OVER", detail, hint).into());
        }
        Ok(view)
    }

    pub(super) async fn forget_overrides(&self, ctx: &TenantContext) -> Result<(), Error> {
        let (before, pictures_before) = (self.now() - KEPT, self.now() - PICTURES_KEPT);
        Ok(self
            .store
            .forget_overrides(ctx, before, pictures_before)
            .await?)
    }
}

/// A picture takes some megabytes while it is drawn.
static DRAWING: Semaphore = Semaphore::const_new(2);

/// The message for screens that lie and for those that stand.
///
/// # Errors
/// 422 when it is too long for one of them.
async fn drawn(
    message: OverrideMessage,
    urgent: bool,
) -> Result<Vec<(MessagePicture, Vec<u8>)>, Error> {
    let message = Message {
        title: message.title.unwrap_or_default(),
        text: message.text,
        urgent,
    };
    let too_long = |(width, height)| !message_fits(&message, width, height);
    if PICTURE_SIZES.into_iter().any(too_long) {
        let reason = "is too long to be read from afar on every screen";
        let hint = "say it in fewer words and lines, also in the title";
        return Err(Refusal::field("message.text", reason, hint).into());
    }
    let _turn = DRAWING.acquire().await.expect("it is never closed");
    let draw = move || PICTURE_SIZES.map(|size| draw(&message, size)).into();
    let drawn = tokio::task::spawn_blocking(draw).await;
    Ok(drawn.expect("drawing does not panic"))
}

fn draw(message: &Message, (width_px, height_px): (u32, u32)) -> (MessagePicture, Vec<u8>) {
    let band = render_message(message, width_px, height_px);
    let pixels = band.rows().flat_map(|row| row.chunks_exact(4));
    let rgb: Vec<u8> = pixels.flat_map(|p| [p[2], p[1], p[0]]).collect();
    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(&rgb, width_px, height_px, ExtendedColorType::Rgb8)
        .expect("a buffer takes all of a picture");
    let picture = MessagePicture {
        asset_id: random_id(PICTURE),
        width_px,
        height_px,
        sha256: Sha256::of(&png),
        size_bytes: png.len() as u64,
    };
    (picture, png)
}

fn check_words(field: &str, text: &str, most: usize) -> Result<(), Error> {
    if text.trim().is_empty() || text.chars().count() > most {
        let message = format!("has to be 1 to {most} characters");
        return Err(Refusal::field(field, message, "say it in fewer words").into());
    }
    if let Some(c) = undrawable(text) {
        let message = format!(
            "has `{}`, for which there is no letter here",
            c.escape_default()
        );
        let hint = "write it in Latin letters, or show a playlist with a picture of it";
        return Err(Refusal::field(field, message, hint).into());
    }
    Ok(())
}

fn check_shape(request: &CreateOverride) -> Result<(), Error> {
    let seconds = request.duration_seconds;
    if !OVERRIDE_SECONDS.contains(&seconds) {
        let (least, most) = (OVERRIDE_SECONDS.start(), OVERRIDE_SECONDS.end());
        let message = format!("{seconds} is not within {least} and {most}");
        let hint = "for longer than a month, publish a schedule";
        return Err(Refusal::field("durationSeconds", message, hint).into());
    }
    if request.targets.len() > MAX_TARGETS {
        let message = format!("names {}, more than {MAX_TARGETS}", request.targets.len());
        return Err(Refusal::field("targets", message, "name groups, or leave it out").into());
    }
    if let Some(message) = &request.message {
        check_words("message.text", &message.text, LONGEST_TEXT)?;
        if let Some(title) = &message.title {
            check_words("message.title", title, LONGEST_TITLE)?;
        }
    }
    check_note(request.note.as_deref())
}
