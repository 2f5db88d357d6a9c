//! Letting devices in, and keeping their certificates fresh.

use std::net::IpAddr;

use fleet_protocol::device::Page;
use fleet_protocol::enrolment::{
    CertificateRenewed, CreateEnrolmentToken, EnrollRequest, EnrollResponse, EnrolmentTokenCreated,
    EnrolmentTokenView, ProvisionFile, RenewCertificate,
};
use fleet_protocol::{DeviceId, Sha256, TokenId, VenueId};
use jiff::SignedDuration;

use super::access::unauthenticated;
use super::error::{Error, Kind, Refusal, no_such};
use super::{App, PageRequest};
use crate::clock::{random_id, random_secret};
use crate::pki::{PkiError, RequestedKey};
use crate::store::{Admitted, NewDevice, NewEnrolmentToken, Revocation, TenantContext, TokenGrant};

const TOKEN_LIST: &str = "`fleet device token list` (GET /v1/enrolment-tokens)";
const MAX_VALID_HOURS: u32 = 365 * 24;
const MAX_USES: u32 = 10_000;
/// Characters.
const LONGEST_NOTE: usize = 500;

impl App {
    /// The device that shows this certificate and this token; both must be its own.
    pub async fn device_gate(
        &self,
        certificate: Option<&DeviceId>,
        token: Option<&str>,
    ) -> Result<Admitted, Error> {
        let id = shown(certificate)?;
        let token = token.ok_or_else(|| {
            unauthenticated(
                "the device's token is missing",
                "send the token that enrolment gave to the device, as x-device-token or as a bearer's",
            )
        })?;
        let admitted = self
            .store
            .device_gate(id, &Sha256::of(token), self.now())
            .await?;
        admitted.ok_or_else(|| {
            let detail = "certificate and token are not of one enrolled device";
            unauthenticated(detail, ENROL_AGAIN)
        })
    }

    /// The device that shows this certificate: enough to fetch what its manifest names, for which players send no
    /// token (an address may be anybody's).
    pub async fn certificate_gate(
        &self,
        certificate: Option<&DeviceId>,
    ) -> Result<TenantContext, Error> {
        let id = shown(certificate)?;
        let ctx = self.store.certificate_gate(id, self.now()).await?;
        ctx.ok_or_else(|| {
            let detail = "the certificate is not of an enrolled device";
            unauthenticated(detail, ENROL_AGAIN)
        })
    }

    /// Whom a device asks and whom it believes. Neither a token nor a code lets it in yet.
    pub(super) fn provision_file(&self) -> ProvisionFile {
        ProvisionFile {
            server_url: self.settings.public_url.clone(),
            ca_certificate_pem: self.authority.certificate_pem().to_owned(),
            enrolment_token: String::new(),
            server_time: self.now(),
            role: None,
            pairing: false,
            tenant_id: None,
        }
    }

    pub async fn create_enrolment_token(
        &self,
        ctx: &TenantContext,
        request: CreateEnrolmentToken,
    ) -> Result<EnrolmentTokenCreated, Error> {
        let hours = within(
            "validHours",
            request.valid_hours.unwrap_or(24),
            MAX_VALID_HOURS,
        )?;
        let max_uses = within("maxUses", request.max_uses.unwrap_or(1), MAX_USES)?;
        if let Some(name) = &request.device_name {
            check_name("deviceName", name)?;
        }
        let now = self.now();
        let secret = random_secret();
        let token = NewEnrolmentToken {
            token_id: random_id("tok_"),
            secret: Sha256::of(&secret),
            expires_at: now + SignedDuration::from_hours(hours.into()),
            max_uses,
            device_name: request.device_name,
            role: request.role.clone(),
            venue_id: None,
        };
        self.store.add_enrolment_token(ctx, &token, now).await?;
        tracing::info!(token.id = %token.token_id, operator = ctx.actor_name(), "enrolment token made");
        Ok(EnrolmentTokenCreated {
            token_id: token.token_id,
            expires_at: token.expires_at,
            provision: ProvisionFile {
                enrolment_token: secret,
                role: request.role,
                ..self.provision_file()
            },
        })
    }

    pub async fn enrolment_tokens(
        &self,
        ctx: &TenantContext,
        page: &PageRequest,
    ) -> Result<Page<EnrolmentTokenView>, Error> {
        let limit = page.with_one_more();
        let cursor = page.cursor.as_deref();
        let rows = self.store.enrolment_tokens(ctx, cursor, limit).await?;
        Ok(page.page(rows, |t| t.token_id.to_string(), |t| t))
    }

    /// Lets no more devices join with a token. Said again, nothing changes.
    ///
    /// # Errors
    /// 409 when it is used up: its devices have joined.
    pub async fn revoke_token(
        &self,
        ctx: &TenantContext,
        id: &TokenId,
        venue: Option<&VenueId>,
    ) -> Result<(), Error> {
        match self.store.revoke_token(ctx, id, venue, self.now()).await? {
            Revocation::Revoked => {}
            Revocation::UsedUp => {
                let detail = format!("the enrolment token {id} is used up");
                let hint = "what has joined with it is removed as a device: `fleet device remove`";
                return Err(Refusal::new(Kind::Conflict, "TOKEN_USED_UP", detail, hint).into());
            }
            Revocation::Unknown => return Err(no_such("enrolment token", id, TOKEN_LIST)),
        }
        tracing::info!(token.id = %id, operator = ctx.actor_name(), "enrolment token revoked");
        Ok(())
    }

