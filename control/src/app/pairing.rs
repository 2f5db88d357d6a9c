//! A screen that nobody knows shows a code; whoever stands before it claims it.
//!
//! The device's secret is made with the code and known to the device alone; claiming the code makes it an enrolment token,
//! with which the device enrols as any other does.

use std::net::IpAddr;

use fleet_protocol::enrolment::{
    ClaimPairing, PairingClaimed, PairingCode, PairingStarted, PairingStatus, ProvisionFile,
    StartPairing,
};
use fleet_protocol::{Sha256, VenueId};
use jiff::SignedDuration;

use super::App;
use super::enrolment::check_name;
use super::error::{Error, Kind, Refusal};
use super::limiter;
use super::rates::Rate;
use crate::clock::{random_bytes, random_id, random_secret};
use crate::store::{NewEnrolmentToken, NewPairing, PairingDevice, PairingLimits, TenantContext};

/// How long a code can be claimed.
const CLAIMED_WITHIN: SignedDuration = SignedDuration::from_mins(15);
/// How long a claimed device has to join: it may lose its network meanwhile.
const JOINED_WITHIN: SignedDuration = SignedDuration::from_hours(24);
/// A place with as many new screens behind one address has somebody who claims them.
const LIMITS: PairingLimits = PairingLimits {
    of_an_address: 200,
    of_all: 10_000,
};

impl App {
    /// What any number of devices may have that are to be paired. Holds no secret.
    pub fn pairing_file(&self, ctx: &TenantContext) -> ProvisionFile {
        ProvisionFile {
            tenant_id: Some(ctx.tenant().clone()),
            pairing: true,
            ..self.provision_file()
        }
    }

    /// # Errors
    /// 429 when too many codes wait to be claimed.
    pub async fn start_pairing(
        &self,
        request: StartPairing,
        from: IpAddr,
    ) -> Result<PairingStarted, Error> {
        let now = self.now();
        let network = limiter::key(from).to_string();
        self.rates.take(Rate::PairingOfAddress, &network)?;
        check_name("hardware", &request.hardware)?;
        if let Some(serial) = &request.serial_number {
            check_name("serialNumber", serial)?;
        }
        let code = random_code();
        let secret = random_secret();
        let new = NewPairing {
            code: code.clone(),
            secret: Sha256::of(&secret),
            address: network,
            for_tenant: request.tenant_id,
            hardware: request.hardware,
            serial_number: request.serial_number,
            expires_at: now + CLAIMED_WITHIN,
        };
        if !self.store.add_pairing(&new, LIMITS, now).await? {
            let detail = "too many devices wait to be paired";
            let hint = "claim those that show a code (`fleet device pair`), or wait until their codes expire";
            let mut refusal = Refusal::new(Kind::TooMany, "TOO_MANY_PAIRINGS", detail, hint);
            refusal.retry_after_seconds = Some(60);
            return Err(refusal.into());
        }
        Ok(PairingStarted {
            pairing_code: code,
            pairing_token: secret,
            expires_at: new.expires_at,
            server_time: now,
        })
    }

    /// # Errors
    /// 401 when no pairing has this token, or it was long ago.
    pub async fn pairing_status(
        &self,
        token: Option<&str>,
        from: IpAddr,
    ) -> Result<PairingStatus, Error> {
        let now = self.now();
        self.limiter.admit(from, now)?;
        let state = match token {
            Some(token) => self.store.pairing_state(&Sha256::of(token), now).await?,
            None => None,
        };
        // No wrong credential: many screens behind one address may ask about codes that have expired meanwhile.
        let Some((status, role)) = state else {
            let detail = "no pairing has this token";
            let hint = "begin another one: POST /v1/devices/pairing/start";
            let refusal = Refusal::new(Kind::Unauthenticated, "PAIRING_UNKNOWN", detail, hint);
            return Err(refusal.into());
        };
        Ok(PairingStatus {
            status,
            role,
            server_time: now,
        })
    }

    /// What the device says of itself that shows this code.
    ///
    /// # Errors
    /// 404 when no screen shows it now.
    pub async fn device_with_code(
        &self,
        ctx: &TenantContext,
        code: &PairingCode,
    ) -> Result<PairingDevice, Error> {
        let found = self.store.device_with_code(ctx, code, self.now()).await?;
        found.ok_or_else(|| nobody_shows(code))
    }

    /// Lets the device that shows this code into the venue.
    ///
    /// # Errors
    /// 404 when no screen shows it now.
    pub async fn claim_pairing(
        &self,
        ctx: &TenantContext,
        venue: &VenueId,
        request: ClaimPairing,
    ) -> Result<PairingClaimed, Error> {
        self.check_there(ctx, venue).await?;
        if let Some(name) = &request.device_name {
            check_name("deviceName", name)?;
        }
        let now = self.now();
        let token_id = random_id("tok_");
        let expires_at = now + JOINED_WITHIN;
        let token = |secret| NewEnrolmentToken {
            token_id: fleet_protocol::TokenId::clone(&token_id),
            secret,
            expires_at,
            max_uses: 1,
            device_name: request.device_name,
            role: request.role,
            venue_id: Some(venue.clone()),
        };
        let code = &request.pairing_code;
        let claimed = self.store.claim_pairing(ctx, code, token, now).await?;
        let device = claimed.ok_or_else(|| nobody_shows(code))?;
        tracing::info!(venue.id = %venue, token.id = %token_id, operator = ctx.actor_name(), "pairing claimed");
        Ok(PairingClaimed {
            token_id,
            expires_at,
            hardware: device.hardware,
            serial_number: device.serial_number,
        })
    }
}

fn nobody_shows(code: &PairingCode) -> Error {
    let detail = format!("no device shows the code {code} at the moment");
    let hint = "type the code that is on the screen now: it changes every quarter of an hour, and counts once";
    Refusal::new(Kind::NotFound, "NOT_FOUND", detail, hint).into()
}

fn random_code() -> PairingCode {
    loop {
        if let Some(code) = PairingCode::of(&random_bytes::<16>()) {
            return code;
        }
    }
}
