//! The certificates that sign bundles: a CA for the devices' keyring, and a leaf under it, which can be replaced.
//!
//! RAUC checks a bundle's CMS signature by OpenSSL, for the purpose S/MIME unless `system.conf` says
//! `check-purpose=codesign`: the leaf carries both extended key usages, so that it passes under
//! either. Validity is long because a device with an expired keyring takes no update any more, not
//! even the one that would bring the next keyring.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
};

use crate::error::{CommandError, Result};

const CA_YEARS: i16 = 30;
const LEAF_YEARS: i16 = 20;

/// PEM.
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) certificate: String,
}

pub(super) struct Chain {
    pub(super) ca: Pair,
    pub(super) leaf: Pair,
}

/// # Errors
/// When the organisation's name is none that a certificate can have.
pub(super) fn make(organisation: &str, now: Timestamp) -> Result<Chain> {
    let key = new_key().map_err(fail)?;
    let (begin, end) = span(now, CA_YEARS);
    let mut ca = params(organisation, "bundle CA", begin, end).map_err(fail)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = ca.self_signed(&key).map_err(fail)?;
    let leaf = leaf(
        organisation,
        span(now, LEAF_YEARS),
        &Issuer::from_params(&ca, &key),
    )?;
    let ca = Pair {
        key: key.serialize_pem(),
        certificate: certificate.pem(),
    };
    Ok(Chain { ca, leaf })
}

/// Another leaf under the CA that there is. It ends no later than its CA.
///
/// # Errors
/// When the two are not a CA and its key, or the CA has ended.
pub(super) fn leaf_under(ca: &Pair, now: Timestamp) -> Result<Pair> {
    let unusable = |what: &str| {
        CommandError::failed(format!("no bundle certificate can be made: {what}"))
            .hint("bundle-ca.cert.pem and bundle-ca.key.pem are those that `fleet keys init` made; --ca-key FILE names a key that is kept elsewhere")
    };
    let block = pem::parse(&ca.certificate).map_err(|_| unusable("the CA is no certificate"))?;
    let (_, parsed) = x509_parser::parse_x509_certificate(block.contents())
        .map_err(|_| unusable("the CA is no certificate"))?;
    let key = KeyPair::from_pem(&ca.key)
        .map_err(|_| unusable("the CA's key is no private key in PEM"))?;
    if parsed.public_key().raw != key.subject_public_key_info() {
        return Err(unusable("the key is not the CA's"));
    }
    let ca_end = Timestamp::from_second(parsed.validity().not_after.timestamp())
        .map_err(|_| unusable("the CA ends at no time"))?;
    if ca_end <= now {
        return Err(CommandError::refused(format!("the bundle CA has ended ({ca_end})"))
            .hint("devices need the keyring of a new CA, by a bundle that the present one still signs: plan it with time to spare"));
    }
    let organisation = parsed
        .subject()
        .iter_organization()
        .find_map(|name| name.as_str().ok())
        .unwrap_or("Fleet");
    let (begin, end) = span(now, LEAF_YEARS);
    let end = end.min(ca_end.to_zoned(TimeZone::UTC).date());
    let issuer = Issuer::from_ca_cert_pem(&ca.certificate, &key).map_err(fail)?;
    leaf(organisation, (begin, end), &issuer)
}

fn leaf(
    organisation: &str,
    (begin, end): (Date, Date),
    issuer: &Issuer<'_, &KeyPair>,
) -> Result<Pair> {
    let key = new_key().map_err(fail)?;
    let mut leaf = params(organisation, "bundle signing", begin, end).map_err(fail)?;
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::CodeSigning,
        ExtendedKeyUsagePurpose::EmailProtection,
    ];
    let certificate = leaf.signed_by(&key, issuer).map_err(fail)?;
    Ok(Pair {
        key: key.serialize_pem(),
        certificate: certificate.pem(),
    })
}

fn new_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
}

