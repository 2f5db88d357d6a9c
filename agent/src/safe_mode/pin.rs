//! The device's PIN: where it lives, and how it is compared.
//!
//! The PIN is random, never derived from a serial number or an address: those can be read off the
//! network. It lies on the boot partition (it outlives the data partition) and, as a second copy,
//! beside the device's identity. If neither can be read, a PIN is made for this boot alone, and
//! only somebody at the device can learn it (docs/decisions/0006-pin-and-presence.md).

use std::path::PathBuf;

use fleet_device::files::{self, Access};

use crate::platform::paths::Paths;

const DIGITS: usize = 8;

/// 6 to 12 digits. Printing it for debugging shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(String);

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin(…)")
    }
}

/// Where a PIN came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    BootPartition,
    DataPartition,
    /// Made now and written to at least one partition.
    Made,
    /// Made now; nothing could be written, so it is valid until the power goes.
    ThisBootOnly,
}

impl Pin {
    /// Digits, with spaces between them if people like; `None` if it is no PIN.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let valid = (6..=12).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        valid.then_some(Self(digits))
    }

    /// From random bytes, every digit equally likely; `None` if they do not suffice.
    fn from_random(bytes: &[u8]) -> Option<Self> {
        let digits: String = bytes
            .iter()
            .filter(|byte| **byte < 250)
            .map(|byte| char::from(b'0' + byte % 10))
            .take(DIGITS)
            .collect();
        (digits.len() == DIGITS).then_some(Self(digits))
    }

    /// In time that does not depend on how many digits are right.
    pub fn matches(&self, guess: &Self) -> bool {
        let (own, other) = (self.0.as_bytes(), guess.0.as_bytes());
        let difference = own
            .iter()
            .zip(other.iter().chain(std::iter::repeat(&0)))
            .fold(own.len() ^ other.len(), |sum, (a, b)| {
                sum | usize::from(a ^ b)
            });
        difference == 0
    }

    /// In groups of four, for the screen.
    pub fn for_people(&self) -> String {
        let groups: Vec<&str> = self
            .0
            .as_bytes()
            .chunks(4)
            .filter_map(|group| std::str::from_utf8(group).ok())
            .collect();
        groups.join(" ")
    }

    pub(crate) fn digits(&self) -> &str {
        &self.0
    }
}

/// The files that may hold the PIN, the first one first.
pub fn files(paths: &Paths) -> [PathBuf; 2] {
    [paths.esp.join("fleet/pin"), paths.identity().join("pin")]
}

/// The PIN of this device, made if there is none yet, and copied to wherever it is missing. Safe to
/// call at every start, in either mode.
///
/// # Errors
/// Only when the system has no random numbers.
pub fn ensure(paths: &Paths) -> Result<(Pin, Origin), getrandom::Error> {
    let places = files(paths);
    let volatile = paths.run.join("pin");
    let known = places
        .iter()
        .zip([Origin::BootPartition, Origin::DataPartition])
        .find_map(|(path, origin)| Some((read(path)?, origin)));
    let (pin, origin) = match known {
        Some(found) => found,
        None => match read(&volatile) {
            Some(pin) => (pin, Origin::ThisBootOnly),
            None => (make()?, Origin::Made),
        },
    };
    let mut kept = false;
    for path in &places {
        // The folder of the identity is not made here: on a missing data partition it would land on
        // the mount point.
        let home_exists = path
            .parent()
            .and_then(std::path::Path::parent)
            .is_some_and(std::path::Path::is_dir);
        if read(path).as_ref() == Some(&pin) {
            kept = true;
        } else if home_exists {
            match files::write_atomic(path, pin.digits().as_bytes(), Access::Secret) {
                Ok(()) => kept = true,
                Err(error) => log::warn!(error:% = error; "the PIN could not be copied"),
            }
        }
    }
    if kept {
        let origin = if origin == Origin::ThisBootOnly {
            Origin::Made
        } else {
            origin
        };
        return Ok((pin, origin));
    }
    if let Err(error) = files::write_atomic(&volatile, pin.digits().as_bytes(), Access::Secret) {
        log::warn!(error:% = error; "the PIN of this boot could not be kept");
    }
    Ok((pin, Origin::ThisBootOnly))
}

fn read(path: &std::path::Path) -> Option<Pin> {
    let bytes = files::read_limited(path, 64).ok()??;
    Pin::parse(std::str::from_utf8(&bytes).ok()?)
}

fn make() -> Result<Pin, getrandom::Error> {
    loop {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        if let Some(pin) = Pin::from_random(&bytes) {
            return Ok(pin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn device() -> (tempfile::TempDir, Paths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        std::fs::create_dir_all(&paths.esp).unwrap();
        std::fs::create_dir_all(&paths.data).unwrap();
        (folder, paths)
    }

    #[test]
    fn the_first_start_makes_a_pin_and_later_ones_keep_it() {
        let (_folder, paths) = device();
        let (first, origin) = ensure(&paths).unwrap();
        assert_eq!(origin, Origin::Made);
        assert_eq!(ensure(&paths).unwrap(), (first, Origin::BootPartition));
    }

    #[test]
    fn the_pin_outlives_the_data_partition_and_is_copied_back() {
        let (_folder, paths) = device();
        let (pin, _) = ensure(&paths).unwrap();
        std::fs::remove_dir_all(&paths.data).unwrap();
        assert_eq!(ensure(&paths).unwrap().0, pin);
        assert!(!paths.data.exists());
        std::fs::create_dir_all(&paths.data).unwrap();
        std::fs::remove_file(paths.esp.join("fleet/pin")).unwrap();
        files::write_atomic(&files(&paths)[1], pin.digits().as_bytes(), Access::Secret).unwrap();
        assert_eq!(
            ensure(&paths).unwrap(),
            (pin.clone(), Origin::DataPartition)
        );
        assert_eq!(ensure(&paths).unwrap(), (pin, Origin::BootPartition));
    }

    #[test]
    fn a_pin_that_the_operator_put_on_the_boot_partition_is_taken() {
        let (_folder, paths) = device();
        std::fs::create_dir_all(paths.esp.join("fleet")).unwrap();
        std::fs::write(paths.esp.join("fleet/pin"), "1234 5678\n").unwrap();
        let (pin, origin) = ensure(&paths).unwrap();
        assert_eq!(
            (pin.for_people().as_str(), origin),
            ("1234 5678", Origin::BootPartition)
        );
    }

    #[test]
    fn without_any_partition_the_pin_lasts_for_this_boot() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let (pin, origin) = ensure(&paths).unwrap();
        assert_eq!(origin, Origin::ThisBootOnly);
        assert_eq!(ensure(&paths).unwrap().0, pin);
    }

    #[test]
    fn nothing_of_a_pin_is_shown_in_a_log() {
        assert_eq!(format!("{:?}", Pin::parse("12345678").unwrap()), "Pin(…)");
    }

    proptest! {
        #[test]
        fn only_the_same_digits_match(a in "[0-9]{6,12}", b in "[0-9]{6,12}") {
            let (left, right) = (Pin::parse(&a).unwrap(), Pin::parse(&b).unwrap());
            prop_assert_eq!(left.matches(&right), a == b);
            prop_assert!(left.matches(&left.clone()));
        }

        #[test]
        fn what_is_no_pin_is_none(text in "\\PC{0,20}") {
            if let Some(pin) = Pin::parse(&text) {
                prop_assert!(pin.digits().len() >= 6);
            }
        }
    }
}
