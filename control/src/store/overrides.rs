//! What goes before a venue's schedule for a while.

use std::collections::BTreeMap;

use fleet_protocol::content::{CreateOverride, OverrideState, OverrideStatus, OverrideView};
use fleet_protocol::{AssetId, OverrideId, PlaylistId, VenueId};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::dialect::Held;
use super::rows::{Placed, placed};
use super::venues::bump;
use super::{
    Store, StoreError, TenantContext, flag, from_json, instant, ms, number, parse, to_json,
};
use crate::domain::playback::{MessagePicture, Override, Shown};

fn view(row: &AnyRow, now: Timestamp) -> Result<OverrideView, StoreError> {
    let ends_at = instant(row.try_get("ends_ms")?)?;
    let cancelled: Option<i64> = row.try_get("cancelled_ms")?;
    let playlist: Option<String> = row.try_get("playlist_id")?;
    let message: Option<String> = row.try_get("message")?;
    let state = match cancelled {
        Some(_) => OverrideState::Cancelled,
        None if ends_at <= now => OverrideState::Ended,
        None => OverrideState::Active,
    };
    Ok(OverrideView {
        override_id: parse("an override id", row.try_get("override_id")?)?,
        state,
        playlist_id: playlist.map(|id| parse("a playlist id", &id)).transpose()?,
        message: message
            .map(|text| from_json("a message", &text))
            .transpose()?,
        targets: from_json("targets", row.try_get("targets")?)?,
        emergency: flag(row, "emergency")?,
        note: row.try_get("note")?,
        created_at: instant(row.try_get("created_ms")?)?,
        created_by: row.try_get("created_by")?,
        ends_at,
        cancelled_at: cancelled.map(instant).transpose()?,
        cancelled_by: row.try_get("cancelled_by")?,
    })
}

/// Those in force at a venue.
pub(super) async fn in_force(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    venue: &VenueId,
    now: Timestamp,
) -> Result<Vec<Override>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM overrides
         WHERE tenant_id = $1 AND venue_id = $2 AND cancelled_ms IS NULL AND ends_ms > $3",
    )
    .bind(ctx.key())
    .bind(venue.as_str())
    .bind(ms(now))
    .fetch_all(&mut **tx)
    .await?;
    let mut pictures = pictures_in_force(tx, ctx, venue, now).await?;
    let one = |row: &AnyRow| {
        let view = view(row, now)?;
        let shows = match view.playlist_id {
            Some(id) => Shown::Playlist(id),
            None => Shown::Message(pictures.remove(&view.override_id).unwrap_or_default()),
        };
        Ok(Override {
            override_id: view.override_id,
            shows,
            targets: view.targets,
            emergency: view.emergency,
            begins_at: view.created_at,
            ends_at: view.ends_at,
        })
    };
    rows.iter().map(one).collect()
}

async fn pictures_in_force(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    venue: &VenueId,
    now: Timestamp,
) -> Result<BTreeMap<OverrideId, Vec<MessagePicture>>, StoreError> {
    let rows = sqlx::query(
        "SELECT p.override_id, p.asset_id, p.width_px, p.height_px, p.sha256, length(p.png) AS size_bytes
         FROM overrides o JOIN override_pictures p
           ON p.tenant_id = o.tenant_id AND p.override_id = o.override_id
         WHERE o.tenant_id = $1 AND o.venue_id = $2 AND o.cancelled_ms IS NULL AND o.ends_ms > $3
         ORDER BY p.asset_id",
    )
    .bind(ctx.key())
    .bind(venue.as_str())
    .bind(ms(now))
    .fetch_all(&mut **tx)
    .await?;
    let mut pictures: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in &rows {
        let id = parse("an override id", row.try_get("override_id")?)?;
        pictures.entry(id).or_default().push(MessagePicture {
            asset_id: parse("an asset id", row.try_get("asset_id")?)?,
            width_px: number(row, "width_px")?,
            height_px: number(row, "height_px")?,
            sha256: parse("a digest", row.try_get("sha256")?)?,
            size_bytes: number(row, "size_bytes")?,
        });
    }
    Ok(pictures)
}

/// An override that is to begin.
#[derive(Debug)]
pub struct NewOverride<'a> {
    pub override_id: &'a OverrideId,
    pub request: &'a CreateOverride,
    /// Of its message, as PNG files.
    pub pictures: &'a [(MessagePicture, Vec<u8>)],
    pub begins_at: Timestamp,
    pub ends_at: Timestamp,
}