fn fail(error: rcgen::Error) -> CommandError {
    CommandError::failed("the bundle certificates cannot be made")
        .because(error)
        .hint("check --organisation for unusual characters")
}

/// Whole days, from yesterday on: machines disagree about the hour.
fn span(now: Timestamp, years: i16) -> (Date, Date) {
    let today = now.to_zoned(TimeZone::UTC).date();
    let begin = today.yesterday().unwrap_or(today);
    // The 29th of February does not exist every year.
    let year = begin.year().saturating_add(years).min(9998);
    let end = date(year, begin.month(), begin.day().min(28));
    (begin, end)
}

fn params(
    organisation: &str,
    name: &str,
    begin: Date,
    end: Date,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params
        .distinguished_name
        .push(DnType::OrganizationName, organisation);
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{organisation} {name}"));
    let midnight = |day: Date| {
        let (month, of_month) = (day.month().unsigned_abs(), day.day().unsigned_abs());
        rcgen::date_time_ymd(day.year().into(), month, of_month)
    };
    params.not_before = midnight(begin);
    params.not_after = midnight(end);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(instant: &str) -> Timestamp {
        instant.parse().unwrap()
    }

    fn end(pair: &Pair) -> String {
        ends_at(pair.certificate.as_bytes()).unwrap()
    }

    #[test]
    fn a_new_leaf_ends_no_later_than_its_ca() {
        let chain = make("Acme", at("2026-03-01T12:00:00Z")).unwrap();
        assert_eq!(end(&chain.ca), "2056-02-28T00:00:00Z");
        assert_eq!(end(&chain.leaf), "2046-02-28T00:00:00Z");
        let early = leaf_under(&chain.ca, at("2030-07-15T12:00:00Z")).unwrap();
        assert_eq!(end(&early), "2050-07-14T00:00:00Z");
        let late = leaf_under(&chain.ca, at("2050-07-15T12:00:00Z")).unwrap();
        assert_eq!(end(&late), end(&chain.ca));
    }

    #[test]
    fn a_new_leaf_is_issued_by_its_ca_under_the_same_name() {
        let now = at("2026-03-01T12:00:00Z");
        let chain = make("Käse & Söhne", now).unwrap();
        let leaf = leaf_under(&chain.ca, now).unwrap();
        let der = |pair: &Pair| pem::parse(&pair.certificate).unwrap().into_contents();
        let [ca, before, after] = [&chain.ca, &chain.leaf, &leaf].map(der);
        let [ca, before, after] =
            [&ca, &before, &after].map(|der| x509_parser::parse_x509_certificate(der).unwrap().1);
        assert_eq!(after.issuer().as_raw(), ca.subject().as_raw());
        assert_eq!(after.subject(), before.subject());
        assert_ne!(after.public_key(), before.public_key());
        assert_ne!(after.raw_serial(), before.raw_serial());
        let usages = |c: &x509_parser::certificate::X509Certificate<'_>| {
            let usage = c.extended_key_usage().unwrap().unwrap().value.clone();
            (usage.code_signing, usage.email_protection, c.is_ca())
        };
        assert_eq!(usages(&after), (true, true, false));
    }

    #[test]
    fn a_ca_that_has_ended_or_whose_key_is_another_issues_nothing() {
        let now = at("2026-03-01T12:00:00Z");
        let chain = make("Acme", now).unwrap();
        let message = |result: Result<Pair>| result.err().unwrap().message;
        let ended = leaf_under(&chain.ca, at("2056-02-28T00:00:00Z"));
        assert!(message(ended).contains("has ended"));
        let foreign = Pair {
            key: chain.leaf.key,
            ..chain.ca
        };
        assert!(message(leaf_under(&foreign, now)).contains("not the CA's"));
        let nonsense = Pair {
            certificate: "nonsense".to_owned(),
            ..foreign
        };
        assert!(message(leaf_under(&nonsense, now)).contains("no certificate"));
    }
}
