//! A renewed certificate on its way into use.
//!
//! ```text
//! device.cert.pem (in use) ──keep──► + device.cert.next.pem ──proved──► device.cert.pem = the new one
//!                                      └─dropped: did not work─► device.cert.pem stays
//! ```
//!
//! Whenever the power is cut, `device.cert.pem` is a certificate that works: the old one until the new
//! one has been used with success, then the new one. Nothing but this module looks at the other file.

use super::{Access, CERTIFICATE, IdentityError, Paths, file, files, read_text, request_for};

const NEXT: &str = "device.cert.next.pem";

/// A certificate request for the key that the device enrolled with: its id is derived from it, so
/// another key would be another device.
pub(in crate::daemon) fn request(paths: &Paths) -> Result<String, IdentityError> {
    let key = rcgen::KeyPair::from_pem(&read_text(&file(paths, "device.key.pem"))?)?;
    request_for(&key)
}

/// Keeps a new certificate beside the one in use.
pub(in crate::daemon) fn keep(paths: &Paths, certificate_pem: &str) -> Result<(), IdentityError> {
    let next = file(paths, NEXT);
    files::write_atomic(&next, certificate_pem.as_bytes(), Access::Secret)?;
    Ok(())
}

/// The certificate that waits to be proved, if any.
pub(in crate::daemon) fn waiting(paths: &Paths) -> Option<String> {
    read_text(&file(paths, NEXT)).ok()
}

/// The new certificate has been used with success: it takes the old one's place. Can be repeated.
pub(in crate::daemon) fn take_over(
    paths: &Paths,
    certificate_pem: &str,
) -> Result<(), IdentityError> {
    let bytes = certificate_pem.as_bytes();
    files::write_atomic(&file(paths, CERTIFICATE), bytes, Access::Secret)?;
    drop_waiting(paths)
}

/// The new certificate does not work.
pub(in crate::daemon) fn drop_waiting(paths: &Paths) -> Result<(), IdentityError> {
    Ok(files::remove(&file(paths, NEXT))?)
}

#[cfg(test)]
mod tests {
    use super::super::{Duration, TimeFloor};
    use super::*;
    use crate::daemon::identity;

    /// An enrolled device's identity files, and certificates for its key as they are asked for.
    struct Enrolled {
        _root: tempfile::TempDir,
        paths: Paths,
        key: rcgen::KeyPair,
    }

    impl Enrolled {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let paths = Paths::under(root.path());
            identity::certificate_request(&paths).unwrap();
            let key = read_text(&file(&paths, "device.key.pem")).unwrap();
            let enrolled = Self {
                _root: root,
                paths,
                key: rcgen::KeyPair::from_pem(&key).unwrap(),
            };
            let write = |name: &str, text: &str| {
                let path = file(&enrolled.paths, name);
                files::write_atomic(&path, text.as_bytes(), Access::Secret).unwrap();
            };
            write("token", "t");
            write(CERTIFICATE, &enrolled.certificate(2026));
            write("ca.pem", &enrolled.certificate(2026));
            enrolled
        }

        /// Self-signed: who signed it is for the control plane to judge.
        fn certificate(&self, from_year: i32) -> String {
            let mut params = rcgen::CertificateParams::default();
            params.not_before = rcgen::date_time_ymd(from_year, 1, 1);
            params.not_after = rcgen::date_time_ymd(from_year + 1, 1, 1);
            let pem = params.self_signed(&self.key).unwrap().pem();
            pem.trim().to_owned()
        }

        /// The year in which the certificate in use begins; it can be used.
        fn in_use(&self) -> i16 {
            let identity = serde_json::json!({
                "deviceId": "dev_1", "tenantId": "ten_1", "serverUrl": "https://fleet.example"
            });
            let identity = serde_json::from_value(identity).unwrap();
            let floor = TimeFloor::default();
            identity::connect(&self.paths, &identity, &floor, Duration::from_secs(1)).unwrap();
            let begins = identity::validity(&self.paths).unwrap().not_before;
            begins.to_zoned(jiff::tz::TimeZone::UTC).year()
        }
    }

    #[test]
    fn the_old_certificate_is_in_use_until_the_new_one_is_proved() {
        let device = Enrolled::new();
        let new = device.certificate(2027);
        keep(&device.paths, &new).unwrap();
        assert_eq!(device.in_use(), 2026);
        assert_eq!(waiting(&device.paths), Some(new.clone()));
        take_over(&device.paths, &new).unwrap();
        assert_eq!(device.in_use(), 2027);
        assert_eq!(waiting(&device.paths), None);
    }

    #[test]
    fn a_power_cut_at_any_write_leaves_a_certificate_that_works() {
        let device = Enrolled::new();
        let new = device.certificate(2027);
        // Cut within the first write: half a temporary file.
        std::fs::write(
            device.paths.identity().join(".device.cert.next.pem.new"),
            "half",
        )
        .unwrap();
        assert_eq!((device.in_use(), waiting(&device.paths)), (2026, None));
        keep(&device.paths, &new).unwrap();
        // Cut after the certificate in use was replaced, before the other file was removed.
        files::write_atomic(
            &file(&device.paths, CERTIFICATE),
            new.as_bytes(),
            Access::Secret,
        )
        .unwrap();
        assert_eq!(device.in_use(), 2027);
        let again = waiting(&device.paths).unwrap();
        take_over(&device.paths, &again).unwrap();
        assert_eq!((device.in_use(), waiting(&device.paths)), (2027, None));
    }

    #[test]
    fn a_certificate_that_does_not_work_is_dropped() {
        let device = Enrolled::new();
        keep(&device.paths, &device.certificate(2027)).unwrap();
        drop_waiting(&device.paths).unwrap();
        assert_eq!((device.in_use(), waiting(&device.paths)), (2026, None));
    }

    #[test]
    fn a_renewal_never_makes_a_key() {
        let device = Enrolled::new();
        request(&device.paths).unwrap();
        let path = file(&device.paths, "device.key.pem");
        files::write_atomic(&path, b"half", Access::Secret).unwrap();
        assert!(request(&device.paths).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"half");
    }
}
