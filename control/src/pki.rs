//! The fleet's own certificate authority: one CA, one server certificate, short-lived device
//! certificates.
//!
//! Of a device's request only the public key is taken, and only after the request's signature
//! showed that the device holds the private one; subject, names and extensions are ours.

use std::net::IpAddr;
use std::path::Path;

use fleet_protocol::{DeviceId, Sha256, TenantId};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509CertificationRequest};

use crate::disk::{self, Access, DiskError};

const CA_DAYS: i64 = 20 * 365;
const SERVER_DAYS: i64 = 397;
const SERVER_RENEW_DAYS: i64 = 30;
pub const DEVICE_DAYS: i64 = 90;
/// Certificates are valid a day into the past, for clocks that run behind.
const BACKDATE: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("make a certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("the stored {what} does not parse: {reason}")]
    Stored { what: &'static str, reason: String },
    #[error("the certificate request is refused: {reason}")]
    Request { reason: String },
}

/// The authority with its key in memory.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    certificate_der: Vec<u8>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// A device's public key, taken from a request whose signature held.
#[derive(Debug)]
pub struct RequestedKey {
    spki: Vec<u8>,
}

impl RequestedKey {
    /// # Errors
    /// When it is no PEM request, its self-signature is wrong, or its key is neither P-256 nor
    /// Ed25519.
    pub fn from_csr(csr_pem: &str) -> Result<Self, PkiError> {
        let refused = |reason: &str| PkiError::Request {
            reason: reason.to_owned(),
        };
        if csr_pem.len() > 16 * 1024 {
            return Err(refused("it is longer than 16 KiB"));
        }
        let block = pem::parse(csr_pem).map_err(|e| refused(&format!("no PEM: {e}")))?;
        if block.tag() != "CERTIFICATE REQUEST" {
            return Err(refused("the PEM block is no CERTIFICATE REQUEST"));
        }
        let (_, csr) = X509CertificationRequest::from_der(block.contents())
            .map_err(|e| refused(&format!("no PKCS#10: {e}")))?;
        csr.verify_signature()
            .map_err(|_| refused("its signature is not by its own key"))?;
        let spki = csr.certification_request_info.subject_pki.raw.to_vec();
        let accepted = |key: &SubjectPublicKeyInfo| {
            let algorithm = rcgen::PublicKeyData::algorithm(key);
            *algorithm == PKCS_ECDSA_P256_SHA256 || *algorithm == rcgen::PKCS_ED25519
        };
        match SubjectPublicKeyInfo::from_der(&spki) {
            Ok(key) if accepted(&key) => Ok(Self { spki }),
            _ => Err(refused("its key is neither ECDSA P-256 nor Ed25519")),
        }
    }

    /// `dev_` and the first 20 hex digits of the SHA-256 of the key's `SubjectPublicKeyInfo`.
    pub fn device_id(&self) -> DeviceId {
        let digest = Sha256::of(&self.spki).to_string();
        format!("dev_{}", &digest[..20])
            .parse()
            .expect("hex digits make a device id")
    }
}

/// A certificate just issued to a device.
#[derive(Debug)]
pub struct DeviceCertificate {
    pub pem: String,
    pub not_after: Timestamp,
}

/// What the server presents, both parts PEM.
pub struct ServerCertificate {
    pub pem: String,
    pub key_pem: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerCertificate until {}", self.not_after)
    }
}

impl ServerCertificate {
    /// Near its end, or from a time when the clock ran ahead.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now < self.not_before || self.not_after <= after_days(now, SERVER_RENEW_DAYS)
    }
}

