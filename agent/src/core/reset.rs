//! Why the device last started, from what the reset left behind.
//!
//! Read once at boot, before a slot is blamed for anything.

use fleet_protocol::heartbeat::ResetReason;

/// What can be found out at boot. All of it must be read before this boot changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "four independent findings")]
pub struct Facts {
    /// `WDIOC_GETBOOTSTATUS` (linux/watchdog.h): [`CARD_RESET`] says that the watchdog fired. `None`
    /// without a watchdog driver.
    pub watchdog_boot_status: Option<u32>,
    /// A panic or oops was found in pstore and is newer than the boot before last.
    pub panic_in_pstore: bool,
    /// The marker that an orderly shutdown writes last was there; the agent removes it at start.
    pub shutdown_marker: bool,
    /// Nothing was ever written here: no marker could be.
    pub first_boot: bool,
}

/// `WDIOF_CARDRESET`: the last reboot was caused by the watchdog.
pub const CARD_RESET: u32 = 0x0020;
/// `WDIOF_POWERUNDER`: the watchdog's power monitor saw too low a voltage.
pub const POWER_UNDER: u32 = 0x0010;

/// The marker is asked first: some watchdog drivers keep their flag over an orderly reboot. A panic
/// comes before the watchdog, because a panicked machine is often reset by its watchdog.
pub fn classify(facts: &Facts) -> ResetReason {
    let status = facts.watchdog_boot_status.unwrap_or(0);
    if facts.panic_in_pstore {
        ResetReason::Panic
    } else if facts.shutdown_marker {
        ResetReason::Orderly
    } else if status & CARD_RESET != 0 {
        ResetReason::Watchdog
    } else if status & POWER_UNDER != 0 {
        ResetReason::Power
    } else if facts.first_boot {
        ResetReason::Unknown
    } else {
        // Without a trace of anything else, the mains went off: that leaves no trace by nature.
        ResetReason::Power
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_reset_is_told_from_the_others() {
        let check = |status, panic_in_pstore, shutdown_marker, first_boot, expected| {
            let facts = Facts {
                watchdog_boot_status: status,
                panic_in_pstore,
                shutdown_marker,
                first_boot,
            };
            assert_eq!(classify(&facts), expected, "{facts:?}");
        };
        check(Some(0), false, true, false, ResetReason::Orderly);
        check(Some(32), false, true, false, ResetReason::Orderly);
        check(Some(32), false, false, false, ResetReason::Watchdog);
        check(Some(32), true, false, false, ResetReason::Panic);
        check(None, true, true, false, ResetReason::Panic);
        check(Some(16), false, false, false, ResetReason::Power);
        check(Some(0), false, false, false, ResetReason::Power);
        check(None, false, false, false, ResetReason::Power);
        check(None, false, false, true, ResetReason::Unknown);
    }

    proptest! {
        #[test]
        fn only_a_watchdog_that_says_so_is_believed(status: u32, marker: bool, first: bool) {
            let facts = Facts {
                watchdog_boot_status: Some(status & !CARD_RESET),
                panic_in_pstore: false,
                shutdown_marker: marker,
                first_boot: first,
            };
            prop_assert_ne!(classify(&facts), ResetReason::Watchdog);
        }
    }
}
