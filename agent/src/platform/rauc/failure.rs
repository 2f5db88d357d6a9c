//! What kind of failure RAUC's error text speaks of.
//!
//! RAUC gives a text only. The phrases are those of RAUC 1.13 to 1.15 (`src/bundle.c`,
//! `src/signature.c`, `src/install.c`, `src/nbd.c`, `src/update_handler.c`); what is in none of them
//! counts as passing, because another try costs little and a good release refused costs a fleet.

/// Kinds of failure, by what is to be done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Not signed by whom the keyring trusts, or broken where the signature should be.
    Signature,
    /// Made for another kind of device.
    Compatible,
    /// No bundle, a truncated one, or of a format that is not allowed.
    Format,
    /// Another bundle than the release's metadata names.
    Mismatch,
    /// The network or the control plane.
    Network,
    /// The slot could not be written.
    SlotWrite,
    /// RAUC does something else.
    Busy,
    /// RAUC is not there, restarted in the middle, or does not answer.
    Absent,
    /// Nothing moved for too long.
    Stalled,
    Other,
}

impl FailureKind {
    /// Another try of the same bundle can't end otherwise.
    pub const fn is_permanent(self) -> bool {
        matches!(
            self,
            Self::Signature | Self::Compatible | Self::Format | Self::Mismatch
        )
    }

    /// What to do next.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Signature => {
                "sign the bundle with a certificate under the CA of the device's keyring"
            }
            Self::Compatible => "publish the bundle that was built for this kind of device",
            Self::Format => "build the bundle again (verity format) and check the upload",
            Self::Mismatch => "upload the very bundle that the release was signed for",
            Self::Network => "nothing: it is tried again when the network allows",
            Self::SlotWrite => "nothing at first: it is tried again; if it stays, check the medium",
            Self::Busy | Self::Absent | Self::Stalled | Self::Other => {
                "nothing at first: it is tried again; if it stays, look at `journalctl -u rauc`"
            }
        }
    }
}

/// Phrases in lower case, the more telling ones first.
const PHRASES: &[(&str, FailureKind)] = &[
    // The clock is wrong, not the bundle (rauc#496): worth another try when it is right.
    ("certificate is not yet valid", FailureKind::Other),
    ("unexpected hash", FailureKind::Mismatch),
    ("compatible mismatch", FailureKind::Compatible),
    ("version mismatch", FailureKind::Compatible),
    ("failed to configure streaming", FailureKind::Network),
    ("server not responding", FailureKind::Network),
    ("unauthorized:", FailureKind::Network),
    ("not found:", FailureKind::Network),
    ("no longer connected", FailureKind::Network),
    ("failed to read signature", FailureKind::Network),
    ("signature size", FailureKind::Format),
    ("payload size", FailureKind::Format),
    ("bundle size", FailureKind::Format),
    ("invalid bundle format", FailureKind::Format),
    ("invalid identifier", FailureKind::Format),
    ("bundle format", FailureKind::Format),
    ("plain bundle", FailureKind::Format),
    ("failed to load manifest", FailureKind::Format),
    ("failed to check manifest", FailureKind::Format),
    ("invalid manifest", FailureKind::Format),
    ("missing manifest", FailureKind::Format),
    ("signature verification failed", FailureKind::Signature),
    ("failed to verify x509", FailureKind::Signature),
    ("failed to parse signature", FailureKind::Signature),
    ("unsupported signature", FailureKind::Signature),
    ("no signature cn matching", FailureKind::Signature),
    ("expected cms of type", FailureKind::Signature),
    ("already processing a different method", FailureKind::Busy),
    ("failed updating slot", FailureKind::SlotWrite),
    ("too small for image", FailureKind::SlotWrite),
    ("no space left", FailureKind::SlotWrite),
    ("failed marking slot", FailureKind::SlotWrite),
    ("destination device", FailureKind::SlotWrite),
    ("timed out", FailureKind::Network),
    ("connection", FailureKind::Network),
];

/// The kind that `text` speaks of.
pub fn classify(text: &str) -> FailureKind {
    let text = text.to_ascii_lowercase();
    PHRASES
        .iter()
        .find(|(phrase, _)| text.contains(phrase))
        .map_or(FailureKind::Other, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rauc_s_own_words_are_understood() {
        let check = |text: &str, expected| assert_eq!(classify(text), expected, "{text}");
        check(
            "signature verification failed: Verify error: self-signed certificate",
            FailureKind::Signature,
        );
        check(
            "signature verification failed: Verify error: certificate is not yet valid",
            FailureKind::Other,
        );
        check(
            "Compatible mismatch: Expected 'a' but bundle manifest has 'b'",
            FailureKind::Compatible,
        );
        check(
            "Refusing to install bundle with unexpected hash (expected 00, got 11)",
            FailureKind::Mismatch,
        );
        check(
            "Signature size (9915583021871652659) exceeds bundle size",
            FailureKind::Format,
        );
        check(
            "Invalid bundle format: Bundle format 'plain' not allowed",
            FailureKind::Format,
        );
        check(
            "failed to configure streaming: server not responding",
            FailureKind::Network,
        );
        check(
            "not found: unexpected HTTP error code 404",
            FailureKind::Network,
        );
        check(
            "Installation error: Failed updating slot rootfs.1: No space left on device",
            FailureKind::SlotWrite,
        );
        check("Already processing a different method", FailureKind::Busy);
        check("the moon is full", FailureKind::Other);
    }

    #[test]
    fn only_what_the_bundle_itself_causes_is_permanent() {
        assert!(classify("signature verification failed: x").is_permanent());
        assert!(!classify("failed to configure streaming: x").is_permanent());
        assert!(!classify("Failed updating slot rootfs.1: I/O error").is_permanent());
        assert!(!classify("").is_permanent());
    }
}
