//! Enrolment tokens and the devices that they let in.

use fleet_protocol::enrolment::EnrolmentTokenView;
use fleet_protocol::{Compatible, DeviceId, RoleName, Sha256, TokenId, VenueId, Version};
use jiff::Timestamp;
use sqlx::{Any, Row as _, Transaction};

use super::devices::leave_groups;
use super::dialect::Held;
use super::vitals::note_enrolment;
use super::{DEFAULT_VENUE, Store, StoreError, TenantContext, instant, ms, number, parse};

#[derive(Debug)]
pub struct NewEnrolmentToken {
    pub token_id: TokenId,
    pub secret: Sha256,
    pub expires_at: Timestamp,
    pub max_uses: u32,
    pub device_name: Option<String>,
    pub role: Option<RoleName>,
    /// Where the devices that use it are to be.
    pub venue_id: Option<VenueId>,
}

/// A device that enrols.
#[derive(Debug)]
pub struct NewDevice {
    pub device_id: DeviceId,
    pub compatible: Compatible,
    pub hardware: String,
    pub serial_number: Option<String>,
    pub version: Version,
    pub device_token: Sha256,
    /// Until when the certificate that it gets is good.
    pub certificate_until: Timestamp,
}

/// What an enrolment token said to the device that used it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenGrant {
    Enrolled,
    /// The device was known; it has new credentials.
    Renewed,
    Expired,
    UsedUp,
    /// Revoked devices stay out until an operator lets them in again.
    Revoked,
    /// The key belongs to a device of another tenant.
    Foreign,
}

/// What came of taking a token back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    Revoked,
    /// As many devices have joined with it as might.
    UsedUp,
    Unknown,
}

