//! The kernel command line: which slot was booted, and with which root hash.

use fleet_device::files;
use fleet_protocol::Sha256;
use fleet_protocol::update::Slot;

use super::paths::Paths;

/// What the boot loader and the boot image passed on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandLine {
    pub slot: Option<Slot>,
    pub root_hash: Option<Sha256>,
    /// `fleet.safe_mode=1`: the boot loader found no slot with attempts left.
    pub safe_mode: bool,
}

impl CommandLine {
    pub fn read(paths: &Paths) -> Self {
        Self::parse(&files::read_trimmed(&paths.proc.join("cmdline")).unwrap_or_default())
    }

    /// `rauc.slot` is what RAUC goes by; `fleet.slot` is the same, for boot loaders without RAUC. The
    /// last mention of a name counts, as with the kernel itself.
    pub fn parse(text: &str) -> Self {
        let value = |name: &str| {
            text.split_ascii_whitespace()
                .filter_map(|word| word.strip_prefix(name)?.strip_prefix('='))
                .next_back()
        };
        let slot = |name: &str| value(name).and_then(|text| text.parse().ok());
        Self {
            slot: slot("rauc.slot").or_else(|| slot("fleet.slot")),
            root_hash: value("fleet.roothash").and_then(|text| text.parse().ok()),
            safe_mode: value("fleet.safe_mode") == Some("1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_root_hash_and_safe_mode_are_read() {
        let hash = Sha256::of("root");
        let check = |text: &str, slot, root_hash, safe_mode| {
            let expected = CommandLine {
                slot,
                root_hash,
                safe_mode,
            };
            assert_eq!(CommandLine::parse(text), expected, "{text}");
        };
        check(
            &format!("quiet rauc.slot=A fleet.slot=A fleet.roothash={hash} panic=5"),
            Some(Slot::A),
            Some(hash),
            false,
        );
        check("fleet.slot=B fleet.safe_mode=1", Some(Slot::B), None, true);
        check("rauc.slot=C xfleet.roothash=00", None, None, false);
        check("rauc.slot=A rauc.slot=B", Some(Slot::B), None, false);
        check("", None, None, false);
    }
}
