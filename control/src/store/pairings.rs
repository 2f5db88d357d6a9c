//! Codes that screens show until somebody claims them.
//!
//! A code is no tenant's before it is claimed, so beginning one and asking how it stands go without a tenant's context,
//! as everything in [`super::gate`].

use fleet_protocol::enrolment::{PairingCode, PairingState};
use fleet_protocol::{RoleName, Sha256, TenantId};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::enrolment::insert_token;
use super::{NewEnrolmentToken, Store, StoreError, TenantContext, ms, parse};

#[derive(Debug)]
pub struct NewPairing {
    pub code: PairingCode,
    pub secret: Sha256,
    /// Of whoever asks; one IPv6 customer is one.
    pub address: String,
    pub hardware: String,
    pub serial_number: Option<String>,
    /// Who alone may claim it; `None`: whoever has the code.
    pub for_tenant: Option<TenantId>,
    pub expires_at: Timestamp,
}

/// What a device says of itself that shows a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairingDevice {
    pub hardware: String,
    pub serial_number: Option<String>,
}

fn device(row: &AnyRow) -> Result<PairingDevice, StoreError> {
    Ok(PairingDevice {
        hardware: row.try_get("hardware")?,
        serial_number: row.try_get("serial_number")?,
    })
}

/// How many codes may wait to be claimed.
#[derive(Debug, Clone, Copy)]
pub struct PairingLimits {
    pub of_an_address: i64,
    pub of_all: i64,
}

impl Store {
    /// Keeps a new code, and forgets those that are over. False: too many wait already.
    pub async fn add_pairing(
        &self,
        new: &NewPairing,
        limits: PairingLimits,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write.begin().await?;
        sqlx::query("DELETE FROM pairings WHERE expires_ms <= $1")
            .bind(ms(now))
            .execute(&mut *tx)
            .await?;
        let row = sqlx::query(
            "SELECT count(*) AS of_all, count(*) FILTER (WHERE address = $1) AS of_address
             FROM pairings WHERE tenant_id IS NULL",
        )
        .bind(&new.address)
        .fetch_one(&mut *tx)
        .await?;
        let of_all: i64 = row.try_get("of_all")?;
        let of_address: i64 = row.try_get("of_address")?;
        let full = of_all >= limits.of_all || of_address >= limits.of_an_address;
        if !full {
            sqlx::query(
                "INSERT INTO pairings (pairing_code, token_sha256, address, hardware, serial_number,
                                       created_ms, expires_ms, for_tenant)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(new.code.as_str())
            .bind(new.secret.to_string())
            .bind(&new.address)
            .bind(&new.hardware)
            .bind(&new.serial_number)
            .bind(ms(now))
            .bind(ms(new.expires_at))
            .bind(new.for_tenant.as_ref().map(TenantId::as_str))
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(!full)
    }

    /// How the pairing with this secret stands, and the role that its device was given; `None`: there is none, or it was
    /// forgotten.
    pub async fn pairing_state(
        &self,
        secret: &Sha256,
        now: Timestamp,
    ) -> Result<Option<(PairingState, Option<RoleName>)>, StoreError> {
        let row = sqlx::query(
            "SELECT p.expires_ms, t.used, t.role, t.expires_ms AS token_expires_ms FROM pairings p
             LEFT JOIN enrolment_tokens t ON t.token_sha256 = p.token_sha256
             WHERE p.token_sha256 = $1",
        )
        .bind(secret.to_string())
        .fetch_optional(&self.read)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let used: Option<i64> = row.try_get("used")?;
        let token_expires: Option<i64> = row.try_get("token_expires_ms")?;
        let code_expires: i64 = row.try_get("expires_ms")?;
        let state = match (used, token_expires.unwrap_or(code_expires)) {
            (Some(1..), _) => PairingState::Completed,
            (_, expires) if expires <= ms(now) => PairingState::Expired,
            (Some(_), _) => PairingState::Claimed,
            (None, _) => PairingState::Pending,
        };
        let role: Option<String> = row.try_get("role")?;
        let role = role.map(|role| parse("a role", &role)).transpose()?;
        Ok(Some((state, role)))
    }

    /// The device that shows this code now, if this tenant may claim it.
    pub async fn device_with_code(
        &self,
        ctx: &TenantContext,
        code: &PairingCode,
        now: Timestamp,
    ) -> Result<Option<PairingDevice>, StoreError> {
        let row = sqlx::query(
            "SELECT hardware, serial_number FROM pairings
             WHERE pairing_code = $2 AND tenant_id IS NULL AND expires_ms > $3
               AND (for_tenant IS NULL OR for_tenant = $1)",
        )
        .bind(ctx.key())
        .bind(code.as_str())
        .bind(ms(now))
        .fetch_optional(&self.read)
        .await?;
        row.as_ref().map(device).transpose()
    }

    /// Makes the device's secret an enrolment token of this tenant. `None`: no screen shows this code.
    pub async fn claim_pairing(
        &self,
        ctx: &TenantContext,
        code: &PairingCode,
        token: impl FnOnce(Sha256) -> NewEnrolmentToken,
        now: Timestamp,
    ) -> Result<Option<PairingDevice>, StoreError> {
        let mut tx = self.write.begin().await?;
        let row = sqlx::query(
            "UPDATE pairings SET tenant_id = $1 WHERE pairing_code = $2 AND tenant_id IS NULL AND expires_ms > $3
               AND (for_tenant IS NULL OR for_tenant = $1)
             RETURNING token_sha256, hardware, serial_number",
        )
        .bind(ctx.key())
        .bind(code.as_str())
        .bind(ms(now))
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let secret = parse("a digest", row.try_get("token_sha256")?)?;
        let token = token(secret);
        insert_token(&mut tx, ctx, &token, now).await?;
        // As long as the token, so that the device can be told how it stands.
        sqlx::query("UPDATE pairings SET expires_ms = $1 WHERE pairing_code = $2")
            .bind(ms(token.expires_at))
            .bind(code.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Some(device(&row)?))
    }
}