pub(super) async fn insert_token(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    token: &NewEnrolmentToken,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO enrolment_tokens (tenant_id, token_id, token_sha256, expires_ms, max_uses,
                                       device_name, role, venue_id, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(ctx.key())
    .bind(token.token_id.as_str())
    .bind(token.secret.to_string())
    .bind(ms(token.expires_at))
    .bind(i64::from(token.max_uses))
    .bind(&token.device_name)
    .bind(token.role.as_ref().map(RoleName::as_str))
    .bind(token.venue_id.as_ref().map(VenueId::as_str))
    .bind(ms(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Store {
    pub async fn add_enrolment_token(
        &self,
        ctx: &TenantContext,
        token: &NewEnrolmentToken,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write.begin().await?;
        insert_token(&mut tx, ctx, token, now).await?;
        Ok(tx.commit().await?)
    }

    /// Newest first, from after `cursor`.
    pub async fn enrolment_tokens(
        &self,
        ctx: &TenantContext,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<EnrolmentTokenView>, StoreError> {
        let rows = sqlx::query(
            "SELECT token_id, expires_ms, max_uses, used, device_name, venue_id FROM enrolment_tokens
             WHERE tenant_id = $1 AND ($2 IS NULL OR token_id > $2)
             ORDER BY token_id LIMIT $3",
        )
        .bind(ctx.key())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                let venue: Option<String> = row.try_get("venue_id")?;
                Ok(EnrolmentTokenView {
                    token_id: parse("a token id", row.try_get("token_id")?)?,
                    expires_at: instant(row.try_get("expires_ms")?)?,
                    max_uses: number(row, "max_uses")?,
                    used: number(row, "used")?,
                    device_name: row.try_get("device_name")?,
                    venue_id: venue.map(|v| parse("a venue id", &v)).transpose()?,
                })
            })
            .collect()
    }

    /// Lets no more devices join with it; with `venue`, only if it is for that venue. Its pairing, if it is of one, is
    /// over.
    pub async fn revoke_token(
        &self,
        ctx: &TenantContext,
        id: &TokenId,
        venue: Option<&VenueId>,
        now: Timestamp,
    ) -> Result<Revocation, StoreError> {
        let mut tx = self.write.begin().await?;
        let done = sqlx::query(
            "UPDATE enrolment_tokens SET expires_ms = CASE WHEN expires_ms < $4 THEN expires_ms ELSE $4 END
             WHERE tenant_id = $1 AND token_id = $2 AND ($3 IS NULL OR venue_id = $3) AND used < max_uses",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(venue.map(VenueId::as_str))
        .bind(ms(now))
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 1 {
            tx.commit().await?;
            return Ok(Revocation::Revoked);
        }
        let known: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM enrolment_tokens
             WHERE tenant_id = $1 AND token_id = $2 AND ($3 IS NULL OR venue_id = $3)",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(venue.map(VenueId::as_str))
        .fetch_one(&mut *tx)
        .await?;
        Ok(match known {
            0 => Revocation::Unknown,
            _ => Revocation::UsedUp,
        })
    }

    /// Uses the token for this device, in one transaction. A device that enrolled before gets new
    /// credentials and keeps its history; that uses the token too.
    pub async fn enrol(
        &self,
        ctx: &TenantContext,
        secret: &Sha256,
        device: &NewDevice,
        now: Timestamp,
    ) -> Result<TokenGrant, StoreError> {
        let mut tx = self.write.begin().await?;
        self.hold(&mut tx, ctx, Held::Device(device.device_id.as_str()))
            .await?;
        let secret = secret.to_string();
        self.hold(&mut tx, ctx, Held::EnrolmentToken(&secret))
            .await?;
        let token = sqlx::query(
            "SELECT expires_ms, max_uses, used, device_name, role, venue_id FROM enrolment_tokens
             WHERE tenant_id = $1 AND token_sha256 = $2",
        )
        .bind(ctx.key())
        .bind(&secret)
        .fetch_one(&mut *tx)
        .await?;
        let known = sqlx::query("SELECT tenant_id, revoked_ms FROM devices WHERE device_id = $1")
            .bind(device.device_id.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(known) = &known {
            if known.try_get::<&str, _>("tenant_id")? != ctx.key() {
                return Ok(TokenGrant::Foreign);
            }
            if known.try_get::<Option<i64>, _>("revoked_ms")?.is_some() {
                return Ok(TokenGrant::Revoked);
            }
        }
        if token.try_get::<i64, _>("expires_ms")? <= ms(now) {
            return Ok(TokenGrant::Expired);
        }
        let used: i64 = token.try_get("used")?;
        let max_uses: i64 = token.try_get("max_uses")?;
        if used >= max_uses {
            return Ok(TokenGrant::UsedUp);
        }
        let prefix: Option<String> = token.try_get("device_name")?;
        let venue: Option<String> = token.try_get("venue_id")?;
        let name = match prefix {
            Some(name) if max_uses == 1 => name,
            Some(prefix) => format!("{prefix}-{}", used + 1),
            None => device.device_id.to_string(),
        };
        sqlx::query(
            "INSERT INTO devices (tenant_id, device_id, name, compatible, hardware, serial_number,
                                  role, token_sha256, enrolled_ms, version, venue_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11, $12))
             ON CONFLICT (tenant_id, device_id) DO UPDATE SET
                 compatible = excluded.compatible, hardware = excluded.hardware,
                 serial_number = excluded.serial_number, role = coalesce(excluded.role, devices.role),
                 token_sha256 = excluded.token_sha256, report_sequence = 0,
                 venue_id = coalesce($11, devices.venue_id)",
        )
        .bind(ctx.key())
        .bind(device.device_id.as_str())
        .bind(name)
        .bind(device.compatible.as_str())
        .bind(&device.hardware)
        .bind(&device.serial_number)
        .bind(token.try_get::<Option<String>, _>("role")?)
        .bind(device.device_token.to_string())
        .bind(ms(now))
        .bind(device.version.to_string())
        .bind(&venue)
        .bind(DEFAULT_VENUE)
        .execute(&mut *tx)
        .await?;
        leave_groups(&mut tx, ctx, &device.device_id, venue.as_deref()).await?;
        let (id, until) = (&device.device_id, device.certificate_until);
        note_enrolment(&mut tx, ctx, id, until, now).await?;
        sqlx::query(
            "UPDATE enrolment_tokens SET used = used + 1 WHERE tenant_id = $1 AND token_sha256 = $2",
        )
        .bind(ctx.key())
        .bind(&secret)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(if known.is_some() {
            TokenGrant::Renewed
        } else {
            TokenGrant::Enrolled
        })
    }
}