    /// Enrols a device, or gives a known one new credentials: both need a token that is good.
    pub async fn enrol(
        &self,
        request: EnrollRequest,
        from: IpAddr,
    ) -> Result<(EnrollResponse, TenantContext), Error> {
        let now = self.now();
        self.limiter.admit(from, now)?;
        let secret = Sha256::of(&request.enrolment_token);
        let Some(ctx) = self.store.enrolment_gate(&secret).await? else {
            self.limiter.failed(from, now);
            return Err(Refusal::new(
                Kind::Unauthenticated,
                "ENROLMENT_TOKEN_UNKNOWN",
                "this enrolment token is none of ours",
                "make a new one: `fleet device enrol` (POST /v1/enrolment-tokens)",
            )
            .into());
        };
        check_name("hardware", &request.hardware)?;
        if let Some(serial) = &request.serial_number {
            check_name("serialNumber", serial)?;
        }
        let key = requested_key(&request.csr_pem)?;
        let device_id = key.device_id();
        let certificate = self.authority.issue_device(&key, ctx.tenant(), now)?;
        let device_token = random_secret();
        let device = NewDevice {
            device_id: device_id.clone(),
            compatible: request.compatible,
            hardware: request.hardware,
            serial_number: request.serial_number,
            version: request.version,
            device_token: Sha256::of(&device_token),
            certificate_until: certificate.not_after,
        };
        let grant = self.store.enrol(&ctx, &secret, &device, now).await?;
        self.check_grant(grant, from)?;
        tracing::info!(device.id = %device_id, again = grant == TokenGrant::Renewed, "device enrolled");
        let response = EnrollResponse {
            device_id,
            tenant_id: ctx.tenant().clone(),
            certificate_pem: certificate.pem,
            device_token,
            server_time: now,
        };
        Ok((response, ctx))
    }

    fn check_grant(&self, grant: TokenGrant, from: IpAddr) -> Result<(), Error> {
        let (detail, hint) = match grant {
            TokenGrant::Enrolled | TokenGrant::Renewed => return Ok(()),
            TokenGrant::Expired => (
                "this enrolment token has expired, or was revoked",
                "make a new one and put its provision file on the device",
            ),
            TokenGrant::UsedUp => (
                "this enrolment token has been used up",
                "make a new one and put its provision file on the device",
            ),
            TokenGrant::Revoked => (
                "this device was revoked",
                "let it in again first: `fleet device restore DEVICE` (POST /v1/devices/{id}/restore)",
            ),
            TokenGrant::Foreign => (
                "this device's key belongs to another organisation",
                "remove it there (`fleet device remove`), or give the device a new key by wiping its data partition",
            ),
        };
        self.limiter.failed(from, self.now());
        Err(Refusal::new(Kind::Forbidden, "ENROLMENT_REFUSED", detail, hint).into())
    }

    /// A new certificate for the same key.
    pub async fn renew_certificate(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        request: &RenewCertificate,
    ) -> Result<CertificateRenewed, Error> {
        let key = requested_key(&request.csr_pem)?;
        if key.device_id() != *id {
            return Err(Refusal::field(
                "csrPem",
                "is of another key than this device's",
                "renew with the key that the device enrolled with, or enrol it again",
            )
            .into());
        }
        let now = self.now();
        let certificate = self.authority.issue_device(&key, ctx.tenant(), now)?;
        self.store
            .note_certificate(ctx, id, certificate.not_after)
            .await?;
        Ok(CertificateRenewed {
            certificate_pem: certificate.pem,
            not_after: certificate.not_after,
            server_time: now,
        })
    }
}

fn requested_key(csr_pem: &str) -> Result<RequestedKey, Error> {
    RequestedKey::from_csr(csr_pem).map_err(|error| match error {
        PkiError::Request { reason } => Refusal::field(
            "csrPem",
            reason,
            "send a PKCS#10 request in PEM, signed by the device's own P-256 or Ed25519 key",
        )
        .into(),
        other => other.into(),
    })
}

fn within(field: &str, value: u32, max: u32) -> Result<u32, Error> {
    if (1..=max).contains(&value) {
        Ok(value)
    } else {
        let message = format!("{value} is not within 1 to {max}");
        Err(Refusal::field(field, message, format!("give a number from 1 to {max}")).into())
    }
}

const ENROL_AGAIN: &str =
    "enrol the device again with a new enrolment token, unless it was revoked";

fn shown(certificate: Option<&DeviceId>) -> Result<&DeviceId, Error> {
    certificate.ok_or_else(|| {
        let detail = "no client certificate of a device was shown";
        let hint = "connect with the certificate that enrolment gave to the device";
        unauthenticated(detail, hint)
    })
}

pub(super) fn check_name(field: &str, name: &str) -> Result<(), Error> {
    let length = name.chars().count();
    if (1..=100).contains(&length) && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        let message = "has to be 1 to 100 characters without control characters";
        Err(Refusal::field(field, message, "shorten it, or leave it out").into())
    }
}

/// What people write to one another.
pub(super) fn check_note(note: Option<&str>) -> Result<(), Error> {
    let fits = |note: &str| (1..=LONGEST_NOTE).contains(&note.chars().count());
    if note.is_some_and(|note| !fits(note) || note.contains('\0')) {
        let message = format!("has to be 1 to {LONGEST_NOTE} characters, none of them NUL");
        return Err(Refusal::field("note", message, "shorten it, or leave it out").into());
    }
    Ok(())
}