impl Authority {
    /// Reads the CA from `folder`, or makes it at the first start.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self, PkiError> {
        disk::create_folder(folder)?;
        let (key_path, cert_path) = (folder.join("ca.key.pem"), folder.join("ca.cert.pem"));
        let stored = (disk::read_text(&key_path)?, disk::read_text(&cert_path)?);
        let (key, certificate_pem) = match stored {
            (Some(key), Some(certificate)) => (KeyPair::from_pem(&key)?, certificate),
            // A certificate is written after its key: without one, nothing was issued yet.
            (_, None) => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                let certificate = ca_params(now).self_signed(&key)?.pem();
                disk::write(&key_path, key.serialize_pem().as_bytes(), Access::Owner)?;
                disk::write(&cert_path, certificate.as_bytes(), Access::Everyone)?;
                (key, certificate)
            }
            (None, Some(_)) => {
                return Err(PkiError::Stored {
                    what: "CA",
                    reason: format!("{} is missing; restore it", key_path.display()),
                });
            }
        };
        let block = pem::parse(&certificate_pem).map_err(|e| PkiError::Stored {
            what: "CA certificate",
            reason: e.to_string(),
        })?;
        Ok(Self {
            issuer: Issuer::from_ca_cert_pem(&certificate_pem, key)?,
            certificate_der: block.into_contents(),
            certificate_pem,
        })
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate_der
    }

    pub fn issue_device(
        &self,
        key: &RequestedKey,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<DeviceCertificate, PkiError> {
        let id = key.device_id();
        let mut params = leaf_params(now, DEVICE_DAYS, id.as_str());
        params
            .distinguished_name
            .push(DnType::OrganizationName, tenant.as_str());
        let uri = format!("urn:fleet:device:{id}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let public = SubjectPublicKeyInfo::from_der(&key.spki)?;
        let certificate = params.signed_by(&public, &self.issuer)?;
        Ok(DeviceCertificate {
            pem: certificate.pem(),
            not_after: after_days(now, DEVICE_DAYS),
        })
    }

    /// The server's certificate for `names` with its key: the stored one, unless it is for other
    /// names, from another CA, or due.
    pub fn server_certificate(
        &self,
        folder: &Path,
        names: &[String],
        now: Timestamp,
    ) -> Result<ServerCertificate, PkiError> {
        let (key_path, cert_path) = (
            folder.join("server.key.pem"),
            folder.join("server.cert.pem"),
        );
        if let (Some(key), Some(certificate)) =
            (disk::read_text(&key_path)?, disk::read_text(&cert_path)?)
            && let Some(stored) = self.usable(certificate, key, names)
            && !stored.is_due(now)
        {
            return Ok(stored);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = leaf_params(now, SERVER_DAYS, "fleet-control");
        params.subject_alt_names = names.iter().map(|n| san(n)).collect::<Result<_, _>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let made = ServerCertificate {
            pem: params.signed_by(&key, &self.issuer)?.pem(),
            key_pem: key.serialize_pem(),
            not_before: now - BACKDATE,
            not_after: after_days(now, SERVER_DAYS),
        };
        disk::write(&key_path, made.key_pem.as_bytes(), Access::Owner)?;
        disk::write(&cert_path, made.pem.as_bytes(), Access::Everyone)?;
        Ok(made)
    }

    /// A stored certificate, if it is ours and fits key and names.
    fn usable(
        &self,
        certificate: String,
        key_pem: String,
        names: &[String],
    ) -> Option<ServerCertificate> {
        let block = pem::parse(&certificate).ok()?;
        let key = KeyPair::from_pem(&key_pem).ok()?;
        let (_, parsed) = X509Certificate::from_der(block.contents()).ok()?;
        let (_, ca) = X509Certificate::from_der(&self.certificate_der).ok()?;
        let fits = parsed.verify_signature(Some(ca.public_key())).is_ok()
            && parsed.public_key().subject_public_key.data.as_ref() == key.public_key_raw()
            && names_of(&parsed).is_some_and(|found| names.iter().all(|n| found.contains(n)));
        let valid = parsed.validity();
        let stored = ServerCertificate {
            not_before: Timestamp::from_second(valid.not_before.timestamp()).ok()?,
            not_after: Timestamp::from_second(valid.not_after.timestamp()).ok()?,
            pem: certificate,
            key_pem,
        };
        Some(stored).filter(|_| fits)
    }
}

/// The device that a verified client certificate names.
pub fn device_of(certificate_der: &[u8]) -> Option<DeviceId> {
    let (_, certificate) = X509Certificate::from_der(certificate_der).ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok()?.parse().ok()
}

fn names_of(certificate: &X509Certificate<'_>) -> Option<Vec<String>> {
    use x509_parser::extensions::GeneralName;
    let names = certificate.subject_alternative_name().ok()??;
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(dns) => Some((*dns).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|b| IpAddr::from(b).to_string()),
            16 => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|b| IpAddr::from(b).to_string()),
            _ => None,
        },
        _ => None,
    };
    Some(names.value.general_names.iter().filter_map(text).collect())
}

fn san(name: &str) -> Result<SanType, rcgen::Error> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(name.try_into()?)),
    }
}

fn ca_params(now: Timestamp) -> CertificateParams {
    let mut params = leaf_params(now, CA_DAYS, "Fleet CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = false;
    params
}

fn leaf_params(now: Timestamp, days: i64, common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    // rcgen speaks of time in another crate's type: its epoch plus a duration needs no import.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(now - BACKDATE);
    params.not_after = epoch + since_epoch(after_days(now, days));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(SerialNumber::from(
        hex::decode(&crate::clock::random_secret()[..32]).expect("a secret is hex"),
    ));
    params
}

fn after_days(now: Timestamp, days: i64) -> Timestamp {
    now + SignedDuration::from_hours(24 * days)
}

fn since_epoch(at: Timestamp) -> std::time::Duration {
    std::time::Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_certificate_from_a_clock_that_ran_ahead_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let authority = Authority::open(folder.path(), now).unwrap();
        let names = ["fleet.example".to_owned()];
        let certificate = |now| {
            let made = authority.server_certificate(folder.path(), &names, now);
            made.unwrap().pem
        };
        let good = certificate(now);
        assert_eq!(certificate(now), good);
        let ahead = certificate("2099-06-01T00:00:00Z".parse().unwrap());
        assert_ne!(ahead, good);
        assert_ne!(certificate(now), ahead);
    }
}