impl Store {
    /// Lets it begin. False: `most` are in force at the venue already.
    pub async fn add_override(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        new: &NewOverride<'_>,
        most: usize,
    ) -> Result<bool, StoreError> {
        let (request, id) = (new.request, new.override_id);
        let mut tx = self.write.begin().await?;
        self.hold(&mut tx, ctx, Held::Venue(venue.as_str())).await?;
        if in_force(&mut tx, ctx, venue, new.begins_at).await?.len() >= most {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO overrides (tenant_id, venue_id, override_id, playlist_id, message, targets, emergency, note,
                                    created_ms, created_by, ends_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(ctx.key())
        .bind(venue.as_str())
        .bind(id.as_str())
        .bind(request.playlist_id.as_ref().map(PlaylistId::as_str))
        .bind(request.message.as_ref().map(to_json))
        .bind(to_json(&request.targets))
        .bind(i64::from(request.emergency))
        .bind(&request.note)
        .bind(ms(new.begins_at))
        .bind(ctx.actor_name())
        .bind(ms(new.ends_at))
        .execute(&mut *tx)
        .await?;
        for (picture, png) in new.pictures {
            sqlx::query(
                "INSERT INTO override_pictures (tenant_id, asset_id, override_id, width_px, height_px, sha256, png)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(ctx.key())
            .bind(picture.asset_id.as_str())
            .bind(id.as_str())
            .bind(i64::from(picture.width_px))
            .bind(i64::from(picture.height_px))
            .bind(picture.sha256.to_string())
            .bind(png.as_slice())
            .execute(&mut *tx)
            .await?;
        }
        bump(&mut tx, ctx, venue).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// One page, last begun first, below position `before`.
    pub async fn overrides(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        status: Option<OverrideStatus>,
        (before, limit): (Option<i64>, u32),
        now: Timestamp,
    ) -> Result<Vec<Placed<OverrideView>>, StoreError> {
        let active = status.map(|status| i64::from(status == OverrideStatus::Active));
        let rows = sqlx::query(
            "SELECT * FROM overrides
             WHERE tenant_id = $1 AND venue_id = $2 AND ($3 IS NULL OR position < $3)
               AND ($4 IS NULL OR $4 = CASE WHEN cancelled_ms IS NULL AND ends_ms > $5 THEN 1 ELSE 0 END)
             ORDER BY position DESC LIMIT $6",
        )
        .bind(ctx.key())
        .bind(venue.as_str())
        .bind(before)
        .bind(active)
        .bind(ms(now))
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        placed(&rows, |row| view(row, now))
    }

    pub async fn override_of(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        id: &OverrideId,
        now: Timestamp,
    ) -> Result<Option<OverrideView>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM overrides WHERE tenant_id = $1 AND venue_id = $2 AND override_id = $3",
        )
        .bind(ctx.key())
        .bind(venue.as_str())
        .bind(id.as_str())
        .fetch_optional(&self.read)
        .await?;
        row.map(|row| view(&row, now)).transpose()
    }

    /// A message as a PNG file.
    pub async fn message_picture(
        &self,
        ctx: &TenantContext,
        id: &AssetId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT png FROM override_pictures WHERE tenant_id = $1 AND asset_id = $2",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_optional(&self.read)
        .await?)
    }

    /// False: it is over, or not there.
    pub async fn cancel_override(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        id: &OverrideId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write.begin().await?;
        let done = sqlx::query(
            "UPDATE overrides SET cancelled_ms = $4, cancelled_by = $5
             WHERE tenant_id = $1 AND venue_id = $2 AND override_id = $3 AND cancelled_ms IS NULL AND ends_ms > $4",
        )
        .bind(ctx.key())
        .bind(venue.as_str())
        .bind(id.as_str())
        .bind(ms(now))
        .bind(ctx.actor_name())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        bump(&mut tx, ctx, venue).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The venues in which an override shows the playlist now.
    pub async fn overridden_with(
        &self,
        ctx: &TenantContext,
        playlist: &PlaylistId,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT DISTINCT v.name FROM overrides o
             JOIN venues v ON v.tenant_id = o.tenant_id AND v.venue_id = o.venue_id
             WHERE o.tenant_id = $1 AND o.playlist_id = $2 AND o.cancelled_ms IS NULL AND o.ends_ms > $3
             ORDER BY v.name LIMIT 5",
        )
        .bind(ctx.key())
        .bind(playlist.as_str())
        .bind(ms(now))
        .fetch_all(&self.read)
        .await?)
    }

    /// Forgets those that were over before this, and their pictures sooner.
    pub async fn forget_overrides(
        &self,
        ctx: &TenantContext,
        before: Timestamp,
        pictures_before: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM overrides WHERE tenant_id = $1 AND ends_ms < $2")
            .bind(ctx.key())
            .bind(ms(before))
            .execute(&self.write)
            .await?;
        // A screen that has its manifest may still fetch one for a while.
        sqlx::query(
            "DELETE FROM override_pictures WHERE tenant_id = $1 AND override_id IN
                 (SELECT override_id FROM overrides
                  WHERE tenant_id = $1 AND coalesce(cancelled_ms, ends_ms) < $2)",
        )
        .bind(ctx.key())
        .bind(ms(pictures_before))
        .execute(&self.write)
        .await?;
        Ok(())
    }
}
