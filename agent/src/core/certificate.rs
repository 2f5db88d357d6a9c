//! How long a certificate is valid, and when a device asks for a new one.

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::after;

/// A new certificate may begin this far ahead of the device's own idea of the time.
const MAX_AHEAD_S: u64 = 24 * 60 * 60;

/// When a certificate begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no certificate: {0}")]
pub struct NoCertificate(String);

impl Validity {
    /// # Errors
    /// When `der` is no X.509 certificate, or says times that are none.
    pub fn of_der(der: &[u8]) -> Result<Self, NoCertificate> {
        let bad = |e: &dyn std::fmt::Display| NoCertificate(e.to_string());
        let (_, certificate) = X509Certificate::from_der(der).map_err(|e| bad(&e))?;
        let at = |second| Timestamp::from_second(second).map_err(|e| bad(&e));
        Ok(Self {
            not_before: at(certificate.validity().not_before.timestamp())?,
            not_after: at(certificate.validity().not_after.timestamp())?,
        })
    }

    /// Of the first certificate in `pem`.
    pub fn of_pem(pem: &str) -> Result<Self, NoCertificate> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|e| NoCertificate(e.to_string()))?;
        Self::of_der(&der)
    }

    fn life_s(&self) -> u64 {
        let life = self.not_after.as_second() - self.not_before.as_second();
        u64::try_from(life).unwrap_or(0)
    }

    /// When a new one is asked for: between 7/12 and 8/12 (two thirds) of its life, so that devices
    /// that enrolled together don't ask together. `dice` is any number that stays the same for this
    /// certificate.
    pub fn renewal_due(&self, dice: u64) -> Timestamp {
        let life = self.life_s();
        let spread = life / 12;
        after(
            self.not_before,
            life / 12 * 7 + dice % spread.saturating_add(1),
        )
    }

    /// Why a certificate that was given for this one is not taken, if it is not. `now` is the best
    /// guess at the time. A control plane whose own clock is wrong must not talk a device out of
    /// the certificate that works.
    pub fn refuses(&self, new: &Self, now: Timestamp) -> Option<&'static str> {
        if new.not_before > after(now, MAX_AHEAD_S) {
            Some("it is not valid yet")
        } else if new.not_after <= self.not_after {
            Some("it ends no later than the present one")
        } else if new.not_after <= now {
            Some("it has ended")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 86_400;

    fn validity(from_day: i64, to_day: i64) -> Validity {
        Validity {
            not_before: Timestamp::from_second(from_day * DAY).unwrap(),
            not_after: Timestamp::from_second(to_day * DAY).unwrap(),
        }
    }

    #[test]
    fn a_certificate_says_when_it_begins_and_ends() {
        let mut params = rcgen::CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let found = Validity::of_pem(&pem).unwrap();
        assert_eq!(found.not_before, "2026-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(found.not_after, "2026-04-01T00:00:00Z".parse().unwrap());
        assert!(Validity::of_pem("nonsense").is_err());
        assert!(Validity::of_der(b"nonsense").is_err());
    }

    #[test]
    fn a_certificate_of_90_days_is_renewed_before_its_sixtieth() {
        let present = validity(0, 90);
        let latest = u64::try_from(90 * DAY / 12).unwrap();
        assert_eq!(present.renewal_due(0).as_second(), 105 * DAY / 2);
        assert_eq!(present.renewal_due(latest).as_second(), 60 * DAY);
        // The number wraps around.
        assert_eq!(present.renewal_due(latest + 1), present.renewal_due(0));
    }

    #[test]
    fn a_new_certificate_from_a_wrong_clock_is_not_taken() {
        let check = |new: Validity, expected: Option<&str>| {
            let now = Timestamp::from_second(60 * DAY).unwrap();
            assert_eq!(validity(0, 90).refuses(&new, now), expected, "{new:?}");
        };
        check(validity(59, 150), None);
        check(validity(61, 152), None);
        check(validity(62, 153), Some("it is not valid yet"));
        check(
            validity(-300, 90),
            Some("it ends no later than the present one"),
        );
        let ended =
            validity(0, 20).refuses(&validity(0, 30), Timestamp::from_second(60 * DAY).unwrap());
        assert_eq!(ended, Some("it has ended"));
    }

    proptest! {
        #[test]
        fn a_renewal_is_due_within_the_life_and_before_two_thirds_of_it(
            begin in -10_000i64..100_000, days in 0i64..10_000, dice: u64,
        ) {
            let present = validity(begin, begin + days);
            let due = present.renewal_due(dice);
            let two_thirds = begin * DAY + days * DAY * 2 / 3;
            prop_assert!(due >= present.not_before && due <= present.not_after);
            prop_assert!(due.as_second() <= two_thirds + 12);
            prop_assert!(due.as_second() >= begin * DAY + days * DAY / 2 - 12);
        }
    }
}
