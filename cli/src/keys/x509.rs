//! The certificates that sign bundles: a CA for the devices' keyring, and one leaf under it.
//!
//! RAUC checks a bundle's CMS signature by OpenSSL, for the purpose S/MIME unless `system.conf` says
//! `check-purpose=codesign`: the leaf carries both extended key usages, so that it passes under
//! either. Validity is long because a device with an expired keyring takes no update any more, not
//! even the one that would bring the next keyring.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

use crate::error::{CommandError, Result};

const CA_YEARS: i16 = 30;
const LEAF_YEARS: i16 = 20;

pub(super) struct Chain {
    pub(super) ca_key: String,
    pub(super) ca_certificate: String,
    pub(super) leaf_key: String,
    pub(super) leaf_certificate: String,
}

pub(super) fn make(organisation: &str, now: Timestamp) -> Result<Chain> {
    let fail = |e: rcgen::Error| {
        CommandError::failed("the bundle certificates cannot be made")
            .because(e)
            .hint("check --organisation for unusual characters")
    };
    let new_key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(fail);

    let ca_key = new_key()?;
    let mut ca = params(organisation, "bundle CA", now, CA_YEARS).map_err(fail)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_certificate = ca.self_signed(&ca_key).map_err(fail)?;

    let leaf_key = new_key()?;
    let mut leaf = params(organisation, "bundle signing", now, LEAF_YEARS).map_err(fail)?;
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::CodeSigning,
        ExtendedKeyUsagePurpose::EmailProtection,
    ];
    let leaf_certificate = leaf
        .signed_by(&leaf_key, &Issuer::from_params(&ca, &ca_key))
        .map_err(fail)?;
    Ok(Chain {
        ca_key: ca_key.serialize_pem(),
        ca_certificate: ca_certificate.pem(),
        leaf_key: leaf_key.serialize_pem(),
        leaf_certificate: leaf_certificate.pem(),
    })
}

fn params(
    organisation: &str,
    name: &str,
    now: Timestamp,
    years: i16,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params
        .distinguished_name
        .push(DnType::OrganizationName, organisation);
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{organisation} {name}"));
    // Whole days, from yesterday on: machines disagree about the hour.
    let today = now.to_zoned(TimeZone::UTC).date();
    let begin = today.yesterday().unwrap_or(today);
    // The 29th of February does not exist every year.
    let (month, day) = (
        begin.month().unsigned_abs(),
        begin.day().min(28).unsigned_abs(),
    );
    let end = begin.year().saturating_add(years).min(9998);
    params.not_before = rcgen::date_time_ymd(begin.year().into(), month, day);
    params.not_after = rcgen::date_time_ymd(end.into(), month, day);
    Ok(params)
}

/// When the certificate ends, for showing; `None` when it does not parse.
pub(super) fn not_after(path: &Path) -> Option<String> {
    ends_at(&std::fs::read(path).ok()?)
}

/// The same of a certificate's PEM.
pub fn ends_at(certificate_pem: &[u8]) -> Option<String> {
    let block = pem::parse(certificate_pem).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(block.contents()).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    Some(Timestamp::from_second(seconds).ok()?.to_string())
}
